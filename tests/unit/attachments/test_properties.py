"""Whatever comes: text survives each form, and a parser raises nothing but input errors."""

from __future__ import annotations

import html
import xml.sax.saxutils as sax

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.attachments.extracted import Extracted, Limits
from fhir_coder.attachments.readers import read_format
from fhir_coder.errors import InputError
from tests.unit.attachments.samples import CDA, HTML, RTF, pdf, require_not_ours

LIMITS = Limits(chars=1_000_000, bytes=10_000_000)
# Words that mean themselves in every form.
WORDS = st.lists(st.text(st.characters(categories=("L", "N"), max_codepoint=0x1FFFF), min_size=1), min_size=1)
ASCII_WORDS = st.lists(
    st.text(st.characters(categories=("L",), max_codepoint=0x7F), min_size=1), min_size=1, max_size=9
)


def texts(found: Extracted) -> list[str]:
    return found.text.split()


@given(WORDS)
def test_words_survive_html(words: list[str]) -> None:
    raw = f"<div><p>{html.escape(' '.join(words))}</div>".encode()
    assert texts(read_format(raw, "html", "utf-8", LIMITS)) == " ".join(words).split()


@given(WORDS)
def test_words_survive_cda(words: list[str]) -> None:
    raw = f"<section><text><paragraph>{sax.escape(' '.join(words))}</paragraph></text></section>".encode()
    found = read_format(raw, "cda", None, LIMITS)
    assert texts(found) == " ".join(words).split()
    assert [(origin.start, origin.end) for origin in found.origins] == [(0, len(found.text))]


@given(WORDS)
def test_words_survive_rtf(words: list[str]) -> None:
    units = " ".join(words).encode("utf-16-le")
    codes = [int.from_bytes(units[at : at + 2], "little") for at in range(0, len(units), 2)]
    raw = "".join(f"\\u{code - 0x10000 if code > 0x7FFF else code}?" for code in codes)
    assert texts(read_format(f"{{\\rtf1 {raw}}}".encode(), "rtf", None, LIMITS)) == " ".join(words).split()


@given(st.lists(ASCII_WORDS, min_size=1, max_size=3))
def test_words_survive_pdf(pages: list[list[str]]) -> None:
    found = read_format(pdf([[f"Note {' '.join(page)}."] for page in pages]), "pdf", None, LIMITS)
    # As a set: what pages repeat is kept once.
    assert set(texts(found)) == {word for page in pages for word in ["Note", *f"{' '.join(page)}.".split()]}


def _damaged(sample: bytes) -> st.SearchStrategy[bytes]:
    """The sample with bytes taken out, put in or changed."""
    place = st.integers(0, len(sample))
    edits = st.lists(st.tuples(place, place, st.binary(max_size=8)), max_size=4)

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        raw = sample
        for start, length, new in changes:
            raw = raw[:start] + new + raw[start + length % 40 :]
        return raw

    return edits.map(apply)


SAMPLES = {"html": HTML.encode(), "cda": CDA.encode(), "rtf": RTF, "pdf": pdf([["Pt has HTN.", "No fever."]])}


@pytest.mark.parametrize("format_", SAMPLES)
@given(st.data())
def test_nothing_but_input_errors(format_: str, data: st.DataObject) -> None:
    raw = data.draw(st.binary() | _damaged(SAMPLES[format_]))
    try:
        found = read_format(raw, format_, None, LIMITS)
    except InputError as error:
        require_not_ours(error)
        return
    assert all(0 <= each.start <= each.end <= len(found.text) for each in found.origins)

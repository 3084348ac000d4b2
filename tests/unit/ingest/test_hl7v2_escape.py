"""Escape sequences and formatted text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.ingest.hl7v2_escape import Delimiters, escape, unescape

OURS = Delimiters()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"one\.br\two\.sp\three\.ce\four", "one\ntwo\nthree\nfour"),
        (r"one\.BR\two", "one\ntwo"),
        (r"one\.sp2\two\.sp+2\three\.sp0\four", "one\n\ntwo\n\nthree\nfour"),
        (r"\.in+4\a\.ti-2\b\.fi\c\.nf\d", "abcd"),
        (r"a\.sk\b\.sk3\c\.sk 2\d", "a b   c  d"),
        (r"\X0D0A\x\X41\\X42\ y", "\r\nxAB y"),
        (r"caf\XC3\\XA9\ noir", "café noir"),
        (r"\XFF\ x", r"\XFF\ x"),
        (r"\X4\ x", r"\X4\ x"),
        (r"\H\bold\N\ x", "bold x"),
        (r"\C2842\a\M2442\b\M244242\c", "abc"),
        (r"\Z1F\ x", r"\Z1F\ x"),
        (r"5 \ 6 and \Q\ x", r"5 \ 6 and \Q\ x"),
        ("no escapes", "no escapes"),
        ("\\", "\\"),
        (r"\.br", r"\.br"),
    ],
)
def test_escape_sequences(raw: str, text: str) -> None:
    assert unescape(raw, OURS, "utf-8") == text


def test_the_truncation_mark_is_known_where_msh_2_gives_it() -> None:
    assert unescape(r"a\P\b", Delimiters(truncation="#"), "utf-8") == "a#b"
    assert unescape(r"a\P\b", OURS, "utf-8") == r"a\P\b"


def test_the_escape_mark_may_be_another() -> None:
    assert unescape("a?F?b?.br?c", Delimiters(field="$", escape="?"), "utf-8") == "a$b\nc"


def test_bytes_are_of_the_message_s_character_set() -> None:
    assert unescape(r"Fu\XDF\ ", OURS, "iso8859-1") == "Fuß "


@pytest.mark.parametrize("command", ["sp", "sk", "br", "in"])
def test_no_number_makes_a_long_text(command: str) -> None:
    raw = rf"\.{command}200000000\x" * 1000
    assert len(unescape(raw, OURS, "utf-8")) < len(raw)


@given(st.text("\\.spk0123456789+- X4FHbr", max_size=60))
def test_text_grows_by_less_than_a_half(raw: str) -> None:
    assert len(unescape(raw, OURS, "utf-8")) <= 1.5 * len(raw)


@given(st.text(st.characters(exclude_characters="\r"), max_size=60))
def test_escaping_is_undone(text: str) -> None:
    assert unescape(escape(text, OURS), OURS, "utf-8") == text


@given(st.text(st.sampled_from("|^~\\&\n\raF.b"), max_size=40), st.permutations("|^~\\&"))
def test_what_is_escaped_holds_no_delimiter(text: str, marks: list[str]) -> None:
    delimiters = Delimiters(*marks)
    field, component, repetition, _, subcomponent = marks
    assert not set(escape(text, delimiters)) & {field, component, repetition, subcomponent, "\n", "\r"}


@given(st.text(max_size=60), st.sampled_from(["utf-8", "ascii", "iso8859-1", "gb18030", "iso2022_jp_ext"]))
def test_whatever_stands_there_is_read(raw: str, charset: str) -> None:
    unescape(raw, OURS, charset)

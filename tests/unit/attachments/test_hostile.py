"""Attachments that attack their reader: a clear outcome each, in bounded time, and the next one is read."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator

import pytest

from fhir_coder.attachments.read import read_attachment
from fhir_coder.attachments.reader_pool import pool
from fhir_coder.errors import InputError
from fhir_coder.settings import Settings
from tests.unit.attachments.samples import bomb, cda_with_body, pdf_of_stream

SETTINGS = Settings(attachment_seconds=60.0, attachment_memory=512, attachment_readers=1)
DEEP = 100_000

ENTITIES = b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(10))
HOSTILE = {
    "external entity": (
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><ClinicalDocument>&x;</ClinicalDocument>',
        "text/xml",
        "document type",
    ),
    "external DTD": (
        b'<!DOCTYPE a SYSTEM "http://169.254.169.254/a.dtd"><ClinicalDocument/>',
        "text/xml",
        "document type",
    ),
    "billion laughs": (
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "lol">'
        + ENTITIES
        + b"]><ClinicalDocument>&k;</ClinicalDocument>",
        "text/xml",
        "document type",
    ),
    "PDF bomb": (pdf_of_stream(bomb(2_000)), "application/pdf", "expands beyond"),
    "PDF bomb in bombs": (
        pdf_of_stream(zlib.compress(zlib.compress(bomb(1_000), 9), 9), "/FlateDecode" * 3),
        "application/pdf",
        "expands beyond",
    ),
    "gzip bomb": (bomb(1_000, wbits=31), "text/plain", "max_body_bytes"),
    "gzip bomb in CDA": (
        cda_with_body("text/plain", base64.b64encode(bomb(1_000, wbits=31)).decode()),
        "text/xml",
        "max_body_bytes",
    ),
    "gzip cut off": (bomb(1, wbits=31)[:-10], "text/plain", "cut off"),
    "RTF of braces": (b"{\\rtf1 " + b"{" * 10_000_000, "text/rtf", "more groups"),
    "PDF cut off": (pdf_of_stream(zlib.compress(b"BT (x) Tj ET"))[:200], "application/pdf", "damaged"),
    "no PDF": (b"Pt has HTN.", "application/pdf", "no PDF"),
    "no RTF": (b"Pt has HTN.", "text/rtf", "no RTF"),
    "no XML": (b"Pt has HTN.", "text/xml", "not well-formed"),
    "CDA cut off": (b"<ClinicalDocument><component>", "text/xml", "not well-formed at line 1"),
    "body of CDA no base64": (cda_with_body("text/plain", "%%%"), "text/xml", "not base64"),
    "XML of comments": (b"<!-- c -->" * DEEP + "<é><sdtc:x/></é>".encode(), "text/xml", "no CDA"),
    "UTF-8 that says Latin-1": ("Größe".encode(), "text/plain; charset=iso-8859-1", "the text is UTF-8"),
    "UTF-16 that says nothing": ("Patient has HTN".encode("utf-16-le"), "text/plain", "the text is UTF-16"),
    "Latin-1 that says UTF-8": ("<p>Größe".encode("latin-1"), "text/html; charset=utf-8", "not utf-8"),
    "UTF-8 cut off": ("Größ".encode()[:-1], "text/plain", "byte 4 is not utf-8"),
    "unknown charset of XML": (
        b'<?xml version="1.0" encoding="x-none"?><ClinicalDocument/>',
        "text/xml",
        "charset that",
    ),
    "more than a note": (b"<p>" + b"HTN " * 300_000, "text/html", "max_note_chars"),
}


@pytest.fixture(scope="module", autouse=True)
def end_readers() -> Iterator[None]:
    yield
    pool(SETTINGS).close()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_clear_outcome_and_the_next_one_is_read(kind: str) -> None:
    raw, stated, reason = HOSTILE[kind]
    with pytest.raises(InputError, match=reason) as caught:
        read_attachment(raw, stated, SETTINGS, place="x")
    assert caught.value.place == "x"
    assert "HTN" not in str(caught.value)
    assert read_attachment(b"<p>Pt has HTN.", "text/html", SETTINGS, place="x").text == "Pt has HTN."


@pytest.mark.parametrize(
    ("raw", "stated", "text"),
    [
        (b"{\\rtf1 Pt has" + b" " * 900_000 + b"HTN.}", "text/rtf", "Pt has HTN."),
        (b"<!-- c -->" * DEEP + b"<section><text>Pt has HTN.</text><sdtc:x/></section>", "text/xml", "Pt has HTN."),
        (b"<p>Pt has" + b"&nbsp; " * 900_000 + b"HTN.", "text/html", "Pt has HTN."),
        (b"<div>" * DEEP + b"Pt has HTN." + b"</div>" * DEEP, "text/html", "Pt has HTN."),
        (b"<b>" * DEEP + b"Pt has HTN.", "text/html", "Pt has HTN."),
        (b"<ul><li>" * DEEP + b"Pt has HTN.", "text/html", "Pt has HTN."),
        (b"{\\rtf1 " + b"{" * DEEP + b"Pt has HTN." + b"}" * DEEP, "text/rtf", "Pt has HTN."),
        (b"{\\rtf1 Pt has HTN. " + b"{}" * DEEP, "text/rtf", "Pt has HTN."),
        (
            b"<section>"
            + b"<component><section>" * DEEP
            + b"<text>Pt has HTN.</text>"
            + b"</section></component>" * DEEP
            + b"</section>",
            "text/xml",
            "Pt has HTN.",
        ),
        (
            b"<section><text>" + b"<content>" * DEEP + b"Pt has HTN." + b"</content>" * DEEP + b"</text></section>",
            "text/xml",
            "Pt has HTN.",
        ),
    ],
)
def test_nesting_and_padding_lose_no_text(raw: bytes, stated: str, text: str) -> None:
    found = read_attachment(raw, stated, SETTINGS, place="x").text
    assert " ".join(found.replace("- ", "").split()) == text


def test_what_takes_too_long_is_ended() -> None:
    impatient = Settings(attachment_seconds=1.0, attachment_readers=1)
    with pytest.raises(InputError, match="attachment_seconds") as caught:
        read_attachment(b"<p>HTN</p>" + b"<a " * 500_000, "text/html", impatient, place="x")
    assert caught.value.code == "too-costly"
    patient = Settings(attachment_seconds=60.0, attachment_readers=1)
    assert read_attachment(b"<p>HTN", "text/html", patient, place="x").text == "HTN"
    pool(impatient).close()
    pool(patient).close()


def test_what_takes_too_much_memory_is_ended() -> None:
    small = Settings(attachment_memory=256, attachment_readers=1, max_note_chars=100_000_000)
    raw = b"<section><text>" + b"<content>x</content>" * 2_000_000 + b"</text></section>"
    with pytest.raises(InputError, match="attachment_memory"):
        read_attachment(raw, "text/xml", small, place="x")
    assert read_attachment(b"<p>HTN", "text/html", small, place="x").text == "HTN"
    pool(small).close()


def test_a_reader_that_was_killed_is_replaced() -> None:
    assert read_attachment(b"<p>HTN", "text/html", SETTINGS, place="x").text == "HTN"
    for process in pool(SETTINGS)._idle:
        process._process.kill()
        process._process.wait()
    with pytest.raises(InputError, match="broke its reader"):
        read_attachment(b"<p>HTN", "text/html", SETTINGS, place="x")
    assert read_attachment(b"<p>HTN", "text/html", SETTINGS, place="x").text == "HTN"

"""Attachments of a DocumentReference: which is read, where its bytes are, and none is passed over in silence."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson
import pytest
from pytest_httpserver import HTTPServer

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.documentreference import note_from_document_reference
from fhir_coder.ingest.json_input import intakes_from_json
from fhir_coder.model import CodedNote, Note, PassedOver
from fhir_coder.report import as_dict
from fhir_coder.settings import Settings
from tests.unit.attachments.samples import CDA, HTML, RTF, pdf

SETTINGS = Settings()
PDF = pdf([["Pt has HTN."], ["No fever."]])
Json = dict[str, Any]


def attachment(raw: bytes, stated: str | None, **more: Any) -> Json:
    fields = {"contentType": stated, "data": base64.b64encode(raw).decode(), **more}
    return {name: value for name, value in fields.items() if value is not None}


def document(*attachments: Json, **more: Any) -> Json:
    contents = [{"attachment": each} for each in attachments]
    return {"resourceType": "DocumentReference", "status": "current", "content": contents, **more}


def read(*attachments: Json, **more: Any) -> Note:
    return note_from_document_reference(document(*attachments, **more), SETTINGS)


def place(index: int) -> str:
    return f"DocumentReference.content[{index}].attachment"


@pytest.mark.parametrize(
    ("raw", "stated", "words"),
    [
        (HTML.encode(), "text/html; charset=utf-8", "hypertension and asthma"),
        (RTF, "application/rtf", "unverändert"),
        (PDF, "application/pdf", "Pt has HTN."),
        (CDA.encode(), "application/xml", "Has asthma"),
        (CDA.encode(), "application/hl7-v3+xml", "Has asthma"),
    ],
)
def test_every_form_is_read(raw: bytes, stated: str, words: str) -> None:
    digest = base64.b64encode(hashlib.sha1(raw, usedforsecurity=False).digest()).decode()
    note = read(attachment(raw, stated, size=len(raw), hash=digest))
    assert words in note.text
    assert note.attachment == place(0)
    with pytest.raises(InputError, match="damaged"):
        read(attachment(raw, stated, hash="AAAA"))


def test_origins_are_in_the_json_of_the_note() -> None:
    note = read(attachment(PDF, "application/pdf"))
    told = as_dict(CodedNote(note=note))["note"]
    assert note.text == "Pt has HTN.\nNo fever."
    assert told["origins"] == [
        {"start": 0, "end": 12, "place": "page 1"},
        {"start": 12, "end": 21, "place": "page 2"},
    ]
    assert told["attachment"] == place(0)


def test_the_most_readable_one_is_taken_and_the_others_are_named() -> None:
    note = read(
        attachment(b"GIF89a", "image/gif"),
        attachment(PDF, "application/pdf"),
        attachment(RTF, "text/rtf"),
        attachment(b"Pt has HTN.", "text/plain", hash="AAAA"),
    )
    assert note.attachment == place(2)
    assert [each.place for each in note.passed_over] == [
        "DocumentReference.content[0]",
        place(3),
        place(1),
    ]
    assert "not the SHA-1" in note.passed_over[1].reason
    assert note.passed_over[2] == PassedOver(place=place(1), reason=f"the text was taken from {place(2)}")


def test_when_none_can_be_read_all_reasons_are_given() -> None:
    with pytest.raises(
        UnsupportedError, match=r"send the note as .*; DocumentReference.content\[1\].attachment: the PDF holds no text"
    ) as caught:
        read(attachment(b"GIF89a", "image/gif"), attachment(pdf([[]]), "application/pdf"))
    assert caught.value.place == f"{place(0)}.contentType"
    with pytest.raises(InputError, match="not the SHA-1") as damaged:
        read(attachment(b"GIF89a", "image/gif"), attachment(PDF, "application/pdf", hash="AAAA"))
    assert type(damaged.value) is InputError


def test_a_contained_binary() -> None:
    binary = {
        "resourceType": "Binary",
        "id": "b1",
        "contentType": "text/html",
        "data": attachment(b"<p>HTN", "")["data"],
    }
    assert read({"url": "#b1"}, contained=[binary]).text == "HTN"
    assert read({"contentType": "text/html", "url": "#b1"}, contained=[binary]).text == "HTN"
    with pytest.raises(InputError, match="did not come with the document") as caught:
        read({"contentType": "text/html", "url": "#b2"}, contained=[binary])
    assert (caught.value.place, caught.value.code) == (f"{place(0)}.url", "not-found")


@pytest.mark.parametrize("url", ["urn:uuid:0a6cf1a4-8a0f-4a9a-8f0e-7d6c2b1a0f5e", "Binary/b1"])
def test_a_binary_of_the_same_bundle(url: str) -> None:
    binary = {
        "resourceType": "Binary",
        "id": "b1",
        "contentType": "application/pdf",
        "data": attachment(PDF, "")["data"],
    }
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"resource": document({"contentType": "application/pdf", "url": url})},
            {"fullUrl": "urn:uuid:0a6cf1a4-8a0f-4a9a-8f0e-7d6c2b1a0f5e", "resource": binary},
            {"resource": document(attachment(b"GIF89a", "image/gif"))},
            {"resource": document(attachment(b"next", "text/plain"))},
        ],
    }
    first, image, after = intakes_from_json(orjson.dumps(bundle), "x", SETTINGS)
    assert first.note is not None
    assert first.note.text == "Pt has HTN.\nNo fever."
    assert isinstance(image.error, UnsupportedError)
    assert after.note is not None


def test_a_binary_of_the_configured_server(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Binary/7").respond_with_data(PDF, content_type="application/pdf")
    settings = Settings.load(server=httpserver.url_for("/fhir"))
    for given in ({"url": "Binary/7"}, {"url": "Binary/7", "contentType": "application/pdf", "size": len(PDF)}):
        note = note_from_document_reference(document(given), settings)
        assert note.text == "Pt has HTN.\nNo fever."
    with pytest.raises(InputError, match="size") as caught:
        note_from_document_reference(document({"url": "Binary/7", "size": 3}), settings)
    assert caught.value.place == f"{place(0)}.size"


def test_a_url_to_elsewhere_is_an_outcome_of_its_document() -> None:
    with pytest.raises(UnsupportedError, match="it is not fetched") as caught:
        read({"contentType": "text/plain", "url": "http://169.254.169.254/latest"})
    assert caught.value.place == f"{place(0)}.url"

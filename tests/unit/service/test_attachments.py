"""Attachments over HTTP: every form is coded, and what cannot be read is an outcome with its place."""

import base64
from typing import Any

import pytest

from tests.unit.attachments.samples import pdf, pdf_of_stream


def document(raw: bytes, stated: str, **more: Any) -> dict[str, Any]:
    attachment = {"contentType": stated, "data": base64.b64encode(raw).decode(), **more}
    return {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "subject": {"reference": "Patient/7"},
        "content": [{"attachment": attachment}],
    }


@pytest.mark.parametrize(
    ("raw", "stated"),
    [
        (b"<p>Pt has HTN.", "text/html"),
        (b"{\\rtf1 Pt has HTN.}", "application/rtf"),
        (b"<section><text>Pt has HTN.</text></section>", "application/xml"),
        (pdf([["Pt has HTN."]]), "application/pdf"),
    ],
)
def test_every_form_is_coded(serve: Any, raw: bytes, stated: str) -> None:
    response = serve().client.post("/fhir/$code-note", json=document(raw, stated))
    assert response.status_code == 200
    assert "Condition" in [entry["resource"]["resourceType"] for entry in response.json()["entry"]]


@pytest.mark.parametrize(
    ("raw", "stated", "code", "element"),
    [
        (pdf([[]]), "application/pdf", "not-supported", "data"),
        (b"GIF89a", "image/gif", "not-supported", "contentType"),
        (pdf_of_stream(b"Zebrafinch"), "application/pdf", "not-supported", "data"),
        (b"{\\rtf1 Zebrafinch" + b"{" * 2_000_000, "text/rtf", "too-long", "data"),
        (b"<section>Zebrafinch", "text/xml", "structure", "data"),
    ],
)
def test_what_cannot_be_read_is_an_outcome(serve: Any, raw: bytes, stated: str, code: str, element: str) -> None:
    client = serve().client
    response = client.post("/fhir/$code-note", json=document(raw, stated))
    assert response.status_code in (400, 413, 422)
    (issue,) = response.json()["issue"]
    assert issue["code"] == code
    assert issue["expression"] == [f"DocumentReference.content[0].attachment.{element}"]
    assert "Zebrafinch" not in response.text
    assert client.post("/fhir/$code-note", json=document(b"<p>Pt has HTN.", "text/html")).status_code == 200


def test_a_url_that_cannot_be_reached_now_may_be_sent_again(serve: Any) -> None:
    body = document(b"", "text/plain")
    body["content"][0]["attachment"] = {"contentType": "text/plain", "url": "Binary/7"}
    response = serve(server="http://127.0.0.1:1/fhir").client.post("/fhir/$code-note", json=body)
    assert response.status_code == 503
    assert response.json()["issue"][0]["code"] == "transient"

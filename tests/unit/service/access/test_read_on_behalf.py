"""What the service reads of the FHIR server with its own credentials, it reads for those alone who may read it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from sqlalchemy import text

from fhir_coder.service.access.api_keys import add_key
from tests.unit.service.access.conftest import AUDIENCE, Issuer
from tests.unit.service.conftest import serve

__all__ = ["serve"]  # the fixture of the folder above

NOTE = "system/DocumentReference.r"
BINARY = (NOTE, "system/Binary.r")
ALL = ("system/*.rs",)
SECRET = "service-secret"  # noqa: S105
PATIENT = "<Patient><name><family value='Zebrafinch HTN'/></name></Patient>"


def document(url: str, **more: Any) -> dict[str, Any]:
    attachment = {"contentType": "text/plain", "url": url}
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/1"},
        "content": [{"attachment": attachment}],
        **more,
    }


def message(where: str, control: str = "1") -> bytes:
    lines = (
        f"MSH|^~\\&|A|B|C|D|2025||MDM^T02|{control}|P|2.5",
        "PID|1||7^^^R",
        "TXA|1|HP||||||||||D1",
        f"OBX|1|RP|1^CT||{where}^^TEXT^PLAIN",
    )
    return "\r".join(lines).encode() + b"\r"


@pytest.fixture
def fhir(httpserver: HTTPServer) -> HTTPServer:
    """A FHIR server that shows the service, and nobody else, what it has."""
    given = {"Authorization": f"Bearer {SECRET}"}
    httpserver.expect_request("/fhir/Binary/7", headers=given).respond_with_data(
        "Pt has HTN.", content_type="text/plain"
    )
    stored = document("Binary/7", id="d1")
    httpserver.expect_request("/fhir/DocumentReference/d1", headers=given).respond_with_json(stored)
    httpserver.expect_request("/fhir/Patient/1", headers=given).respond_with_data(PATIENT, content_type="text/plain")
    httpserver.expect_request("/files/1").respond_with_data("Pt has HTN.", content_type="text/plain")
    return httpserver


@pytest.fixture
def call(serve: Any, fhir: HTTPServer, tmp_path: Path) -> Any:
    """A function that calls with a key of the given scopes."""
    keys = tmp_path / "keys.json"
    add_key(keys, "first", ["system/*.cruds"])
    service = serve(
        api_keys=keys, server=fhir.url_for("/fhir"), server_auth="bearer", server_token=SECRET, delivery_timeout=2
    )
    made = iter(range(1000))

    def post(path: str, scopes: tuple[str, ...], *, headers: dict[str, str] | None = None, **body: Any) -> Any:
        key = add_key(keys, f"key{next(made)}", list(scopes))
        return service.client.post(path, headers={"Authorization": f"Bearer {key}", **(headers or {})}, **body)

    post.service = service  # type: ignore[attr-defined]
    return post


def asked(fhir: HTTPServer) -> list[str]:
    return [request.path for request, _ in fhir.log if request.path != "/fhir/metadata"]


@pytest.mark.parametrize("scopes", [BINARY, ALL, ("system/DocumentReference.read", "system/Binary.read")])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_binary_is_read_for_who_may_read_binaries(
    call: Any, fhir: HTTPServer, scopes: tuple[str, ...], wrapped: bool
) -> None:
    for url in ("Binary/7", fhir.url_for("/fhir/Binary/7")):
        body = document(url)
        if wrapped:
            body = {"resourceType": "Parameters", "parameter": [{"name": "note", "resource": body}]}
        answer = call("/fhir/$code-note", scopes, json=body)
        assert answer.status_code == 200, answer.text
        assert "Condition" in [entry["resource"]["resourceType"] for entry in answer.json()["entry"]]


@pytest.mark.parametrize(
    "scopes",
    [
        (NOTE,),
        ("system/DocumentReference.cruds",),
        (NOTE, "system/Binary.s"),
        (NOTE, "system/Binary.cud"),
        (NOTE, "system/Patient.r"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("prefer", ["respond-async", "return=representation"])
def test_and_for_nobody_else(call: Any, fhir: HTTPServer, scopes: tuple[str, ...], wrapped: bool, prefer: str) -> None:
    body = document("Binary/7")
    if wrapped:
        body = {"resourceType": "Parameters", "parameter": [{"name": "note", "resource": body}]}
    answer = call("/fhir/$code-note", scopes, json=body, headers={"Prefer": prefer})
    assert answer.status_code == 403
    (issue,) = answer.json()["issue"]
    assert issue["code"] == "forbidden"
    assert "system/Binary.r;" in issue["diagnostics"]
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert asked(fhir) == []


URLS = [
    "Patient/1",
    "Patient/1?_format=xml",
    "Patient?family=Zebrafinch",
    "Binary/7?_format=json",
    "Binary/7/../../Patient/1",
    "Binary/%2e%2e/Patient/1",
    "Binary/..%2FPatient%2F1",
    "Binary/..",
    "Binary",
    "Binary/7/$other",
    "DocumentReference/d1/$binary-access-read?path=x",
    "../files/1",
]


@pytest.mark.parametrize("url", URLS)
def test_what_may_be_no_binary_is_read_for_who_may_read_everything(call: Any, fhir: HTTPServer, url: str) -> None:
    answer = call("/fhir/$code-note", BINARY, json=document(url))
    assert answer.status_code == 403
    assert "system/*.rs;" in answer.json()["issue"][0]["diagnostics"]
    assert "Zebrafinch" not in answer.text
    assert asked(fhir) == []
    assert call("/fhir/$code-note", ALL, json=document(url)).status_code != 403


def test_a_stored_document_and_what_it_points_at(call: Any, fhir: HTTPServer) -> None:
    path = "/fhir/DocumentReference/d1/$code-note"
    assert call(path, ("system/Binary.r",)).status_code == 403
    assert asked(fhir) == []
    refused = call(path, (NOTE,))
    assert refused.status_code == 403
    assert "system/Binary.r;" in refused.json()["issue"][0]["diagnostics"]
    assert asked(fhir) == ["/fhir/DocumentReference/d1"]
    assert call(path, BINARY).status_code == 200


def test_text_that_comes_along_needs_no_more(call: Any, fhir: HTTPServer) -> None:
    given = {"contentType": "text/plain", "data": base64.b64encode(b"Pt has HTN.").decode()}
    pdf = {"contentType": "application/pdf", "url": "Binary/9"}
    body = document("Binary/7") | {"content": [{"attachment": pdf}, {"attachment": given}]}
    assert call("/fhir/$code-note", (NOTE,), json=body).status_code == 200
    contained = {"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": given["data"]}
    assert call("/fhir/$code-note", (NOTE,), json=document("#b", contained=[contained])).status_code == 200
    assert asked(fhir) == []


def test_a_pointer_of_a_message(call: Any, fhir: HTTPServer) -> None:
    headers, write = {"Content-Type": "application/hl7-v2"}, "system/DocumentReference.cu"
    where = fhir.url_for("/fhir/Binary/7")
    refused = call("/hl7v2", (write,), content=message(where), headers=headers)
    assert refused.status_code == 403
    assert "system/Binary.r;" in refused.json()["issue"][0]["diagnostics"]
    with call.service.inbox.queue.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM inbox")).scalar() == 0
    other = fhir.url_for("/fhir/Patient/1")
    assert call("/hl7v2", (write, "system/Binary.r"), content=message(other), headers=headers).status_code == 403
    assert call("/hl7v2", (write, "system/Binary.r"), content=message(where), headers=headers).status_code == 200
    assert call.service.receiver.receive(message(where, "2")) is not None  # over MLLP nobody has scopes


def test_a_pointer_in_a_part_of_a_message(call: Any, fhir: HTTPServer) -> None:
    headers, write = {"Content-Type": "application/hl7-v2"}, "system/DocumentReference.cu"
    first = message(fhir.url_for("/fhir/Binary/7")) + b"DSC|P1|F\r"
    assert call("/hl7v2", (write,), content=first, headers=headers).status_code == 403
    assert call("/hl7v2", (write, "system/Binary.r"), content=first, headers=headers).status_code == 200
    last = b"MSH|^~\\&|A|B|C|D|2025||MDM^T02|9|P|2.5||P1\rOBX|2|TX|||HTN\r"
    assert call("/hl7v2", (write,), content=last, headers=headers).status_code == 403  # it would complete the message
    assert call("/hl7v2", (write, "system/Binary.r"), content=last, headers=headers).status_code == 200


@pytest.mark.parametrize("scope", ["patient/Binary.r", "user/Binary.r", "system/Binary.r?_id=7", "patient/*.rs"])
def test_scopes_of_a_patient_or_user_do_not_do(serve: Any, issuer: Issuer, fhir: HTTPServer, scope: str) -> None:
    client = serve(oidc_issuer=issuer.url, oidc_audience=AUDIENCE, server=fhir.url_for("/fhir")).client
    headers = {"Authorization": f"Bearer {issuer.token(scope=f'{NOTE} {scope}')}"}
    assert client.post("/fhir/$code-note", json=document("Binary/7"), headers=headers).status_code == 403
    assert "/fhir/Binary/7" not in asked(fhir)


def test_notifications_make_documents_be_read(call: Any) -> None:
    empty = {"resourceType": "Bundle"}
    assert call("/fhir/subscription", ("system/DocumentReference.cu",), json=empty).status_code == 403
    assert (
        call("/fhir/subscription", ("system/DocumentReference.cru",), json=empty).status_code == 422
    )  # no server here


def test_where_nobody_is_asked_everything_is_read(serve: Any, fhir: HTTPServer) -> None:
    client = serve(server=fhir.url_for("/fhir"), server_auth="bearer", server_token=SECRET).client
    assert client.post("/fhir/$code-note", json=document("Binary/7")).status_code == 200

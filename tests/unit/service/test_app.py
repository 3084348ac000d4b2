"""The HTTP interface, with a coder that needs no models."""

import asyncio
import base64
import json
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pytest_httpserver import HTTPServer

MESSAGE = "MSH|^~\\&|A|B|C|D|2025||MDM^T02|1|P|2.5\rPID|1||7\rTXA|1|HP\rOBX|1|TX|||HTN\r"
DOCUMENT: dict[str, Any] = {
    "resourceType": "DocumentReference",
    "id": "d1",
    "status": "current",
    "subject": {"reference": "Patient/7"},
    "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(b"Pt has HTN").decode()}}],
}


def parameters(**given: Any) -> dict[str, Any]:
    elements = {"note": "resource", "text": "valueString", "persist": "valueBoolean", "minConfidence": "valueDecimal"}
    listed = [{"name": name, elements.get(name, "valueReference"): value} for name, value in given.items()]
    return {"resourceType": "Parameters", "parameter": listed}


def issue(response: Any) -> dict[str, Any]:
    outcome = response.json()
    assert response.headers["content-type"].startswith("application/fhir+json")
    assert outcome["resourceType"] == "OperationOutcome"
    return outcome["issue"][0]


@pytest.mark.parametrize("path", ["/fhir/$code-note", "/fhir/DocumentReference/$code-note"])
@pytest.mark.parametrize("body", [DOCUMENT, parameters(note=DOCUMENT), parameters(text="HTN")])
def test_code_note_answers_with_the_bundle(serve: Any, path: str, body: dict[str, Any]) -> None:
    response = serve().client.post(path, json=body)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/fhir+json")
    bundle = response.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "transaction")
    assert "Condition" in [entry["resource"]["resourceType"] for entry in bundle["entry"]]


def test_the_parameters_are_used(serve: Any) -> None:
    service = serve()
    body = parameters(
        text="HTN", subject={"reference": "Patient/7"}, encounter={"reference": "Encounter/9"}, minConfidence=0.5
    )
    bundle = service.client.post("/fhir/$code-note", json=body).json()
    condition = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Condition")
    assert condition["subject"] == {"reference": "Patient/7"}
    assert condition["encounter"] == {"reference": "Encounter/9"}
    assert service.coder.calls == [("HTN", 0.5)]


def test_persist_writes_and_sends(serve: Any, tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/", method="POST").respond_with_handler(_transaction)
    service = serve(out=tmp_path / "out", server=httpserver.url_for("/fhir"))
    response = service.client.post("/fhir/$code-note", json=parameters(note=DOCUMENT, persist=True))
    assert response.status_code == 200
    service.desk.close()
    assert len((tmp_path / "out" / "Condition.ndjson").read_text().splitlines()) == 1
    assert len(httpserver.log) == 1


def _transaction(request: Any) -> Any:
    from werkzeug import Response

    entries = json.loads(request.data)["entry"]
    answers = [{"response": {"status": "201", "location": f"{e['request']['url']}/{i}"}} for i, e in enumerate(entries)]
    body = {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}
    return Response(json.dumps(body), content_type="application/fhir+json")


def test_without_persist_nothing_is_written(serve: Any, tmp_path: Path) -> None:
    service = serve(out=tmp_path / "out")
    assert service.client.post("/fhir/$code-note", json=DOCUMENT).status_code == 200
    assert list((tmp_path / "out").iterdir()) == []


def test_persist_without_a_place_to_deliver_to(serve: Any) -> None:
    response = serve().client.post("/fhir/$code-note", json=parameters(note=DOCUMENT, persist=True))
    assert response.status_code == 422
    assert "--out or --server" in issue(response)["diagnostics"]


def test_a_note_without_a_subject_is_coded_but_not_sent(serve: Any) -> None:
    service = serve(server="http://127.0.0.1:9/fhir")
    note = {name: value for name, value in DOCUMENT.items() if name != "subject"}
    assert service.client.post("/fhir/$code-note", json=note).status_code == 200
    response = service.client.post("/fhir/$code-note", json=parameters(note=note, persist=True))
    assert response.status_code == 422
    assert issue(response)["expression"] == ["DocumentReference.subject"]


def test_a_server_that_is_away_is_said_to_be(serve: Any) -> None:
    service = serve(server="http://127.0.0.1:9/fhir", delivery_timeout=0.1)
    response = service.client.post("/fhir/$code-note", json=parameters(note=DOCUMENT, persist=True))
    assert response.status_code == 503
    assert issue(response)["code"] == "transient"


def test_a_stored_document_is_read_from_the_server(serve: Any, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/DocumentReference/d1").respond_with_json(DOCUMENT)
    httpserver.expect_request("/fhir/DocumentReference/gone").respond_with_data(status=404)
    client = serve(server=httpserver.url_for("/fhir")).client
    assert client.post("/fhir/DocumentReference/d1/$code-note").status_code == 200
    response = client.post("/fhir/DocumentReference/gone/$code-note")
    assert (response.status_code, issue(response)["code"]) == (404, "not-found")
    response = client.post("/fhir/DocumentReference/d1/$code-note", json=parameters(text="x"))
    assert response.status_code == 422


def test_without_a_server_there_are_no_stored_documents(serve: Any) -> None:
    response = serve().client.post("/fhir/DocumentReference/d1/$code-note")
    assert (response.status_code, issue(response)["code"]) == (422, "not-supported")


@pytest.mark.parametrize(
    ("body", "status", "place", "remedy"),
    [
        (b"", 400, "line 1 column 1", "send a FHIR resource"),
        (b"{", 400, "line 1 column 2", "send a FHIR resource"),
        (b'"\xff"', 400, "line 1 column", "UTF-8"),
        (b'{"a":' * 50_000, 400, "line 1 column", "JSON"),
        (b"[]", 400, "", "send a FHIR resource"),
        ({"resourceType": "Patient"}, 400, "resourceType", "send one of them"),
        ({"resourceType": "DocumentReference"}, 422, "DocumentReference.content", "contentType text/plain"),
        ({"resourceType": "Parameters", "parameter": 1}, 400, "Parameters.parameter", "list"),
        ({"resourceType": "Parameters", "parameter": [1]}, 400, "Parameters.parameter[0]", "object"),
        (parameters(), 422, "Parameters.parameter", "either note or text"),
        (parameters(text="a", note=DOCUMENT), 422, "Parameters.parameter", "either note or text"),
        (parameters(txt="a"), 422, "Parameters.parameter[0].name", "known are note"),
        (parameters(text=" "), 422, "Parameters.parameter[0].valueString", "send a note with text"),
        (parameters(text=1), 400, "Parameters.parameter[0].valueString", "string"),
        (parameters(text="a", persist="yes"), 422, "Parameters.parameter[1].valueBoolean", "true or false"),
        (parameters(text="a", minConfidence=2), 422, "Parameters.parameter[1].valueDecimal", "0 to 1"),
        (parameters(text="a", minConfidence=True), 422, "Parameters.parameter[1].valueDecimal", "0 to 1"),
        (
            parameters(text="a", subject={"reference": "Group/1"}),
            422,
            "Parameters.parameter[1].valueReference.reference",
            "Patient/<id>",
        ),
        (parameters(text="a", subject={"display": "x"}), 422, "Parameters.parameter[1].valueReference", "Patient/<id>"),
        (
            parameters(note=DOCUMENT, subject={"reference": "Patient/8"}),
            422,
            "Parameters.parameter[1].valueReference",
            "leave the parameter out",
        ),
        (
            parameters(note={"resourceType": "DocumentReference", "content": [{"attachment": {"contentType": "a/b"}}]}),
            422,
            "Parameters.parameter[0].resource.content[0].attachment.contentType",
            "send the note as text/plain",
        ),
    ],
)
def test_bad_input_names_place_and_remedy(
    serve: Any, body: bytes | dict[str, Any], status: int, place: str, remedy: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = serve().client.post(
        "/fhir/$code-note", content=content, headers={"Content-Type": "application/fhir+json"}
    )
    assert response.status_code == status
    found = issue(response)
    assert found.get("expression", [found["diagnostics"] if " " in place else ""])[0].startswith(place)
    assert remedy in found["diagnostics"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/fhir/$code-note", {}, 405),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/fhir/OperationDefinition/other", {}, 404),
        ("POST", "/fhir/$code-note", {"Content-Type": "application/xml"}, 415),
        ("POST", "/hl7v2", {"Content-Type": "application/json"}, 415),
        ("POST", "/v1/code", {"Content-Length": "999999999"}, 413),
        ("POST", "/hl7v2", {"Content-Length": "2147483648"}, 413),
        ("POST", "/v1/code", {}, 400),
        ("GET", "/v1/lookup", {}, 422),
        ("GET", "/v1/lookup?system=none&text=a", {}, 422),
        ("GET", "/v1/lookup?system=icd10cm&text=a&top=0", {}, 422),
        ("GET", "/v1/lookup?system=icd10cm&text=a&top=²", {}, 422),
    ],
)
def test_every_error_is_an_operation_outcome(
    serve: Any, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    response = serve().client.request(method, path, headers=headers)
    assert response.status_code == status
    assert issue(response)["diagnostics"]


def test_a_body_without_a_length_is_bounded_while_it_streams(serve: Any) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b"x" * 1000

    response = serve(max_body_bytes=5000).client.post("/v1/code", content=endless())
    assert (response.status_code, issue(response)["code"]) == (413, "too-long")


def test_v1_code(serve: Any) -> None:
    answer = serve().client.post("/v1/code", json={"text": "Has HTN"}).json()
    assert [(entity["text"], entity["start"], entity["end"]) for entity in answer["entities"]] == [("HTN", 4, 7)]


def test_v1_code_without_text(serve: Any) -> None:
    response = serve().client.post("/v1/code", json={"txt": "a"})
    assert (response.status_code, issue(response)["expression"]) == (422, ["text"])


def test_v1_lookup(serve: Any) -> None:
    answer = serve().client.get("/v1/lookup", params={"system": "icd10cm", "text": "high bp", "top": 2}).json()
    assert answer["text"] == "high bp"
    assert [candidate["code"] for candidate in answer["candidates"]] == ["I10", "I10"]


def test_the_capability_statement_is_valid_and_true(serve: Any) -> None:
    from fhir.resources.R4B.capabilitystatement import CapabilityStatement

    client = serve().client
    statement = client.get("/fhir/metadata").json()
    CapabilityStatement.model_validate(statement)
    definition = client.get("/fhir/OperationDefinition/code-note").json()
    (rest,) = statement["rest"]
    assert rest["operation"] == [{"name": "code-note", "definition": definition["url"]}]
    written = {each["type"]: each["supportedProfile"] for each in rest["resource"] if "supportedProfile" in each}
    assert {each["type"] for each in rest["resource"]} - written.keys() == {
        "DocumentReference",
        "OperationDefinition",
        "CodeSystem",
        "ValueSet",
        "ConceptMap",
    }
    assert not any({"interaction", "operation"} & each.keys() for each in rest["resource"] if each["type"] in written)
    assert len(written["Condition"]) == len(written["Observation"]) == 2
    assert {"MedicationStatement", "Device", "DeviceUseStatement", "Provenance"} <= written.keys()


def test_hl7v2_is_stored_and_acknowledged(serve: Any) -> None:
    service = serve()
    for _ in range(2):
        response = service.client.post("/hl7v2", content=MESSAGE, headers={"Content-Type": "application/hl7-v2"})
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/hl7-v2"
        assert b"\rMSA|AA|1" in response.content
    assert service.inbox.counts()["waiting"] == 1


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        ("hello", 400, b"AR"),
        (MESSAGE.replace("MDM^T02", "SIU^S12"), 400, b"AR"),
        (MESSAGE.replace("|7\r", "|\r"), 422, b"AE"),
    ],
)
def test_hl7v2_that_cannot_be_taken_is_refused_and_not_stored(
    serve: Any, message: str, status: int, code: bytes
) -> None:
    service = serve()
    response = service.client.post("/hl7v2", content=message)
    assert response.status_code == status
    assert b"\rMSA|" + code in response.content
    assert b"\rERR|" in response.content
    assert service.inbox.counts()["waiting"] == 0


def test_hl7v2_that_cannot_be_stored_is_not_acknowledged(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve()

    def full(*_: object) -> list[int]:
        raise OSError("disk full")

    monkeypatch.setattr(service.inbox._commits, "_write", full)
    response = service.client.post("/hl7v2", content=MESSAGE)
    assert (response.status_code, issue(response)["code"]) == (503, "transient")
    assert int(response.headers["retry-after"]) > 0


def test_health(serve: Any) -> None:
    client = serve().client
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready").json()
    assert ready.pop("checks")
    assert ready == {
        "status": "ready",
        "inbox": {"waiting": 0, "coded": 0, "failed": 0},
        "outbox": {"waiting": 0, "sent": 0, "failed": 0},
    }


def test_the_service_answers_while_it_codes(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve()
    release = threading.Event()
    code = service.desk.code

    def slow(*given: Any) -> Any:
        assert release.wait(10)
        return code(*given)

    monkeypatch.setattr(service.desk, "code", slow)

    async def run() -> None:
        transport = httpx2.ASGITransport(app=service.client.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client, asyncio.timeout(10):
            coding = [asyncio.create_task(client.post("/v1/code", json={"text": "HTN"})) for _ in range(8)]
            await asyncio.sleep(0.05)
            assert (await client.get("/health/live")).status_code == 200
            assert (await client.get("/health/ready")).status_code == 200
            release.set()
            assert [response.status_code for response in await asyncio.gather(*coding)] == [200] * 8

    asyncio.run(run())


def test_metrics(serve: Any) -> None:
    client = serve().client
    client.post("/v1/code", json={"text": "HTN"})
    client.post("/fhir/DocumentReference/some-id/$code-note")
    metrics = client.get("/metrics").text
    assert "fhir_coder_notes_total 1.0" in metrics
    assert 'fhir_coder_stage_seconds_count{stage="code"} 1.0' in metrics
    assert 'route="/fhir/DocumentReference/{identifier}/$code-note"' in metrics
    assert "some-id" not in metrics

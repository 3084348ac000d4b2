"""What HTTP and FHIR ask of every route: content negotiation, methods, conditional reads, bodies of the wrong kind."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from fhir_coder.service.fhir_format import wanted_type

TEXT = {"resourceType": "Parameters", "parameter": [{"name": "text", "valueString": "HTN"}]}
FHIR = "application/fhir+json"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ([], FHIR),
        ([""], FHIR),
        (["*/*"], FHIR),
        (["application/fhir+json"], FHIR),
        (["application/fhir+json; fhirVersion=4.0"], FHIR),
        (["application/fhir+json;fhirVersion=5.0"], None),
        (["application/json"], "application/json"),
        (["text/json"], "text/json"),
        (["application/*"], FHIR),
        (["text/html,application/xhtml+xml,*/*;q=0.8"], FHIR),
        (["application/fhir+xml;q=0.9, application/json;q=0.1"], "application/json"),
        (["application/json;q=0.5", "application/fhir+json;q=0.4"], "application/json"),
        (["APPLICATION/FHIR+JSON"], FHIR),
        (["application/fhir+xml"], None),
        (["application/fhir+json;q=0"], None),
        (["application/fhir+json;q=nan"], None),
        (["application/fhir+json;q=9"], None),
        (["text/turtle", "image/*"], None),
        (["nonsense"], None),
        ([";;;,,,"], None),
    ],
)
def test_accept(accept: list[str], wanted: str | None) -> None:
    assert wanted_type(accept, []) == wanted


@pytest.mark.parametrize(
    ("formats", "wanted"),
    [
        (["json"], FHIR),
        (["application/json"], "application/json"),
        (["application/fhir json"], FHIR),
        (["application/fhir+json; charset=utf-8"], FHIR),
        (["xml"], None),
        (["application/fhir+xml"], None),
        ([""], None),
    ],
)
def test_format_goes_before_accept(formats: list[str], wanted: str | None) -> None:
    assert wanted_type(["application/fhir+xml"], formats) == wanted


def test_answers_are_in_the_form_that_is_asked_for(serve: Any) -> None:
    client = serve().client
    plain = client.post("/fhir/$code-note", json=TEXT)
    pretty = client.post("/fhir/$code-note?_pretty=true&_format=application/json", json=TEXT)
    assert plain.headers["content-type"] == FHIR
    assert pretty.headers["content-type"] == "application/json"
    assert pretty.text.startswith('{\n  "resourceType"')
    assert pretty.json() == plain.json()
    refused = client.post("/fhir/$code-note", json=TEXT, headers={"Accept": "application/fhir+xml"})
    assert refused.status_code == 406
    assert refused.json()["issue"][0]["code"] == "not-supported"
    error = client.post("/fhir/$code-note?_pretty=true", json={}, headers={"Accept": "text/json"})
    assert (error.status_code, error.headers["content-type"]) == (400, "text/json")


@pytest.mark.parametrize("path", ["/fhir/metadata", "/fhir/OperationDefinition/code-note"])
def test_conditional_reads(serve: Any, path: str) -> None:
    client = serve().client
    first = client.get(path)
    tag = first.headers["etag"]
    assert client.get(path, headers={"If-None-Match": f'"other", {tag}'}).status_code == 304
    assert client.get(path, headers={"If-None-Match": tag}).content == b""
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    head = client.head(path)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
    assert head.headers["content-length"] == first.headers["content-length"]


def test_an_operation_ignores_conditions_of_reads(serve: Any) -> None:
    headers = {
        "If-None-Match": "*",
        "If-None-Exist": "identifier=1",
        "If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT",
    }
    response = serve().client.post("/fhir/$code-note", json=TEXT, headers=headers)
    assert response.status_code == 200
    assert "etag" not in response.headers


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/fhir/$code-note", "OPTIONS, POST"),
        ("/fhir/DocumentReference/d1/$code-note", "OPTIONS, POST"),
        ("/fhir/metadata", "GET, HEAD, OPTIONS"),
        ("/fhir/jobs/x", "DELETE, GET, HEAD, OPTIONS"),
        ("/fhir/CodeSystem/$lookup", "GET, HEAD, OPTIONS, POST"),
        ("/v1/code", "OPTIONS, POST"),
        ("/health/live", "GET, HEAD, OPTIONS"),
    ],
)
def test_methods(serve: Any, path: str, methods: str) -> None:
    client = serve().client
    options = client.options(path)
    assert (options.status_code, options.headers["allow"]) == (204, methods)
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"} - set(methods.split(", ")):
        response = client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, methods)
        assert method == "HEAD" or response.json()["issue"][0]["code"] == "not-supported"


def test_what_is_not_there(serve: Any) -> None:
    client = serve().client
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        assert client.request(method, "/fhir/nothing").status_code == 404
    assert client.get("/fhir/metadata/").status_code == 404  # and no redirect to where Host says


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/fhir+json; charset=UTF-8"}, 200),
        ({"Content-Type": 'application/fhir+json; charset="utf-8"; fhirVersion=4.0'}, 200),
        ({"Content-Type": "text/json"}, 200),
        ({"Content-Type": ""}, 200),
        ({"Content-Type": "application/fhir+json; charset=iso-8859-1"}, 415),
        ({"Content-Type": "application/fhir+json; fhirVersion=5.0"}, 415),
        ({"Content-Type": "application/fhir+xml"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "\x00"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Encoding": "identity"}, 200),
    ],
)
def test_content_types(serve: Any, headers: dict[str, str], status: int) -> None:
    response = serve().client.post("/fhir/$code-note", content=json.dumps(TEXT), headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize("query", ["persist=true", "minConfidence=0.5", "text=HTN", "_summary=true", "x"])
def test_parameters_in_the_url_are_refused_and_not_left_unread(serve: Any, query: str) -> None:
    response = serve().client.post(f"/fhir/$code-note?{query}", json=TEXT)
    assert response.status_code == 422
    assert "in the body" in response.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("number", [0, 1, 10_000])
def test_a_bundle_of_notes_is_refused_whole(serve: Any, number: int) -> None:
    note = {
        "resourceType": "DocumentReference",
        "content": [{"attachment": {"contentType": "text/plain", "data": "YQ=="}}],
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": note}] * number}
    service = serve()
    response = service.client.post("/fhir/$code-note", json=bundle)
    assert response.status_code == 422
    (issue,) = response.json()["issue"]
    assert issue["code"] == "not-supported"
    assert f"{number} entries" in issue["diagnostics"]
    assert service.coder.calls == []


def test_calls_beyond_the_bound_are_told_to_come_again(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service, release = serve(http_waiting=1), threading.Event()
    code = service.desk.code

    def slow(*given: Any) -> Any:
        assert release.wait(20)
        return code(*given)

    monkeypatch.setattr(service.desk, "code", slow)

    async def run() -> None:
        transport = httpx2.ASGITransport(app=service.client.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client, asyncio.timeout(20):
            calls = [asyncio.create_task(client.post("/v1/code", json={"text": "HTN"})) for _ in range(5)]
            await asyncio.sleep(0.05)
            refused = await client.post("/fhir/$code-note", json=TEXT)
            assert (refused.status_code, refused.json()["issue"][0]["code"]) == (503, "throttled")
            assert refused.headers["retry-after"]
            release.set()
            assert [(await call).status_code for call in calls] == [200] * 5

    asyncio.run(run())


@pytest.mark.parametrize("identifier", ["..", ".", "a b", "a" * 65, "ä", "%00", "a?b", "a#b", "x;y"])
def test_ids_that_are_none_reach_no_server(serve: Any, identifier: str) -> None:
    client = serve(server="http://127.0.0.1:9/fhir").client
    raw = quote(identifier, safe="").replace(".", "%2E")
    response = client.post(f"/fhir/DocumentReference/{raw}/$code-note")
    assert response.status_code == 422
    assert "not a FHIR id" in response.json()["issue"][0]["diagnostics"]

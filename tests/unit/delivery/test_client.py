from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import stamina
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fhir_coder.delivery.client import FHIR_JSON, FhirClient, Sent, Standing, VersionConflictError
from fhir_coder.errors import DeliveryError, TransientDeliveryError

Handler = Callable[[Request], Response]


def entry(number: int, resource_type: str = "Condition", **more: Any) -> dict[str, Any]:
    """Return an entry of a Bundle."""
    subject = {} if resource_type in {"Patient", "Provenance"} else {"subject": {"reference": "Patient/7"}}
    return {
        "fullUrl": f"urn:uuid:00000000-0000-4000-8000-{number:012}",
        "resource": {"resourceType": resource_type, **subject, **more},
        "request": {"method": "POST", "url": resource_type, "ifNoneExist": f"identifier=s|{number}"},
    }


def bundle(*entries: dict[str, Any]) -> dict[str, Any]:
    """Return a transaction."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def answer(request: Request, start: int = 0) -> Response:
    """Return the response to a transaction, with locations numbered from `start`."""
    sent = json.loads(request.get_data())["entry"]
    entries = [
        {"response": {"status": "201", "location": f"{each['resource']['resourceType']}/{start + i}/_history/1"}}
        for i, each in enumerate(sent)
    ]
    body = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
    return Response(json.dumps(body), content_type=FHIR_JSON)


def outcome(status: int, code: str, **more: Any) -> Response:
    """Return an OperationOutcome."""
    issue = {"severity": "error", "code": code, **more}
    return Response(json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}), status, content_type=FHIR_JSON)


@pytest.fixture(autouse=True)
def without_waiting() -> Iterator[None]:
    """Retry at once."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def client(httpserver: HTTPServer) -> Iterator[FhirClient]:
    with FhirClient(httpserver.url_for("/fhir/")) as made:
        yield made


def serve(httpserver: HTTPServer, handler: Handler) -> None:
    httpserver.expect_request("/fhir/", method="POST").respond_with_handler(handler)


def fail_then_answer(httpserver: HTTPServer, failure: Response, times: int = 1) -> None:
    for _ in range(times):
        httpserver.expect_ordered_request("/fhir/").respond_with_response(failure)
    httpserver.expect_ordered_request("/fhir/").respond_with_handler(answer)


def test_send(httpserver: HTTPServer, client: FhirClient) -> None:
    serve(httpserver, answer)
    sent = bundle(entry(1, "Patient"), entry(2))
    assert client.send(sent) == ["Patient/0", "Condition/1"]
    (request, _), *more = httpserver.log
    assert not more
    assert json.loads(request.get_data()) == sent
    assert (request.headers["Accept"], request.headers["Content-Type"]) == (FHIR_JSON, FHIR_JSON)


@pytest.mark.parametrize(
    "response",
    [
        {"location": "Condition/a-1"},
        {"location": "http://example.org/fhir/Condition/a-1/_history/3"},
        {},
    ],
)
def test_servers_name_places_in_different_ways(
    httpserver: HTTPServer, client: FhirClient, response: dict[str, str]
) -> None:
    answered = {"response": {"status": "200"} | response, "resource": {"resourceType": "Condition", "id": "a-1"}}
    httpserver.expect_request("/fhir/").respond_with_json({"resourceType": "Bundle", "entry": [answered]})
    assert client.send(bundle(entry(1))) == ["Condition/a-1"]


def test_nothing_to_send(client: FhirClient, httpserver: HTTPServer) -> None:
    assert client.send({"resourceType": "Bundle", "type": "transaction"}) == []
    assert not httpserver.log


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_fault_is_retried(httpserver: HTTPServer, client: FhirClient, status: int) -> None:
    fail_then_answer(httpserver, outcome(status, "transient"), times=2)
    assert client.send(bundle(entry(1))) == ["Condition/0"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_lasting_fault_is_transient(httpserver: HTTPServer, client: FhirClient, status: int) -> None:
    serve(httpserver, lambda _: outcome(status, "throttled"))
    with pytest.raises(TransientDeliveryError, match=f"{status} .throttled"):
        client.send(bundle(entry(1)))
    assert len(httpserver.log) == 3


def test_retry_after_is_passed_on(httpserver: HTTPServer, client: FhirClient) -> None:
    busy = outcome(503, "transient")
    busy.headers["Retry-After"] = "3600"
    serve(httpserver, lambda _: busy)
    with pytest.raises(TransientDeliveryError) as caught:
        client.send(bundle(entry(1)))
    assert caught.value.retry_after == 3600
    assert len(httpserver.log) == 1  # an hour is for the outbox to wait, not for a call


def test_retry_after_may_be_a_date(httpserver: HTTPServer, client: FhirClient) -> None:
    busy = outcome(503, "transient")
    busy.headers["Retry-After"] = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    serve(httpserver, lambda _: busy)
    with pytest.raises(TransientDeliveryError) as caught:
        client.send(bundle(entry(1)))
    assert caught.value.retry_after is not None
    assert 3500 < caught.value.retry_after <= 3600


@pytest.mark.parametrize("value", ["soon", "", "-1"])
def test_a_senseless_retry_after_is_ignored(httpserver: HTTPServer, client: FhirClient, value: str) -> None:
    busy = outcome(503, "transient")
    busy.headers["Retry-After"] = value
    fail_then_answer(httpserver, busy)
    assert client.send(bundle(entry(1)))


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 422])
def test_a_refusal_is_not_retried_and_says_no_content(httpserver: HTTPServer, client: FhirClient, status: int) -> None:
    refusal = outcome(status, "invariant", diagnostics="Mr Smith has HIV", expression=["Condition.code", "'Mr Smith'"])
    serve(httpserver, lambda _: refusal)
    with pytest.raises(DeliveryError) as caught:
        client.send(bundle(entry(1)))
    assert not isinstance(caught.value, TransientDeliveryError)
    assert str(caught.value) == f"the FHIR server answered {status} (invariant at Condition.code)"
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    "body", ["", "<html>", "[]", '{"issue": 1}', '{"issue": [1]}', '{"issue": [{"code": "Mr Smith"}]}']
)
def test_a_refusal_in_another_form(httpserver: HTTPServer, client: FhirClient, body: str) -> None:
    serve(httpserver, lambda _: Response(body, 400))
    with pytest.raises(DeliveryError, match="answered 400") as caught:
        client.send(bundle(entry(1)))
    assert "Smith" not in str(caught.value)


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '{"entry": []}', '{"entry": [{}]}', '{"entry": [{"response": {}}]}', '{"entry": {"a": 1}}']
)
def test_an_answer_that_is_none(httpserver: HTTPServer, client: FhirClient, body: str) -> None:
    serve(httpserver, lambda _: Response(body, 200))
    with pytest.raises(DeliveryError):
        client.send(bundle(entry(1)))


def test_redirects_are_not_followed(httpserver: HTTPServer, client: FhirClient) -> None:
    serve(httpserver, lambda _: Response("", 307, {"Location": httpserver.url_for("/elsewhere")}))
    with pytest.raises(DeliveryError, match="redirects are not followed"):
        client.send(bundle(entry(1)))
    assert len(httpserver.log) == 1


def test_an_unreachable_server_is_transient() -> None:
    with (
        FhirClient("http://127.0.0.1:9/fhir") as client,
        pytest.raises(TransientDeliveryError, match="cannot be reached"),
    ):
        client.send(bundle(entry(1)))


@pytest.mark.parametrize(
    ("resource_type", "element"),
    [
        ("Condition", "subject"),
        ("DocumentReference", "subject"),
        ("Device", "patient"),
        ("AllergyIntolerance", "patient"),
    ],
)
@pytest.mark.parametrize("value", [{}, {"extension": [{"url": "u", "valueCode": "unknown"}]}])
def test_nothing_is_sent_without_a_subject(
    httpserver: HTTPServer, client: FhirClient, resource_type: str, element: str, value: dict[str, Any]
) -> None:
    made = entry(1, resource_type)
    made["resource"].pop("subject")
    made["resource"][element] = value
    with pytest.raises(DeliveryError, match=f"{resource_type} .entry 0. has no {element}"):
        client.send(bundle(made))
    assert not httpserver.log


LIMIT = {"details": {"text": "Transaction requires strict isolation but has too many entries"}}


@pytest.mark.parametrize(
    "refusal",
    [lambda: outcome(400, "invalid", **LIMIT), lambda: outcome(413, "too-long"), lambda: outcome(422, "too-costly")],
)
def test_a_server_with_a_limit_gets_parts(
    httpserver: HTTPServer, client: FhirClient, refusal: Callable[[], Response]
) -> None:
    parts: list[list[dict[str, Any]]] = []

    def handle(request: Request) -> Response:
        sent = json.loads(request.get_data())["entry"]
        if len(sent) > 8:
            return refusal()
        parts.append(sent)
        return answer(request, start=100 * len(parts))

    serve(httpserver, handle)
    entries = [entry(number) for number in range(17)]
    targets = [{"reference": each["fullUrl"]} for each in entries]
    sent = bundle(*entries, entry(17, "Provenance", target=targets))
    places = client.send(sent)

    assert [len(part) for part in parts] == [8, 8, 2]
    assert places[7:9] == ["Condition/107", "Condition/200"]
    assert places[-1] == "Provenance/301"
    # What an earlier part created is named by its place; what is in the same part, by its full URL.
    assert [each["reference"] for each in parts[2][1]["resource"]["target"]] == [*places[:16], entries[16]["fullUrl"]]
    assert [each["fullUrl"] for part in parts for each in part] == [each["fullUrl"] for each in sent["entry"]]

    client.send(bundle(*entries))
    assert len(httpserver.log) == 1 + 3 + 3  # the limit is remembered


def test_a_single_entry_that_is_too_large_is_refused(httpserver: HTTPServer, client: FhirClient) -> None:
    serve(httpserver, lambda _: outcome(413, "too-long"))
    with pytest.raises(DeliveryError, match="413"):
        client.send(bundle(entry(1)))
    assert len(httpserver.log) == 1


def test_the_environment_is_ignored(
    httpserver: HTTPServer, client: FhirClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    serve(httpserver, answer)
    with FhirClient(httpserver.url_for("/fhir")) as fresh:
        assert fresh.send(bundle(entry(1)))


def test_wrong_credentials_are_not_the_bundle_s_fault(httpserver: HTTPServer, client: FhirClient) -> None:
    serve(httpserver, lambda _: outcome(401, "login"))
    with pytest.raises(TransientDeliveryError, match="server_auth"):
        client.send(bundle(entry(1)))


def condition(version: str = "3") -> Response:
    resource = {"resourceType": "Condition", "id": "7", "meta": {"versionId": version}}
    return Response(json.dumps(resource), content_type=FHIR_JSON)


def test_what_stands_is_read_with_its_version(httpserver: HTTPServer, client: FhirClient) -> None:
    tagged = condition()
    tagged.headers["ETag"] = 'W/"4"'  # it counts more than what the resource says of itself
    httpserver.expect_ordered_request("/fhir/Condition/7").respond_with_response(outcome(503, "transient"))
    httpserver.expect_ordered_request("/fhir/Condition/7").respond_with_response(tagged)
    httpserver.expect_ordered_request("/fhir/Condition/7").respond_with_response(condition())
    assert [client.read("Condition/7").version for _ in range(2)] == ["4", "3"]


@pytest.mark.parametrize(("status", "deleted"), [(404, False), (410, True)])
def test_nothing_stands(httpserver: HTTPServer, client: FhirClient, status: int, deleted: bool) -> None:
    httpserver.expect_request("/fhir/Condition/7").respond_with_response(outcome(status, "not-found"))
    assert client.read("Condition/7") == Standing(None, deleted=deleted)


@pytest.mark.parametrize("body", ["<html>", "[]"])
def test_what_is_read_is_no_resource(httpserver: HTTPServer, client: FhirClient, body: str) -> None:
    httpserver.expect_request("/fhir/Condition/7").respond_with_data(body)
    with pytest.raises(DeliveryError, match="something else than a resource"):
        client.read("Condition/7")


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_of_versions_is_told_apart(httpserver: HTTPServer, client: FhirClient, status: int) -> None:
    serve(httpserver, lambda _: outcome(status, "conflict"))
    with pytest.raises(VersionConflictError):
        client.write(bundle(entry(1)))


def test_the_versions_of_what_was_written(httpserver: HTTPServer, client: FhirClient) -> None:
    answers: list[dict[str, Any]] = [
        {"response": {"status": "201", "location": "Condition/1/_history/5", "etag": 'W/"6"'}},
        {"response": {"status": "201", "location": "Condition/2/_history/5"}},
        {
            "response": {"status": "200"},
            "resource": {"resourceType": "Condition", "id": "3", "meta": {"versionId": "x"}},
        },
        {"response": {"status": "200", "location": "Condition/4"}},
    ]
    body = {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}
    serve(httpserver, lambda _: Response(json.dumps(body), content_type=FHIR_JSON))
    assert client.write(bundle(*map(entry, range(4)))) == [
        Sent("Condition/1", "6", created=True),
        Sent("Condition/2", "5", created=True),
        Sent("Condition/3", "x", created=False),
        Sent("Condition/4", None, created=False),
    ]


def page(httpserver: HTTPServer, number: int, following: str | None) -> Response:
    found = [{"resource": {"resourceType": "Condition", "id": str(number)}}, {"resource": {"resourceType": "Patient"}}]
    links = [{"relation": "next", "url": following}] if following else []
    body = {"resourceType": "Bundle", "type": "searchset", "entry": found, "link": links}
    return Response(json.dumps(body), content_type=FHIR_JSON)


def test_a_search_goes_from_page_to_page(httpserver: HTTPServer, client: FhirClient) -> None:
    following = httpserver.url_for("/fhir?page=2")
    httpserver.expect_request(
        "/fhir/Condition", query_string={"subject": "Patient/7", "code": "a|b,c|d"}
    ).respond_with_response(page(httpserver, 1, following))
    httpserver.expect_request("/fhir", query_string="page=2").respond_with_response(page(httpserver, 2, None))
    found = client.search("Condition", subject="Patient/7", code="a|b,c|d")
    assert [each["id"] for each in found] == ["1", "2"]


def test_a_search_does_not_go_to_another_server(httpserver: HTTPServer, client: FhirClient) -> None:
    elsewhere = page(httpserver, 1, "http://elsewhere.example.org/fhir?page=2")
    httpserver.expect_request("/fhir/Condition").respond_with_response(elsewhere)
    assert len(client.search("Condition")) == 1

"""Who called is told, of a call that succeeded and of one that failed; nothing is without the setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_coder.model import Note
from fhir_coder.service.access.api_keys import add_key
from fhir_coder.service.audited import CalledBy, audits_of_document
from fhir_coder.settings import Settings

CANARY = "Xylophon-Canary"
CODE_NOTE = "/fhir/$code-note"


def parameters(text: str, **more: Any) -> dict[str, Any]:
    """Return the body of a call."""
    given = [{"name": "text", "valueString": text}, {"name": "subject", "valueReference": {"reference": "Patient/7"}}]
    return {
        "resourceType": "Parameters",
        "parameter": [*given, *({"name": name, "valueBoolean": value} for name, value in more.items())],
    }


def events(service: Any, number: int, folder: Path) -> list[dict[str, Any]]:
    """Return the AuditEvents in the folder once so many dispatches were sent."""
    for identifier in range(1, number + 1):
        assert service.outbox.wait_for(identifier, 20).state == "sent"
    path = folder / "AuditEvent.ndjson"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def test_a_call_is_told_by_who_where_and_whom_but_not_what(serve: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = add_key(keys, "ward", ["system/*.cruds"])
    service = serve(out=tmp_path / "out", audit="fhir", api_keys=keys)
    headers = {"Authorization": f"Bearer {key}"}
    answer = service.client.post(CODE_NOTE, json=parameters(f"HTN {CANARY}"), headers=headers)
    assert answer.status_code == 200
    (event,) = events(service, 1, tmp_path / "out")
    assert (event["subtype"][0]["code"], event["action"], event["outcome"]) == ("operation", "E", "0")
    assert event["agent"][2]["who"]["identifier"]["value"] == "ward"
    assert [each.get("name") for each in event["entity"]] == [None, None, "$code-note"]
    assert event["entity"][0]["what"] == {"reference": "Patient/7"}
    assert event["entity"][1]["what"]["identifier"]["value"] == answer.headers["x-request-id"]
    assert CANARY not in json.dumps(event)
    assert key not in json.dumps(event)


def test_a_call_that_writes_has_two_events_under_one_name(serve: Any, tmp_path: Path) -> None:
    service = serve(out=tmp_path / "out", audit="fhir")
    answer = service.client.post(CODE_NOTE, json=parameters("HTN", persist=True))
    assert answer.status_code == 200
    found = events(service, 3, tmp_path / "out")
    assert sorted(each["action"] for each in found) == ["E", "R"]
    named = {each["entity"][1]["what"]["identifier"]["value"] for each in found}
    assert named == {answer.headers["x-request-id"]}
    assert all(len(each["agent"]) == 2 for each in found)  # nobody was asked who they are


def test_a_call_that_failed_is_told_too(serve: Any, tmp_path: Path) -> None:
    service = serve(out=tmp_path / "out", audit="fhir")
    assert service.client.post(CODE_NOTE, json=parameters(f"CRASH {CANARY}")).status_code == 500
    (event,) = events(service, 1, tmp_path / "out")
    assert event["outcome"] == "8"
    assert CANARY not in json.dumps(event)


def test_without_the_setting_nothing_is_told(serve: Any, tmp_path: Path) -> None:
    service = serve(out=tmp_path / "out")
    assert service.client.post(CODE_NOTE, json=parameters("HTN")).status_code == 200
    assert service.outbox.counts()["waiting"] == 0
    assert not (tmp_path / "out" / "AuditEvent.ndjson").exists()


@pytest.mark.parametrize(
    ("name", "system", "value"),
    [
        ("key ward", "http://fhir-coder.org/fhir/identifier/api-key", "ward"),
        ("certificate mirth", "http://fhir-coder.org/fhir/identifier/client-certificate", "mirth"),
        ("token app nurse", "https://issuer.example.org", "app nurse"),
    ],
)
def test_users_are_told_apart(name: str, system: str, value: str) -> None:
    settings = Settings(oidc_issuer="https://issuer.example.org")
    user = CalledBy(name=name, address="", request="r").user(settings)
    assert user is not None
    assert (user.system, user.value) == (system, value)


@pytest.mark.parametrize(
    ("attachment", "read"),
    [
        ({"url": "Binary/9"}, {"Binary/9"}),
        ({"url": "https://fhir.example.org/fhir/Binary/9"}, {"Binary/9"}),
        ({"url": "https://files.example.org/Binary/9"}, set()),
        ({"url": "Binary/9", "data": "eA=="}, set()),
    ],
)
def test_the_binary_that_was_read_is_told(attachment: dict[str, str], read: set[str]) -> None:
    settings = Settings(server="https://fhir.example.org/fhir", audit="fhir")
    document = {"id": "1", "subject": {"reference": "Patient/7"}, "content": [{"attachment": attachment}]}
    note = Note(text="x", attachment="DocumentReference.content[0].attachment")
    (audit,) = audits_of_document(settings, "r", document, note)
    entities = audit.bundle["entry"][0]["resource"]["entity"]
    told = {each["what"]["reference"] for each in entities if "reference" in each["what"]}
    assert told == {"Patient/7", "DocumentReference/1"} | read

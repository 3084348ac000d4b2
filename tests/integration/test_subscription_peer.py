"""Notes that arrive by Subscription of a FHIR server that validates profiles, and the whole loop of a note's life."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_coder.upstream.rest import Upstream
from fhir_coder.upstream.subscription import Wanted, subscribe
from tests.integration.adapter import Wire, adapter, document, patient, prepared_data, wait_until
from tests.integration.conftest import free_port

NOTES = 20


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder."""
    return prepared_data(tmp_path / "data")


@pytest.fixture
def wire() -> Iterator[Wire]:
    """The way from the server to the service, on which every fifth notification is lost."""
    made = Wire(f"http://127.0.0.1:{free_port()}", lost=0.2)
    yield made
    made.close()


def put(server: Any, resource: dict[str, Any]) -> None:
    url = f"{server.url}/{resource['resourceType']}/{resource['id']}"
    answer = httpx2.put(url, json=resource, headers={"content-type": "application/fhir+json"}, trust_env=False)
    assert answer.is_success, answer.text


def coded(server: Any) -> Counter[str]:
    """Return how often each document was coded: by the Conditions with evidence of it."""
    return Counter(each["evidence"][0]["detail"][0]["reference"] for each in server.search("Condition"))


def test_every_note_is_coded_once(fhir_server: Any, data: Path, wire: Wire) -> None:
    settings = {"subscribe": "rest-hook", "subscription_endpoint": wire.url}
    with adapter(data, fhir_server.url, int(wire.target.rpartition(":")[2]), sweep_seconds=1, **settings) as service:
        wait_until(lambda: bool(fhir_server.search("Subscription")), "the Subscription is there")
        with Upstream(fhir_server.url) as upstream:  # a second one, which tells the same by POST of the resource
            subscribe(upstream, Wanted(endpoint=f"{wire.url}/resources", channel="rest-hook", payload="full-resource"))
        for number in range(NOTES):
            put(fhir_server, patient(f"p{number}"))
            put(fhir_server, document(f"d{number}", "Assessment: HTN.", f"Patient/p{number}"))
        wait_until(lambda: len(coded(fhir_server)) == NOTES, "all notes are coded")
        wait_until(lambda: service.inbox()["waiting"] == 0, "the inbox is empty")
        assert coded(fhir_server) == {f"DocumentReference/d{number}": 1 for number in range(NOTES)}
        assert len(fhir_server.search("Provenance")) == service.count("fhir_coder_notes_total")[""] == NOTES
    assert wire.dropped
    assert set(wire.statuses) == {200}


def test_from_the_posted_note_to_the_retraction(fhir_server: Any, data: Path) -> None:
    put(fhir_server, patient("p1"))
    port = free_port()
    settings = {"subscribe": "rest-hook", "subscription_endpoint": f"http://127.0.0.1:{port}/fhir/subscription"}
    with adapter(data, fhir_server.url, port, **settings):
        wait_until(lambda: bool(fhir_server.search("Subscription")), "the Subscription is there")
        put(fhir_server, document("first", "Assessment: HTN. Pneumonia.", "Patient/p1"))
        wait_until(lambda: len(fhir_server.search("Condition")) == 2, "the note is coded")
        (provenance,) = fhir_server.search("Provenance")
        assert provenance["entity"][0]["what"]["reference"] == "DocumentReference/first"
        held = {f"Condition/{each['id']}" for each in fhir_server.search("Condition")}
        assert {each["reference"] for each in provenance["target"]} == held

        replaces = [{"code": "replaces", "target": {"reference": "DocumentReference/first"}}]
        put(fhir_server, document("second", "Assessment: HTN.", "Patient/p1", relatesTo=replaces))

        wait_until(lambda: standing(fhir_server) == ["38341003"], "pneumonia is taken back")


def standing(server: Any) -> list[str]:
    """Return the SNOMED codes of the Conditions that are not entered in error."""
    conditions = server.search("Condition")
    return [
        coding["code"]
        for each in conditions
        if each["verificationStatus"]["coding"][0]["code"] != "entered-in-error"
        for coding in each["code"]["coding"]
        if coding["system"] == "http://snomed.info/sct"
    ]

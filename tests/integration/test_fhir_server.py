"""Bundles against a real FHIR server that validates profiles on every write."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_coder.delivery.client import FhirClient
from fhir_coder.delivery.ndjson import NdjsonWriter
from fhir_coder.errors import DeliveryError, TransientDeliveryError
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.model import CodedNote

TYPES = (
    "Patient",
    "DocumentReference",
    "Condition",
    "MedicationStatement",
    "Observation",
    "Device",
    "DeviceUseStatement",
    "FamilyMemberHistory",
    "AllergyIntolerance",
    "Provenance",
)


def versions(server: Any) -> dict[str, str]:
    """Return the version of every resource on the server."""
    return {
        f"{type_}/{resource['id']}": resource["meta"]["versionId"]
        for type_ in TYPES
        for resource in server.search(type_)
    }


def small(coded: CodedNote) -> dict[str, Any]:
    """Return a Bundle that the server takes in one transaction."""
    return to_bundle(CodedNote(note=coded.note, entities=coded.entities[:4]))


def test_all_resources_meet_their_profiles(fhir_server: Any, coded_note: CodedNote) -> None:
    bundle = to_bundle(coded_note)
    check(bundle)
    with FhirClient(fhir_server.url) as client:
        places = client.send(bundle)

    sent = Counter(entry["resource"]["resourceType"] for entry in bundle["entry"])
    assert len(places) == len(set(places)) == len(bundle["entry"])
    assert Counter(place.split("/")[0] for place in versions(fhir_server)) == sent
    assert sent == {
        "Patient": 1,
        "DocumentReference": 1,
        "Condition": 3,
        "MedicationStatement": 3,
        "Observation": 13,
        "Device": 1,
        "DeviceUseStatement": 1,
        "FamilyMemberHistory": 1,
        "AllergyIntolerance": 1,
        "Provenance": 1,
    }
    claimed = [profile for each in bundle["entry"] for profile in each["resource"].get("meta", {}).get("profile", ())]
    assert len(claimed) == 2 * (1 + 3 + 3 + 13 + 1 + 1 + 1) + 1 + 1  # two each; of a relative's and Provenance one


def test_a_note_without_a_date_meets_the_profiles_too(fhir_server: Any, coded_note: CodedNote) -> None:
    bundle = to_bundle(replace(coded_note, note=replace(coded_note.note, date=None)))
    check(bundle)
    with FhirClient(fhir_server.url) as client:
        assert len(client.send(bundle)) == len(bundle["entry"])


def test_references_lead_to_what_was_written(fhir_server: Any, coded_note: CodedNote) -> None:
    with FhirClient(fhir_server.url) as client:
        client.send(to_bundle(coded_note))

    known = versions(fhir_server)
    (provenance,) = fhir_server.search("Provenance")
    assert len(provenance["target"]) == len(known) - 3  # all but the Patient, the note and itself
    assert all(target["reference"] in known for target in provenance["target"])
    for condition in fhir_server.search("Condition"):
        assert condition["subject"]["reference"] in known
        assert condition["evidence"][0]["detail"][0]["reference"] in known


def test_sending_twice_changes_nothing(fhir_server: Any, coded_note: CodedNote) -> None:
    with FhirClient(fhir_server.url) as client:
        first = client.send(to_bundle(coded_note))
        before = versions(fhir_server)
        second = client.send(to_bundle(coded_note))  # coded again, at another time

    assert second == first
    assert versions(fhir_server) == before


def test_a_small_bundle_goes_in_one_transaction(fhir_server: Any, coded_note: CodedNote) -> None:
    with FhirClient(fhir_server.url) as client:
        assert client.send(small(coded_note)) == client.send(small(coded_note))


def test_a_fault_is_retried(fhir_server: Any, coded_note: CodedNote) -> None:
    fhir_server.fail(503, times=2)
    with FhirClient(fhir_server.url, attempts=3) as client:
        assert client.send(small(coded_note))


def test_a_lasting_fault_is_transient(fhir_server: Any, coded_note: CodedNote) -> None:
    fhir_server.fail(503, times=2)
    with FhirClient(fhir_server.url, attempts=2) as client, pytest.raises(TransientDeliveryError, match="503"):
        client.send(small(coded_note))
    assert versions(fhir_server) == {}


def test_a_refused_resource_is_a_delivery_error(fhir_server: Any, coded_note: CodedNote) -> None:
    bundle = deepcopy(small(coded_note))
    condition = next(each["resource"] for each in bundle["entry"] if each["resource"]["resourceType"] == "Condition")
    del condition["category"]  # which US Core requires
    with FhirClient(fhir_server.url) as client, pytest.raises(DeliveryError, match="400") as caught:
        client.send(bundle)
    assert not isinstance(caught.value, TransientDeliveryError)
    assert versions(fhir_server) == {}


def test_ndjson_resources_are_accepted_one_by_one(fhir_server: Any, coded_note: CodedNote, tmp_path: Path) -> None:
    with NdjsonWriter(tmp_path) as writer:
        writer.write(to_bundle(coded_note))
    with httpx2.Client(trust_env=False) as client:
        for path in tmp_path.glob("*.ndjson"):
            for line in path.read_text(encoding="utf-8").splitlines():
                resource = json.loads(line)
                url = f"{fhir_server.url}/{resource['resourceType']}/{resource['id']}"
                answer = client.put(url, content=line, headers={"content-type": "application/fhir+json"})
                assert answer.is_success, (path.name, answer.text)

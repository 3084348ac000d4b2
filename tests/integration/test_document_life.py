"""The life of a document before a FHIR server that validates: replaced, cancelled, corrected by people in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.unit.delivery.documents import ALL, Office, changes, message, note, withdrawn

JSON = {"content-type": "application/fhir+json"}
STATUS = {"Condition": "verificationStatus", "AllergyIntolerance": "verificationStatus"}
DERIVED = ("Condition", "MedicationStatement", "Observation", "Device", "DeviceUseStatement", "AllergyIntolerance")


@pytest.fixture
def office(fhir_server: Any, tmp_path: Path) -> Office:
    """What delivers to the server."""
    save(fhir_server, {"resourceType": "Patient", "id": "7"})
    return Office(tmp_path / "data", server=fhir_server.url)


def client(server: Any) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, trust_env=False)


def status(resource: dict[str, Any]) -> str:
    """Return where a resource stands: its status, or the verificationStatus that says so."""
    element = STATUS.get(resource["resourceType"])
    return str(resource[element]["coding"][0]["code"] if element else resource["status"])


def stand(server: Any) -> dict[str, str]:
    """Return the statuses of all that was derived, by type and words."""
    found = {}
    for kind in DERIVED:
        for each in server.search(kind):
            concept = each.get("code") or each.get("medicationCodeableConcept") or each.get("type") or {}
            found[f"{kind} {concept.get('text', '')}".strip()] = status(each)
    return found


def one(server: Any, kind: str, words: str) -> dict[str, Any]:
    (found,) = [each for each in server.search(kind) if each["code"]["text"] == words]
    return dict(found)


def save(server: Any, resource: dict[str, Any]) -> None:
    """Change a resource as another client of the server does."""
    place = f"{resource['resourceType']}/{resource['id']}"
    with client(server) as person:
        person.put(place, json=resource, headers=JSON).raise_for_status()


def test_a_document_is_written_replaced_and_cancelled(fhir_server: Any, office: Office) -> None:
    office.deliver(message("T02", "D1", ALL))
    before = one(fhir_server, "Condition", "hypertension")
    diabetes = one(fhir_server, "Condition", "diabetes")

    effects = office.deliver(message("T10", "D2", "hypertension, metformin 850 mg", parent="D1"))

    assert changes(effects) == [
        ("adopt", "Condition"),
        ("adopt", "MedicationStatement"),
        ("retract", "AllergyIntolerance"),
        ("retract", "Condition"),
        ("retract", "Device"),
        ("retract", "DeviceUseStatement"),
        ("retract", "Observation"),
        ("supersede", "DocumentReference"),
    ]
    after = one(fhir_server, "Condition", "hypertension")
    assert after["id"] == before["id"]  # it is the same problem, now told by the new document
    assert after["evidence"] != before["evidence"]
    (taken,) = fhir_server.search("MedicationStatement")
    assert taken["dosage"][0]["text"] == "850 mg"
    statuses = {each["masterIdentifier"]["value"]: each["status"] for each in fhir_server.search("DocumentReference")}
    assert statuses == {"D1": "superseded", "D2": "current"}
    taken_back = one(fhir_server, "Condition", "diabetes")
    assert status(taken_back) == "entered-in-error"
    assert "clinicalStatus" not in taken_back
    # The history has what it was.
    with client(fhir_server) as reader:
        version = reader.get(f"Condition/{diabetes['id']}/_history/{diabetes['meta']['versionId']}").json()
    assert status(version) == "unconfirmed"
    told = [each for each in fhir_server.search("Provenance") if "activity" in each]
    assert [each["activity"]["coding"][0]["code"] for each in told] == ["NULLIFY"]
    assert {"reference": f"Condition/{diabetes['id']}"} in told[0]["target"]

    office.deliver(message("T11", "D2"))

    assert set(stand(fhir_server).values()) == {"entered-in-error"}
    documents = {each["masterIdentifier"]["value"]: each["status"] for each in fhir_server.search("DocumentReference")}
    assert documents == {"D1": "superseded", "D2": "entered-in-error"}


def test_a_new_version_of_a_document_takes_back_what_it_says_no_more(fhir_server: Any, office: Office) -> None:
    office.deliver(note("12", ALL))
    office.deliver(note("12", "asthma. hypertension, metformin 500 mg"))
    assert {words: told for words, told in stand(fhir_server).items() if told != "entered-in-error"} == {
        "Condition hypertension": "unconfirmed",
        "Condition asthma": "unconfirmed",
        "MedicationStatement metformin 500 mg": "active",
    }
    office.deliver(note("12", ALL))  # what was taken back is said again
    assert stand(fhir_server)["Condition diabetes"] == "unconfirmed"
    assert stand(fhir_server)["Condition asthma"] == "entered-in-error"
    office.deliver(withdrawn(note("12", ALL)))
    assert set(stand(fhir_server).values()) == {"entered-in-error"}


def test_the_same_version_again_changes_nothing(fhir_server: Any, office: Office) -> None:
    office.deliver(note("12", ALL))
    office.deliver(note("12", "hypertension"))

    def versions() -> list[str]:
        return [each["meta"]["versionId"] for kind in (*DERIVED, "Provenance") for each in fhir_server.search(kind)]

    before = versions()
    assert office.deliver(note("12", "hypertension")) == ()
    assert versions() == before


def test_what_a_person_confirmed_or_corrected_is_theirs(fhir_server: Any, office: Office) -> None:
    office.deliver(note("12", "hypertension, diabetes, asthma"))
    confirmed = one(fhir_server, "Condition", "hypertension")
    confirmed["verificationStatus"]["coding"][0] |= {"code": "confirmed", "display": "Confirmed"}
    save(fhir_server, confirmed)
    corrected = one(fhir_server, "Condition", "diabetes")
    save(fhir_server, corrected | {"note": [{"text": "since 2010"}]})
    touched = one(fhir_server, "Condition", "asthma")  # somebody tagged it: nothing that it says is changed
    save(fhir_server, touched | {"meta": touched["meta"] | {"tag": [{"code": "seen"}]}})

    effects = office.deliver(withdrawn(note("12", "")))

    assert changes(effects) == [("kept", "Condition"), ("kept", "Condition"), ("retract", "Condition")]
    assert stand(fhir_server) == {
        "Condition hypertension": "confirmed",
        "Condition diabetes": "unconfirmed",
        "Condition asthma": "entered-in-error",
    }
    # It stays theirs, whatever the document says later.
    for _ in range(2):
        assert office.deliver(note("12", "hypertension")) == ()
    assert stand(fhir_server)["Condition hypertension"] == "confirmed"
    assert len(fhir_server.search("Condition")) == 3


def test_a_change_between_reading_and_writing_is_seen(
    fhir_server: Any, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fhir_coder.delivery.client import FhirClient

    office.deliver(note("12", "hypertension, diabetes"))
    read, raced = FhirClient.read, []

    def race(self: FhirClient, place: str) -> Any:
        standing = read(self, place)
        if standing.resource["code"]["text"] == "diabetes" and not raced:  # a person is faster
            raced.append(place)
            changed = {**standing.resource, "note": [{"text": "since 2010"}]}
            save(fhir_server, changed)
        return standing

    monkeypatch.setattr(FhirClient, "read", race)
    effects = office.deliver(withdrawn(note("12", "")))
    assert raced
    assert changes(effects) == [("kept", "Condition"), ("retract", "Condition")]
    assert one(fhir_server, "Condition", "diabetes")["note"] == [{"text": "since 2010"}]


def test_what_somebody_deleted_is_gone(fhir_server: Any, office: Office) -> None:
    office.deliver(note("12", "hypertension"))
    place = f"Condition/{one(fhir_server, 'Condition', 'hypertension')['id']}"
    with client(fhir_server) as person:
        person.delete(place).raise_for_status()
    assert changes(office.deliver(withdrawn(note("12", "")))) == [("gone", "Condition")]


def test_a_delivery_that_broke_off_is_repeated(
    fhir_server: Any, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fhir_coder.delivery.written import Ledger

    office.deliver(message("T02", "D1", ALL))
    record = Ledger.record
    monkeypatch.setattr(Ledger, "record", lambda *_, **__: (_ for _ in ()).throw(OSError("power cut")))
    replacement = message("T10", "D2", "hypertension", parent="D1")
    with pytest.raises(OSError, match="power cut"):
        office.deliver(replacement)
    before = stand(fhir_server)
    monkeypatch.setattr(Ledger, "record", record)
    office.deliver(replacement)
    assert stand(fhir_server) == before
    told = [each for each in fhir_server.search("Provenance") if "activity" in each]
    assert len(told) == 1
    office.deliver(message("T11", "D2"))
    assert set(stand(fhir_server).values()) == {"entered-in-error"}


def test_an_addendum_stands_beside_its_parent(fhir_server: Any, office: Office) -> None:
    office.deliver(message("T02", "D1", "hypertension"))
    office.deliver(message("T06", "D2", "asthma", parent="D1"))
    assert stand(fhir_server) == {"Condition hypertension": "unconfirmed", "Condition asthma": "unconfirmed"}
    office.deliver(message("T11", "D2"))
    assert stand(fhir_server) == {"Condition hypertension": "unconfirmed", "Condition asthma": "entered-in-error"}


def test_a_final_report_takes_the_place_of_the_preliminary_one(fhir_server: Any, office: Office) -> None:
    office.deliver(message("T02", "D1", "HbA1c 7.2", status="PA"))
    assert stand(fhir_server) == {"Observation HbA1c 7.2": "preliminary"}
    office.deliver(message("T08", "D1", "HbA1c 7.2"))
    assert stand(fhir_server) == {"Observation HbA1c 7.2": "final"}
    told = [each["activity"]["coding"][0]["code"] for each in fhir_server.search("Provenance") if "activity" in each]
    assert told == ["UPDATE"]


def test_a_preliminary_document_may_wait(fhir_server: Any, office: Office) -> None:
    office.settings = office.settings.model_copy(update={"preliminary": "wait"})
    effects = office.deliver(message("T02", "D1", "HbA1c 7.2", status="PA"))
    assert changes(effects) == [("waiting", "")]
    assert stand(fhir_server) == {}
    assert [each["docStatus"] for each in fhir_server.search("DocumentReference")] == ["preliminary"]
    office.deliver(message("T08", "D1", "HbA1c 7.2"))
    assert stand(fhir_server) == {"Observation HbA1c 7.2": "final"}


def test_what_was_replaced_already_is_not_written_when_it_comes_late(fhir_server: Any, office: Office) -> None:
    office.deliver(message("T10", "D2", "hypertension", parent="D1"))
    effects = office.deliver(message("T02", "D1", "diabetes"))
    assert changes(effects) == [("ignored", "")]
    assert stand(fhir_server) == {"Condition hypertension": "unconfirmed"}
    statuses = {each["masterIdentifier"]["value"]: each["status"] for each in fhir_server.search("DocumentReference")}
    assert statuses == {"D1": "superseded", "D2": "current"}


def test_a_replacement_names_its_parent_by_reference(fhir_server: Any, office: Office) -> None:
    office.deliver(note("12", "hypertension, diabetes"))
    office.deliver(replace(note("13", "hypertension"), replaces=("DocumentReference/12",)))
    assert stand(fhir_server) == {"Condition hypertension": "unconfirmed", "Condition diabetes": "entered-in-error"}

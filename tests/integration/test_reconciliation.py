"""Notes about patients whose chart others have filled already, before a FHIR server that validates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.deliver import Deliverer
from fhir_coder.delivery.dispatch import dispatch_of
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.model import CODE_SYSTEMS, RXNORM, SNOMED, Candidate
from tests.unit.delivery.documents import Office, changes, coded, message, note, withdrawn

JSON = {"content-type": "application/fhir+json"}
HL7 = "http://terminology.hl7.org/CodeSystem/"


def concept(system: str, code: str, text: str = "") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]} | ({"text": text} if text else {})


def problem(identifier: str, code: dict[str, Any], verification: str = "confirmed", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": identifier,
        "subject": {"reference": "Patient/7"},
        "clinicalStatus": concept(f"{HL7}condition-clinical", "active"),
        "verificationStatus": concept(f"{HL7}condition-ver-status", verification),
        "code": code,
        **more,
    }


@pytest.fixture
def chart(fhir_server: Any) -> Any:
    """Writes into the chart, as a clinician's program does."""

    def save(*resources: dict[str, Any]) -> None:
        with httpx2.Client(base_url=fhir_server.url, trust_env=False) as clinician:
            for each in ({"resourceType": "Patient", "id": "7"}, *resources):
                place = f"{each['resourceType']}/{each['id']}"
                clinician.put(place, json=each, headers=JSON).raise_for_status()

    return save


@pytest.fixture
def office(fhir_server: Any, tmp_path: Path) -> Office:
    """What delivers to the server."""
    return Office(tmp_path / "data", server=fhir_server.url)


def evidence(server: Any, identifier: str = "c1") -> list[str]:
    (found,) = [each for each in server.search("Condition") if each["id"] == identifier]
    return [detail["reference"] for each in found.get("evidence", ()) for detail in each["detail"]]


def test_a_note_is_evidence_of_what_the_chart_has(fhir_server: Any, chart: Any, office: Office) -> None:
    own = {"detail": [{"reference": "Observation/1"}]}
    chart(problem("c1", concept(SNOMED, "38341003"), evidence=[own]), problem("c2", concept(SNOMED, "1")))

    assert changes(office.deliver(note("12", "hypertension, diabetes"))) == [("evidence", "Condition")]

    by_code = {each["code"]["coding"][0]["code"]: each for each in fhir_server.search("Condition")}
    assert len(by_code) == 3  # theirs, the other one of theirs, and our diabetes: no twin
    theirs = by_code["38341003"]
    assert theirs["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert evidence(fhir_server) == ["Observation/1", "DocumentReference/12"]
    derived, added = sorted(fhir_server.search("Provenance"), key=lambda each: "activity" in each)
    assert [each["reference"] for each in derived["target"]] == [f"Condition/{by_code['44054006']['id']}"]
    assert [each["reference"] for each in added["target"]] == ["Condition/c1"]
    assert added["activity"]["coding"][0]["code"] == "UPDATE"

    before = theirs["meta"]["versionId"]
    assert office.deliver(note("12", "hypertension, diabetes")) == ()
    assert {each["meta"]["versionId"] for each in fhir_server.search("Condition") if each["id"] == "c1"} == {before}

    office.deliver(withdrawn(note("12", "")))
    assert evidence(fhir_server) == ["Observation/1"]
    assert theirs["verificationStatus"]["coding"][0]["code"] == "confirmed"
    office.deliver(note("12", "hypertension"))
    assert evidence(fhir_server) == ["Observation/1", "DocumentReference/12"]


def test_the_replacement_becomes_the_evidence(fhir_server: Any, chart: Any, office: Office) -> None:
    office.deliver(message("T02", "D1", "asthma"))  # by which the server knows the patient
    (patient,) = [each["id"] for each in fhir_server.search("Patient")]
    chart(problem("c1", concept(SNOMED, "38341003")) | {"subject": {"reference": f"Patient/{patient}"}})
    office.deliver(message("T08", "D1", "asthma, hypertension"))
    documents = {
        each["masterIdentifier"]["value"]: f"DocumentReference/{each['id']}"
        for each in fhir_server.search("DocumentReference")
    }
    assert evidence(fhir_server) == [documents["D1"]]
    office.deliver(message("T10", "D2", "hypertension", parent="D1"))
    (second,) = evidence(fhir_server)
    assert second != documents["D1"]
    assert len(fhir_server.search("Condition")) == 2
    office.deliver(message("T11", "D2"))
    assert evidence(fhir_server) == []


@pytest.mark.parametrize("verification", ["refuted", "entered-in-error"])
def test_what_clinicians_ruled_out_is_not_added_to(
    fhir_server: Any, chart: Any, office: Office, verification: str
) -> None:
    theirs = problem("c1", concept(SNOMED, "38341003"), verification)
    if verification == "entered-in-error":
        del theirs["clinicalStatus"]
    chart(theirs)
    office.deliver(note("12", "hypertension"))
    assert evidence(fhir_server) == []
    assert len(fhir_server.search("Condition")) == 2


def test_it_can_be_switched_off(fhir_server: Any, chart: Any, office: Office) -> None:
    chart(problem("c1", concept(SNOMED, "38341003")))
    office.settings = office.settings.model_copy(update={"enrich": "off"})
    office.deliver(note("12", "hypertension"))
    assert len(fhir_server.search("Condition")) == 2


def lookup(system: str, text: str, top: int) -> list[Candidate]:
    """Know two names."""
    known = {("snomed", "heart failure"): "84114007", ("rxnorm", "lisinopril"): "29046"}
    code = known.get((system, text.casefold()))
    exact = Candidate(
        system=CODE_SYSTEMS[system],
        code=code or "1",
        display=text,
        version="1",
        score=0.9,
        matched=text,
        stage="exact" if code else "lexical",
    )
    return [exact][:top]


def test_words_in_the_chart_get_codes(fhir_server: Any, chart: Any, office: Office) -> None:
    subject = {"subject": {"reference": "Patient/7"}}
    order = {"resourceType": "MedicationRequest", "id": "m1", "status": "active", "intent": "order", **subject}
    chart(
        problem("c1", {"text": "Heart failure"}),
        problem("c2", {"text": "bad feet"}),
        order | {"medicationCodeableConcept": {"text": "lisinopril"}},
        order | {"id": "m2", "medicationCodeableConcept": concept("urn:local", "9", "lisinopril")},
        order | {"id": "m3", "status": "entered-in-error", "medicationCodeableConcept": {"text": "lisinopril"}},
    )
    settings = office.settings.model_copy(update={"enrich": "all"})
    engine = open_database(settings.data_dir)
    deliverer = Deliverer(settings, engine, lookup=lookup)
    given = note("12", "diabetes")
    dispatch = dispatch_of(given, to_bundle(coded(given)), settings)
    assert [(each.what, each.place) for each in deliverer.deliver(dispatch)] == [
        ("coded", "Condition/c1"),
        ("coded", "MedicationRequest/m1"),
    ]
    assert deliverer.deliver(dispatch) == ()
    deliverer.close()
    engine.dispose()

    conditions = {each["id"]: each for each in fhir_server.search("Condition")}
    assert [each["code"] for each in conditions["c1"]["code"]["coding"]] == ["84114007"]
    assert conditions["c1"]["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert "coding" not in conditions["c2"]["code"]
    orders = {each["id"]: each["medicationCodeableConcept"] for each in fhir_server.search("MedicationRequest")}
    assert [each["system"] for each in orders["m1"]["coding"]] == [RXNORM]
    assert orders["m2"]["coding"][0]["code"] == "9"
    assert "coding" not in orders["m3"]
    told = [each for each in fhir_server.search("Provenance") if "activity" in each]
    assert sorted(each["target"][0]["reference"] for each in told) == ["Condition/c1", "MedicationRequest/m1"]

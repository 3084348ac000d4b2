from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from fhir_coder.errors import ConformanceError
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.model import LOINC, Assertion, EntityType

Change = Callable[[dict[str, Any]], Any]


DOSAGE = {
    "dose": 1, "dose_high": 2, "unit": "mg", "ucum": "mg", "duration_value": 7, "duration_unit": "d",
    "timing": {"frequency": 1, "period": 1, "periodMax": 2, "periodUnit": "d", "when": ["HS"]},
    "max_per_day": {"value": 4, "unit": "mg", "ucum": "mg"}, "onset": "since 2019", "onset_date": "2019",
    "abatement": "2021", "abatement_date": "2021",
}  # fmt: skip
RANGE = {"reference_range": {"low": 4, "high": 6, "text": "4-6"}}


@pytest.fixture
def bundle(make_entity: Any, make_note: Any) -> dict[str, Any]:
    """A Bundle with one resource of each kind."""
    return to_bundle(
        make_note(
            make_entity("HTN", code="38341003", onset="at 40", onset_age=40, stage="2"),
            make_entity("aspirin", EntityType.MEDICATION, at=10, code="1191", **DOSAGE),
            make_entity("A1c", EntityType.LAB_TEST, at=20, code="4548-4", system=LOINC, value=7, unit="%", **RANGE),
            make_entity("BP", EntityType.VITAL_SIGN, at=30, code="85354-9", system=LOINC, systolic=120, diastolic=80),
            make_entity("pacemaker", EntityType.DEVICE, at=40, code="14106009"),
            make_entity("stroke", at=50, code="230690007", assertion=Assertion(experiencer="family")),
            make_entity("penicillin", EntityType.MEDICATION, at=60, code="70618", allergy=True),
            make_entity("hives", at=72, code="126485001", section="allergies", reaction=True, severity="mild"),
            text=" " * 100,
            document=None,
        )
    )


def find(bundle: dict[str, Any], resource_type: str, index: int = 0) -> dict[str, Any]:
    """Return a resource of a type."""
    found = [each["resource"] for each in bundle["entry"] if each["resource"]["resourceType"] == resource_type]
    resource: dict[str, Any] = found[index]
    return resource


def test_a_right_bundle_passes_and_is_left_alone(bundle: dict[str, Any]) -> None:
    before = deepcopy(bundle)
    check(bundle)
    assert bundle == before


def test_a_text_that_looks_empty_passes(make_entity: Any, make_note: Any) -> None:
    check(to_bundle(make_note(make_entity("null {} []", code="1"))))


def _replace_code(element: str, code: str) -> Change:
    return lambda resource: resource[element]["coding"][0].update(code=code)


def _repeat(resource: dict[str, Any]) -> dict[str, Any]:
    repeat: dict[str, Any] = resource["dosage"][0]["timing"]["repeat"]
    return repeat


def _category(resource: dict[str, Any], code: str) -> None:
    resource["category"][0]["coding"][0]["code"] = code


DATA_ABSENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "bogus"}]}

FAULTS: list[tuple[str, Change, str]] = [
    ("Condition", lambda r: r.pop("subject"), "subject"),
    ("Condition", lambda r: r.update(note=[]), "note"),
    ("Condition", lambda r: r.update(foo=1), "foo"),
    ("Condition", lambda r: r.update(meta={}), "ele-1"),
    ("Condition", lambda r: r.update(recordedDate="yesterday"), "recordedDate"),
    ("Condition", lambda r: r.update(id="x" * 65), "id: is not"),
    ("Condition", _replace_code("clinicalStatus", "bogus"), "clinicalStatus"),
    ("Condition", _replace_code("verificationStatus", "bogus"), "verificationStatus"),
    ("Condition", lambda r: r.pop("clinicalStatus"), "con-3"),
    ("Condition", lambda r: r.update(abatementString="in May"), "con-4"),
    ("Condition", _replace_code("verificationStatus", "entered-in-error"), "con-5"),
    ("Condition", lambda r: r.update(subject={"reference": "Device/1"}), "must not refer to a Device"),
    ("Condition", lambda r: r.update(subject={"reference": "urn:uuid:0"}), "refers to nothing"),
    ("Condition", lambda r: r["code"]["coding"][0].pop("version"), "code.coding.version"),
    ("Condition", lambda r: r["code"]["coding"][0].pop("display"), "code.coding.display"),
    ("Condition", lambda r: r.update(code={"id": "a"}), "neither codings nor text"),
    ("Condition", lambda r: r["code"]["extension"][0]["extension"].pop(), "coding-candidates"),
    ("Condition", lambda r: r["code"]["extension"][0]["extension"][3].update(valueString=""), "display"),
    ("Condition", lambda r: r["extension"][1]["extension"][2].pop("valueInteger"), "offset"),
    ("Condition", lambda r: r.update(contained=[{"resourceType": "Patient", "id": "p"}]), "dom-3"),
    ("Condition", lambda r: _category(r, "bogus"), "category"),
    ("Condition", lambda r: r.pop("category"), "category"),
    (
        "Condition",
        lambda r: r["category"].append({"coding": [{**r["category"][0]["coding"][0], "code": "encounter-diagnosis"}]}),
        "that alone",
    ),
    ("Condition", lambda r: r.update(stage=[{"type": {"text": "x"}}]), "con-1"),
    ("Condition", lambda r: r.update(evidence=[{"id": "x"}]), "con-2"),
    ("Condition", lambda r: r["onsetAge"].update(code="mg"), "age-1"),
    ("Condition", lambda r: r["onsetAge"].update(value=0), "age-1"),
    ("Condition", lambda r: r["onsetAge"].update(code="years"), "UCUM"),
    ("Condition", lambda r: r.pop("evidence"), "evidence"),  # which our profile requires
    ("Condition", lambda r: r.pop("recordedDate"), "recordedDate"),
    ("Condition", lambda r: r.pop("identifier"), "identifier"),
    ("Condition", lambda r: r.pop("verificationStatus"), "verificationStatus"),
    ("Condition", lambda r: r["code"].pop("text"), "code.text"),
    ("Condition", lambda r: r.update(subject={"reference": " "}), "subject"),
    ("MedicationStatement", lambda r: r.update(status="bogus"), "status"),
    ("MedicationStatement", lambda r: r.update(reasonReference=[{"reference": "Device/1"}]), "must not refer to"),
    ("MedicationStatement", lambda r: r["effectivePeriod"].update(end="2018"), "per-1"),
    ("MedicationStatement", lambda r: r.pop("derivedFrom"), "derivedFrom"),
    ("MedicationStatement", lambda r: r["dosage"][0]["doseAndRate"][0]["doseRange"]["low"].update(value=9), "rng-2"),
    (
        "MedicationStatement",
        lambda r: r["dosage"][0]["doseAndRate"][0]["doseRange"]["low"].update(comparator="<"),
        "sqty-1",
    ),
    ("MedicationStatement", lambda r: r["dosage"][0]["maxDosePerPeriod"].pop("denominator"), "rat-1"),
    ("MedicationStatement", lambda r: _repeat(r).pop("periodUnit"), "tim-2"),
    ("MedicationStatement", lambda r: _repeat(r).update(periodUnit="day"), "periodUnit"),
    ("MedicationStatement", lambda r: _repeat(r).update(period=-1), "tim-5"),
    ("MedicationStatement", lambda r: _repeat(r).update(duration=1), "tim-1"),
    ("MedicationStatement", lambda r: _repeat(r).update(durationMax=1), "tim-7"),
    ("MedicationStatement", lambda r: _repeat(r).update(countMax=1), "tim-8"),
    ("MedicationStatement", lambda r: _repeat(r).update(when=["bogus"]), "when"),
    ("MedicationStatement", lambda r: _repeat(r).update(timeOfDay=["08:00:00"]), "tim-10"),
    ("MedicationStatement", lambda r: _repeat(r)["boundsDuration"].update(code="mg"), "drt-1"),
    ("MedicationStatement", lambda r: r.pop("medicationCodeableConcept"), "medication"),
    ("MedicationStatement", lambda r: r.update(context={"reference": "Patient/1"}), "must not refer to a Patient"),
    ("Observation", lambda r: r.update(status="bogus"), "status"),
    ("Observation", lambda r: _category(r, "bogus"), "category"),
    ("Observation", lambda r: r.pop("category"), "category"),
    ("Observation", lambda r: r.update(effectiveDateTime="2026-03"), "us-core-1"),
    ("Observation", lambda r: r["valueQuantity"].update(code="percent"), "UCUM"),
    ("Observation", lambda r: r["valueQuantity"].update(comparator="~"), "comparator"),
    ("Observation", lambda r: r.update(referenceRange=[{"id": "x"}]), "obs-3"),
    ("Observation", lambda r: r["referenceRange"][0]["low"].update(system="http://x"), "us-core-22"),
    ("Observation", lambda r: (r.pop("valueQuantity"), r.update(dataAbsentReason=DATA_ABSENT)), "dataAbsentReason"),
    ("Observation", lambda r: r.update(dataAbsentReason={"text": "x"}), "obs-6"),
    ("Observation", lambda r: r.update(component=[{"code": r["code"], "valueInteger": 1}]), "obs-7"),
    ("Observation", lambda r: r.pop("valueQuantity"), "us-core-2"),
    ("Observation", lambda r: r["valueQuantity"].update(system="http://x"), "us-core-3"),
    ("Observation", lambda r: r["valueQuantity"].pop("system"), "qty-3"),
    ("Observation", lambda r: r.update(derivedFrom=[{"reference": "Patient/1"}]), "must not refer to a Patient"),
    ("Device", lambda r: r.update(status="bogus"), "status"),
    ("Device", lambda r: r.pop("type"), "type"),
    ("Device", lambda r: r.update(patient={"reference": "Group/1"}), "must not refer to a Group"),
    ("DeviceUseStatement", lambda r: r.update(status="unknown"), "status"),
    ("DeviceUseStatement", lambda r: r.update(device={"reference": "Patient/1"}), "must not refer to a Patient"),
    ("DeviceUseStatement", lambda r: r.pop("device"), "device"),
    ("DeviceUseStatement", lambda r: r["extension"].pop(0), "extension"),
    ("FamilyMemberHistory", lambda r: r.update(status="bogus"), "status"),
    ("FamilyMemberHistory", lambda r: r.update(ageString="60", bornString="1950"), "fhs-1"),
    ("FamilyMemberHistory", lambda r: r.update(estimatedAge=True), "fhs-2"),
    ("FamilyMemberHistory", lambda r: r["condition"].append(r["condition"][0]), "condition"),
    ("FamilyMemberHistory", lambda r: r.pop("relationship"), "relationship"),
    ("FamilyMemberHistory", lambda r: r["condition"][0]["code"]["coding"][0].pop("code"), "condition.code"),
    ("AllergyIntolerance", lambda r: r.update(category=["bogus"]), "category"),
    ("AllergyIntolerance", lambda r: r.update(criticality="bogus"), "criticality"),
    ("AllergyIntolerance", lambda r: r["reaction"][0].update(severity="bogus"), "reaction.severity"),
    ("AllergyIntolerance", lambda r: r["reaction"][0].pop("manifestation"), "manifestation"),
    ("AllergyIntolerance", lambda r: r.pop("clinicalStatus"), "ait-1"),
    ("AllergyIntolerance", _replace_code("verificationStatus", "entered-in-error"), "ait-2"),
    ("DocumentReference", lambda r: r.update(status="bogus"), "status"),
    ("DocumentReference", lambda r: r.update(docStatus="bogus"), "docStatus"),
    ("DocumentReference", lambda r: _category(r, "bogus"), "category"),
    ("DocumentReference", lambda r: r["content"][0]["attachment"].pop("data"), "us-core-6"),
    ("DocumentReference", lambda r: r["content"][0]["attachment"].pop("contentType"), "att-1"),
    (
        "DocumentReference",
        lambda r: r.update(relatesTo=[{"code": "bogus", "target": {"reference": "DocumentReference/1"}}]),
        "relatesTo.code",
    ),
    ("Provenance", lambda r: r["agent"][0].pop("onBehalfOf"), "provenance-1"),
    ("Provenance", lambda r: r["entity"][0].update(role="bogus"), "entity.role"),
    ("Provenance", lambda r: r.pop("target"), "target"),
    ("Provenance", lambda r: r.pop("reason"), "reason"),
    ("Provenance", lambda r: r["agent"][0]["type"]["coding"][0].update(code="bogus"), "agent.type"),
]


@pytest.mark.parametrize(("resource_type", "change", "said"), FAULTS, ids=[f"{t}-{said}" for t, _, said in FAULTS])
def test_a_fault_is_named(bundle: dict[str, Any], resource_type: str, change: Change, said: str) -> None:
    change(find(bundle, resource_type))
    with pytest.raises(ConformanceError) as caught:
        check(bundle)
    assert said in str(caught.value)
    assert str(caught.value).startswith(resource_type)


@pytest.mark.parametrize(
    "reference",
    ["Patient/7", "https://example.org/fhir/Patient/7/_history/2", "Patient?identifier=http://example.org/mrn|7"],
)
def test_a_patient_may_be_named_in_several_ways(bundle: dict[str, Any], reference: str) -> None:
    find(bundle, "Condition")["subject"] = {"reference": reference}
    check(bundle)


def test_a_component_needs_a_value(bundle: dict[str, Any]) -> None:
    find(bundle, "Observation", 1)["component"][0].pop("valueQuantity")
    with pytest.raises(ConformanceError, match="vs-3"):
        check(bundle)


def test_messages_hold_no_values(bundle: dict[str, Any]) -> None:
    find(bundle, "Condition")["recordedDate"] = "Mr Smith"
    with pytest.raises(ConformanceError) as caught:
        check(bundle)
    assert "Smith" not in str(caught.value)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_text_that_is_not_unicode_is_refused(bundle: dict[str, Any], text: str) -> None:
    find(bundle, "Condition")["code"]["text"] = text
    with pytest.raises(ConformanceError, match="Unicode"):
        check(bundle)


def test_a_resource_without_a_type_is_refused(bundle: dict[str, Any]) -> None:
    del find(bundle, "Condition")["resourceType"]
    with pytest.raises(ConformanceError):
        check(bundle)

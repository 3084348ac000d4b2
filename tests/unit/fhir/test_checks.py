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


@pytest.fixture
def bundle(make_entity: Any, make_note: Any) -> dict[str, Any]:
    """A Bundle with one resource of each kind."""
    return to_bundle(
        make_note(
            make_entity("HTN", code="38341003"),
            make_entity("aspirin", EntityType.MEDICATION, at=10, code="1191"),
            make_entity("A1c", EntityType.LAB_TEST, at=20, code="4548-4", system=LOINC, value=7, unit="%"),
            make_entity("BP", EntityType.VITAL_SIGN, at=30, code="85354-9", system=LOINC, systolic=120, diastolic=80),
            make_entity("pacemaker", EntityType.DEVICE, at=40, code="14106009"),
            make_entity("stroke", at=50, code="230690007", assertion=Assertion(experiencer="family")),
            make_entity("penicillin", EntityType.MEDICATION, at=60, code="70618", section="allergies"),
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
    ("MedicationStatement", lambda r: r.update(status="bogus"), "status"),
    ("MedicationStatement", lambda r: r.pop("medicationCodeableConcept"), "medication"),
    ("MedicationStatement", lambda r: r.update(context={"reference": "Patient/1"}), "must not refer to a Patient"),
    ("Observation", lambda r: r.update(status="bogus"), "status"),
    ("Observation", lambda r: r.update(dataAbsentReason={"text": "x"}), "obs-6"),
    ("Observation", lambda r: r.update(component=[{"code": r["code"], "valueInteger": 1}]), "obs-7"),
    ("Observation", lambda r: r.pop("valueQuantity"), "us-core-2"),
    ("Observation", lambda r: r["valueQuantity"].update(system="http://x"), "us-core-3"),
    ("Observation", lambda r: r["valueQuantity"].pop("system"), "qty-3"),
    ("Observation", lambda r: r.update(derivedFrom=[{"reference": "Patient/1"}]), "must not refer to a Patient"),
    ("Device", lambda r: r.update(status="bogus"), "status"),
    ("FamilyMemberHistory", lambda r: r.update(status="bogus"), "status"),
    ("FamilyMemberHistory", lambda r: r.pop("relationship"), "relationship"),
    ("FamilyMemberHistory", lambda r: r["condition"][0]["code"]["coding"][0].pop("code"), "condition.code"),
    ("AllergyIntolerance", lambda r: r.update(category=["bogus"]), "category"),
    ("AllergyIntolerance", lambda r: r.pop("clinicalStatus"), "ait-1"),
    ("AllergyIntolerance", _replace_code("verificationStatus", "entered-in-error"), "ait-2"),
    ("DocumentReference", lambda r: r.update(status="bogus"), "status"),
    ("DocumentReference", lambda r: r.update(docStatus="bogus"), "docStatus"),
    ("Provenance", lambda r: r["agent"][0].pop("onBehalfOf"), "provenance-1"),
    ("Provenance", lambda r: r["entity"][0].update(role="bogus"), "entity.role"),
    ("Provenance", lambda r: r.pop("target"), "target"),
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

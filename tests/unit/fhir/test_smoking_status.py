"""The smoking status of a note: an Observation beside, or in the place of, the Condition."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_coder import Note, to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.fhir.smoking_status import PROFILE
from fhir_coder.model import SNOMED
from fhir_coder.pipeline import Coder

DATE = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def resources(coder: Coder, text: str, **given: Any) -> list[dict[str, Any]]:
    """Return what a text becomes, without the document and the Provenance."""
    note = Note(text=text, **{"subject": "Patient/1", "document": "DocumentReference/1", "date": DATE, **given})
    bundle = to_bundle(coder(note))
    check(bundle)
    found = [entry["resource"] for entry in bundle.get("entry", [])]
    return [resource for resource in found if resource["resourceType"] != "Provenance"]


def statuses(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return type and SNOMED CT code of each resource."""
    told = []
    for resource in found:
        concept = resource["valueCodeableConcept" if resource["resourceType"] == "Observation" else "code"]
        codes = [each["code"] for each in concept.get("coding", []) if each["system"] == SNOMED]
        told.append((resource["resourceType"], *codes))
    return told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Social history: never smoker.", [("Observation", "266919005")]),
        ("She is a lifelong non-smoker.", [("Observation", "266919005")]),
        ("He does not smoke.", [("Observation", "160618006")]),
        ("Social history: current every day smoker.", [("Observation", "449868002")]),
        ("Social history: former smoker.", [("Observation", "8517006"), ("Condition", "8517006")]),
        ("He smokes.", [("Observation", "77176002"), ("Condition", "77176002")]),
        ("Denies smoking.", []),
        ("His father is a smoker.", [("FamilyMemberHistory",)]),
        ("Possible asthma.", [("Condition", "195967001")]),
    ],
)
def test_status(dictionary_coder: Coder, text: str, expected: list[tuple[str, ...]]) -> None:
    found = resources(dictionary_coder, text)
    if expected and expected[0][0] == "FamilyMemberHistory":
        assert [each["resourceType"] for each in found] == ["FamilyMemberHistory"]
        return
    assert statuses(found) == expected


def test_what_the_observation_says(dictionary_coder: Coder) -> None:
    (found,) = resources(dictionary_coder, "Social history: never smoker. Assessment: never smoker.")
    assert found["meta"]["profile"] == [PROFILE]
    assert found["status"] == "final"
    assert found["category"][0]["coding"][0]["code"] == "social-history"
    assert found["code"]["coding"][0]["code"] == "72166-2"
    assert found["effectiveDateTime"] == "2026-03-01T09:30:00+00:00"
    assert found["derivedFrom"] == [{"reference": "DocumentReference/1"}]
    assert found["valueCodeableConcept"]["coding"][0]["version"]
    assert sum("derivation" in each["url"] for each in found["extension"]) == 2  # both places


@pytest.mark.parametrize("given", [{"date": None}, {"doc_status": "preliminary"}])
def test_without_a_date_or_preliminary_the_profile_is_not_met(dictionary_coder: Coder, given: dict[str, Any]) -> None:
    (found,) = resources(dictionary_coder, "Social history: never smoker.", **given)
    assert "profile" not in found["meta"]

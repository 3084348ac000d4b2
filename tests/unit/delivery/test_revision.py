"""What is taken back, and how each type says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_coder.delivery.client import Standing
from fhir_coder.delivery.revision import Step, agrees, content, decide, meaning, revise, taken_back
from fhir_coder.delivery.written import Written
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from tests.unit.delivery.documents import ALL, coded, note

VOID = {"Condition": "verificationStatus", "AllergyIntolerance": "verificationStatus"}


def entries(text: str, identifier: str = "12") -> list[dict[str, Any]]:
    return list(to_bundle(coded(note(identifier, text)))["entry"])


def rows(given: list[dict[str, Any]], document: str = "d", **more: Any) -> list[Written]:
    return [
        Written(
            identity=entry["fullUrl"],
            document=document,
            type=entry["resource"]["resourceType"],
            place=f"{entry['resource']['resourceType']}/{number}",
            resource=entry["resource"],
            content=content(entry["resource"]),
            version="1",
            revision=1,
            state="standing",
            **more,
        )
        for number, entry in enumerate(given)
    ]


def acts(steps: list[Step]) -> list[tuple[str, str]]:
    return [
        (each.act, each.row.type if each.row else each.entry["resource"]["resourceType"] if each.entry else "")
        for each in steps
    ]


def test_every_type_that_is_written_can_be_taken_back() -> None:
    made = entries(ALL)
    kinds = {entry["resource"]["resourceType"] for entry in made}
    assert kinds > {"Condition", "MedicationStatement", "Observation", "Device", "AllergyIntolerance"}
    voided = []
    for entry in made:
        resource = entry["resource"]
        if resource["resourceType"] == "Provenance":
            continue
        void = taken_back(resource)
        element = VOID.get(resource["resourceType"])
        assert "clinicalStatus" not in void
        assert (void[element]["coding"][0]["code"] if element else void["status"]) == "entered-in-error"
        voided.append({**entry, "resource": void})
    check({"resourceType": "Bundle", "type": "transaction", "entry": voided})


def test_nothing_new_is_nothing_to_do() -> None:
    made = entries(ALL)
    again = entries(ALL)  # at another time
    assert {act for act, _ in acts(revise("d", rows(made), [], again, withdrawn=False))} == {"same"}


def test_another_dose_updates_and_what_is_left_out_is_taken_back() -> None:
    steps = revise("d", rows(entries("diabetes, metformin 500 mg")), [], entries("metformin 850 mg"), withdrawn=False)
    assert acts(steps) == [("update", "MedicationStatement"), ("new", "Provenance"), ("retract", "Condition")]


def test_a_moved_span_updates() -> None:
    steps = revise("d", rows(entries("diabetes")), [], entries("Has diabetes"), withdrawn=False)
    assert acts(steps) == [("update", "Condition"), ("same", "Provenance")]


def test_the_replacement_keeps_what_it_says_too() -> None:
    earlier = rows(entries("diabetes, hypertension"), document="parent")
    steps = revise("d", [], earlier, entries("hypertension", "13"), withdrawn=False)
    assert acts(steps) == [("adopt", "Condition"), ("new", "Provenance"), ("retract", "Condition")]
    assert steps[0].row is not None
    assert steps[0].row.resource["code"]["text"] == "hypertension"


def test_what_a_person_took_over_stays_theirs_in_the_replacement() -> None:
    (row, _) = rows(entries("hypertension"), document="parent")
    left = replace(row, state="left")
    assert acts(revise("d", [], [left], entries("hypertension", "13"), withdrawn=False))[0] == ("settled", "Condition")


def test_only_what_stands_is_adopted_once() -> None:
    (row, _) = rows(entries("hypertension"), document="parent")
    twice = [*entries("hypertension", "13")[:1], *entries("hypertension", "14")[:1]]
    assert acts(revise("d", [], [row], twice, withdrawn=False)) == [("adopt", "Condition"), ("new", "Condition")]


def test_facts_are_known_by_what_they_say() -> None:
    one, other = (entries(words, "12")[0]["resource"] for words in ("HbA1c 7.2", "HbA1c 7.2 in blood"))
    assert meaning(one) == meaning(other)
    assert meaning(one) != meaning({**one, "valueQuantity": {"value": 8.1}})
    assert meaning(entries("diabetes")[-1]["resource"]) is None  # a Provenance


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"meta": {"versionId": "2", "tag": [{"code": "seen"}]}}, True),
        ({"id": "7", "text": {"status": "generated", "div": "<div/>"}}, True),
        ({"recordedDate": "2020-01-01"}, True),
        ({"note": [{"text": "since 2010"}]}, False),
        ({"clinicalStatus": {"coding": [{"code": "resolved"}]}}, False),
        ({"subject": {"reference": "http://example.org/fhir/Patient/7"}}, True),
        ({"subject": {"reference": "Patient/8"}}, False),
    ],
)
def test_what_counts_as_a_change_by_others(change: dict[str, Any], same: bool) -> None:
    ours = entries("diabetes")[0]["resource"]
    assert agrees(ours, {**ours, **change}) is same


def test_of_what_was_deleted_nothing_is_made_again() -> None:
    (row, _) = rows(entries("diabetes"))
    entry = entries("Has diabetes")[0]
    deleted = decide(Step(act="update", entry=entry, row=row), Standing(None, deleted=True))
    assert (deleted.entry, deleted.state) == (None, "left")
    unknown = decide(Step(act="update", entry=entry, row=row), Standing(None))  # the server was set up anew
    assert unknown.entry == entry


def test_an_update_names_the_version_it_was_made_from() -> None:
    (row, _) = rows(entries("diabetes"))
    decision = decide(Step(act="retract", row=row), Standing({**row.resource, "id": "0"}, "5"))
    assert decision.entry is not None
    assert decision.entry["request"] == {"method": "PUT", "url": "Condition/0", "ifMatch": 'W/"5"'}

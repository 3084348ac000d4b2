"""Relations: told by the words between entities, by the items of a plan, and by what is known to treat what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.model import PROBLEM_TYPES, Assertion, Entity, EntityType
from fhir_coder.nlp.relations import Relations, _cues
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore

PLAN = "Assessment and Plan:\n"


def _told(read: Any, text: str) -> list[tuple[str, str, str]]:
    return [
        (each.subject.text, each.predicate, each.object.text)
        for each in read.note(text).relations
        if each.predicate != "DOSAGE_OF"
    ]


@pytest.mark.parametrize(
    ("text", "relations"),
    [
        ("Lisinopril 10 mg for hypertension.", [("Lisinopril", "TREATS", "hypertension")]),
        ("Chest pain. Aspirin for headache.", [("Aspirin", "TREATS", "headache")]),
        ("Metformin. For diabetes he walks.", []),  # another sentence
        ("Penicillin caused a rash.", [("Penicillin", "CAUSES", "rash")]),
        ("Sepsis resulting in acute kidney injury.", [("Sepsis", "CAUSES", "acute kidney injury")]),
        ("Metformin and glipizide for diabetes.", [(x, "TREATS", "diabetes") for x in ("Metformin", "glipizide")]),
        ("Diabetes on metformin.", [("metformin", "TREATS", "Diabetes")]),
        ("Rash on metformin.", []),  # not what it treats
        ("Hypertension treated with amlodipine.", [("amlodipine", "TREATS", "Hypertension")]),
        ("Rash after amoxicillin.", [("amoxicillin", "CAUSES", "Rash")]),
        ("Vancomycin-induced acute kidney injury.", [("Vancomycin", "CAUSES", "acute kidney injury")]),
        ("Hyponatremia due to sertraline.", [("sertraline", "CAUSES", "Hyponatremia")]),
        ("Albuterol prn wheezing.", [("Albuterol", "TREATS", "wheezing")]),
        ("CPAP for sleep apnea.", [("CPAP", "TREATS", "sleep apnea")]),
        ("Troponin to rule out myocardial infarction.", [("Troponin", "TEST_FOR", "myocardial infarction")]),
        ("Metformin is contraindicated in CKD.", [("CKD", "CONTRAINDICATES", "Metformin")]),
        ("Avoid ibuprofen given CKD.", [("CKD", "CONTRAINDICATES", "ibuprofen")]),
        ("Ibuprofen given CKD.", []),  # nobody avoids it
        ("Warfarin interacts with amiodarone.", [("Warfarin", "INTERACTS_WITH", "amiodarone")]),
        ("An interaction between warfarin and amiodarone.", [("warfarin", "INTERACTS_WITH", "amiodarone")]),
        ("Warfarin and amiodarone.", []),
        ("Pain in the left knee.", [("Pain", "LOCATED_IN", "left knee")]),
        ("No rash from penicillin.", []),
        ("Allergies: penicillin (hives)", [("penicillin", "CAUSES", "hives")]),
        (PLAN + "# HTN - continue lisinopril", [("lisinopril", "TREATS", "HTN")]),
        (PLAN + "1. Diabetes: A1c is high.\n Start metformin.", [("metformin", "TREATS", "Diabetes")]),
        (PLAN + "# HTN\nNo changes.\n# DM2\nStart metformin", [("metformin", "TREATS", "DM2")]),
        (PLAN + "# Rash\nStop amoxicillin", []),
        ("HPI: HTN\nlisinopril", []),  # no plan
    ],
)
def test_relations(read: Any, text: str, relations: list[tuple[str, str, str]]) -> None:
    assert _told(read, text) == relations


def test_what_a_relative_has_is_not_treated_in_the_patient(store: ConceptStore) -> None:
    text = "metformin for diabetes"
    ends = (("metformin", EntityType.MEDICATION, "patient"), ("diabetes", EntityType.DISEASE, "family"))
    entities = tuple(
        Entity(
            text=words,
            start=text.index(words),
            end=text.index(words) + len(words),
            type=type_,
            sentence=(0, len(text)),
            assertion=Assertion(experiencer=experiencer),  # type: ignore[arg-type]
        )
        for words, type_, experiencer in ends
    )
    assert Relations(store).read(text, entities) == ()


def test_scores(read: Any) -> None:
    """A known indication says more than the cue alone, a cue more than knowledge alone, doubt less."""

    def score(text: str) -> float:
        (relation,) = [each for each in read.note(text).relations if each.predicate == "TREATS"]
        return float(relation.score)

    assert 1 > score("Lisinopril for hypertension.") > score("Lisinopril for pruritus.")
    assert score("Lisinopril for hypertension.") > score("Hypertension, lisinopril.") > 0


def test_a_dosage_is_an_end_and_no_entity(read: Any) -> None:
    text = "Lisinopril 10 mg daily."
    (relation,) = read.note(text).relations
    assert (relation.predicate, relation.object.text) == ("DOSAGE_OF", "Lisinopril")
    assert text[relation.subject.start : relation.subject.end] == relation.subject.text == "10 mg daily"


def test_relations_are_between_entities_of_the_note(read: Any) -> None:
    coded = read.note("Lisinopril for hypertension, metformin for diabetes.")
    assert len(coded.relations) == 2
    for relation in coded.relations:
        assert relation.subject in coded.entities
        assert relation.object in coded.entities


def test_every_name_of_the_indications_is_known(store: ConceptStore) -> None:
    rows = read_table("indications.csv", ("group", "medications", "problem"))
    assert len(rows) >= 150
    assert len({(row["group"], row["problem"]) for row in rows}) == len(rows)
    for row in rows:
        for name in split(row["medications"]):
            assert any(each.concept.type == EntityType.MEDICATION for each in store.names(normalise(name))), name
        found = [each for each in store.names(normalise(row["problem"])) if each.concept.type in PROBLEM_TYPES]
        assert found, row["problem"]


def test_cues_load_and_are_told_once() -> None:
    assert _cues()
    columns = ("subject", "predicate", "object", "cue", "order", "score", "knowledge")
    keys = [tuple(row.values())[:5] for row in read_table("relation_cues.csv", columns)]
    assert len(keys) == len(set(keys))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(EntityType)), st.sampled_from([" for ", " caused ", ", ", " due to ", "\n# ", "é"])
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_any_entities(store: ConceptStore, parts: list[tuple[EntityType, str]], negated: bool) -> None:
    text, entities = "", []
    for type_, gap in parts:
        start = len(text)
        text += f"aspirin{gap}"
        entities.append((type_, start))
    built = tuple(
        Entity(
            text="aspirin", start=start, end=start + 7, type=type_, sentence=(0, len(text)), section="assessment_plan",
            assertion=Assertion(negated=negated), attributes={"spans": {"sig": (start, start + 7)}},
        )
        for type_, start in entities
    )  # fmt: skip
    for relation in Relations(store).read(text, built):
        assert 0 < relation.score <= 1
        for end in (relation.subject, relation.object):
            assert text[end.start : end.end] == end.text

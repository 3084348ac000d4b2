"""The records: they cannot be changed, and say where they stand."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from fhir_coder import model
from fhir_coder.model import ICD10CM, SNOMED, Assertion, Coding, Entity, EntityType, Note, Relation, Section

CODING = Coding(system=ICD10CM, code="I10", display="", version="", score=1.0, stage="exact", reason="")
ENTITY = Entity(text="HTN", start=0, end=3, type=EntityType.DISEASE, codings=(CODING,))


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (Note(text="HTN"), "text"),
        (ENTITY, "start"),
        (Assertion(), "negated"),
        (CODING, "code"),
        (Section(category=None, title="", start=0, body_start=0, end=1), "end"),
        (Relation(subject=ENTITY, predicate="TREATS", object=ENTITY, score=1.0), "score"),
        (model.CodedNote(note=Note(text="")), "entities"),
    ],
)
def test_records_are_frozen(record: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, None)


def test_coding_of_a_system() -> None:
    assert ENTITY.coding(ICD10CM) is CODING
    assert ENTITY.coding(SNOMED) is None


def test_what_is_said_by_default_is_that_the_patient_has_it() -> None:
    said = Assertion()
    assert (said.negated, said.certainty, said.temporality, said.experiencer) == (
        False,
        "certain",
        "current",
        "patient",
    )


def test_offsets_of_a_coded_note_are_those_of_its_text(coder: object) -> None:
    text = "Café: pt denies chest pain. \U0001f600 HTN, type 2 diabetes\n\nmellitus. K 4.2"
    coded = coder(Note(text=text))  # type: ignore[operator]
    assert coded.entities
    for entity in coded.entities:
        assert text[entity.start : entity.end] == entity.text


def test_short_names_of_code_systems() -> None:
    assert set(model.CODE_SYSTEMS) == {"icd10cm", "snomed", "rxnorm", "loinc", "hcpcs"}
    with pytest.raises(TypeError):
        model.CODE_SYSTEMS["hpo"] = model.HPO  # type: ignore[index]

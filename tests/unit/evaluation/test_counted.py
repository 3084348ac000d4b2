"""Which types are counted, and which as one."""

from __future__ import annotations

import pytest

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.evaluation.counted import Problems, counted_types
from fhir_coder.model import EntityType

DISEASE, SYMPTOM, PROCEDURE = EntityType.DISEASE, EntityType.SYMPTOM, EntityType.PROCEDURE


def _note(*labels: tuple[str, EntityType | None]) -> list[AnnotatedNote]:
    marked = tuple(Annotation(start=0, end=1, label=label, type=type_) for label, type_ in labels)
    return [AnnotatedNote(id="1", text="a", annotations=marked), AnnotatedNote(id="2", text="b")]


@pytest.mark.parametrize(
    ("labels", "problems", "expected"),
    [
        ([("Disease", DISEASE)], "auto", {DISEASE: "problem", SYMPTOM: "problem"}),
        ([("Disease", DISEASE)], "apart", {DISEASE: "disease"}),
        ([("Disease", DISEASE), ("Symptom", SYMPTOM)], "auto", {DISEASE: "disease", SYMPTOM: "symptom"}),
        ([("Disease", DISEASE), ("Symptom", SYMPTOM)], "one", {DISEASE: "problem", SYMPTOM: "problem"}),
        ([("Problem", DISEASE), ("Symptom", SYMPTOM)], "auto", {DISEASE: "problem", SYMPTOM: "problem"}),
        ([("Drug", EntityType.MEDICATION), ("Concept", None)], "one", {EntityType.MEDICATION: "medication"}),
        ([("Concept", None)], "auto", {}),
        (
            [("Diagnostic_procedure", PROCEDURE), ("Therapeutic_procedure", PROCEDURE)],
            "auto",
            dict.fromkeys(
                (PROCEDURE, EntityType.LAB_TEST, EntityType.VITAL_SIGN),
                "lab-test/vital-sign/procedure",
            ),
        ),
        (
            [("Diagnostic_procedure", DISEASE)],
            "apart",
            {DISEASE: "disease"},
        ),  # by a label given: the table does not hold
    ],
)
def test_types(
    labels: list[tuple[str, EntityType | None]], problems: Problems, expected: dict[EntityType, str]
) -> None:
    assert counted_types(_note(*labels), problems) == expected

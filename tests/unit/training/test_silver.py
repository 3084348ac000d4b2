"""Notes without annotations: the dictionary marks them, and only plain words are taken for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.errors import TrainingError
from fhir_coder.model import LOINC, SNOMED, EntityType
from fhir_coder.nlp.reader import Reader
from fhir_coder.terminology.release import Concept, Measure, Name
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.training.silver import silver
from fhir_coder.training.targets import TYPES, Targets, corpus
from tests.unit.conftest import Make

ASTHMA = "She has asthma today. "
ANNOTATED = [
    corpus(
        "annotated",
        [
            AnnotatedNote(
                id=str(number),
                text=ASTHMA,
                annotations=(Annotation(start=8, end=14, label="Disease", type=EntityType.DISEASE),),
            )
            for number in range(30)
        ],
    )
]


@pytest.fixture
def reader(make: Make) -> Reader:
    problems = make(
        SNOMED,
        "complete",
        Concept("1", "Pneumonia", EntityType.DISEASE),
        Name("1", "pneumonia", "preferred", True),
    )
    tests = make(
        LOINC,
        "complete",
        Concept("2", "Potassium", EntityType.LAB_TEST),
        Name("2", "potassium", "preferred", True),
        Measure("2", "mmol/L", 1.0, 10.0),
    )
    return Reader(ConceptStore([problems, tests]))


def test_marks_are_likely_and_unknown_words_may_be_anything(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "note.txt").write_text(
        "She has pneumonia today and xyzzy. Potassium 4.1. Potassium again.", encoding="utf-8"
    )
    source = silver(tmp_path, reader, ANNOTATED)
    (note,) = source.notes
    assert [note.text[mark.start : mark.end] for mark in note.annotations] == ["pneumonia", "Potassium"]
    assert source.plain_words == {"she", "has", "today"}

    targets = Targets(TYPES)
    (marked,) = targets.of(note, source)
    table = targets.table()
    weights = {word.strip(): table[target] for word, target in zip(marked.words.texts, marked.targets, strict=True)}
    begins = targets.names.index("B-disease")
    assert weights["today"].argmax() == 0
    assert weights["today"][begins] == -float("inf")
    assert weights["pneumonia"].argmax() == begins
    assert weights["pneumonia"][0] > -float("inf"), "a mark of a machine may be wrong"
    assert (weights["xyzzy"] == 0).all(), "what has no name may be anything"


def test_a_folder_without_notes_is_named(tmp_path: Path, reader: Reader) -> None:
    with pytest.raises(TrainingError, match=r"holds no \.txt files"):
        silver(tmp_path, reader, ANNOTATED)


def test_a_note_that_is_no_utf_8_is_named(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "old.txt").write_bytes(b"caf\xe9")
    with pytest.raises(TrainingError, match=r"old\.txt cannot be read"):
        silver(tmp_path, reader, ANNOTATED)

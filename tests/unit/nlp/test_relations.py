"""Relations: told by the words between two neighbours of a sentence."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("text", "relations"),
    [
        ("Lisinopril 10 mg for hypertension.", [("Lisinopril", "TREATS", "hypertension")]),
        ("Chest pain. Aspirin for headache.", [("Aspirin", "TREATS", "headache")]),
        ("Metformin. For diabetes he walks.", []),  # another sentence
        ("Penicillin caused a rash.", [("Penicillin", "CAUSES", "rash")]),
        ("Hypertension and lisinopril.", []),
        ("Hypertension for lisinopril.", []),  # the wrong way round
        ("Sepsis resulting in acute kidney injury.", [("Sepsis", "CAUSES", "acute kidney injury")]),
    ],
)
def test_relations(read: Any, text: str, relations: list[tuple[str, str, str]]) -> None:
    found = read.note(text).relations
    assert [(each.subject.text, each.predicate, each.object.text) for each in found] == relations
    assert all(0 < each.score <= 1 for each in found)


def test_relations_are_between_entities_of_the_note(read: Any) -> None:
    coded = read.note("Lisinopril for hypertension, metformin for diabetes.")
    assert len(coded.relations) == 2
    for relation in coded.relations:
        assert relation.subject in coded.entities
        assert relation.object in coded.entities

"""The classes of reasons, from the reasons that are really given."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_coder.coding.abstention import abstention


@pytest.mark.parametrize(
    ("text", "words", "class_"),
    [("Plan: MS stable.", "MS", "ambiguous"), ("Assessment: iron.", "iron", "no-dose")],
)
def test_the_class_of_a_reason(read: Any, text: str, words: str, class_: str) -> None:
    found = [entity for entity in read.note(text).entities if entity.text == words]
    for entity in found:
        assert entity.abstained is None or abstention(entity.abstained) == class_


@pytest.mark.parametrize(
    ("reason", "class_"),
    [
        ("no concept of the loaded releases resembles the text", "unknown"),
        ("no concept scored well enough and stood alone; icd10cm: several concepts fit equally well (A, B)", "tie"),
        ("no concept scored well enough and stood alone; icd10cm: the best, I10, scored 0.40, below 0.75", "unsure"),
        ("no concept scored well enough and stood alone; icd10cm: E11 is meant, but it is a header", "barred"),
        ("something else", "other"),
    ],
)
def test_the_reasons_of_the_choice(reason: str, class_: str) -> None:
    assert abstention(reason) == class_

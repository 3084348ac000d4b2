"""What a worker answers, and that nothing of a question is logged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from fhir_coder.lookup.batcher import Question
from fhir_coder.lookup.workers import candidates, codes
from fhir_coder.model import ICD10CM, Candidate
from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings

CANARY = "Zebrafinch"


def candidate(code: str, score: float) -> Candidate:
    return Candidate(system=ICD10CM, code=code, display="", version="1", score=score, matched="", stage="exact")


def test_a_code_is_answered_when_it_is_sure_enough_and_alone() -> None:
    found = {
        "sure": (candidate("I10", 0.9), candidate("I11", 0.8)),
        "unsure": (candidate("I10", 0.5),),
        "equal": (candidate("I10", 0.9), candidate("I11", 0.9)),
        "nothing": (),
    }

    def find(questions: Sequence[Question]) -> list[tuple[Candidate, ...]]:
        return [found[text] for _, text in questions]

    answers = codes(find, Settings(line_min_confidence=0.75), [("icd10cm", text) for text in found])
    assert answers == ["I10", "", "", ""]


def test_one_that_fails_does_not_take_the_others_with_it(caplog: pytest.LogCaptureFixture) -> None:
    def find(questions: Sequence[Question]) -> list[tuple[Candidate, ...]]:
        for _, text in questions:
            if text == CANARY:
                raise RuntimeError(text)
        return [(candidate("I10", 0.9),) for _ in questions]

    answers = codes(find, Settings(), [("icd10cm", "a"), ("icd10cm", CANARY), ("icd10cm", "b")])
    assert answers == ["I10", None, "I10"]
    assert "RuntimeError" in caplog.text
    assert CANARY not in caplog.text


def test_with_a_coder(coder: Coder) -> None:
    questions = [
        ("icd10cm", "hypertension"),
        ("snomed", "hypertension"),
        ("rxnorm", "lisinopril"),
        ("loinc", "potassium"),
        ("hcpcs", "no such device whatever it may be"),
    ]
    answers = codes(partial(candidates, coder.linker), coder.settings, questions)
    assert answers == ["I10", "38341003", "29046", "2823-3", ""]

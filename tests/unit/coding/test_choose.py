"""The choice among candidates, and the reason when there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_coder.coding.choose import choose
from fhir_coder.coding.thresholds import thresholds
from fhir_coder.model import ICD10CM, SNOMED, Candidate, Stage


def _candidate(code: str, score: float, system: str = ICD10CM, stage: Stage = "exact") -> Candidate:
    return Candidate(system=system, code=code, display=code, version="1", score=score, matched="name", stage=stage)


def test_the_best_of_each_system() -> None:
    codings, abstained = choose(
        [_candidate("a", 0.9), _candidate("b", 0.8), _candidate("s", 0.8, SNOMED)], thresholds(0.75)
    )
    assert [(coding.system, coding.code, coding.score) for coding in codings] == [
        (ICD10CM, "a", 0.9),
        (SNOMED, "s", 0.8),
    ]
    assert abstained is None


def test_one_system_may_stay_without() -> None:
    codings, abstained = choose([_candidate("a", 0.5), _candidate("s", 0.8, SNOMED)], thresholds(0.75))
    assert [coding.code for coding in codings] == ["s"]
    assert abstained is None


def test_the_threshold_counts_itself() -> None:
    assert choose([_candidate("a", 0.75)], thresholds(0.75))[0]
    assert not choose([_candidate("a", 0.7499)], thresholds(0.75))[0]


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        ([], ["no concept of the loaded releases"]),
        ([_candidate("a", 0.5)], ["0.75", "icd10cm", "a", "0.50"]),
        ([_candidate("a", 0.9), _candidate("b", 0.9)], ["equally well", "a, b"]),
        ([_candidate("a", 0.9), _candidate("b", 0.9), _candidate("s", 0.1, SNOMED)], ["icd10cm", "snomed"]),
    ],
)
def test_the_reason_for_none(candidates: list[Candidate], words: list[str]) -> None:
    codings, abstained = choose(candidates, thresholds(0.75))
    assert codings == ()
    assert abstained is not None
    assert all(word in abstained for word in words)


def _barred(code: str, score: float) -> Candidate:
    return replace(_candidate(code, score), barred="it is a header")


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([_barred("h", 0.98), _candidate("a", 0.95, stage="mapped")], "a"),  # a map knows the leaf
        ([_barred("h", 0.98), _candidate("a", 0.95, stage="mapped"), _candidate("b", 0.93)], "a"),
        ([_candidate("a", 0.98), _barred("h", 0.97)], "a"),
        ([_barred("h", 0.98), _candidate("a", 0.84, stage="lexical")], None),  # similar to another concept
        ([_barred("h", 0.98)], None),
    ],
)
def test_a_barred_candidate_is_never_chosen(candidates: list[Candidate], chosen: str | None) -> None:
    codings, abstained = choose(candidates, thresholds(0.75))
    assert [coding.code for coding in codings] == ([chosen] if chosen else [])
    assert abstained is None or "icd10cm: h is meant, but it is a header" in abstained


@pytest.mark.parametrize("stage", ["exact", "normalised", "mapped", "lexical", "dense"])
def test_every_stage_has_its_reason(stage: Stage) -> None:
    ((coding,), _) = choose([_candidate("a", 0.9, stage=stage)], thresholds(0))
    assert (coding.stage, coding.version) == (stage, "1")
    assert "name" in coding.reason

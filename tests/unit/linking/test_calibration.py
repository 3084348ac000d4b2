"""Scores as probabilities: the curves of mappings/calibration.csv, and what they do to a ranking."""

from __future__ import annotations

from typing import get_args

import pytest

from fhir_coder.errors import TableError
from fhir_coder.linking import calibration
from fhir_coder.linking.calibration import calibrated
from fhir_coder.model import CODE_SYSTEMS, ICD10CM, RXNORM, Candidate, Stage


def candidate(score: float, stage: Stage = "exact", system: str = ICD10CM, code: str = "I10") -> Candidate:
    return Candidate(system=system, code=code, display="", version="1", score=score, matched="", stage=stage)


@pytest.mark.parametrize("system", CODE_SYSTEMS.values())
@pytest.mark.parametrize("stage", get_args(Stage))
def test_a_higher_score_is_a_higher_probability(system: str, stage: Stage) -> None:
    scores = [calibrated([candidate(step / 50, stage, system)])[0].score for step in range(51)]
    assert scores == sorted(set(scores))
    assert scores[0] == 0
    assert scores[-1] < 1


def test_a_candidate_goes_before_another_that_is_right_less_often() -> None:
    """The stages score by rules of their own; what they are worth together is known only afterwards."""
    worse, better = candidate(0.76, "mapped", code="a"), candidate(0.75, "repaired", code="b")
    assert [each.code for each in calibrated([worse, better])] == ["b", "a"]


def test_the_order_of_code_systems_is_kept() -> None:
    found = calibrated([candidate(0.1), candidate(1.0, system=RXNORM), candidate(0.2)])
    assert [each.system for each in found] == [ICD10CM, ICD10CM, RXNORM]


def test_what_fits_equally_well_goes_on_to_do_so() -> None:
    one, other = calibrated([candidate(0.7, code="a"), candidate(0.7, code="b")])
    assert one.score == other.score


@pytest.mark.parametrize(
    "curve",
    [
        [],
        [("0", "0")],
        [("0", "0"), ("0.9", "1")],
        [("0", "0"), ("1", "1.1")],
        [("0", "0"), ("0.5", "0.6"), ("1", "0.6")],
        [("0", "0"), ("0.5", "0.3"), ("0.5", "0.4"), ("1", "0.6")],
    ],
)
def test_a_curve_that_does_not_rise_is_refused(monkeypatch: pytest.MonkeyPatch, curve: list[tuple[str, str]]) -> None:
    rows = [{"system": "icd10cm", "stage": "exact", "score": score, "probability": value} for score, value in curve]
    monkeypatch.setattr(calibration, "read_table", lambda *_: rows)
    with pytest.raises(TableError, match="icd10cm, exact"):
        calibration._curves.__wrapped__()

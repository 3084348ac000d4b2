"""Scores that are probabilities: of ten candidates that score 0.9, nine are right.

Every stage scores by its own rule: how many edits, how near two vectors. What such a score is worth was counted, for
each code system and stage, on descriptions whose codes are known (`benchmarks/calibration.py`), and made monotone
(isotonic regression: Zadrozny and Elkan 2002). The table holds the corners of the curve; between them it is straight.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import get_args

from fhir_coder.errors import TableError
from fhir_coder.model import CODE_SYSTEMS, Candidate, Stage
from fhir_coder.tables import read_table

_TABLE = "calibration.csv"
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class _Curve:
    """Corners of a rising curve, from score 0 to 1."""

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def at(self, score: float) -> float:
        """Return the probability of a score (0..1)."""
        right = min(max(bisect_right(self.scores, score), 1), len(self.scores) - 1)
        left = right - 1
        share = (score - self.scores[left]) / (self.scores[right] - self.scores[left])
        return self.probabilities[left] + share * (self.probabilities[right] - self.probabilities[left])


def calibrated(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates with probabilities for scores; those of each code system best first, as before.

    A curve rises throughout, so that candidates of one stage which differ in score go on to differ.
    """
    curves = _curves()
    scored = [
        replace(each, score=round(curves[each.system, each.stage].at(each.score), _DECIMALS)) for each in candidates
    ]
    order = {system: place for place, system in enumerate(dict.fromkeys(each.system for each in candidates))}
    return tuple(sorted(scored, key=lambda each: (order[each.system], -each.score)))


@cache
def _curves() -> Mapping[tuple[str, Stage], _Curve]:
    """Return the curve of each code system (URI) and stage. Raises `TableError`."""
    corners: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in read_table(_TABLE, ("system", "stage", "score", "probability", "descriptions")):
        corners.setdefault((row["system"], row["stage"]), []).append((float(row["score"]), float(row["probability"])))
    found: dict[tuple[str, Stage], _Curve] = {}
    for system, uri in CODE_SYSTEMS.items():
        for stage in get_args(Stage):
            curve = corners.pop((system, stage), [])
            if not _rises(curve):
                raise TableError(f"mappings/{_TABLE}: {system}, {stage} is no curve that rises from score 0 to 1")
            found[uri, stage] = _Curve(*zip(*curve, strict=True))
    if corners:
        raise TableError(f"mappings/{_TABLE}: there is no {' '.join(next(iter(corners)))}")
    return found


def _rises(curve: Sequence[tuple[float, float]]) -> bool:
    steps = pairwise(curve)
    return (
        len(curve) > 1
        and curve[0][0] == 0
        and curve[-1][0] == 1
        and all(0 <= probability <= 1 for _, probability in curve)
        and all(one[0] < other[0] and one[1] < other[1] for one, other in steps)
    )

"""Shares with their 95 % intervals: the percentile bootstrap over documents (Efron 1979), 1,000 samples, one seed.

Documents are drawn, not mentions: the mentions of one note are alike. Counts are arrays of a row per document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 1_000
SEED = 20_260_401
_AT_ONCE = 50  # samples whose weights are in memory at a time

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Share:
    """A figure from 0 to 1 and its interval; all None where there is nothing to divide by."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How much of what was found is right (precision), and how much of what is annotated was found (recall)."""

    name: str
    correct: int
    found: int
    annotated: int
    precision: Share
    recall: Share
    f1: Share


def score(name: str, counts: Counts) -> Score:
    """Return the score of rows of (correct, found, annotated)."""
    correct, found, annotated = (int(total) for total in counts.sum(axis=0))
    samples = resampled(counts)
    return Score(
        name=name,
        correct=correct,
        found=found,
        annotated=annotated,
        precision=_share(correct, found, samples[:, 0], samples[:, 1]),
        recall=_share(correct, annotated, samples[:, 0], samples[:, 2]),
        f1=_share(2 * correct, found + annotated, 2 * samples[:, 0], samples[:, 1] + samples[:, 2]),
    )


def share(counts: Counts) -> Share:
    """Return the share of rows of (right, of how many)."""
    right, total = (int(sum_) for sum_ in counts.sum(axis=0))
    samples = resampled(counts)
    return _share(right, total, samples[:, 0], samples[:, 1])


def resampled(counts: Counts, samples: int = SAMPLES) -> Counts:
    """Return the sums of the columns in each of the samples of as many documents, drawn with replacement."""
    documents = len(counts)
    chance = np.random.default_rng(SEED)
    even = np.full(documents, 1 / max(documents, 1))
    drawn = (min(_AT_ONCE, samples - done) for done in range(0, samples, _AT_ONCE))
    sums: Counts = np.concatenate([chance.multinomial(documents, even, size=size) @ counts for size in drawn])
    return sums


def _share(part: int, whole: int, parts: NDArray[Any], wholes: NDArray[Any]) -> Share:
    if not whole:
        return Share(None, None, None)
    defined = wholes > 0
    low, high = np.percentile(parts[defined] / wholes[defined], (2.5, 97.5))
    return Share(part / whole, float(low), float(high))

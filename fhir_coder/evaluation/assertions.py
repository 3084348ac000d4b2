"""What is asserted of an entity: how often it is what the corpus says, by axis of `Assertion` and class.

Judged are annotations that an entity of whatever type overlaps, and axes on which the corpus uses more than one class.
A class that the corpus never uses (ConText's sentences have nothing that is planned) is one it does not tell from the
ordinary one, and counts as that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fhir_coder.evaluation.document import Document
from fhir_coder.evaluation.figures import Score, Share, score, share
from fhir_coder.model import Assertion

_ORDINARY = {"negation": "affirmed", "certainty": "certain", "temporality": "current", "experiencer": "patient"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisFigures:
    """One axis. `confusion` counts (annotated, found)."""

    axis: str
    accuracy: Share
    scores: tuple[Score, ...]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionFigures:
    """All axes that can be judged, and of how many annotations they were."""

    annotated: int
    judged: int
    axes: tuple[AxisFigures, ...]


def assertion_figures(documents: Sequence[Document]) -> AssertionFigures | None:
    """Return the figures, or None where the corpus says nothing of assertion."""
    annotated = sum(document.asserted for document in documents)
    axes = [_axis(axis, documents) for axis in _ORDINARY]
    return (
        AssertionFigures(
            annotated=annotated,
            judged=sum(len(document.assertions) for document in documents),
            axes=tuple(axis for axis in axes if axis),
        )
        if annotated
        else None
    )


def _axis(axis: str, documents: Sequence[Document]) -> AxisFigures | None:
    pairs = [
        [(_class(annotated, axis), _class(found, axis)) for annotated, found in document.assertions]
        for document in documents
    ]
    ordinary = _ORDINARY[axis]
    used = {annotated for row in pairs for annotated, _ in row}
    if len(used) < 2:
        return None
    classes = sorted(used, key=lambda name: (name != ordinary, name))
    judged = [[(annotated, found if found in used else ordinary) for annotated, found in row] for row in pairs]
    confusion = Counter(pair for row in judged for pair in row)
    return AxisFigures(
        axis=axis,
        accuracy=share(np.array([(sum(a == b for a, b in row), len(row)) for row in judged], dtype=np.int64)),
        scores=tuple(score(name, np.array([_counts(name, row) for row in judged])) for name in classes),
        classes=tuple(classes),
        confusion=tuple(tuple(confusion[annotated, found] for found in classes) for annotated in classes),
    )


def _class(assertion: Assertion, axis: str) -> str:
    if axis == "negation":
        return "negated" if assertion.negated else "affirmed"
    return str(getattr(assertion, axis))


def _counts(name: str, row: list[tuple[str, str]]) -> tuple[int, int, int]:
    return (
        sum(annotated == found == name for annotated, found in row),
        sum(found == name for _, found in row),
        sum(annotated == name for annotated, _ in row),
    )

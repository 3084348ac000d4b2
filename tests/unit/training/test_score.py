"""Scores, strict and relaxed."""

from __future__ import annotations

from fhir_coder.model import EntityType
from fhir_coder.nlp.recogniser import Span
from fhir_coder.training.score import Score, score
from fhir_coder.training.targets import Gold

DISEASE, SYMPTOM, GENE = EntityType.DISEASE, EntityType.SYMPTOM, EntityType.GENE


def _span(start: int, end: int, type_: EntityType) -> Span:
    return Span(start=start, end=end, type=type_, score=1.0)


def test_scores() -> None:
    gold = [Gold(0, 5, frozenset({DISEASE, SYMPTOM})), Gold(10, 20, frozenset({GENE})), Gold(30, 40, frozenset())]
    found = [
        _span(0, 5, SYMPTOM),
        _span(12, 20, GENE),
        _span(32, 34, GENE),  # within a mark that may mean anything
        _span(50, 60, EntityType.PROCEDURE),  # the corpus says nothing of procedures
        _span(70, 75, DISEASE),
    ]
    silent = frozenset({EntityType.PROCEDURE})
    strict = score([(gold, found)], silent, strict=True)
    assert strict == {"disease|symptom": Score(1, 2, 1), "gene": Score(0, 1, 1), "all": Score(1, 3, 2)}
    relaxed = score([(gold, found)], silent, strict=False)
    assert relaxed["gene"] == Score(1, 1, 1)
    assert (relaxed["all"].precision, relaxed["all"].recall, relaxed["all"].f1) == (2 / 3, 1.0, 0.8)


def test_a_mark_is_found_once() -> None:
    pairs = [([Gold(0, 9, frozenset({GENE}))], [_span(0, 4, GENE), _span(5, 9, GENE)])]
    assert score(pairs, frozenset(), strict=False)["gene"] == Score(1, 2, 1)


def test_nothing() -> None:
    nothing = score([], frozenset(), strict=True)["all"]
    assert (nothing.precision, nothing.recall, nothing.f1) == (0.0, 0.0, 0.0)

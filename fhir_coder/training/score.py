"""Precision, recall and F1 of found spans, strict (both ends and the type) and relaxed (overlap and the type)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhir_coder.model import EntityType
from fhir_coder.nlp.recogniser import Span
from fhir_coder.training.targets import Gold, Types


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of what was found and right, found, and there."""

    right: int
    found: int
    there: int

    @property
    def precision(self) -> float:
        """Of what was found, how much is right."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Of what is there, how much was found."""
        return self.right / self.there if self.there else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.right / (self.found + self.there) if self.found + self.there else 0.0


def score(pairs: Iterable[tuple[Sequence[Gold], Sequence[Span]]], silent: Types, *, strict: bool) -> dict[str, Score]:
    """Return the scores per kind of span ("medication", "disease|symptom") and of all ("all").

    A found span of a type on which the corpus is silent does not count, and neither does one that overlaps a mark that
    may mean anything. Marks of two types ("disease|symptom") are a kind of their own, and found by either.
    """
    pairs = list(pairs)
    kinds = {_kind(one.types) for gold, _ in pairs for one in gold if one.types}
    of_type = {type_: kind for kind in sorted(kinds, key=len) for type_ in kind.split("|")}
    right: Counter[str] = Counter()
    found: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for gold, spans in pairs:
        open_ = [one for one in gold if one.types]
        anything = [one for one in gold if not one.types]
        there.update(_kind(one.types) for one in open_)
        for span in spans:
            if span.type in silent or any(_overlap(span, one) for one in anything):
                continue
            match = next((one for one in open_ if span.type in one.types and _same(span, one, strict)), None)
            kind = _kind(match.types) if match else of_type.get(span.type, str(span.type))
            found[kind] += 1
            if match:
                right[kind] += 1
                open_.remove(match)
    scores = {kind: Score(right[kind], found[kind], there[kind]) for kind in sorted(found | there)}
    return {**scores, "all": Score(right.total(), found.total(), there.total())}


def _kind(types: Types) -> str:
    return "|".join(type_ for type_ in EntityType if type_ in types)


def _same(span: Span, one: Gold, strict: bool) -> bool:
    return (span.start, span.end) == (one.start, one.end) if strict else _overlap(span, one)


def _overlap(span: Span, one: Gold) -> bool:
    return span.start < one.end and one.start < span.end

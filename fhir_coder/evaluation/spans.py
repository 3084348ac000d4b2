"""Spans counted by nervaluate, the reference implementation of SemEval-2013 task 9.1 (Segura-Bedmar 2013).

Strict: the same span and type. Relaxed ("ent_type"): overlapping and of the same type, each span paired at most once.
Types are counted one by one and summed for all, so both are what is found and annotated of each type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from nervaluate.entities import Entity
from nervaluate.strategies import EntityTypeEvaluation, StrictEvaluation

from fhir_coder.evaluation.document import Document, Span
from fhir_coder.evaluation.figures import Counts, Score, score

ALL = "all (micro)"
_CONTEXT = 60
_CONTEXTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where an error stands: the words before, the words themselves, and those after."""

    before: str
    words: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """The same words, wrong the same way, and how often."""

    type: str
    words: str  # in small letters, with single spaces
    instead: str  # what was found there, or is annotated there
    count: int
    contexts: tuple[Context, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFigures:
    """The scores by type, the sum of all types last, and the most frequent mistakes."""

    strict: tuple[Score, ...]
    relaxed: tuple[Score, ...]
    missed: tuple[Mistake, ...]
    false: tuple[Mistake, ...]
    borders: tuple[Mistake, ...]  # found, but longer, shorter or elsewhere


@dataclass(slots=True)
class _Mistakes:
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    contexts: dict[tuple[str, str, str], list[Context]] = field(default_factory=dict)

    def add(self, text: str, span: Span, instead: str) -> None:
        key = (span.type, " ".join(text[span.start : span.end].casefold().split()), instead)
        self.counts[key] += 1
        seen = self.contexts.setdefault(key, [])
        if len(seen) < _CONTEXTS:
            before = text[max(0, span.start - _CONTEXT) : span.start]
            after = text[span.end : span.end + _CONTEXT]
            seen.append(Context(before=before, words=text[span.start : span.end], after=after))

    def most_frequent(self, top: int) -> tuple[Mistake, ...]:
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:top]
        return tuple(
            Mistake(type=key[0], words=key[1], instead=key[2], count=count, contexts=tuple(self.contexts[key]))
            for key, count in ordered
        )


def span_figures(documents: Sequence[Document], types: Iterable[str], top: int = 25) -> SpanFigures:
    """Return the scores of the types in all documents, and the `top` mistakes of each kind."""
    names = sorted(types)
    strict: Counts = np.zeros((len(names), len(documents), 3), dtype=np.int64)
    relaxed = strict.copy()
    missed, false, borders = _Mistakes(), _Mistakes(), _Mistakes()
    for row, document in enumerate(documents):
        for position, name in enumerate(names):
            annotated = [span for span in document.annotated if span.type == name]
            found = [span for span in document.found if span.type == name]
            gold, ours = _entities(annotated), _entities(found)
            sizes = (len(found), len(annotated))
            strict[position, row] = (StrictEvaluation().evaluate(gold, ours, [name])[0].correct, *sizes)
            result, indices = EntityTypeEvaluation().evaluate(gold, ours, [name])
            relaxed[position, row] = (result.correct, *sizes)
            for _, at in indices.missed_indices:
                missed.add(document.text, annotated[at], _other(annotated[at], document.found))
            for _, at in indices.spurious_indices:
                false.add(document.text, found[at], _other(found[at], document.annotated))
            same = set(annotated)
            for _, at in indices.correct_indices:
                if found[at] not in same:
                    borders.add(document.text, found[at], _words(document.text, found[at], annotated))
    return SpanFigures(
        strict=_scores(names, strict),
        relaxed=_scores(names, relaxed),
        missed=missed.most_frequent(top),
        false=false.most_frequent(top),
        borders=borders.most_frequent(top),
    )


def _scores(names: list[str], counts: Counts) -> tuple[Score, ...]:
    by_type = [score(name, counts[position]) for position, name in enumerate(names)]
    return (*by_type, score(ALL, counts.sum(axis=0)))


def _entities(spans: list[Span]) -> list[Entity]:
    return [Entity(label=span.type, start=span.start, end=span.end - 1) for span in spans]  # its ends are inclusive


def _overlaps(span: Span, others: Iterable[Span]) -> list[Span]:
    return [other for other in others if other.start < span.end and span.start < other.end]


def _other(span: Span, others: Iterable[Span]) -> str:
    """Return the other type that stands there, or that this one is counted there already."""
    types = {other.type for other in _overlaps(span, others)}
    return ", ".join(sorted(types - {span.type})) or ("a part, counted once" if types else "")


def _words(text: str, span: Span, annotated: list[Span]) -> str:
    there = _overlaps(span, annotated)
    return " ".join(text[there[0].start : there[0].end].casefold().split()) if there else ""

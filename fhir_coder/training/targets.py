"""What a model may say of each word without being wrong, given corpora that do not annotate the same.

BC5CDR marks chemicals and diseases and says nothing of procedures, so a word that it leaves unmarked may still be part
of one. The target of a word is therefore a set of tags, and the loss is -log of their summed probability ("marginal
likelihood over partial annotations": Tsuboi et al. 2008, https://aclanthology.org/C08-1113). Summed alone, a type that
few corpora mark costs nothing wherever they are silent, and the model puts it there on every word; so where a corpus is
silent, the tags of its missing types weigh less than O.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.corpora.labels import label_types
from fhir_coder.model import EntityType
from fhir_coder.nlp.words import Words, blocks, read_words
from fhir_coder.tables import read_table
from fhir_coder.terminology.normalise import WORD

_SILENT = 0.3  # weight of what a corpus does not exclude and does not say: types it is silent on, doubtful marks
_OFTEN, _HARDLY = 20, 0.02  # times seen, share that was marked
Types = frozenset[EntityType]
TYPES = tuple(type_ for type_ in EntityType if type_ is not EntityType.VITAL_SIGN)  # those of the embedded recogniser


@dataclass(frozen=True, slots=True)
class Gold:
    """A marked span and what it may be; no types: anything, also nothing."""

    start: int
    end: int
    types: Types


@dataclass(frozen=True, slots=True)
class Marked:
    """The words of a part of a note with the target of each (a number of `Targets`)."""

    words: Words
    targets: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Annotated notes, and the types that they annotate; of the others they say nothing."""

    name: str
    notes: Sequence[AnnotatedNote]
    types: Types
    # Where a machine has marked: the words that are nothing; other words may be anything, what is marked most likely
    # what it is marked as. None: people have marked.
    plain_words: frozenset[str] | None = None

    def gold(self, note: AnnotatedNote) -> list[Gold]:
        """Return the spans of a note that may have one of the corpus's types, or any."""
        read = ((annotation, self.meant(annotation)) for annotation in note.annotations)
        return [Gold(annotation.start, annotation.end, types) for annotation, types in read if types is not None]

    def meant(self, annotation: Annotation) -> Types | None:
        """Return what a mark may mean; the empty set: anything, None: nothing that is recognised."""
        types = _meant(annotation)
        # A corpus that marks diseases and no symptoms marks symptoms as diseases: "pain" in BC5CDR.
        if types and EntityType.DISEASE in types and EntityType.SYMPTOM not in self.types:
            return types | {EntityType.SYMPTOM}
        return types

    @property
    def silent(self) -> Types:
        """The types that the corpus does not annotate."""
        marked = self.types | ({EntityType.SYMPTOM} if EntityType.DISEASE in self.types else set())
        return frozenset(EntityType) - marked


def corpus(name: str, notes: Sequence[AnnotatedNote], types: Collection[EntityType] | None = None) -> Corpus:
    """Return a corpus; it annotates the given types, or else those that occur in it."""
    occurring = (_meant(annotation) or () for note in notes for annotation in note.annotations)
    found = frozenset(types) if types is not None else frozenset().union(*occurring)
    return Corpus(name=name, notes=notes, types=found)


def plain_words(corpora: Iterable[Corpus]) -> frozenset[str]:
    """Return the words that people, who saw them often, hardly ever marked."""
    seen: Counter[str] = Counter()
    marked: Counter[str] = Counter()
    for source in corpora:
        for note in source.notes:
            spans = sorted((one.start, one.end) for one in source.gold(note) if one.types)
            ends = [end for _, end in spans]
            for match in WORD.finditer(note.text):
                word = match.group().lower()
                seen[word] += 1
                behind = bisect_right(ends, match.start())
                marked[word] += behind < len(spans) and spans[behind][0] <= match.start()
    return frozenset(word for word, count in seen.items() if count >= _OFTEN and marked[word] <= _HARDLY * count)


@cache
def _unsure() -> frozenset[str]:
    """Labels of spans that may hold entities, in part or whole, of which the corpus does not say more."""
    return frozenset(row["label"].casefold() for row in read_table("unsure_labels.csv", ("label", "reason")))


def _meant(annotation: Annotation) -> Types | None:
    label = annotation.label.casefold()
    if label in _unsure():
        return frozenset()
    types = label_types().get(label, ())
    if annotation.type in types:
        return frozenset(types)
    return frozenset({annotation.type}) if annotation.type else None


@dataclass(slots=True)
class Targets:
    """Numbers sets of tags, so that a word's target is one number."""

    types: Sequence[EntityType]
    _numbers: dict[tuple[tuple[int, float], ...], int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The tags, in the order of the model's outputs."""
        return ("O", *(f"{place}-{type_}" for type_ in self.types for place in "BI"))

    def table(self) -> NDArray[np.float32]:
        """Return the logarithm of each tag's weight in each target (-inf: wrong), shape (targets, tags)."""
        table = np.full((len(self._numbers), len(self.names)), -np.inf, dtype=np.float32)
        for weights, number in self._numbers.items():
            for tag, weight in weights:
                table[number, tag] = np.log(weight)
        return table

    def of(self, note: AnnotatedNote, source: Corpus) -> list[Marked]:
        """Return the words of a note with their targets."""
        silent = self._tags("BI", source.silent)
        doubtful = {} if source.plain_words is None else dict.fromkeys(range(len(self.names)), _SILENT)
        outside = self._number(dict.fromkeys(silent, _SILENT) | {0: 1.0})
        anything = self._number(dict.fromkeys(range(len(self.names)), 1.0))
        gold = sorted(source.gold(note), key=lambda one: (one.start, -one.end))
        marked = []
        for start, end in blocks(note.text):
            words = read_words(note.text, start, end)
            targets = [
                outside if source.plain_words is None or word.strip().lower() in source.plain_words else anything
                for word in words.texts
            ]
            position = 0
            for one in gold:
                while position < len(targets) and words.ends[position] <= one.start:
                    position += 1
                first = position
                while position < len(targets) and words.starts[position] < one.end:
                    if not one.types:
                        targets[position] = anything
                    else:
                        tags = self._tags("B" if position == first else "I", one.types) or {0}
                        targets[position] = self._number(doubtful | dict.fromkeys(tags, 1.0))
                    position += 1
            marked.append(Marked(words, targets))
        return marked

    def _tags(self, places: str, types: Iterable[EntityType]) -> set[int]:
        names = self.names
        return {names.index(f"{place}-{type_}") for type_ in types if type_ in self.types for place in places}

    def _number(self, weights: Mapping[int, float]) -> int:
        return self._numbers.setdefault(tuple(sorted(weights.items())), len(self._numbers))

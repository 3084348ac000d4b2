"""Candidates whose name is only similar to the text: in meaning, and where that is not sure, in letters.

The vectors are searched first; the names that are nearest are put in order by their letters, too. Trigrams, which read
many names, are searched only where no meaning is near enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from rapidfuzz import fuzz

from fhir_coder.linking.dense import DenseIndex
from fhir_coder.linking.kept import Kept
from fhir_coder.linking.lexical import Hit, LexicalIndex
from fhir_coder.linking.named import Named, merged
from fhir_coder.linking.opposites import Said
from fhir_coder.model import HPO, ICD10CM, RXNORM, SNOMED, Candidate, Stage
from fhir_coder.terminology.normalise import content_words, normalise
from fhir_coder.terminology.store import ConceptStore

Asked = tuple[str, str]
"""A text and a code system (URI)."""

# Scores until they are calibrated: how far a stage is to be trusted.
_LEXICAL, _DENSE = 0.85, 0.8
_LETTERS = 0.2  # of the score of a name that is near in meaning
_SAYS_MORE = 0.85  # a name that has all words of the text and others
_OPPOSITE = 0.8  # a name that has the opposite of a word of the text, or another number
_SAYS_LESS = 0.85  # a problem's name that has other words of the text, but not the last, which says what it is
_LONE = 0.8  # a name for a single word, but of a drug: what is near to that is near in letters alone
_UNSURE = 0.5  # below this score of what is near in meaning, letters are compared
_PROBLEMS = frozenset({ICD10CM, SNOMED, HPO})
_NAMES_PER_CANDIDATE = 3  # searched for; several may be of one concept
_SEARCHED = 8  # at least, times the names: the best is to be the same however few are wanted
_MORE = 2
_KEPT = 100_000  # answers


class Similar:
    """The stages dense and lexical over one store. Indexes are read, and the encoder loaded, when first needed."""

    def __init__(
        self,
        store: ConceptStore,
        named: Named,
        lexical: Callable[[], LexicalIndex],
        dense: Callable[[], DenseIndex | None] | None,
    ) -> None:
        self._store = store
        self._named = named
        self._load_lexical = lexical
        self._load_dense = dense
        self._kept: Kept[tuple[str, str, int], tuple[Candidate, ...]] = Kept(_KEPT)
        self._kept_letters: Kept[tuple[str, str, int], tuple[Candidate, ...]] = Kept(_KEPT)

    @cached_property
    def _lexical(self) -> LexicalIndex:
        return self._load_lexical()

    @cached_property
    def _dense(self) -> DenseIndex | None:
        return self._load_dense() if self._load_dense else None

    def find(self, asked: Sequence[Asked], top: int) -> list[tuple[Candidate, ...]]:
        """Return the candidates of each text, best first, at most `top`; none is barred."""
        found: dict[Asked, tuple[Candidate, ...]] = {}
        new: list[Asked] = []
        for text, system in dict.fromkeys(asked):
            kept = self._kept.get((text, system, top))
            if kept is None:
                new.append((text, system))
            else:
                found[text, system] = kept
        near = self._near(new, top)
        unsure = [each for each in new if not near[each] or near[each][0].score < _UNSURE]
        letters = self._spelt_like(unsure, top)
        for each in new:
            found[each] = _worth(each, merged(near[each], letters.get(each, ()), top))
            self._kept.put((*each, top), found[each])
        return [found[each] for each in asked]

    def spelt_like(self, asked: Sequence[Asked], top: int) -> list[tuple[Candidate, ...]]:
        """Return the candidates of each text by letters alone, best first, at most `top`; none is barred."""
        new = [each for each in dict.fromkeys(asked) if self._kept_letters.get((*each, top)) is None]
        found = self._spelt_like(new, top)
        for each in new:
            self._kept_letters.put((*each, top), found[each])
        return [found.get(each) or self._kept_letters.get((*each, top)) or () for each in asked]

    def _near(self, asked: Sequence[Asked], top: int) -> dict[Asked, tuple[Candidate, ...]]:
        """Return the candidates by meaning, each text being encoded once for all code systems."""
        dense = self._dense if asked else None
        if dense is None:
            return dict.fromkeys(asked, ())
        texts = list(dict.fromkeys(text for text, _ in asked))
        vectors = dense.encode(texts)
        rows = {text: row for row, text in enumerate(texts)}
        found: dict[Asked, tuple[Candidate, ...]] = {}
        for system, of_system in _by_system(asked).items():
            hits = dense.search(vectors[[rows[text] for text in of_system]], system, _searched(top))
            for text, of_text in zip(of_system, hits, strict=True):
                found[text, system] = self._candidates(text, of_text, "dense", top)
        return found

    def _spelt_like(self, asked: Sequence[Asked], top: int) -> dict[Asked, tuple[Candidate, ...]]:
        found: dict[Asked, tuple[Candidate, ...]] = {}
        for system, texts in _by_system(asked).items():
            hits = self._lexical.search([normalise(text) for text in texts], system, _searched(top))
            for text, of_text in zip(texts, hits, strict=True):
                found[text, system] = self._candidates(text, of_text, "lexical", top)
        return found

    def _candidates(self, text: str, hits: Sequence[Hit], stage: Stage, top: int) -> tuple[Candidate, ...]:
        found: list[Candidate] = []
        codes: set[str] = set()
        for score, hit in self._scored(normalise(text), hits, stage):
            # What is taken to its leaf loses a little of its score, so a few more are looked at than are wanted.
            if len(codes) >= top + _MORE:
                break
            name = self._store.name(hit.release, hit.row)
            candidate = self._named.candidate(name, score, stage) if name else None
            if candidate and not candidate.barred:
                found.append(candidate)
                codes.add(candidate.code)
        return merged(found, (), top)

    def _scored(self, key: str, hits: Sequence[Hit], stage: Stage) -> list[tuple[float, Hit]]:
        """Return the hits with their scores, best first."""
        said = Said(key)
        head = key.rpartition(" ")[2]
        scored = []
        for hit in hits:
            other = hit.release.form(hit.row)
            if stage == "dense":
                letters = fuzz.token_sort_ratio(key, other) / 100
                score = _DENSE * ((1 - _LETTERS) * hit.similarity + _LETTERS * letters)
            else:
                score = _LEXICAL * hit.similarity
            # "computed tomography" is similar to "computed tomography of head", and does not say so much; "accessory
            # muscle use" to "accessory muscle", which is something else.
            words = other.split()
            content = content_words(words)
            if said.content < content:
                score *= _SAYS_MORE
            elif said.is_denied_by(content.union(words)):
                score *= _OPPOSITE
            elif hit.release.head.system in _PROBLEMS and content < said.content and head not in content:
                score *= _SAYS_LESS
            scored.append((score, hit))
        return sorted(scored, key=lambda each: -each[0])


def _worth(asked: Asked, found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Return the candidates with what their scores are worth: "epiglottis" is near to "epiglottitis"."""
    text, system = asked
    if system == RXNORM or " " in text:
        return found
    return tuple(replace(each, score=round(each.score * _LONE, 4)) for each in found)


def _searched(top: int) -> int:
    """Return how many names are searched for."""
    return max(_SEARCHED, top) * _NAMES_PER_CANDIDATE


def _by_system(asked: Sequence[Asked]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for text, system in asked:
        texts.setdefault(system, []).append(text)
    return texts

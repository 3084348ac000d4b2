"""Other wordings of a text, for a text that is no name: misspelt words respelt, shortened ones written out.

A word of the names is never respelt, nor a word of everyday English, an abbreviation, a number, or a word of less than
four letters: what is no misspelling stands as it is. The wordings are looked up by the certain stages, so a respelt
word counts only where the whole text then is a name; how sure it is depends on what else the text could have been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import NamedTuple

import orjson

from fhir_coder.errors import TableError
from fhir_coder.linking.spelling import Spelling, fold, is_respelt
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.common_words import common_words
from fhir_coder.terminology.normalise import WORD, is_abbreviation, normalise_word

_LONGEST = 200  # characters of a text; longer ones are no names
_MOST_WORDS = 12
_MOST_CHANGED = 4  # words
_OF_A_WORD = 4  # wordings
_OF_A_TEXT = 16
_SHORTENED, _EDIT, _CUT_OFF = 0.4, 1.0, 1.5
_LONG = 10  # letters of a word that is sure to be meant with two edits
_DOUBTFUL_EDIT = 1.5
_UNLIKELY = 0.5  # that a word of everyday English is a misspelling of another
_ENDINGS = ("ing", "ed", "er", "ly", "s")
_SHORTEST_BEGINNING = 3  # letters of a word that was cut off
_CACHED = 1 << 16


class Wording(NamedTuple):
    """A text with some of its words replaced, and how far that is from what was written: 1 is one edit."""

    text: str
    distance: float


class _Way(NamedTuple):
    """A word, or two that belong together, that may be meant."""

    text: str
    distance: float


@cache
def _shortened() -> Mapping[str, tuple[str, ...]]:
    """Return what shortened words stand for (`mappings/shortened_words.csv`). Raises `TableError`."""
    found: dict[str, tuple[str, ...]] = {}
    for row in read_table("shortened_words.csv", ("shortened", "words")):
        words = split(row["words"])
        if not words or row["shortened"] != fold(row["shortened"]) or row["shortened"] in found:
            raise TableError(f"mappings/shortened_words.csv: {row['shortened']!r} stands there twice, or for nothing")
        found[row["shortened"]] = words
    return found


@cache
def _everyday() -> frozenset[str]:
    """Return words of everyday English: those that the embedded tokenizer knows as a whole.

    They were counted in books and Wikipedia (Devlin 2019), so the misspellings of names are not among them.
    """
    pieces = orjson.loads((files("fhir_coder") / "models" / "ner" / "tokenizer.json").read_bytes())["model"]["vocab"]
    return frozenset(piece for piece in pieces if is_respelt(piece))


class Wordings:
    """Finds other wordings with the words of a store's releases."""

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self.of = lru_cache(_CACHED)(self._of)

    def _of(self, text: str, systems: tuple[str, ...]) -> tuple[Wording, ...]:
        """Return the other wordings of a text, the nearest first; words of the names of `systems` are used."""
        words = WORD.findall(text[: _LONGEST + 1])
        if len(text) > _LONGEST or not 0 < len(words) <= _MOST_WORDS:
            return ()
        ways = [self._ways(word, words, systems) for word in words]
        if sum(len(each) > 1 or each[0].distance > 0 for each in ways) > _MOST_CHANGED:
            return ()
        together = _combined(ways)
        for position, (one, other) in enumerate(pairwise(words)):
            joined = fold(one) + fold(other)
            if ways[position][0].distance + ways[position + 1][0].distance > 0 and self._is_word(joined):
                together += _combined([*ways[:position], [_Way(joined, _EDIT)], *ways[position + 2 :]])
        plain = " ".join(words)
        nearest = sorted(together, key=lambda wording: wording.distance)  # stable: the most usual words stay first
        return tuple(wording for wording in nearest if wording.text != plain)[:_OF_A_TEXT]

    def _ways(self, word: str, words: Sequence[str], systems: tuple[str, ...]) -> list[_Way]:
        """Return what a word of the text may stand for, itself included where it may be right, the nearest first."""
        folded = fold(word)
        written_out = [_Way(long, _SHORTENED) for long in _shortened().get(folded, ())]
        if self._is_word(word) or not folded.isalpha() or (is_abbreviation(word) and not _is_shouted(words)):
            return [_Way(word, 0), *written_out, *self._mistaken(word, words, systems)]
        if written_out:
            return written_out
        near = [_Way(near.word, _distance(folded, near.edits)) for near in self._spelling.near(folded, systems)]
        if not any(way.distance <= _EDIT for way in near):
            near += self._apart(folded)
        if len(words) > 1 and len(folded) >= _SHORTEST_BEGINNING:
            near += [_Way(near.word, _CUT_OFF) for near in self._spelling.beginning_with(folded, systems)]
        near.sort(key=lambda way: way.distance)
        # What nothing is near to stays as it is, at the price of a change: it is no word of any name.
        return near[:_OF_A_WORD] or [_Way(word, 2 * _EDIT)]

    def _mistaken(self, word: str, words: Sequence[str], systems: tuple[str, ...]) -> list[_Way]:
        """Return what a word of everyday English, which no name has, may be a misspelling of: "brest cancer".

        The other words of the text have to speak for it; alone, it is what it is.
        """
        if len(words) == 1 or self._is_term(word):
            return []
        near = self._spelling.near(fold(word), systems)
        return [_Way(each.word, _EDIT + _UNLIKELY) for each in near if each.edits == 1][:_OF_A_WORD]

    def _apart(self, folded: str) -> list[_Way]:
        """Return two words that were written together ("heartfailure")."""
        halves = ((folded[:place], folded[place:]) for place in range(4, len(folded) - 3))
        return [_Way(f"{one} {other}", _EDIT) for one, other in halves if self._is_word(one) and self._is_word(other)]

    def _is_word(self, word: str) -> bool:
        return self._is_term(word) or _is_everyday(fold(word))

    def _is_term(self, word: str) -> bool:
        key = normalise_word(word)
        return self._spelling.is_known(key) or key in common_words()


def _is_everyday(folded: str) -> bool:
    """Tell whether a folded word is one of everyday English, or an inflection of one: "voiding" is no "vomiting"."""
    everyday = _everyday()
    stems = (folded.removesuffix(ending) for ending in _ENDINGS if folded.endswith(ending))
    return folded in everyday or any(stem in everyday or f"{stem}e" in everyday for stem in stems)


def _distance(folded: str, edits: int) -> float:
    """Return how far a word with some edits is: of one that is not long, two edits may make another word."""
    return edits * (_EDIT if edits < 2 or len(folded) >= _LONG else _DOUBTFUL_EDIT)


def _is_shouted(words: Sequence[str]) -> bool:
    """Tell whether a text of several words, or a long word, is all in capitals: then they mark no abbreviation."""
    return len(words) > 1 and all(word.isupper() for word in words)


def _combined(ways: Sequence[Sequence[_Way]]) -> list[Wording]:
    """Return the texts that one way of each word gives, the nearest first, no more than are of use."""
    texts = [Wording("", 0.0)]
    for of_word in ways:
        longer = [
            Wording(f"{text.text} {way.text}".lstrip(), text.distance + way.distance)
            for text in texts
            for way in of_word
        ]
        texts = sorted(longer, key=lambda wording: wording.distance)[: _OF_A_TEXT * 2]
    return texts

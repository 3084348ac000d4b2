"""Other wordings of a text, for a text that is no name: misspelt words respelt, shortened ones written out.

A word of the names is never respelt, nor a word of English, an abbreviation, a number, or a word of less than four
letters: what is no misspelling stands as it is. Nor does a typo make another word of a short one's first letter, or of
two consonants of a word that stands alone: tenotomy is no sternotomy, wherever it is missing. And what one drug alone
begins with is that drug, cut short: "amlo" is amlodipine, not a misspelling of "amio". The wordings are looked up by
the certain stages, so a respelt word counts only where the whole text then is a name; how sure it is depends on what
else the text could have been.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from fhir_coder.linking.english import is_adjective_of, is_english
from fhir_coder.linking.spelling import SHORTEST, Near, Spelling, fold
from fhir_coder.model import RXNORM
from fhir_coder.terminology.common_words import common_words
from fhir_coder.terminology.normalise import WORD, is_abbreviation, normalise_word
from fhir_coder.terminology.shortened_words import shortened_words

_LONGEST = 200  # characters of a text; longer ones are no names
_MOST_WORDS = 12
_MOST_CHANGED = 4  # words
_OF_A_WORD = 4  # wordings
_OF_A_TEXT = 16
_SHORTENED, _EDIT, _CUT_OFF = 0.4, 1.0, 1.5
_LONG = 10  # letters of a word that is sure to be meant with two edits
_VERY_LONG = 13  # and whatever the edits are
_DOUBTFUL_EDIT = 1.5
_UNLIKELY = 0.5  # that a word of English is a misspelling of another
_SHORT = 6  # letters of a word whose first one is right
_SOFT = frozenset("aeiouyh")  # letters that are swapped, and left out, by ear
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
        shortened = shortened_words().get(folded)
        written_out = [_Way(long, _SHORTENED) for long in shortened.words] if shortened else []
        if self._is_word(word) or not folded.isalpha() or (is_abbreviation(word) and not _is_shouted(words)):
            return [_Way(word, 0), *written_out, *self._mistaken(word, words, systems)]
        if written_out:
            return written_out
        of_drugs = systems == (RXNORM,)
        if of_drugs and len(words) == 1 and len(folded) >= SHORTEST:
            longer = self._spelling.beginning_with(folded, systems)
            if len(longer) == 1:
                return [_Way(longer[0].word, _EDIT)]
            if longer and len(folded) < _SHORT:
                return [_Way(word, 2 * _EDIT)]
        near = [
            _Way(near.word, _distance(folded, near.edits))
            for near in self._spelling.near(folded, systems)
            if _is_typo(folded, near, by_sound=len(words) == 1 and not of_drugs)
        ]
        if not any(way.distance <= _EDIT for way in near):
            near += self._apart(folded)
        if len(words) > 1 and len(folded) >= _SHORTEST_BEGINNING:
            near += [_Way(near.word, _CUT_OFF) for near in self._spelling.beginning_with(folded, systems)]
        near.sort(key=lambda way: way.distance)
        # What nothing is near to stays as it is, at the price of a change: it is no word of any name.
        return near[:_OF_A_WORD] or [_Way(word, 2 * _EDIT)]

    def _mistaken(self, word: str, words: Sequence[str], systems: tuple[str, ...]) -> list[_Way]:
        """Return what a word of English, which no name has, may be a misspelling of: "brest cancer".

        The other words of the text have to speak for it; alone, it is what it is, or the adjective of a name.
        """
        if self._is_term(word):
            return []
        folded = fold(word)
        near = [each for each in self._spelling.near(folded, systems) if each.edits == 1]
        if len(words) == 1:
            return [_Way(each.word, _EDIT) for each in near if is_adjective_of(folded, each.word)]
        return [_Way(each.word, _EDIT + _UNLIKELY) for each in near][:_OF_A_WORD]

    def _apart(self, folded: str) -> list[_Way]:
        """Return two words that were written together ("heartfailure")."""
        halves = ((folded[:place], folded[place:]) for place in range(4, len(folded) - 3))
        return [_Way(f"{one} {other}", _EDIT) for one, other in halves if self._is_word(one) and self._is_word(other)]

    def _is_word(self, word: str) -> bool:
        return self._is_term(word) or is_english(fold(word))

    def _is_term(self, word: str) -> bool:
        key = normalise_word(word)
        return self._spelling.is_known(key) or key in common_words()


def _distance(folded: str, edits: int) -> float:
    """Return how far a word with some edits is: of one that is not long, two edits may make another word."""
    return edits * (_EDIT if edits < 2 or len(folded) >= _LONG else _DOUBTFUL_EDIT)


def _is_typo(folded: str, near: Near, *, by_sound: bool) -> bool:
    """Tell whether a word may be a misspelling of one that is near to it, by the letters that differ.

    Names of drugs are made up, and look alike: those that sound otherwise stay as rivals.
    """
    if folded[0] != near.word[0] and (near.edits > 1 or len(folded) <= _SHORT):
        return False
    return near.edits < 2 or not by_sound or len(folded) >= _VERY_LONG or _sound(folded) == _sound(near.word)


def _sound(folded: str) -> list[str]:
    """Return the consonants of a word, in any order, without doubled ones: who misspells a word has heard them."""
    consonants = [letter for letter in folded if letter not in _SOFT]
    return sorted(letter for before, letter in zip(["", *consonants], consonants, strict=False) if letter != before)


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

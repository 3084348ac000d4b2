"""The dictionary matcher: every name of the concept store, found in a note in one pass (Aho-Corasick).

It runs over the note's normal form, so that inflection and spelling do not matter, and keeps what the normal
form hides - case - for a second look: `AS` is an abbreviation, `as` is a word.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from fhir_coder.terminology.common_words import common_words
from fhir_coder.terminology.normalise import normalise, project
from fhir_coder.terminology.store import ConceptStore, StoredName

_SHORT = 2  # letters; an abbreviation this short always needs its own case
_ABBREVIATION = 7  # letters; a longer name in capitals is a name that happens to be in capitals


@dataclass(frozen=True, slots=True)
class Mention:
    """A span of the note that is a name of the store (`names` may be of several concepts), or an abbreviation."""

    start: int
    end: int
    key: str
    names: tuple[StoredName, ...]


class Dictionary:
    """All names that are looked for, and the words that are only known to be ambiguous abbreviations."""

    def __init__(self, store: ConceptStore, abbreviations: Iterable[str]) -> None:
        self._store = store
        # Ambiguous abbreviations are found by the same pass, and resolved by `senses`.
        self._abbreviations = {normalise(text): text for text in abbreviations}
        keys = dict.fromkeys([*store.mention_keys(), *self._abbreviations])
        self._matcher = AhoCorasick(
            [f" {key} " for key in keys], matchkind=MatchKind.Standard, implementation=Implementation.ContiguousNFA
        )

    def find(self, text: str) -> list[Mention]:
        """Return the longest mentions that do not overlap, in order."""
        projection, starts, ends = project(text)
        word_starts = [0]
        for position, character in enumerate(projection):
            if character == " " and position:
                word_starts.append(position)
        mentions: list[Mention] = []
        taken = -1
        for first, last in _longest_first(self._matcher, projection, word_starts):
            if first <= taken:
                continue
            start, end = starts[first], ends[last]
            key = projection[word_starts[first] + 1 : word_starts[last + 1]]
            names = self._names(key, text, start, end)
            if names is not None:
                mentions.append(Mention(start, end, key, names))
                taken = last
        return mentions

    def _names(self, key: str, text: str, start: int, end: int) -> tuple[StoredName, ...] | None:
        """Return the names that the span's case allows, or None when it allows none."""
        surface = text[start:end]
        if "\n\n" in surface or _crosses_sentence(surface):
            return None
        shouted = _is_shouted(text, start, end)
        names = tuple(name for name in self._store.names(key) if _case_fits(name.text, surface, key, shouted))
        ambiguous = key in self._abbreviations and _case_fits(self._abbreviations[key], surface, key, shouted)
        return names if names or ambiguous else None


def _longest_first(matcher: AhoCorasick, projection: str, word_starts: list[int]) -> list[tuple[int, int]]:
    """Return the matches as (first word, last word), by first word and then the longest first."""
    found = set()
    for _, start, end in matcher.find_matches_as_indexes(projection, overlapping=True):
        found.add((bisect_left(word_starts, start), bisect_left(word_starts, end - 1) - 1))
    return sorted(found, key=lambda span: (span[0], -span[1]))


def _case_fits(name: str, surface: str, key: str, shouted: bool) -> bool:
    """Tell whether a span's case is that of the name, where case matters.

    It matters for abbreviations that are an ordinary word in lower case (`AS`, `ALL`, `MS`) or have only one or
    two letters (`K`, `Na`): these must be written as in the name, and not in a passage that is all in capitals.
    """
    if not is_abbreviation(name):
        return True
    is_word = key in common_words()
    if not is_word and len(key) > _SHORT:
        return True
    bare = surface.removesuffix("s") if not name.endswith("s") else surface
    if name not in (surface, bare):
        return False
    return not (shouted and is_word)


def is_abbreviation(name: str) -> bool:
    """Tell whether a name is an abbreviation: short, and with a capital that is not just its first letter."""
    letters = [character for character in name if character.isalpha()]
    if not letters or len(letters) > _ABBREVIATION or " " in name.strip():
        return False
    return any(character.isupper() for character in letters[1:]) or (len(letters) <= _SHORT and letters[0].isupper())


def _is_shouted(text: str, start: int, end: int) -> bool:
    """Tell whether the words around a span are all in capitals, so that its own capitals mean nothing."""
    around = text[max(0, start - 30) : start] + text[end : end + 30]
    letters = [character for character in around if character.isalpha()]
    return len(letters) > 10 and sum(map(str.isupper, letters)) > 0.8 * len(letters)


def _crosses_sentence(surface: str) -> bool:
    """Tell whether a span runs over the end of a sentence ("... of breath. Pain ...") or a list's comma."""
    return any(mark in surface for mark in (". ", ".\n", "; ", ": ", "? ", "! ", ", "))

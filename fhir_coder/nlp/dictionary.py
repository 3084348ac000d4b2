"""The dictionary matcher: every name of the concept store, found in a note in one pass (`MentionIndex`).

It runs over the note's normal form, so that inflection and spelling do not matter, and keeps what the normal
form hides - case - for a second look: `AS` is an abbreviation, `as` is a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhir_coder.model import TEST_TYPES, EntityType
from fhir_coder.terminology.common_words import common_words
from fhir_coder.terminology.normalise import is_abbreviation, normalise, project
from fhir_coder.terminology.shortened_words import shortened_words
from fhir_coder.terminology.store import ConceptStore, StoredName

_SHORT = 2  # letters; an abbreviation this short always needs its own case
_FEW_CAPITALS = 0.01  # of the letters
_UNITS = frozenset({"mg", "g", "l", "u", "ml"})  # in lower case a unit, not a test
_JOINS = frozenset("due to with without in and or from by".split())
_GENUS = re.compile(r"(?<!\w)[A-Z]\. (?=[a-z])")
_VALUE = re.compile(r"[\s:=]{0,3}[<>]?\d")


@dataclass(frozen=True, slots=True)
class Mention:
    """A span of the note that is a name of the store (`names` may be of several concepts), or an abbreviation."""

    start: int
    end: int
    key: str
    names: tuple[StoredName, ...]
    type: EntityType | None = None  # what the trained recogniser takes it for
    score: float | None = None  # how sure that is, where no name of the store agrees
    head: str | None = None  # the words that the names are of, where they are not those of the span


class Dictionary:
    """All names that are looked for, and the words that are only known to be ambiguous abbreviations."""

    def __init__(self, store: ConceptStore, abbreviations: Iterable[str]) -> None:
        self._store = store
        # Ambiguous abbreviations are found by the same pass, and resolved by `senses`.
        self._abbreviations = {normalise(text): text for text in abbreviations}
        self._index = store.mention_index(self._abbreviations)

    def find(self, text: str) -> list[Mention]:
        """Return the longest mentions that do not overlap, in order."""
        words, starts, ends = project(text)
        careless = _is_without_capitals(text)
        found: list[tuple[int, int, str | None]] = [(first, last, None) for first, last in self._index.find(words)]
        found += self._written_out(words)
        mentions: list[Mention] = []
        taken = -1
        for first, last, head in sorted(found, key=lambda span: (span[0], -span[1])):
            if first <= taken:
                continue
            start, end = starts[first], ends[last]
            key = head or " ".join(words[first : last + 1])
            names = self._names(key, text, start, end, careless)
            if head and not any(name.concept.codable for name in names or ()):
                continue
            if names is not None:
                mentions.append(Mention(start, end, key, names, head=head))
                taken = last
        return mentions

    def _written_out(self, words: Sequence[str]) -> list[tuple[int, int, str]]:
        """Return the names of several words of which some are cut short, with their normal forms: "celiac dz".

        Of "anemia due to CKD" each part is found by itself: what is cut short is a thing of its own.
        """
        long: list[str] = []
        origin: list[int] = []  # of each word written out: the one that was written
        short: dict[int, bool] = {}  # the words cut short, and whether they may come first
        for place, word in enumerate(words):
            found = shortened_words().get(word)
            if found and found.goes_on and len(found.words) == 1:
                short[place] = found.leads
            meant = normalise(found.words[0]).split() if found and place in short else [word]
            long += meant
            origin += [place] * len(meant)
        names = []
        for first, last in self._index.find(long) if short else ():
            begin, end = origin[first], origin[last]
            is_whole = (not first or origin[first - 1] != begin) and (last + 1 == len(long) or origin[last + 1] != end)
            is_short = any(place in short for place in range(begin, end + 1))
            is_one = _JOINS.isdisjoint(long[first : last + 1])
            if begin < end and is_whole and is_short and is_one and short.get(begin, True):
                names.append((begin, end, " ".join(long[first : last + 1])))
        return names

    def _names(self, key: str, text: str, start: int, end: int, careless: bool) -> tuple[StoredName, ...] | None:
        """Return the names that the span's case allows, or None when it allows none."""
        surface = text[start:end]
        if "\n\n" in surface or _crosses_sentence(surface):
            return None
        shouted = _is_shouted(text, start, end)
        is_word = key in common_words()
        measured = bool(_VALUE.match(text, end)) and key not in _UNITS
        names = tuple(
            name
            for name in self._store.names(key)
            if _has_commas(name.text, surface)
            and (
                _case_fits(name.text, surface, is_word, shouted)
                # "hr 110", "k 4.2": the value tells what the case does not; but "325 mg 1-2 tabs" is no magnesium.
                or (measured and name.concept.type in TEST_TYPES)
            )
        )
        abbreviation = None if ", " in surface else self._abbreviations.get(key)
        is_abbreviated = abbreviation is not None and (
            _case_fits(abbreviation, surface, is_word, shouted) or (careless and not is_word)
        )
        return names if names or is_abbreviated else None


def _case_fits(name: str, surface: str, is_word: bool, shouted: bool) -> bool:
    """Tell whether a span's case is that of the name, where case matters.

    It matters for abbreviations that are an ordinary word in lower case (`AS`, `ALL`, `MS`) or have only one or
    two letters (`K`, `Na`): these must be written as in the name, and not in a passage that is all in capitals.
    """
    if not is_abbreviation(name) or (not is_word and len(name) > _SHORT):
        return True
    bare = surface.removesuffix("s") if not name.endswith("s") else surface
    return name in (surface, bare) and not (shouted and is_word)


def _is_shouted(text: str, start: int, end: int) -> bool:
    """Tell whether the words around a span are all in capitals, so that its own capitals mean nothing."""
    around = text[max(0, start - 30) : start] + text[end : end + 30]
    letters = [character for character in around if character.isalpha()]
    return len(letters) > 10 and sum(map(str.isupper, letters)) > 0.8 * len(letters)


def _crosses_sentence(surface: str) -> bool:
    """Tell whether a span runs over the end of a sentence: "... of breath. Pain ...", and not "E. coli sepsis"."""
    surface = _GENUS.sub(" ", surface)
    return any(mark in surface for mark in (". ", ".\n", "; ", ": ", "? ", "! ", " - ", " ("))


def _has_commas(name: str, surface: str) -> bool:
    """Tell whether the commas of a span are those of the name ("hand, foot and mouth disease"), and not a list's."""
    if ", " not in surface:
        return True
    return [normalise(part) for part in surface.split(", ")] == [normalise(part) for part in name.split(", ")]


def _is_without_capitals(text: str) -> bool:
    """Tell whether a note is written without capitals, so that `cp` may be the abbreviation `CP`."""
    letters = [character for character in text[:4000] if character.isalpha()]
    return sum(map(str.isupper, letters)) < _FEW_CAPITALS * len(letters)

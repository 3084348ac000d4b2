"""The words of the names of each release, and those that a misspelt word may have been meant to be.

Two words that are at most two edits apart have a string in common that is left when up to two letters of each are
deleted (SymSpell: W. Garbe, github.com/wolfgarbe/SymSpell). What is left of the words of a release is stored as sorted
64-bit numbers beside the words, all memory-mapped, so that a query reads a few pages; the distance itself is measured
by RapidFuzz.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import OSA

from fhir_coder.terminology.keys import Numbers, word_number
from fhir_coder.terminology.name_table import mapped
from fhir_coder.terminology.normalise import WORD, is_abbreviation, normalise_word
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

SHORTEST = 4  # letters of a word that is respelt, or that another is respelt to; one edit makes CAT of CAP
_LONG = 7  # letters; from here on a word may have two edits
_LONGEST = 40  # letters; longer ones are formulas
_PREFIX = 8  # letters, at the beginning, of which some are deleted: a word has at most 37 numbers
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, without a pattern
_MOST_LONGER = 400  # words that begin alike
_CACHED = 1 << 16
_FOLDER = "spelling"
_REPORTED = 10_000  # names

Letters = NDArray[np.uint8]


class Near(NamedTuple):
    """A word that may be meant: how many edits it is away (letters added, lost, changed or swapped with the next one),
    and how many names have it."""

    word: str
    edits: int
    names: int


def fold(word: str) -> str:
    """Return a word as it is compared: ASCII letters and digits in lower case, without a possessive."""
    folded = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode().lower()
    return folded.removesuffix("'s").replace("'", "").replace(".", "")


def is_respelt(word: str) -> bool:
    """Tell whether a folded word is of the kind that is respelt: letters only, neither too short nor too long."""
    return SHORTEST <= len(word) <= _LONGEST and word.isalpha()


def build(release: StoredRelease, folder: Path, advance: Callable[[int], None]) -> None:
    """Write the words of a release into `folder`; `advance` is told the names that are done."""
    counts: Counter[str] = Counter()  # folded words that are respelt to -> the names that have them
    known: set[str] = set()  # normal forms of all words
    waiting = 0
    for name in release.all_names():
        for word in set(WORD.findall(name.text)):
            known.add(normalise_word(word))
            # One letter is all the difference between abbreviations: none is the right spelling of another word.
            if not is_abbreviation(word):
                counts[fold(word)] += 1
        waiting += 1
        if waiting == _REPORTED:
            advance(waiting)
            waiting = 0
    advance(waiting)
    _write({word: count for word, count in counts.items() if is_respelt(word)}, known, folder / _FOLDER)


def _write(counts: dict[str, int], known: Iterable[str], place: Path) -> None:
    place.mkdir()
    words = sorted(counts)
    numbers, owners = _index(words)
    np.save(place / "known.npy", np.unique(np.array([word_number(word) for word in known], dtype=np.uint64)))
    np.save(place / "letters.npy", np.frombuffer("".join(words).encode(), dtype=np.uint8))
    np.save(place / "ends.npy", np.cumsum([len(word) for word in words], dtype=np.uint32))
    np.save(place / "names.npy", np.array([counts[word] for word in words], dtype=np.uint32))
    np.save(place / "numbers.npy", numbers)
    np.save(place / "owners.npy", owners)


def _index(words: Sequence[str]) -> tuple[Numbers, NDArray[np.uint32]]:
    """Return the sorted numbers of what is left of the words, and the word of each."""
    by_length: dict[int, list[int]] = {}
    for position, word in enumerate(words):
        by_length.setdefault(min(len(word), _PREFIX), []).append(position)
    numbers, owners = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)]
    for length, positions in by_length.items():
        letters = np.frombuffer("".join(words[position][:length] for position in positions).encode(), dtype=np.uint8)
        left = _left(letters.reshape(-1, length), 2)
        numbers.append(left.ravel())
        owners.append(np.repeat(np.array(positions, dtype=np.uint32), left.shape[1]))
    together, whose = np.concatenate(numbers), np.concatenate(owners)
    order = np.argsort(together, kind="stable")
    return together[order], whose[order]


def _left(letters: Letters, edits: int) -> Numbers:
    """Return the numbers of what is left of words of one length, shape (words, length), without up to `edits` letters.

    Shape (words, ways to delete them).
    """
    kept = _kept(letters.shape[1], edits)
    padded = np.concatenate([letters, np.zeros((len(letters), 1), np.uint8)], axis=1).astype(np.uint64)
    number = np.zeros((len(letters), len(kept)), dtype=np.uint64)
    for column in range(kept.shape[1]):
        number = number * _BASE + padded[:, kept[:, column]]
    return number ^ (number >> np.uint64(29))


@cache
def _kept(length: int, edits: int) -> NDArray[np.int64]:
    """Return the positions that are kept, one row per way; `length` stands for no letter, and goes before them."""
    ways = (places for deleted in range(min(edits, length - 1) + 1) for places in combinations(range(length), deleted))
    rows = [[length] * len(places) + [place for place in range(length) if place not in places] for places in ways]
    return np.array(rows, dtype=np.int64)


class _Words:
    """The words of one release."""

    def __init__(self, place: Path) -> None:
        self.known = mapped(place / "known.npy")
        self._letters = mapped(place / "letters.npy").data
        self._ends = mapped(place / "ends.npy").data
        self._names = mapped(place / "names.npy").data
        self._numbers = mapped(place / "numbers.npy")
        self._owners = mapped(place / "owners.npy")

    def near(self, word: str, left: Numbers, edits: int) -> list[Near]:
        """Return the words that are at most `edits` away, `left` being the numbers of what is left of the word."""
        first = self._numbers.searchsorted(left, "left")
        last = self._numbers.searchsorted(left, "right")
        owners: set[int] = set()
        for i, j in zip(first.tolist(), last.tolist(), strict=True):
            if i < j:
                owners.update(self._owners[i:j].tolist())
        near = []
        for owner in sorted(owners):
            start, end = self._ends[owner - 1] if owner else 0, self._ends[owner]
            if abs(end - start - len(word)) <= edits:
                other = str(self._letters[start:end], "ascii")
                distance = OSA.distance(word, other, score_cutoff=edits)
                if distance <= edits:
                    near.append(Near(other, distance, self._names[owner]))
        return near

    def beginning_with(self, beginning: str) -> list[Near]:
        """Return the longer words that begin so; none where there are many."""
        low, high = 0, len(self._ends)
        first = self._place(beginning, low, high)
        last = self._place(beginning + "~", first, high)  # "~" is behind all letters
        if last - first > _MOST_LONGER:
            return []
        words = [(self._word(place), self._names[place]) for place in range(first, last)]
        return [Near(word, len(word) - len(beginning), names) for word, names in words if word != beginning]

    def _word(self, place: int) -> str:
        start = self._ends[place - 1] if place else 0
        return str(self._letters[start : self._ends[place]], "ascii")

    def _place(self, word: str, low: int, high: int) -> int:
        """Return where, among the sorted words, a word is or would be."""
        while low < high:
            middle = (low + high) // 2
            if self._word(middle) < word:
                low = middle + 1
            else:
                high = middle
        return low


class Spelling:
    """The words of the releases of a store that have them stored, each read on first use."""

    def __init__(self, store: ConceptStore) -> None:
        self._store = store
        self._of_systems: dict[tuple[str, ...], list[_Words]] = {}
        self._of_release: dict[Path, _Words | None] = {}
        self.near = lru_cache(_CACHED)(self._near)
        self.beginning_with = lru_cache(_CACHED)(self._beginning_with)
        self.is_known = lru_cache(_CACHED)(self._is_known)

    def _words(self, systems: tuple[str, ...]) -> list[_Words]:
        if systems not in self._of_systems:
            self._of_systems[systems] = self._opened(systems)
        return self._of_systems[systems]

    def _opened(self, systems: tuple[str, ...]) -> list[_Words]:
        found = []
        for release in (release for system in systems for release in self._store.layers(system)):
            place = release.folder / _FOLDER
            if release.folder not in self._of_release:
                self._of_release[release.folder] = _Words(place) if place.exists() else None
            words = self._of_release[release.folder]
            if words is not None:
                found.append(words)
        return found

    def _is_known(self, key: str) -> bool:
        """Tell whether a word, in its normal form, is in a name of any release."""
        number = np.uint64(word_number(key))
        for words in self._words(self._store.systems):
            place = int(words.known.searchsorted(number))
            if place < len(words.known) and words.known[place] == number:
                return True
        return False

    def _near(self, word: str, systems: tuple[str, ...]) -> tuple[Near, ...]:
        """Return the words of code systems that a folded word may be meant to be, the nearest and most usual first.

        One edit is allowed, two in a long word, none in what `is_respelt` does not take.
        """
        if not is_respelt(word):
            return ()
        edits = 2 if len(word) >= _LONG else 1
        prefix = word[:_PREFIX].encode()
        left = _left(np.frombuffer(prefix, dtype=np.uint8).reshape(1, -1), edits)[0]
        names: Counter[str] = Counter()
        distance: dict[str, int] = {}
        for words in self._words(systems):
            for near in words.near(word, left, edits):
                names[near.word] += near.names
                distance[near.word] = near.edits
        found = [Near(other, distance[other], count) for other, count in names.items()]
        return tuple(sorted(found, key=lambda near: (near.edits, -near.names, near.word)))

    def _beginning_with(self, beginning: str, systems: tuple[str, ...]) -> tuple[Near, ...]:
        """Return the words of code systems that begin so, the most usual first; none where there are many."""
        names: Counter[str] = Counter()
        if beginning.isalpha():
            for words in self._words(systems):
                for near in words.beginning_with(beginning):
                    names[near.word] += near.names
        found = [Near(word, len(word) - len(beginning), count) for word, count in names.items()]
        return tuple(sorted(found, key=lambda near: (-near.names, near.word)))

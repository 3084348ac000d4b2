"""Names as 64-bit numbers: the same for a name of a release and for the words of a note, in every process.

The number of a key is a polynomial in the numbers of its words, so the number of a longer phrase follows from that
of its beginning, for all phrases of a note at once. Two names that share a number are told apart by their text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]

BASE = 0x9E3779B97F4A7C15  # odd, without a pattern
_MASK = (1 << 64) - 1


@lru_cache(maxsize=1 << 18)
def word_number(word: str) -> int:
    """Return the number of a normalised word, from 0 to 2**64 - 1."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")


def prefix_numbers(words: Iterable[str]) -> list[int]:
    """Return the numbers of the first word, the first two words, ... and all words."""
    numbers = []
    number = 0
    for word in words:
        number = (number * BASE + word_number(word)) & _MASK
        numbers.append(number)
    return numbers


def key_number(key: str) -> int:
    """Return the number of a normal form as it is stored: signed, from -2**63 to 2**63 - 1."""
    number = 0
    for word in map(word_number, key.split()):
        number = (number * BASE + word) & _MASK
    return number - (1 << 64) if number >> 63 else number


class MentionIndex:
    """The names that are looked for in notes, as sorted numbers of them and of all their beginnings."""

    def __init__(self, prefixes: Numbers, complete: Numbers) -> None:
        """Take the numbers of the beginnings, names included, and of the names; both are sorted here."""
        self.prefixes = np.unique(prefixes)
        self._is_name = np.isin(self.prefixes, complete, assume_unique=False)

    def find(self, words: Sequence[str]) -> list[tuple[int, int]]:
        """Return every name among the words as (first word, last word), by first word and then the longest first."""
        numbers = np.fromiter((word_number(word) for word in words), dtype=np.uint64, count=len(words))
        first = np.arange(len(words))
        phrase = numbers
        spans: list[tuple[int, int]] = []
        length = 1
        while first.size and self.prefixes.size:
            place = np.minimum(np.searchsorted(self.prefixes, phrase), self.prefixes.size - 1)
            known = self.prefixes[place] == phrase
            first, phrase, place = first[known], phrase[known], place[known]
            spans.extend((start, start + length - 1) for start in first[self._is_name[place]].tolist())
            going_on = first + length < len(words)
            first, phrase = first[going_on], phrase[going_on]
            phrase = phrase * np.uint64(BASE) + numbers[first + length]
            length += 1
        return sorted(spans, key=lambda span: (span[0], -span[1]))

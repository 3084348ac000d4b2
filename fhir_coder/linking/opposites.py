"""Whether a name says the opposite of a text, or another number: near in meaning and in letters, and a wrong code."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from string import digits

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table
from fhir_coder.terminology.normalise import content_words, normalise_word

_PREFIX_END = "-"
_DIGITS = frozenset(digits)


@cache
def _opposites() -> tuple[Mapping[str, frozenset[str]], tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the opposites of words, pairs of opposite beginnings, and all these beginnings. Raises `TableError`."""
    words: dict[str, set[str]] = {}
    beginnings: list[tuple[str, str]] = []
    for row in read_table("opposites.csv", ("one", "other")):
        one, other = row["one"], row["other"]
        if not one or not other or one.endswith(_PREFIX_END) != other.endswith(_PREFIX_END):
            raise TableError(f"mappings/opposites.csv: {one!r} and {other!r} are no words, or beginnings, of one kind")
        if one.endswith(_PREFIX_END):
            pair = (one.removesuffix(_PREFIX_END), other.removesuffix(_PREFIX_END))
            beginnings += [pair, pair[::-1]]
        else:
            for word, opposite in ((one, other), (other, one)):
                words.setdefault(normalise_word(word), set()).add(normalise_word(opposite))
    firsts = tuple(one for one, _ in beginnings)
    return {word: frozenset(found) for word, found in words.items()}, tuple(beginnings), firsts


class Said:
    """The words of a text, to be compared with those of many names."""

    def __init__(self, form: str) -> None:
        """Take a text in its normal form."""
        words = form.split()
        self.content = content_words(words)
        text = self.content.union(words)
        self._words = text
        self._numbers = {word for word in text if _has_digit(word)}
        opposites = {word: _opposites_of(word) - text for word in text}
        self._opposites = [(word, others) for word, others in opposites.items() if others]

    def is_denied_by(self, name: AbstractSet[str]) -> bool:
        """Tell whether a name has, in place of a word of the text, its opposite, or another number.

        `name` holds all words of its normal form, and stages and types as numbers.
        """
        others = [word for word in name if word not in self._words and _has_digit(word)]
        if others and not self._numbers <= name:
            return True
        if any(word.rstrip(digits) in self._words - name for word in others):  # B, and B2
            return True
        return any(word not in name and not others.isdisjoint(name) for word, others in self._opposites)


def _has_digit(word: str) -> bool:
    return not word.isalpha() and not _DIGITS.isdisjoint(word)


def _opposites_of(word: str) -> frozenset[str]:
    words, beginnings, all_beginnings = _opposites()
    found = words.get(word, frozenset())
    if word.startswith(all_beginnings):
        found |= {other + word.removeprefix(one) for one, other in beginnings if word.startswith(one)}
    return found

"""Whether a name says the opposite of a text, or another number: near in meaning and in letters, and a wrong code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table
from fhir_coder.terminology.normalise import bag, normalise_word

_PREFIX_END = "-"


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


def words_of(key: str) -> frozenset[str]:
    """Return the words of a normal form that are compared: all of them, stages and types as numbers ("ii" is 2)."""
    return frozenset(key.split()).union(bag(key).split())


def is_opposite(text: frozenset[str], name: frozenset[str]) -> bool:
    """Tell whether a name has, in place of a word of the text, its opposite, or another number."""
    missing, added = text - name, name - text
    if not missing or not added:
        return False
    numbers, others = _numbers(missing), _numbers(added)
    if numbers and others:
        return True
    words, beginnings, all_beginnings = _opposites()
    if any(not added.isdisjoint(words.get(word, ())) for word in missing):
        return True
    return any(
        other + word.removeprefix(one) in added
        for word in missing
        if word.startswith(all_beginnings)
        for one, other in beginnings
        if word.startswith(one)
    )


def _numbers(words: Iterable[str]) -> set[str]:
    return {word for word in words if word.isdigit()}

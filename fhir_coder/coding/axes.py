"""What tells the codes of one category apart, read out of their displays.

"Otitis media, unspecified, right ear" and "..., left ear" differ in one axis, laterality. `mappings/coding/axes.csv`
says with which words displays of ICD-10-CM state a value of an axis, and with which words notes do:

    axis        laterality, severity, stage, ...
    value       right, mild, 3a, ...
    display     the words of displays, several separated by |; what stands in parentheses (a nonessential modifier,
                guideline I.A.7) is left out of displays before they are compared
    said        the words of notes
    reach       name: they must be part of the mention, or have been read as an attribute of it (`nlp.findings`);
                near: they may also stand beside the mention, in the same clause
    standing    default: what is coded when the note does not tell (guideline I.C.19.c: a fracture is closed, displaced)
    categories  where the row holds, by three characters; empty: everywhere
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.normalise import normalise

CATEGORY = 3  # characters of a code
_REACHES = frozenset({"name", "near"})
_STANDINGS = frozenset({"", "default"})
_PARENTHESES = re.compile(r"\s*\([^()]*\)")
# Not "with unspecified angina": that there is one is told.
_UNSPECIFIED = re.compile(r"(?<!\bwith )\bunspecified(?: as to)?\b([^,;]*)")
_EMPTY = frozenset("of the a an in and on with to by for due at as or site part type not specified is".split())
_STOP = frozenset("of with without and in due".split())  # what follows them is no part of what is unspecified
_SIDES = re.compile(r"\b(?:right|left|both|bilateral)\b([^,;]*)")


@dataclass(frozen=True, slots=True)
class Value:
    """One value of an axis: a row of the table."""

    axis: str
    name: str
    display: tuple[str, ...]
    said: tuple[str, ...]
    is_near: bool
    is_default: bool
    categories: tuple[str, ...]

    def holds_in(self, category: str) -> bool:
        """Tell whether the row holds in a category ("J45")."""
        return not self.categories or category in self.categories


@dataclass(frozen=True, slots=True)
class Parsed:
    """A display without the words of its axes."""

    words: frozenset[str]
    open: tuple[frozenset[str], ...]  # words of what the display leaves unspecified: "ear" of "unspecified ear"
    sided: frozenset[str]  # words of what has a side: "ear" of "right ear"
    values: Mapping[str, str]  # axis -> value

    @property
    def unspecified(self) -> int:
        """How often the display says that something is not specified."""
        return len(self.open)


@cache
def values() -> tuple[Value, ...]:
    """Return the rows of the table. Raises `TableError` when one is wrong."""
    columns = ("axis", "value", "display", "said", "reach", "standing", "categories")
    found = []
    for number, row in enumerate(read_table("coding/axes.csv", columns), 2):
        if not row["axis"] or not row["value"] or not row["display"]:
            raise TableError(f"mappings/coding/axes.csv:{number}: axis, value or display is empty")
        if row["reach"] not in _REACHES or row["standing"] not in _STANDINGS:
            raise TableError(f"mappings/coding/axes.csv:{number}: unknown reach or standing")
        found.append(
            Value(
                axis=row["axis"],
                name=row["value"],
                display=tuple(_plain(each) for each in split(row["display"])),
                said=split(row["said"]),
                is_near=row["reach"] == "near",
                is_default=row["standing"] == "default",
                categories=split(row["categories"]),
            )
        )
    return tuple(found)


@cache
def values_in(category: str) -> Mapping[tuple[str, str], Value]:
    """Return what holds in a category, by axis and value."""
    return MappingProxyType({(each.axis, each.name): each for each in values() if each.holds_in(category)})


@lru_cache(maxsize=1 << 15)
def parse(display: str, category: str) -> Parsed:
    """Return a display of a category ("J45") with its axes taken apart.

    Of an axis that is told twice, the last counts:
    "unilateral primary osteoarthritis, right hip" has a right side.
    """
    # "other part of the foot" is not "other specified severity".
    text = _plain(_PARENTHESES.sub("", display)).replace("other specified", "otherspecified")
    pattern, meanings = _phrases(category)
    found: dict[str, str] = {}
    sided = {word for match in _SIDES.finditer(text) for word in _noun(match[1])}
    for match in pattern.finditer(text):
        axis, name = meanings[match.group()]
        found[axis] = name
    rest = pattern.sub(" , ", text)
    unspecified = tuple(frozenset(_noun(behind)) for behind in _UNSPECIFIED.findall(rest))
    words = set(normalise(rest).split()) - _EMPTY - {"unspecified"}
    return Parsed(frozenset(words), unspecified, frozenset(sided), MappingProxyType(found))


def _noun(text: str) -> set[str]:
    """Return the words up to the first that begins something else: "lower leg" of " lower leg with fat layer".

    "Unspecified type of pneumonia" does not leave open whether there is a pneumonia.
    """
    words: set[str] = set()
    for position, word in enumerate(text.split()):
        if word in _STOP and position:
            break
        words |= set(normalise(word).split()) - _EMPTY
    return words


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


@cache
def _phrases(category: str) -> tuple[re.Pattern[str], Mapping[str, tuple[str, str]]]:
    """Return what finds the words of all axes in the displays of a category, the longest first."""
    meanings = {phrase: key for key, value in values_in(category).items() for phrase in value.display}
    ordered = sorted(meanings, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, ordered))})(?![\w-])"), meanings

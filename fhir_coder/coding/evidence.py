"""What a note says of one mention, as values of the axes that tell codes apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType

from fhir_coder.coding.axes import values
from fhir_coder.model import Entity
from fhir_coder.terminology.normalise import normalise

ATTRIBUTES = ("laterality", "severity", "course", "stage", "body_site")
_REACH = 80  # characters beside a mention
_BREAK = re.compile(r"[.;:\n]\s|[\n;]")
# "Ovarian cyst, right." "Knee pain (L)"
_SIDE_BEHIND = re.compile(
    r"\s*(?:,\s*|\(\s*|-\s+|:\s*)(right|left|bilateral|R|L)(?:\s+side)?\s*(?=[).,;]|$)", re.IGNORECASE
)
_SIDES = {"right": "right", "r": "right", "left": "left", "l": "left", "bilateral": "bilateral"}
_SHORT_FORMS = {"with": "(?:with|w/)", "without": "(?:without|w/o)"}
_NOT = re.compile(
    r"\b(?:no|not|without|w/o|denies|denied|negative for|never|free of)\s+(?:\w+\s+){0,2}$", re.IGNORECASE
)

Key = tuple[str, str]  # axis and value


@dataclass(frozen=True, slots=True)
class Sign:
    """Words that say something, and where they stand; without a span they are part of the matched name."""

    words: str
    span: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f'"{self.words}" at {self.span[0]}-{self.span[1]}' if self.span else f'"{self.words}"'


Evidence = Mapping[Key, Sign]
NOTHING: Evidence = MappingProxyType({})


def evidence(text: str, entity: Entity, bounds: tuple[int, int], category: str) -> Evidence:
    """Return the values of all axes of a category that the note states for an entity.

    `bounds` are the end of the entity before and the start of the one behind: what lies beyond is about these.
    """
    of_category = _of_category(category)
    own = _own_words(entity)
    around = _clause(text, entity, bounds)
    found: dict[Key, Sign] = {}
    if of_category.any.search(own):
        for key, pattern, _ in of_category.each:
            if sign := _in_mention(text, entity, pattern):
                found[key] = sign
    if of_category.near and of_category.near.search(text, *around):
        for key, pattern, is_near in of_category.each:
            if is_near and key not in found and (sign := _beside(text, around, pattern)):
                found[key] = sign
    if not any(axis == "laterality" for axis, _ in found) and (side := _side_behind(text, entity, bounds[1])):
        found["laterality", _SIDES[side.words.lower()]] = side
    return MappingProxyType(_longest(found)) if found else NOTHING


@lru_cache(maxsize=1 << 12)
def evidence_of_name(name: str, category: str) -> frozenset[Key]:
    """Return the values that a name of a concept states."""
    return frozenset(key for key, pattern, _ in _of_category(category).each if _beside(name, (0, len(name)), pattern))


def _longest(found: Mapping[Key, Sign]) -> dict[Key, Sign]:
    """Leave out what is part of a longer statement: the "chronic" of "acute on chronic", the "acute" of a flare."""
    return {
        key: sign
        for key, sign in found.items()
        if key[0] == "laterality"
        or not any(len(sign.words) < len(other.words) and sign.words in other.words for other in found.values())
    }


def site(entity: Entity) -> str:
    """Return the words of the body site that was read for an entity, or an empty string."""
    return str(entity.attributes.get("body_site") or "")


def _side_behind(text: str, entity: Entity, stop: int) -> Sign | None:
    """Return the side that stands alone behind a mention, as headings and lists have it, or None."""
    match = _SIDE_BEHIND.match(text, entity.end, min(entity.sentence[1], stop))
    return Sign(match[1], match.span(1)) if match else None


def _in_mention(text: str, entity: Entity, pattern: re.Pattern[str]) -> Sign | None:
    if sign := _beside(text, (entity.start, entity.end), pattern):  # "psychotic features", and not "without" them
        return sign
    for name in ATTRIBUTES:
        match = pattern.search(str(entity.attributes.get(name) or ""))
        if match:
            return _placed(text, entity, match.group())
    return None


def _placed(text: str, entity: Entity, words: str) -> Sign:
    """Return an attribute's words with the place in the sentence, nearest to the mention, where they stand."""
    first, last = max(entity.sentence[0], entity.start - 2 * _REACH), min(entity.sentence[1], entity.end + 2 * _REACH)
    places = [
        (first + match.start(), first + match.end()) for match in words_pattern((words,)).finditer(text[first:last])
    ]
    nearest = min(places, key=lambda place: max(entity.start - place[1], place[0] - entity.end), default=None)
    return Sign(words, nearest)


def _own_words(entity: Entity) -> str:
    """Return the words of a mention and of what was read about it, which is in no order."""
    given = entity.attributes
    return " ; ".join([entity.text, *(str(given[name]) for name in ATTRIBUTES if given.get(name))])


def _clause(text: str, entity: Entity, bounds: tuple[int, int]) -> tuple[int, int]:
    """Return where the clause of a mention begins and ends, up to its neighbours."""
    begin = max(entity.sentence[0], bounds[0], entity.start - _REACH)
    end = min(entity.sentence[1], bounds[1], entity.end + _REACH)
    for found in _BREAK.finditer(text, begin, entity.start):
        begin = found.end()
    stop = _BREAK.search(text, entity.end, end)
    return begin, stop.start() if stop else max(begin, end)


def _beside(text: str, clause: tuple[int, int], pattern: re.Pattern[str]) -> Sign | None:
    """Return what is said in a clause and not denied there."""
    for match in pattern.finditer(text, *clause):
        if not _NOT.search(text[clause[0] : match.start()]):
            return Sign(match.group(), match.span())
    return None


@dataclass(frozen=True, slots=True)
class _OfCategory:
    """What finds the values of a category: any of them, any that may stand near, and each."""

    any: re.Pattern[str]
    near: re.Pattern[str] | None
    each: tuple[tuple[Key, re.Pattern[str], bool], ...]


@cache
def _of_category(category: str) -> _OfCategory:
    known = [value for value in values() if value.said and value.holds_in(category)]
    near = tuple(phrase for value in known if value.is_near for phrase in value.said)
    return _OfCategory(
        any=words_pattern(tuple(phrase for value in known for phrase in value.said)),
        near=words_pattern(near) if near else None,
        each=tuple(((value.axis, value.name), words_pattern(value.said), value.is_near) for value in known),
    )


@cache
def words_pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds any of some phrases as whole words, in any case, the longest first; "w/" is with."""
    ordered = sorted(phrases, key=len, reverse=True)
    joined = "|".join(r"\s+".join(map(_word_pattern, phrase.split())) for phrase in ordered)
    return re.compile(rf"(?<![\w-])(?:{joined})(?![\w-])", re.IGNORECASE)


def _word_pattern(word: str) -> str:
    return _SHORT_FORMS.get(word) or re.escape(word)


def words_of(text: str) -> frozenset[str]:
    """Return the normalised words of a text."""
    return frozenset(normalise(text).split())

"""What a loader hands to the store: a release with its concepts, names, maps and measures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

NameKind = Literal["preferred", "synonym", "brand"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """One name of a concept."""

    text: str
    kind: NameKind
    mention: bool  # the dictionary looks for it in notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """One concept of a code system, with its names."""

    code: str
    display: str
    type: str  # an EntityType, or "" when it is never an entity of a note
    names: tuple[Name, ...]
    codable: bool = True  # False: a header or retired, never a final coding
    chronic: bool = False
    parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRow:
    """One statement that two codes of different systems mean the same, for coding."""

    source_system: str
    source_code: str
    target_system: str
    target_code: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A unit (UCUM) in which a LOINC test is reported, with the range of plausible values."""

    code: str
    unit: str
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release of a code system, ready to be stored."""

    system: str
    version: str
    title: str
    source: str
    sha256: str
    concepts: Iterable[Concept]
    maps: tuple[MapRow, ...] = ()
    measures: tuple[Measure, ...] = ()
    ingredients: tuple[tuple[str, str], ...] = field(default=())  # (combination, ingredient)

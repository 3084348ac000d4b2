"""What a loader makes of a publisher's files: releases, and the facts that they state.

Facts may come in any order: the writer stores them as they come and brings them together at the end, so that
no loader has to hold a release in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

NameKind = Literal["preferred", "synonym", "brand", "index"]
"""`index` is an entry of an alphabetic index: it leads to a code, but is not how the concept is called."""

Status = Literal["active", "header", "retired"]
"""Only an active concept may become a final coding. A header is a category above the billable codes."""

Relationship = Literal[
    "equivalent",
    "wider",
    "narrower",
    "inexact",
    "relatedto",
    "unmatched",
    "replaced-by",
    "tradename-of",
    "has-ingredient",
]
"""How the target stands to the source: ConceptMapEquivalence of FHIR R4 (`wider`: the target means more than the
source), and three that hold within one code system. `replaced-by`: the source is retired."""

ReleaseKind = Literal["complete", "supplement", "map"]
"""A complete release says which codes there are. A supplement adds names, types and properties to codes of whatever
complete release of its system is active; a map relates codes."""


class Concept(NamedTuple):
    """A code of the release's code system. In a supplement, an empty display or type leaves that of the release."""

    code: str
    display: str
    type: str  # an EntityType, or "" when it is never an entity of a note
    status: Status = "active"
    chronic: bool = False  # stays active when listed in the past medical history


class Name(NamedTuple):
    """One name of a concept. The display is stated as a name, too, where it is one."""

    code: str
    text: str
    kind: NameKind
    mention: bool  # the dictionary looks for it in notes


class Broader(NamedTuple):
    """One step up the hierarchy."""

    code: str
    parent: str


class Property(NamedTuple):
    """A property of a concept as `$lookup` gives it, under the publisher's own name ("COMPONENT", "ADD_DT")."""

    code: str
    name: str
    value: str


class MapRow(NamedTuple):
    """A statement that leads from one code to another, under a rule where there is one.

    `group`, `priority`, `rule` and `advice` are those of the SNOMED CT extended map (RF2 reference set 609331003): of
    each group the first row by priority applies whose rule is true. An empty target says that there is none.
    """

    source_system: str
    source_code: str
    target_system: str
    target_code: str
    relationship: Relationship
    origin: str  # who says so
    group: int = 1
    priority: int = 1
    rule: str = ""
    advice: str = ""
    derived: bool = False  # concluded by us (or through shared identifiers), not stated by the origin


class Measure(NamedTuple):
    """A unit (UCUM) in which a LOINC test is reported, with the range of plausible values."""

    code: str
    unit: str
    low: float | None
    high: float | None


class Drug(NamedTuple):
    """A clinical drug of RxNorm: ingredients, strengths and dose form under one code.

    `ingredients` are RXCUIs in numerical order and `strengths` the strengths in the same order, joined by "/":
    ("5487/17767", "12.5 mg/5 mg"). `form` is the dose form in lower case ("oral tablet"), `brand` the RXCUI of the
    brand or "".
    """

    code: str
    ingredients: str
    strengths: str
    form: str
    brand: str = ""


Fact: TypeAlias = Concept | Name | Broader | Property | MapRow | Measure | Drug


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The head of a release: what it is called and of what kind it is."""

    system: str  # URI; of a map, the system of its sources
    version: str  # as it goes into Coding.version
    title: str
    kind: ReleaseKind = "complete"


@dataclass(frozen=True, kw_only=True)
class Import:
    """What a loader hands to the importer.

    `facts` are pairs of the index of a release in `releases` and a fact of it, made while they are read; so is
    `skipped`, which counts by reason what was left out on purpose.
    """

    releases: tuple[Release, ...]
    facts: Iterable[tuple[int, Fact]]
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user says where the files do not: the version, and the code system's URI."""

    version: str | None = None
    system: str | None = None

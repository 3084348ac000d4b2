"""READ FIRST in this folder. The concepts, names and maps of all active releases together.

Of each code system one complete release says which codes there are; it is the base. Other releases of the system -
supplements, and the starter tables once a full release is imported - add names, types and chronicity to its codes, and
nothing to codes that it does not have. Maps add up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fhir_coder.terminology.keys import MentionIndex, key_number, prefix_numbers
from fhir_coder.terminology.map_rules import Choice, PatientContext, chosen
from fhir_coder.terminology.name_table import signed
from fhir_coder.terminology.normalise import bag
from fhir_coder.terminology.release import Drug, MapRow, Measure, NameKind, Relationship, Status
from fhir_coder.terminology.stored_release import NameRow, StoredRelease

_CACHED = 1 << 16
STARTER = "starter"  # the origin of maps that give way to a publisher's
COMBINATION = "ingredients:"  # how the key of a combination begins that has no code, and must not be taken for one
ANYONE = PatientContext()  # a patient of whom nothing is known
_ONE_WAY = frozenset({"unmatched", "replaced-by", "tradename-of", "has-ingredient"})  # tell nothing backwards
_INVERSE: dict[Relationship, Relationship] = {"wider": "narrower", "narrower": "wider"}


@dataclass(frozen=True, slots=True)
class StoredConcept:
    """A concept of the base release of its code system."""

    system: str
    version: str
    code: str
    display: str
    type: str
    status: Status
    chronic: bool

    @property
    def codable(self) -> bool:
        """Whether it may be a final coding."""
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class StoredName:
    """A name of a stored concept. `kind` tells preferred names, synonyms, brands and index terms apart."""

    text: str
    kind: NameKind
    concept: StoredConcept
    everyday: bool = False  # the starter table of a system whose full release is imported says so


class ConceptStore:
    """The active releases, read-only, in the order of precedence: of two complete ones the first is the base.

    Answers are kept in memory; a store may be shared between threads.
    """

    def __init__(self, releases: Sequence[StoredRelease]) -> None:
        self.releases = tuple(releases)
        self._of_system: dict[str, list[StoredRelease]] = defaultdict(list)
        for release in sorted(releases, key=lambda item: item.head.kind != "complete"):
            if release.head.kind != "map":
                self._of_system[release.head.system].append(release)
        for system, layers in list(self._of_system.items()):
            if layers[0].head.kind != "complete":  # nothing says which codes there are: none may be emitted
                del self._of_system[system]
        # One cache per store, so that a store that is dropped takes its answers with it.
        self.names = lru_cache(_CACHED)(self._names)
        self.names_by_bag = lru_cache(_CACHED)(self._names_by_bag)
        self.concept = lru_cache(_CACHED)(self._concept)
        self.children = lru_cache(_CACHED)(self._children)
        self.map_rows = lru_cache(_CACHED)(self._map_rows)
        self.measures = lru_cache(_CACHED)(self._measures)
        self.properties = lru_cache(_CACHED)(self._properties)

    def close(self) -> None:
        """Close the files."""
        for release in self.releases:
            release.close()

    @property
    def systems(self) -> tuple[str, ...]:
        """The code systems that are loaded."""
        return tuple(self._of_system)

    def base(self, system: str) -> StoredRelease | None:
        """Return the release that says which codes a system has, or None when the system is not loaded."""
        layers = self._of_system.get(system)
        return layers[0] if layers else None

    def layers(self, system: str) -> tuple[StoredRelease, ...]:
        """Return the releases that name the codes of a system, the base first."""
        return tuple(self._of_system.get(system, ()))

    def mention_index(self, more: Iterable[str] = ()) -> MentionIndex:
        """Return what finds the names, and `more` normal forms, in the words of a note."""
        parts = [release.mentions() for layers in self._of_system.values() for release in layers]
        added = [prefix_numbers(key.split()) for key in more]
        prefixes = np.array([number for numbers in added for number in numbers], dtype=np.uint64)
        complete = np.array([numbers[-1] for numbers in added], dtype=np.uint64)
        return MentionIndex(
            np.concatenate([prefixes, *(part[0] for part in parts)]),
            np.concatenate([complete, *(part[1] for part in parts)]),
        )

    def may_be_names(self, keys: Sequence[str]) -> list[bool]:
        """Tell of normal forms whether there may be names for them, in any word order: cheaper than to look at each."""
        if not keys:
            return []
        forms, bags = signed(map(key_number, keys)), signed(key_number(bag(key)) for key in keys)
        found = np.zeros(len(keys), dtype=np.bool_)
        for layers in self._of_system.values():
            for release in layers:
                found |= release.table.may_have(forms, bags)
        known: list[bool] = found.tolist()
        return known

    def _names(self, key: str) -> tuple[StoredName, ...]:
        """Return the names with this normal form."""
        return self._everywhere(lambda release: release.names(key))

    def _names_by_bag(self, words: str) -> tuple[StoredName, ...]:
        """Return the names with these content words, in any order."""
        return self._everywhere(lambda release: release.names_by_bag(words))

    def _everywhere(self, rows: Callable[[StoredRelease], Sequence[NameRow]]) -> tuple[StoredName, ...]:
        return tuple(
            name
            for layers in self._of_system.values()
            for release in layers
            for name in self._known(release, rows(release))
        )

    def names_of(self, concept: StoredConcept) -> tuple[StoredName, ...]:
        """Return all names of a concept, those of the base first."""
        return tuple(
            name
            for release in self.layers(concept.system)
            for name in self._known(release, release.names_of(concept.code))
        )

    def name(self, release: StoredRelease, row: int) -> StoredName | None:
        """Return the name in a row of a release, or None when its code is not in the base."""
        return next(self._known(release, [release.name(row)]), None)

    def _known(self, release: StoredRelease, rows: Sequence[NameRow]) -> Iterator[StoredName]:
        everyday = release.head.kind == "complete" and release is not self.base(release.head.system)
        for row in rows:
            concept = self.concept(release.head.system, row.code)
            if concept is not None:
                yield StoredName(row.text, row.kind, concept, everyday)

    def _concept(self, system: str, code: str) -> StoredConcept | None:
        """Return the concept with this code, or None: then the code must not be emitted."""
        layers = self._of_system.get(system, [])
        found = layers[0].concept(code) if layers else None
        if found is None:
            return None
        added = [row for release in layers[1:] if (row := release.concept(code)) is not None]
        return StoredConcept(
            system=system,
            version=layers[0].head.version,
            code=code,
            display=found.display,
            # What the tables of this project say of a code is meant for notes: it goes before the publisher's.
            type=next((row.type for row in added if row.type), found.type),
            status=found.status,
            chronic=bool(found.chronic or any(row.chronic for row in added)),
        )

    def _children(self, concept: StoredConcept) -> tuple[StoredConcept, ...]:
        """Return the concepts right below a concept, by code."""
        base = self.base(concept.system)
        codes = base.children(concept.code) if base else []
        found = (self.concept(concept.system, code) for code in codes)
        return tuple(child for child in found if child is not None)

    def parents(self, concept: StoredConcept) -> tuple[StoredConcept, ...]:
        """Return the concepts right above a concept, by code."""
        base = self.base(concept.system)
        codes = base.parents(concept.code) if base else []
        found = (self.concept(concept.system, code) for code in codes)
        return tuple(parent for parent in found if parent is not None)

    def _properties(self, concept: StoredConcept) -> tuple[tuple[str, str], ...]:
        """Return the properties of a concept as (name, value)."""
        return tuple(
            property_ for release in self.layers(concept.system) for property_ in release.properties(concept.code)
        )

    def _map_rows(self, system: str, code: str, target: str) -> tuple[MapRow, ...]:
        """Return the statements that lead from a code to a system, by group and priority.

        A publisher's go before the starter tables', and both before statements read against their direction, which
        are marked as derived.
        """
        forward = [
            row for release in self.releases for row in release.maps_from(system, code) if row.target_system == target
        ]
        stated = [row for row in forward if row.origin != STARTER]
        if stated or forward:
            return tuple(stated or forward)
        return tuple(row for row in self.inverse_rows(system, code, target) if row.relationship not in _ONE_WAY)

    def inverse_rows(self, system: str, code: str, source: str) -> tuple[MapRow, ...]:
        """Return the statements that lead to a code from a system, read against their direction."""
        return tuple(
            _inverted(row)
            for release in self.releases
            for row in release.maps_to(system, code)
            if row.source_system == source
        )

    def mapped(
        self, system: str, code: str, target: str, patient: PatientContext = ANYONE
    ) -> tuple[tuple[StoredConcept, MapRow], ...]:
        """Return the concepts that the maps give for a code and this patient, each with the row that says so."""
        rows = self.map_rows(system, code, target)
        # Rows without a rule all hold; of those with rules, one in each group.
        holding = [row for row in rows if not row.rule]
        holding += [choice.row for choice in self.choices(system, code, target, patient) if choice.row is not None]
        found = ((self.concept(target, row.target_code), row) for row in holding)
        return tuple((concept, row) for concept, row in found if concept is not None)

    def choices(self, system: str, code: str, target: str, patient: PatientContext) -> list[Choice]:
        """Return what the rules of the maps say for a code and this patient, group by group, and why."""
        return chosen([row for row in self.map_rows(system, code, target) if row.rule], patient)

    def replacement(self, concept: StoredConcept) -> StoredConcept | None:
        """Return the active concept that a retired one was replaced by, if exactly one is stated."""
        rows = self.map_rows(concept.system, concept.code, concept.system)
        codes = {row.target_code for row in rows if row.relationship == "replaced-by"}
        found = self.concept(concept.system, codes.pop()) if len(codes) == 1 else None
        return found if found is not None and found.codable else None

    def _measures(self, code: str) -> tuple[Measure, ...]:
        """Return the units in which a LOINC test is reported; those with plausible values go first."""
        found = [measure for release in self.releases for measure in release.measures(code)]
        return tuple(sorted(found, key=lambda measure: measure.low is None))

    def drugs(self, system: str, ingredients: str) -> tuple[Drug, ...]:
        """Return the clinical drugs with exactly these ingredients ("5487/17767")."""
        base = self.base(system)
        return tuple(base.drugs(ingredients)) if base else ()


def _inverted(row: MapRow) -> MapRow:
    return row._replace(
        source_system=row.target_system,
        source_code=row.target_code,
        target_system=row.source_system,
        target_code=row.source_code,
        relationship=_INVERSE.get(row.relationship, row.relationship),
        origin=f"{row.origin} (inverse)",
        group=1,
        priority=1,
        rule="",
        advice="",
        derived=True,
    )

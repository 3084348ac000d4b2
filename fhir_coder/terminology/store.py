"""Read the concept store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.release import Measure, NameKind

_CACHED = 1 << 16


@dataclass(frozen=True, slots=True)
class StoredConcept:
    """A concept of a release in the store."""

    id: int
    system: str
    version: str
    code: str
    display: str
    type: str
    codable: bool
    chronic: bool
    parent: str


@dataclass(frozen=True, slots=True)
class StoredName:
    """A name of a stored concept. `kind` tells preferred names, synonyms and brands apart."""

    text: str
    kind: NameKind
    concept: StoredConcept


class NameRow(NamedTuple):
    """A name as the indexes of similar names read it."""

    row: int
    system: str
    code: str
    codable: bool
    text: str
    key: str
    bag: str
    kind: NameKind


_CONCEPT = (
    "concept.id, release.system, release.version, concept.code, concept.display, concept.type, concept.codable, "
    "concept.chronic, concept.parent"
)
_NAMES = (
    f"SELECT name.text, name.kind, {_CONCEPT} FROM name "
    "JOIN concept ON concept.id = name.concept JOIN release ON release.id = concept.release "
)


class ConceptStore:
    """The releases, concepts, names and maps of one store file, read-only.

    Answers are kept in memory; a store may be shared between threads.
    Raises `TerminologyError` when the file is not a concept store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            self._rows("SELECT count(*) FROM release")
        except sqlite3.Error as error:
            raise TerminologyError(f"{path} is not a concept store ({error}): delete it, it is built again") from error
        # One cache per store, so that a store that is dropped takes its answers with it.
        self.names = lru_cache(_CACHED)(self._names)
        self.names_by_bag = lru_cache(_CACHED)(self._names_by_bag)
        self.concept = lru_cache(_CACHED)(self._concept)
        self.children = lru_cache(_CACHED)(self._children)
        self.mapped = lru_cache(_CACHED)(self._mapped)
        self.measures = lru_cache(_CACHED)(self._measures)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()

    def releases(self) -> list[dict[str, Any]]:
        """Return what is loaded: system, version, title, source, sha256, number of concepts and names."""
        columns = ("system", "version", "title", "source", "sha256", "concepts", "names")
        rows = self._rows(
            "SELECT system, version, title, source, sha256, count(DISTINCT concept.id), count(name.concept) "
            "FROM release JOIN concept ON concept.release = release.id LEFT JOIN name ON name.concept = concept.id "
            "GROUP BY release.id ORDER BY release.id"
        )
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def mention_keys(self) -> list[str]:
        """Return the normal forms of all names that the dictionary looks for."""
        return [key for (key,) in self._rows("SELECT DISTINCT key FROM name WHERE mention = 1")]

    def all_names(self) -> Iterator[NameRow]:
        """Yield every name, in the store's order."""
        rows = self._connection.execute(
            "SELECT name.rowid, release.system, concept.code, concept.codable, name.text, name.key, name.bag, "
            "name.kind FROM name "
            "JOIN concept ON concept.id = name.concept JOIN release ON release.id = concept.release ORDER BY name.rowid"
        )
        yield from (NameRow(*row) for row in rows)

    def name(self, row: int) -> StoredName:
        """Return the name in the given row, as `all_names` numbers them."""
        return _name(self._rows(f"{_NAMES} WHERE name.rowid = ?", row)[0])

    def _names(self, key: str) -> tuple[StoredName, ...]:
        """Return the names with this normal form."""
        return tuple(_name(row) for row in self._rows(f"{_NAMES} WHERE name.key = ?", key))

    def _names_by_bag(self, bag: str) -> tuple[StoredName, ...]:
        """Return the names with these content words, in any order."""
        return tuple(_name(row) for row in self._rows(f"{_NAMES} WHERE name.bag = ?", bag))

    def _concept(self, system: str, code: str) -> StoredConcept | None:
        """Return the concept with this code, or None: then the code must not be emitted."""
        rows = self._rows(
            f"SELECT {_CONCEPT} FROM concept JOIN release ON release.id = concept.release "
            "WHERE release.system = ? AND concept.code = ?",
            system,
            code,
        )
        return _concept(rows[0]) if rows else None

    def _children(self, concept: StoredConcept) -> tuple[StoredConcept, ...]:
        """Return the concepts right below a concept, by code."""
        rows = self._rows(
            f"SELECT {_CONCEPT} FROM concept JOIN release ON release.id = concept.release "
            "WHERE release.system = ? AND concept.parent = ? ORDER BY concept.code",
            concept.system,
            concept.code,
        )
        return tuple(_concept(row) for row in rows)

    def _mapped(self, system: str, code: str, target: str) -> tuple[tuple[StoredConcept, str], ...]:
        """Return the concepts of the target system that a map gives for a code, with the map's origin.

        A map read against its direction is derived, and its origin says so.
        """
        forward = self._rows(
            "SELECT target_code, origin FROM map WHERE source_system = ? AND source_code = ? AND target_system = ?",
            system,
            code,
            target,
        )
        backward = self._rows(
            "SELECT source_code, origin || ' (inverse)' FROM map "
            "WHERE target_system = ? AND target_code = ? AND source_system = ?",
            system,
            code,
            target,
        )
        found = ((self.concept(target, mapped), origin) for mapped, origin in forward or backward)
        return tuple((concept, origin) for concept, origin in found if concept is not None)

    def _measures(self, code: str) -> tuple[Measure, ...]:
        """Return the units in which a LOINC test is reported."""
        rows = self._rows("SELECT code, unit, low, high FROM measure WHERE code = ?", code)
        return tuple(Measure(code=code, unit=unit, low=low, high=high) for code, unit, low, high in rows)


def _name(row: tuple[Any, ...]) -> StoredName:
    return StoredName(row[0], row[1], _concept(row[2:]))


def _concept(row: tuple[Any, ...]) -> StoredConcept:
    id_, system, version, code, display, type_, codable, chronic, parent = row
    return StoredConcept(id_, system, version, code, display, type_, bool(codable), bool(chronic), parent)

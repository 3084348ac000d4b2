"""Read the file of one release. Which releases count, and how they add up, is for store.py to say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.keys import Numbers
from fhir_coder.terminology.name_table import ConceptRow, NameTable
from fhir_coder.terminology.release import (
    Broader,
    Concept,
    Drug,
    Fact,
    MapRow,
    Measure,
    Name,
    NameKind,
    Property,
    Release,
    Status,
)
from fhir_coder.terminology.writer import DATABASE, MENTIONS, SCHEMA

_MAPPED_BYTES = 1 << 32  # of the file, read through the page cache


class NameRow(NamedTuple):
    """A name of the release: its row, counted from 1, and the code that it names with its status in this release."""

    row: int
    code: str
    text: str
    kind: NameKind
    status: Status


class StoredRelease:
    """One release, read-only. It may be shared between threads.

    Raises `TerminologyError` when the folder holds no release, or one of another schema.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / DATABASE
        try:
            self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            self._connection.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
            (schema,) = self._rows("PRAGMA user_version")[0]
            system, version, title, kind = self._rows("SELECT system, version, title, kind FROM release")[0]
        except (sqlite3.Error, IndexError) as error:
            raise TerminologyError(
                f"{path} is no release of a code system ({error}): remove it and import it again"
            ) from error
        if schema != SCHEMA:
            raise TerminologyError(
                f"{title} was imported by another version of fhir-coder: remove it and import it again"
            )
        self.head = Release(system=system, version=version, title=title, kind=kind)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()

    def mentions(self) -> tuple[Numbers, Numbers]:
        """Return the numbers of the beginnings of the names that are looked for in notes, and of these names."""
        with np.load(self.folder / MENTIONS) as saved:
            return saved["prefixes"], saved["complete"]

    @cached_property
    def table(self) -> NameTable:
        """The names and concepts as they are looked up."""
        try:
            return NameTable(self.folder)
        except (OSError, ValueError) as error:
            raise TerminologyError(
                f"{self.folder} holds no complete release ({error}): remove it and import it again"
            ) from error

    def concept(self, code: str) -> ConceptRow | None:
        """Return the concept with this code, or None."""
        number = self.table.find_concept(code)
        return None if number is None else self.table.concept(number)

    def names(self, key: str) -> list[NameRow]:
        """Return the names with this normal form."""
        return [self._name(number) for number in self.table.with_form(key)]

    def names_by_bag(self, words: str) -> list[NameRow]:
        """Return the names with these content words, in any order."""
        return [self._name(number) for number in self.table.with_bag(words)]

    def names_of(self, code: str) -> list[NameRow]:
        """Return the names of a concept, the preferred one first."""
        concept = self.table.find_concept(code)
        return [] if concept is None else [self._name(number) for number in self.table.names_of(concept)]

    def name(self, row: int) -> NameRow:
        """Return the name in a row."""
        return self._name(row - 1)

    def form(self, row: int) -> str:
        """Return the normal form of the name in a row."""
        return self.table.forms[row - 1]

    def last_row(self) -> int:
        """Return the last row with a name; they are counted from 1. 0: there are none."""
        return len(self.table)

    def all_names(self) -> Iterator[NameRow]:
        """Yield every name, by row."""
        return map(self._name, range(len(self.table)))

    def all_forms(self) -> Iterator[str]:
        """Yield the normal form of every name, by row."""
        return map(self.table.forms.__getitem__, range(len(self.table)))

    def _name(self, number: int) -> NameRow:
        table = self.table
        concept = table.concept_of(number)
        return NameRow(number + 1, table.codes[concept], table.texts[number], table.kind(number), table.status(concept))

    def codes_containing(self, match: str, most_names: int) -> list[tuple[str, Status, int]] | None:
        """Return each code with a name that an FTS5 expression matches: its status, and the length of the shortest.

        None when more than `most_names` names match.
        """
        rows = self._rows(
            "SELECT concept.code, concept.status, min(length(name.text)), count(*) "
            "FROM name JOIN concept ON concept.id = name.concept "
            "WHERE name.id IN (SELECT rowid FROM words WHERE words MATCH ? LIMIT ?) GROUP BY concept.id",
            match,
            most_names + 1,
        )
        if sum(names for *_, names in rows) > most_names:
            return None
        return [(code, status, length) for code, status, length, _ in rows]

    def codes(self, most: int) -> list[tuple[str, Status]] | None:
        """Return all codes, in order, with their status; None when there are more than `most`."""
        rows = self._rows("SELECT code, status FROM concept ORDER BY code LIMIT ?", most + 1)
        return [(code, status) for code, status in rows] if len(rows) <= most else None

    def parents(self, code: str) -> list[str]:
        """Return the codes right above a code."""
        return [parent for (parent,) in self._rows("SELECT parent FROM broader WHERE code = ? ORDER BY parent", code)]

    def children(self, code: str) -> list[str]:
        """Return the codes right below a code, in order."""
        return [child for (child,) in self._rows("SELECT code FROM broader WHERE parent = ? ORDER BY code", code)]

    def properties(self, code: str) -> list[tuple[str, str]]:
        """Return the properties of a concept as (name, value)."""
        return [(name, value) for name, value in self._rows("SELECT name, value FROM property WHERE code = ?", code)]

    def maps_from(self, system: str, code: str) -> list[MapRow]:
        """Return the map rows whose source is the code, by group and priority."""
        return self._maps("source_code = ? AND source_system = ?", code, system)

    def maps_to(self, system: str, code: str) -> list[MapRow]:
        """Return the map rows whose target is the code, by group and priority."""
        return self._maps("target_code = ? AND target_system = ?", code, system)

    def _maps(self, condition: str, *values: str) -> list[MapRow]:
        rows = self._rows(f'SELECT * FROM map WHERE {condition} ORDER BY "group", priority, rowid', *values)
        return [MapRow(*row) for row in rows]

    def measures(self, code: str) -> list[Measure]:
        """Return the units in which a test is reported, the most usual one first."""
        return [Measure(*row) for row in self._rows("SELECT code, unit, low, high FROM measure WHERE code = ?", code)]

    def drugs(self, ingredients: str) -> list[Drug]:
        """Return the clinical drugs with exactly these ingredients ("5487/17767")."""
        return [Drug(*row) for row in self._rows("SELECT * FROM drug WHERE ingredients = ? ORDER BY code", ingredients)]

    def facts(self) -> Iterator[Fact]:
        """Yield all that the release states, to store it anew."""
        yield from map(
            Concept._make, self._connection.execute("SELECT code, display, type, status, chronic FROM concept")
        )
        names = (
            "SELECT concept.code, text, kind, mention FROM name JOIN concept ON concept.id = concept ORDER BY name.id"
        )
        yield from map(Name._make, self._connection.execute(names))
        for kind, table in (
            (Broader, "broader"),
            (Property, "property"),
            (MapRow, "map"),
            (Measure, "measure"),
            (Drug, "drug"),
        ):
            yield from map(kind._make, self._connection.execute(f"SELECT * FROM {table}"))

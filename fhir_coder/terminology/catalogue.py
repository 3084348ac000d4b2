"""Which releases the user has imported, and which of them are active.

    <root>/catalogue.json                 what is imported and active; replaced in one step, so it is the transaction
    <root>/imported/<id>/                 one folder per release: see writer.py
    <root>/imported/<id>/manifest.json    what it was read from

A folder that the catalogue does not name is what an interrupted import left behind.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from fhir_coder.errors import TerminologyError
from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.terminology.release import Release, ReleaseKind

CATALOGUE = "catalogue.json"
IMPORTED = "imported"
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is known of a stored release: its head, where it came from, and what was found in it."""

    id: str  # the name of its folder
    system: str
    version: str
    title: str
    kind: ReleaseKind
    format: str  # NAME of the loader
    imported: str  # UTC, ISO 8601
    code: str  # digest of the code that made the numbers of its names; another one makes them anew
    sources: Mapping[str, str]  # file -> SHA-256
    counts: Mapping[str, int]  # concepts, names, maps, ...
    skipped: Mapping[str, int] = field(default_factory=dict)  # reason -> how many

    @property
    def place(self) -> tuple[str, ...]:
        """What only one active release can take: to be the complete one of its system, or this very supplement."""
        return (self.system,) if self.kind == "complete" else (self.system, self.kind, self.format, self.title)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a stored release. Raises `TerminologyError` when there is none."""
    try:
        return Manifest(**orjson.loads((folder / MANIFEST).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise TerminologyError(f"{folder} holds no release ({error}): remove the folder and import again") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a release into its folder."""
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))


def release_id(release: Release, format_: str) -> str:
    """Return the id of a release: "snomed-731000124108-20260301", "mondo-2026-08-04-map-sssom"."""
    short = {uri: name for name, uri in CODE_SYSTEMS.items()}.get(release.system)
    system = short or _plain(release.system.rstrip("/").rpartition("/")[2].removesuffix(".owl"))
    version = _plain(release.version.removeprefix(release.system).replace("/version/", "-"))
    kind = "" if release.kind == "complete" else f"{release.kind}-{format_}"
    return "-".join(part for part in (system, version, kind) if part)


def _plain(text: str) -> str:
    kept = "".join(character if character.isalnum() or character in "._" else "-" for character in text)
    return kept.strip("-.")[:60]


class Catalogue:
    """The imported releases below a root folder. Read anew each time: another process may have changed it.

    Raises `TerminologyError` when the catalogue cannot be read or written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, id_: str) -> Path:
        """Return the folder of an imported release."""
        return self._root / IMPORTED / id_

    def entries(self) -> dict[str, bool]:
        """Return the ids of the imported releases, in the order of import, and whether each is active."""
        path = self._root / CATALOGUE
        if not path.exists():
            return {}
        try:
            entries: dict[str, bool] = orjson.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise TerminologyError(f"{path} cannot be read ({error})") from error
        return entries

    def manifests(self) -> list[tuple[Manifest, bool]]:
        """Return the manifest of each imported release, and whether it is active."""
        return [(read_manifest(self.folder(id_)), active) for id_, active in self.entries().items()]

    def add(self, manifests: Sequence[Manifest], *, activate: bool) -> None:
        """Make releases known whose folders are in place, all at once; with `activate` they take their places."""
        entries = self.entries() | {manifest.id: False for manifest in manifests}
        self._write(self._activated(entries, manifests) if activate else entries)

    def activate(self, manifest: Manifest) -> None:
        """Make a release the active one of its place."""
        self._write(self._activated(self.entries(), [manifest]))

    def _activated(self, entries: dict[str, bool], manifests: Sequence[Manifest]) -> dict[str, bool]:
        taken = {manifest.place for manifest in manifests}
        kept = {id_: active and read_manifest(self.folder(id_)).place not in taken for id_, active in entries.items()}
        return kept | {manifest.id: True for manifest in manifests}

    def remove(self, id_: str) -> None:
        """Forget a release; its folder is the caller's to delete."""
        self._write({other: active for other, active in self.entries().items() if other != id_})

    def _write(self, entries: Mapping[str, Any]) -> None:
        path = self._root / CATALOGUE
        unfinished = path.with_suffix(".unfinished")
        try:
            with unfinished.open("wb") as stream:
                stream.write(orjson.dumps(entries, option=orjson.OPT_INDENT_2))
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(path)
        except OSError as error:
            raise TerminologyError(f"{path} cannot be written ({error.strerror})") from error

"""Import, activate and remove releases: what `fhir-coder terminology` does beside preparing.

An import is one transaction: its releases are stored beside the others under a name that nobody reads, and the
catalogue, replaced in one step, makes them known.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from rich.progress import Progress, TaskID

from fhir_coder.errors import TerminologyError
from fhir_coder.prepare import (
    build_vectors,
    code_digest,
    manifest_of,
    prepare,
    progress_bar,
    store_and_index,
    terminology_root,
)
from fhir_coder.settings import Settings
from fhir_coder.terminology.catalogue import IMPORTED, Catalogue, Manifest, release_id, write_manifest
from fhir_coder.terminology.embedded import EMBEDDED
from fhir_coder.terminology.formats import loader_of
from fhir_coder.terminology.importer import put_in_place, unfinished
from fhir_coder.terminology.release import Import, Options
from fhir_coder.terminology.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import came to. `is_new` is False when the very same files had been imported before."""

    manifests: tuple[Manifest, ...]
    is_new: bool


def import_releases(
    settings: Settings, path: Path, *, format_: str | None, options: Options, activate: bool
) -> Imported:
    """Import the releases in a file, a folder or a zip, with progress bars.

    Raises `TerminologyError` when a file is at fault, a release of that version is there from other files, or the disk
    is full; then all is as it was.
    """
    with _changing(settings) as catalogue, progress_bar() as progress:
        source = Source(path, _reading(progress))
        try:
            loader = loader_of(source, format_)
            imported = loader.load(source, options)
            known = _known(catalogue, imported, loader.NAME, path)
            if known:
                return Imported(manifests=tuple(known), is_new=False)
            _require_bases(catalogue, imported)
            _sweep(catalogue)
            with unfinished(terminology_root(settings) / IMPORTED / "import") as work:
                manifests = _stored(imported, loader.NAME, source, work, catalogue, progress)
                catalogue.add(manifests, activate=activate)
            return Imported(manifests=tuple(manifests), is_new=True)
        finally:
            source.close()


def _stored(
    imported: Import, format_: str, source: Source, work: Path, catalogue: Catalogue, progress: Progress
) -> list[Manifest]:
    stored = store_and_index(imported, work, progress)
    digests = source.digests()
    manifests = [
        manifest_of(each, release_id(each.release, format_), format_, digests, imported.skipped, code_digest())
        for each in stored
    ]
    for each, manifest in zip(stored, manifests, strict=True):
        write_manifest(each.folder, manifest)
    folders = [catalogue.folder(manifest.id) for manifest in manifests]
    put_in_place([(each.folder, target) for each, target in zip(stored, folders, strict=True)])
    return manifests


def _known(catalogue: Catalogue, imported: Import, format_: str, path: Path) -> list[Manifest]:
    """Return the manifests of the releases that were imported before, if it was from these very files.

    Of some releases there may be none: nothing was found of them.
    """
    there = {manifest.id: manifest for manifest, _ in catalogue.manifests()}
    found = [there.get(release_id(release, format_)) for release in imported.releases]
    known = [manifest for manifest in found if manifest is not None]
    other = next((manifest for manifest in known if not _same_files(manifest, path)), None)
    if other is not None:
        raise TerminologyError(
            f"{path.name}: {other.id} is there already, from other files: "
            f"remove it first ('fhir-coder terminology remove {other.id}'), or give another --version"
        )
    return known


def _same_files(manifest: Manifest, path: Path) -> bool:
    if path.is_dir():
        files = [path / name for name in manifest.sources]
    else:
        files = [path] if path.name in manifest.sources else []
    found = {str(file.relative_to(path)) if path.is_dir() else file.name: file for file in files if file.is_file()}
    if found.keys() != manifest.sources.keys():
        return False
    digests = {name: next(iter(Source(file).digests().values())) for name, file in found.items()}
    return digests == dict(manifest.sources)


def _sweep(catalogue: Catalogue) -> None:
    """Delete what an import left behind that was killed."""
    known = catalogue.entries()
    place = catalogue.folder("any").parent
    for folder in place.iterdir() if place.exists() else ():
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)


def _require_bases(catalogue: Catalogue, imported: Import) -> None:
    """Refuse names for a code system of which nothing says which codes there are."""
    complete = {release.system for release in imported.releases if release.kind == "complete"}
    complete |= {embedded.system for embedded in EMBEDDED}
    complete |= {manifest.system for manifest, _ in catalogue.manifests() if manifest.kind == "complete"}
    for release in imported.releases:
        if release.kind == "supplement" and release.system not in complete:
            raise TerminologyError(f"{release.title}: import a complete release of {release.system} first")


def activate(settings: Settings, id_: str) -> Manifest:
    """Make an imported release the active one of its system. Raises `TerminologyError` when there is none such."""
    with _changing(settings) as catalogue:
        manifest = _manifest(catalogue, id_)
        catalogue.activate(manifest)
    return manifest


def remove(settings: Settings, id_: str) -> Manifest | None:
    """Delete an imported release and return the one that takes its place, if another was imported.

    Raises `TerminologyError` when there is none such.
    """
    with _changing(settings) as catalogue:
        manifest = _manifest(catalogue, id_)
        was_active = catalogue.entries()[id_]
        others = [other for other, _ in catalogue.manifests() if other.place == manifest.place and other.id != id_]
        catalogue.remove(id_)
        successor = others[-1] if was_active and others else None
        if successor:
            catalogue.activate(successor)
        shutil.rmtree(catalogue.folder(id_), ignore_errors=True)
    return successor


def _manifest(catalogue: Catalogue, id_: str) -> Manifest:
    manifests = {manifest.id: manifest for manifest, _ in catalogue.manifests()}
    if id_ not in manifests:
        there = ", ".join(manifests) or "none"
        raise TerminologyError(f"no release {id_!r} was imported; there are: {there}")
    return manifests[id_]


def make_vectors(settings: Settings) -> None:
    """Make the vectors of all active releases, or go on where an interruption left them, with progress bars."""
    places = prepare(settings)
    with _changing(settings), progress_bar() as progress:
        for place in places:
            build_vectors(place, settings, progress)


@contextmanager
def _changing(settings: Settings) -> Iterator[Catalogue]:
    """Keep other processes from changing the releases meanwhile."""
    try:
        terminology_root(settings).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TerminologyError(
            f"{settings.data_dir} cannot be written ({error.strerror}): set FHIR_CODER_DATA_DIR to a folder that can"
        ) from error
    with FileLock(settings.data_dir / "prepare.lock"):
        yield Catalogue(terminology_root(settings))


def _reading(progress: Progress) -> Callable[[str, int, int], None]:
    tasks: dict[str, TaskID] = {}

    def advance(name: str, count: int, size: int) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(f"Reading {name}", total=size)
        task = progress.tasks[tasks[name]]
        if task.completed + count > (task.total or 0):  # it is read a second time
            progress.update(task.id, total=(task.total or 0) + size)
        progress.advance(task.id, count)

    return advance

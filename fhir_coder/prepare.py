"""Make the terminology ready: what comes with the program is stored and indexed, what was imported is up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from filelock import FileLock
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fhir_coder.errors import TerminologyError
from fhir_coder.linking import dense, lexical, spelling
from fhir_coder.linking.encoder import Encoder, embedded_encoder, minilm_folder
from fhir_coder.linking.linker import Linker
from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.settings import Settings
from fhir_coder.tables import folder
from fhir_coder.terminology import keys, name_table, normalise, writer
from fhir_coder.terminology.catalogue import (
    MANIFEST,
    Catalogue,
    Manifest,
    read_manifest,
    write_manifest,
)
from fhir_coder.terminology.embedded import EMBEDDED, Embedded
from fhir_coder.terminology.importer import Stored, put_in_place, store, unfinished
from fhir_coder.terminology.release import Import
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

_EMBEDDED = "embedded"
_CODE = [Path(str(module.__file__)) for module in (normalise, keys, name_table, writer, lexical, spelling)]


def terminology_root(settings: Settings) -> Path:
    """Return the folder of all releases."""
    return settings.data_dir / "terminology"


def prepare(settings: Settings) -> list[Path]:
    """Return the folders of the active releases in order of precedence, and make what is missing.

    Idempotent and safe to interrupt: a step that was not finished is begun anew, vectors are gone on with.
    Two processes may call it at once.

    Raises `TerminologyError` when the folder cannot be written or a source is missing.
    """
    embedded = _needed(settings)
    imported = [manifest for manifest, active in Catalogue(terminology_root(settings)).manifests() if active]
    code = code_digest()
    if not _all_ready(embedded, imported, code, settings):
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(settings.data_dir / "prepare.lock"), progress_bar() as progress:
                for release, place in embedded:
                    if not (place / MANIFEST).exists():
                        _store_embedded(release, place, code, progress)
                    build_vectors(place, settings, progress)
                for manifest in imported:
                    if manifest.code != code:
                        _store_anew(Catalogue(terminology_root(settings)).folder(manifest.id), manifest, code, progress)
        except OSError as error:
            raise TerminologyError(
                f"{settings.data_dir} cannot be written ({error.strerror}): "
                "set FHIR_CODER_DATA_DIR to a folder that can"
            ) from error
    catalogue = Catalogue(terminology_root(settings))
    return [*(catalogue.folder(manifest.id) for manifest in imported), *(place for _, place in embedded)]


def active_releases(settings: Settings) -> list[tuple[str, Path, bool]]:
    """Return name and folder of each active release, and whether it is stored as this program needs it.

    Nothing is made. Raises `TerminologyError` when the catalogue cannot be read.
    """
    catalogue, code = Catalogue(terminology_root(settings)), code_digest()
    imported = [
        (manifest.id, catalogue.folder(manifest.id), manifest.code == code)
        for manifest, active in catalogue.manifests()
        if active
    ]
    return [*imported, *((release.id, place, (place / MANIFEST).exists()) for release, place in _needed(settings))]


def _needed(settings: Settings) -> list[tuple[Embedded, Path]]:
    """Return the embedded releases that count beside what is imported, and where each is stored.

    Another source or other code means another folder: a program of the last version may still run from the old one.
    """
    replaced = {
        manifest.system
        for manifest, active in Catalogue(terminology_root(settings)).manifests()
        if active and manifest.kind == "complete"
    }
    place = terminology_root(settings) / _EMBEDDED
    return [
        (release, place / f"{release.id}-{_embedded_digest(release)}")
        for release in EMBEDDED
        if release.adds_to_imported or release.system not in replaced
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A release that is there, and the part it plays."""

    manifest: Manifest
    role: str
    vectors: str
    bytes: int


def installed(settings: Settings) -> list[Installed]:
    """Return all releases, what comes with the program first."""
    prepare(settings)
    catalogue = Catalogue(terminology_root(settings))
    imported = catalogue.manifests()
    full = {manifest.system for manifest, active in imported if active and manifest.kind == "complete"}
    found = []
    for release, place in _needed(settings):
        role = "adds names to the imported release" if release.system in full else "active, comes with the program"
        found.append(_installed(read_manifest(place), place, role, settings))
    for manifest, active in imported:
        found.append(
            _installed(manifest, catalogue.folder(manifest.id), "active" if active else "not active", settings)
        )
    return found


def _installed(manifest: Manifest, place: Path, role: str, settings: Settings) -> Installed:
    if settings.encoder == "none":
        vectors = "none: the encoder is switched off"
    elif dense.has_vectors(place / vectors_folder(settings)):
        vectors = "complete"
    else:
        vectors = "none yet: run 'fhir-coder terminology vectors' to compare meanings, too"
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    return Installed(manifest=manifest, role=role, vectors=vectors, bytes=size)


def _embedded_digest(release: Embedded) -> str:
    digest = sha256(code_digest().encode())
    for value in release.digests().values():
        digest.update(value.encode())
    for path in release.made_by:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def code_digest() -> str:
    """Return a digest of what the numbers and the indexes of names are made by: another one makes them anew."""
    digest = sha256((folder("mappings") / "common_words.csv").read_bytes())
    for path in _CODE:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _all_ready(embedded: list[tuple[Embedded, Path]], imported: list[Manifest], code: str, settings: Settings) -> bool:
    return all(manifest.code == code for manifest in imported) and all(
        (place / MANIFEST).exists()
        and (settings.encoder == "none" or dense.has_vectors(place / vectors_folder(settings)))
        for _, place in embedded
    )


def _store_embedded(release: Embedded, place: Path, code: str, progress: Progress) -> None:
    with unfinished(place) as work:
        (stored,) = store_and_index(release.load(), work, progress)
        manifest = manifest_of(stored, release.id, "embedded", release.digests(), {}, code)
        write_manifest(stored.folder, manifest)
        put_in_place([(stored.folder, place)])


def _store_anew(place: Path, manifest: Manifest, code: str, progress: Progress) -> None:
    """Store an imported release anew from itself, after the code that makes its numbers has changed."""
    with unfinished(place) as work:
        old = StoredRelease(place)
        (stored,) = store_and_index(
            Import(releases=(old.head,), facts=((0, fact) for fact in old.facts())), work, progress
        )
        old.close()
        write_manifest(stored.folder, replace(manifest, code=code))
        put_in_place([(stored.folder, place)])


def store_and_index(imported: Import, work: Path, progress: Progress) -> list[Stored]:
    """Store the releases of an import below the folder `work`, with the indexes of their trigrams and words."""
    stored = store(imported, work, counting(progress, "Names: "))
    for each in stored:
        release = StoredRelease(each.folder)
        advance = counting(progress, "Trigrams: ")
        lexical.build(release, each.folder, lambda names: advance(each.release.title, names))  # noqa: B023
        words = counting(progress, "Words: ")
        spelling.build(release, each.folder, lambda names: words(each.release.title, names))  # noqa: B023
        release.close()
    return stored


def manifest_of(
    stored: Stored, id_: str, format_: str, sources: dict[str, str], skipped: Mapping[str, int], code: str
) -> Manifest:
    """Return the manifest of a release that was just stored."""
    head = stored.release
    return Manifest(
        id=id_,
        system=head.system,
        version=head.version,
        title=head.title,
        kind=head.kind,
        format=format_,
        imported=datetime.now(UTC).isoformat(timespec="seconds"),
        code=code,
        sources=sources,
        counts=stored.counts,
        skipped=dict(skipped),
    )


def encoder_folder(settings: Settings) -> Path | None:
    """Return the folder of the configured encoder's model, or None when there is to be none."""
    if settings.encoder == "none":
        return None
    known = {"embedded": embedded_encoder, "minilm": minilm_folder}.get(settings.encoder)
    return known() if known else Path(settings.encoder)


def vectors_folder(settings: Settings) -> str:
    """Return where, in the folder of a release, the vectors of the configured encoder are: each has its own."""
    model = f"{dense.FORMAT} {settings.encoder} {settings.encoder_pooling}"
    if settings.encoder == "embedded":  # another version of the program may come with another one
        model += (embedded_encoder() / "config.json").read_text(encoding="utf-8")
    return f"vectors-{sha256(model.encode()).hexdigest()[:8]}"


def open_linker(store: ConceptStore, settings: Settings, top: int) -> Linker:
    """Return what links over a store, `top` candidates each. Indexes and encoder are loaded when they are needed."""
    vectors = partial(open_dense, store, settings) if encoder_folder(settings) else None
    return Linker(store, lambda: lexical.LexicalIndex(store), vectors, top)


def open_dense(store: ConceptStore, settings: Settings) -> dense.DenseIndex | None:
    """Return the vectors of a store with their encoder, which is loaded; None when there is to be none."""
    model = encoder_folder(settings)
    if model is None:
        return None
    encoder = Encoder(model, settings.encoder_pooling, settings.encoder_instruction)
    return dense.DenseIndex(store, vectors_folder(settings), encoder)


def build_vectors(place: Path, settings: Settings, progress: Progress) -> None:
    """Make the vectors of a stored release, or go on where an interruption left them."""
    model = encoder_folder(settings)
    target = place / vectors_folder(settings)
    if model is None or dense.has_vectors(target):
        return
    release = StoredRelease(place)
    names = dense.encoded_names(release) if release.head.system in CODE_SYSTEMS.values() else {}
    advance = counting(progress, "Vectors: ", len(names))
    dense.build(names, target, Encoder(model, settings.encoder_pooling), lambda done: advance(release.head.title, done))
    release.close()


def counting(progress: Progress, what: str, total: int | None = None) -> Callable[[str, int], None]:
    """Return what advances a progress bar per title."""
    tasks: dict[str, TaskID] = {}

    def advance(title: str, count: int) -> None:
        if title not in tasks:
            tasks[title] = progress.add_task(f"{what}{title}", total=total)
        progress.advance(tasks[title], count)

    return advance


def progress_bar() -> Progress:
    """Return the progress bars of long work, on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )

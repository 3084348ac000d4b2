"""Prepare what the coder reads: the concept store and its indexes, built once, found again by fingerprint."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fhir_coder.errors import TerminologyError
from fhir_coder.linking import dense, lexical
from fhir_coder.linking.encoder import Encoder, embedded_folder
from fhir_coder.settings import Settings
from fhir_coder.terminology.build import build, fingerprint
from fhir_coder.terminology.store import ConceptStore

STORE = "concepts.sqlite"
_INDEX_SOURCES = (Path(lexical.__file__), Path(dense.__file__))
_COMPLETE = "complete"  # an empty file written last: a folder without it is not used


def prepare(settings: Settings) -> Path:
    """Return the folder of the concept store and its indexes, and build what is missing, with a progress bar.

    Idempotent and safe to interrupt: a step that was not finished is begun anew. Two processes may call it at once.

    Raises `TerminologyError` when the folder cannot be written or a source is missing.
    """
    folder = settings.data_dir / f"terminology-{fingerprint(*_INDEX_SOURCES)}"
    if _is_complete(folder) and _has_vectors(folder, settings):
        return folder
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(settings.data_dir / "prepare.lock"), _progress() as progress:
            if not _is_complete(folder):
                _build_store(folder, progress)
            if not _has_vectors(folder, settings):
                _build_vectors(folder, settings, progress)
    except OSError as error:
        raise TerminologyError(
            f"{settings.data_dir} cannot be written ({error.strerror}): set FHIR_CODER_DATA_DIR to a folder that can"
        ) from error
    return folder


def encoder_folder(settings: Settings) -> Path | None:
    """Return the folder of the configured encoder's model, or None when there is to be none."""
    if settings.encoder == "none":
        return None
    return embedded_folder() if settings.encoder == "minilm" else Path(settings.encoder)


def vectors_folder(folder: Path, settings: Settings) -> Path:
    """Return where the vectors of the configured encoder are: another encoder has vectors of its own."""
    key = sha256(f"{settings.encoder} {settings.encoder_pooling}".encode()).hexdigest()[:8]
    return folder / f"vectors-{key}"


def _is_complete(folder: Path) -> bool:
    return (folder / _COMPLETE).exists()


def _has_vectors(folder: Path, settings: Settings) -> bool:
    return settings.encoder == "none" or _is_complete(vectors_folder(folder, settings))


def _build_store(folder: Path, progress: Progress) -> None:
    with _replacing(folder) as unfinished:
        tasks = {}

        def advance(title: str, concepts: int) -> None:
            if title not in tasks:
                tasks[title] = progress.add_task(title, total=None)
            progress.advance(tasks[title], concepts)

        build(unfinished / STORE, advance)
        for task in tasks.values():
            progress.update(task, total=progress.tasks[task].completed)
        store = ConceptStore(unfinished / STORE)
        task = progress.add_task("Trigram index", total=1)
        lexical.build(store, unfinished)
        progress.advance(task)
        store.close()


def _build_vectors(folder: Path, settings: Settings, progress: Progress) -> None:
    model = encoder_folder(settings)
    if model is None:
        return
    store = ConceptStore(folder / STORE)
    total = sum(len(names) for names in dense.encoded_names(store).values())
    task = progress.add_task(f"Vectors of the names ({settings.encoder})", total=total)
    with _replacing(vectors_folder(folder, settings)) as unfinished:
        encoder = Encoder(model, settings.encoder_pooling)
        dense.build(store, unfinished, encoder, lambda names: progress.advance(task, names))
    store.close()


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Give a fresh folder to write into, which becomes `folder` when all went well."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        (unfinished / _COMPLETE).touch()
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )

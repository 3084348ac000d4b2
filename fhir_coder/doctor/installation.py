"""The data folder with its disk, the releases in it, and the models."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from fhir_coder.doctor.finding import Finding, failure, ok, warning
from fhir_coder.errors import FhirCoderError
from fhir_coder.prepare import active_releases, encoder_folder
from fhir_coder.settings import Settings

_SCARCE = 5_000_000_000  # bytes; a release imported anew needs up to 1.1 GB beside the old one
_TOO_LITTLE = 500_000_000


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Look at who may read and write the data folder, and at the space on its disk."""
    subject, folder = "data folder", settings.data_dir
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        advice = "make it writable for this user, or set data_dir to a folder that is"
        yield failure(subject, f"{existing} cannot be written", advice)
        return
    if existing != folder:
        yield warning(subject, f"{folder} is not there yet", "run 'fhir-coder terminology prepare'; it is made then")
    elif folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) & stat.S_IWOTH:
        yield failure(subject, f"{folder} can be written by everybody", f"chmod o-w {folder}")
    else:
        yield ok(subject, f"{folder}, writable")
    yield from _open_files(folder)
    free = shutil.disk_usage(existing).free
    found = f"{free / 1e9:.1f} GB free at {existing}"
    if free < _TOO_LITTLE:
        yield failure("disk", found, "free some space: nothing can be taken in on a full disk")
    elif free < _SCARCE:
        yield warning("disk", found, "free some space: an import needs a few GB for a while")
    else:
        yield ok("disk", found)


def _open_files(folder: Path) -> Iterator[Finding]:
    """Files that hold notes are the owner's alone."""
    for path in sorted(folder.glob("*.sqlite*")):
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield failure("data folder", f"{path} holds notes and can be read by others", f"chmod 600 {path}")


def releases(settings: Settings) -> Iterator[Finding]:
    """Look at whether the active releases are stored, by this version's code, and can be opened."""
    from fhir_coder.terminology.stored_release import StoredRelease

    try:
        found = active_releases(settings)
    except FhirCoderError as error:
        yield failure("releases", str(error), "")
        return
    missing = [name for name, _, ready in found if not ready]
    for name, folder, ready in found:
        if not ready:
            continue
        try:
            StoredRelease(folder).close()
        except FhirCoderError as error:
            yield failure("releases", f"{name}: {error}", "run 'fhir-coder terminology prepare'")
    if missing:
        advice = "run 'fhir-coder terminology prepare' (minutes); else the first start does it"
        yield warning("releases", f"not stored, or stored by another version: {', '.join(missing)}", advice)
    else:
        yield ok("releases", f"{len(found)} active: {', '.join(name for name, _, _ in found)}")


def models(settings: Settings) -> Iterator[Finding]:
    """Load the models that the settings name."""
    from fhir_coder.linking.encoder import Encoder
    from fhir_coder.nlp.recogniser import Recogniser, recogniser_folder

    try:
        folder = recogniser_folder(settings.recogniser)
        if folder is None:
            yield ok("recogniser", "switched off")
        else:
            Recogniser.load(folder)
            yield ok("recogniser", f"{settings.recogniser}, loads")
    except FhirCoderError as error:
        yield failure("recogniser", str(error), "")
    try:
        encoder = encoder_folder(settings)
        if encoder is None:
            yield ok("encoder", "switched off")
        else:
            Encoder(encoder, settings.encoder_pooling).encode(["hypertension"])
            yield ok("encoder", f"{settings.encoder}, loads")
    except FhirCoderError as error:
        yield failure("encoder", str(error), "")

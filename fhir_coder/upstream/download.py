"""The files of a bulk export, fetched into a folder. What was fetched is not fetched again.

A file has its name only when it is whole and on the disk. The folder holds patients' notes: it is the owner's alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
import stamina

from fhir_coder.credentials.origin import origin_of
from fhir_coder.errors import DeliveryError, InputError, TransientDeliveryError
from fhir_coder.upstream.export import File, Manifest, Request
from fhir_coder.upstream.rest import Upstream

_STATE = "export.json"
_NDJSON = "application/fhir+ndjson"
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far an export is. It stands in the folder, so that the same command goes on from there."""

    server: str
    request: Request
    place: str | None = None  # url at which the server tells how it stands
    manifest: Manifest | None = None  # once it is finished there


class ExportFolder:
    """The folder of one export."""

    def __init__(self, folder: Path) -> None:
        """Make the folder where it is missing. Raises `DeliveryError` when it cannot be."""
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DeliveryError(f"{folder}: cannot be made: {error.strerror}; choose another folder") from error

    def state(self) -> State | None:
        """Return how far the export is, or None when none was begun. Raises `InputError` for a file not of ours."""
        path = self._folder / _STATE
        if not path.exists():
            return None
        try:
            return _read_state(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{path} is no state of an export; choose another folder, or move it away") from None

    def save(self, state: State) -> None:
        """Write how far the export is, whole or not at all."""
        self._write(_STATE, json.dumps(asdict(state), indent=1).encode())

    def path(self, index: int, file: File) -> Path:
        """Return where a file of the manifest is kept."""
        return self._folder / file.part / f"{index:05d}.{file.type}.ndjson"

    def fetch(
        self, upstream: Upstream, manifest: Manifest, allowed: Collection[str], told: Callable[[File], None]
    ) -> list[tuple[File, Path]]:
        """Fetch the files that are not there yet, and return all of them with their places.

        `allowed` are the base URLs of other servers from which files may be fetched; they get no credentials. `told` is
        called for each file that is there. Raises `DeliveryError`.
        """
        fetched = []
        for index, file in enumerate(manifest.files):
            path = self.path(index, file)
            if not path.exists():
                self._fetch(upstream, file, path, manifest.needs_token, allowed)
            told(file)
            fetched.append((file, path))
        return fetched

    def _fetch(self, upstream: Upstream, file: File, path: Path, needs_token: bool, allowed: Collection[str]) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        part = path.with_suffix(".part")
        for attempt in stamina.retry_context(on=TransientDeliveryError, attempts=_ATTEMPTS, timeout=None):
            with attempt, _server_of(upstream, file, needs_token, allowed) as server:
                lines = _store(server, file, part, needs_token)
        if file.count is not None and lines != file.count:
            part.unlink()
            raise DeliveryError(
                f"a file of {file.type} has {lines} resources and should have {file.count}; run the command again"
            )
        part.rename(path)

    def _write(self, name: str, content: bytes) -> None:
        path = self._folder / f"{name}.part"
        with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.rename(self._folder / name)


def read_resources(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the resources of a fetched file; lines that hold none are passed over."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                resource = json.loads(line)
            except ValueError:
                continue
            if isinstance(resource, dict):
                yield resource


def _store(server: Upstream, file: File, part: Path, needs_token: bool) -> int:
    """Fetch a file and return how many lines with content it has."""
    lines, last = 0, b"\n"
    headers = {"Accept": _NDJSON}
    with (
        server.stream("GET", file.url, headers=headers, with_credentials=needs_token) as response,
        os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as target,
    ):
        if not response.is_success:
            raise DeliveryError(f"a file of {file.type} is not there any more; run the command with another folder")
        if "html" in response.headers.get("content-type", ""):
            raise TransientDeliveryError("the FHIR server answered with a page instead of a file of the export")
        for chunk in response.iter_bytes():
            target.write(chunk)
            lines += chunk.count(b"\n")
            last = chunk[-1:] or last
        target.flush()
        os.fsync(target.fileno())
    return lines + (last != b"\n")


@contextmanager
def _server_of(upstream: Upstream, file: File, needs_token: bool, allowed: Collection[str]) -> Iterator[Upstream]:
    """Give what fetches a file: the server itself, or one of those that are allowed, without credentials."""
    try:
        where = httpx2.URL(f"{upstream.base}/").join(file.url)
    except httpx2.InvalidURL:
        raise DeliveryError("the manifest of the export has a url that is not valid") from None
    if origin_of(where) == origin_of(httpx2.URL(upstream.base)):
        yield upstream
        return
    base = next((each for each in allowed if origin_of(httpx2.URL(each)) == origin_of(where)), None)
    if base is None:
        raise DeliveryError(
            f"the files of the export are on another server ({where.scheme}://{where.host}); allow it with "
            f"--allow {where.scheme}://{where.netloc.decode('ascii')}"
        )
    if needs_token:
        raise DeliveryError("the export wants the access token sent to another server; that is not done")
    with Upstream(base) as other:
        yield other


def _read_state(content: dict[str, Any]) -> State:
    request, manifest = content["request"], content["manifest"]
    return State(
        server=content["server"],
        request=Request(**{**request, "types": tuple(request["types"])}),
        place=content["place"],
        manifest=Manifest(**{**manifest, "files": tuple(File(**each) for each in manifest["files"])})
        if manifest
        else None,
    )

"""Writing resources into a folder as NDJSON, one file per type, as bulk data has it.

Source: https://hl7.org/fhir/uv/bulkdata/ (file format). The resources get the ids that follow from their identity, so
writing a note twice leaves one copy.

A resource that changed, or was taken back, is appended under its id: while files are written, the last line with an id
holds. On `close` each file that holds an id twice is rewritten with the last lines alone, so that whoever loads the
folder afterwards has every resource once, as it is now, and never a diagnosis that was taken back.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from fhir_coder.errors import DeliveryError

Json = Mapping[str, Any]

_URN = "urn:uuid:"
_TIMES = ("recordedDate", "recorded")  # of the coding: a resource that differs in them alone is the same


@dataclass(frozen=True, slots=True)
class Row:
    """A resource as it stands in a file."""

    resource_type: str
    id: str
    line: str  # JSON, without the line feed
    updates: bool = False  # whether it takes the place of what has the id already (PUT), or leaves that alone (POST)


def rows(bundle: Json) -> Iterator[Row]:
    """Yield the resources of a Bundle with the ids that follow from their identity; references name these.

    Raises `DeliveryError` when a resource has no identity.
    """
    entries = bundle.get("entry", [])
    places = {str(entry.get("fullUrl")): _place(entry) for entry in entries}
    for entry, (resource_type, resource_id) in zip(entries, map(_place, entries), strict=True):
        resource = {"resourceType": resource_type, "id": resource_id, **_resolved(entry["resource"], places)}
        updates = entry.get("request", {}).get("method") == "PUT"
        yield Row(resource_type, resource_id, json.dumps(resource, ensure_ascii=False), updates)


class NdjsonWriter:
    """A folder that receives resources. A context manager; `close` makes sure that all is on the disk.

    One writer at a time: the ids in the files, and what stands under them, are read once, when a type is first written.
    """

    def __init__(self, folder: Path) -> None:
        """Raises `DeliveryError` when the folder cannot be made or written."""
        self._folder = folder
        self._files: dict[str, FileIO] = {}
        self._digests: dict[str, dict[str, bytes]] = {}  # type -> id -> of what the last line says
        self._stale: set[str] = set()  # types whose file holds lines that do not hold any more
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DeliveryError(f"{folder}: cannot be made: {error.strerror}; choose another folder") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DeliveryError(f"{folder}: cannot be written; choose another folder")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, bundle: Json) -> int:
        """Add the resources of a Bundle that are not in the folder yet, or not as the Bundle updates them.

        Returns how many these were. Raises `DeliveryError` when a file cannot be written or read, or a resource has no
        identity.
        """
        added: dict[str, dict[str, str]] = {}  # type -> id -> line
        for row in rows(bundle):
            known = self._known(row.resource_type)
            if row.id not in known or (row.updates and known[row.id] != _digest(row.line.encode("utf-8", "replace"))):
                added.setdefault(row.resource_type, {})[row.id] = row.line + "\n"
        for resource_type, lines in added.items():
            self._append(resource_type, "".join(lines.values()))
            # Only now: what failed is written the next time.
            known = self._digests[resource_type]
            if not lines.keys().isdisjoint(known):
                self._stale.add(resource_type)
            known |= {name: _digest(line.encode("utf-8", "replace")) for name, line in lines.items()}
        return sum(map(len, added.values()))

    def close(self) -> None:
        """Write everything through to the disk, take out lines that hold no more, and close the files.

        Raises `DeliveryError` or OSError when that fails; the files then hold those lines still.
        """
        files, self._files, self._digests = self._files, {}, {}
        stale, self._stale = self._stale, set()
        for file in files.values():
            with file:
                os.fsync(file.fileno())
        for resource_type in sorted(stale):
            _keep_last_lines(self._folder / f"{resource_type}.ndjson")

    def _append(self, resource_type: str, lines: str) -> None:
        file = self._files[resource_type]
        end = file.seek(0, os.SEEK_END)
        left = memoryview(lines.encode("utf-8", "replace"))
        try:
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            file.truncate(end)  # a full disk must not leave half a line to which the next one is joined
            raise DeliveryError(f"{file.name}: cannot be written: {error.strerror}") from error

    def _known(self, resource_type: str) -> dict[str, bytes]:
        """Return what stands under the ids in the file of a type; opens the file."""
        if resource_type not in self._digests:
            path = self._folder / f"{resource_type}.ndjson"
            try:
                digests, is_stale = _read_digests(path)
                self._files[resource_type] = path.open("ab", buffering=0)
            except OSError as error:
                raise DeliveryError(f"{path}: cannot be opened: {error.strerror}") from error
            self._digests[resource_type] = digests
            if is_stale:
                self._stale.add(resource_type)
        return self._digests[resource_type]


def _read_digests(path: Path) -> tuple[dict[str, bytes], bool]:
    """Return what stands in a file, and whether an id is there twice; cut off a line not written to its end."""
    digests: dict[str, bytes] = {}
    is_stale = False
    if not path.exists():
        return digests, is_stale
    with path.open("r+b") as file:
        whole = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                file.truncate(whole)
                break
            try:
                name = orjson.loads(line)["id"]
                is_stale = is_stale or name in digests
                digests[name] = _digest(line)
            except (ValueError, KeyError, TypeError):  # the error itself would quote the line
                raise DeliveryError(f"{path}:{number}: is no FHIR resource with an id; move the file away") from None
            whole += len(line)
    return digests, is_stale


def _digest(line: bytes) -> bytes:
    """Return a digest of what a line says, whenever that was recorded."""
    resource = orjson.loads(line)
    for name in _TIMES:
        resource.pop(name, None)
    return hashlib.blake2b(orjson.dumps(resource, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _keep_last_lines(path: Path) -> None:
    """Rewrite a file with the last line of each id alone. The file is whole at every moment."""
    new = path.with_name(f".{path.name}.new")
    try:
        with path.open("rb") as file, new.open("wb") as kept:
            last = {orjson.loads(line)["id"]: number for number, line in enumerate(file)}
            file.seek(0)
            kept.writelines(line for number, line in enumerate(file) if last[orjson.loads(line)["id"]] == number)
            kept.flush()
            os.fsync(kept.fileno())
        os.chmod(new, path.stat().st_mode & 0o7777)
        os.replace(new, path)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise DeliveryError(
            f"{path}: cannot be rewritten: {error.strerror}; until then the last line with an id holds"
        ) from error


def _place(entry: Json) -> tuple[str, str]:
    """Return type and id of the resource of an entry."""
    resource = entry.get("resource", {})
    request = entry.get("request", {})
    if request.get("method") == "PUT" and resource.get("id") and "?" not in request.get("url", "?"):
        return str(resource["resourceType"]), str(resource["id"])  # an update of what is there under another full URL
    full_url = str(entry.get("fullUrl", ""))
    found = full_url.removeprefix(_URN) if full_url.startswith(_URN) else resource.get("id")
    if not resource.get("resourceType") or not found:
        raise DeliveryError("an entry of the Bundle has neither a urn:uuid full URL nor a resource with an id")
    return str(resource["resourceType"]), str(found)


def _resolved(value: Any, places: Mapping[str, tuple[str, str]]) -> Any:
    """Return the value with references to entries of the Bundle rewritten to Type/id; an old `id` is left out."""
    return {name: each for name, each in _rewritten(value, places).items() if name != "id"}


def _rewritten(value: Any, places: Mapping[str, tuple[str, str]]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: "/".join(places[each])
            if name == "reference" and isinstance(each, str) and each in places
            else _rewritten(each, places)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_rewritten(each, places) for each in value]
    return value

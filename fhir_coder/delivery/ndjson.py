"""Writing resources into a folder as NDJSON, one file per type, as bulk data has it.

Source: https://hl7.org/fhir/uv/bulkdata/ (file format). The resources get the ids that follow from their identity, so
writing a note twice leaves one copy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fhir_coder.errors import DeliveryError

Json = Mapping[str, Any]

_URN = "urn:uuid:"


@dataclass(frozen=True, slots=True)
class Row:
    """A resource as it stands in a file."""

    resource_type: str
    id: str
    line: str  # JSON, without the line feed


def rows(bundle: Json) -> Iterator[Row]:
    """Yield the resources of a Bundle with the ids that follow from their identity; references name these.

    Raises `DeliveryError` when a resource has no identity.
    """
    entries = bundle.get("entry", [])
    places = {str(entry.get("fullUrl")): _place(entry) for entry in entries}
    for entry, (resource_type, resource_id) in zip(entries, map(_place, entries), strict=True):
        resource = {"resourceType": resource_type, "id": resource_id, **_resolved(entry["resource"], places)}
        yield Row(resource_type, resource_id, json.dumps(resource, ensure_ascii=False))


class NdjsonWriter:
    """A folder that receives resources. A context manager; `close` makes sure that all is on the disk.

    One writer at a time: the ids in the files are read once, when a type is first written.
    """

    def __init__(self, folder: Path) -> None:
        """Raises `DeliveryError` when the folder cannot be made or written."""
        self._folder = folder
        self._files: dict[str, FileIO] = {}
        self._ids: dict[str, set[str]] = {}
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
        """Add the resources of a Bundle that are not in the folder yet, and return how many these were.

        Raises `DeliveryError` when a file cannot be written or read, or a resource has no identity.
        """
        added: dict[str, dict[str, str]] = {}  # type -> id -> line
        for row in rows(bundle):
            if row.id not in self._known(row.resource_type):
                added.setdefault(row.resource_type, {})[row.id] = row.line + "\n"
        for resource_type, lines in added.items():
            self._append(resource_type, "".join(lines.values()))
            self._ids[resource_type] |= lines.keys()  # only now: what failed is written the next time
        return sum(map(len, added.values()))

    def close(self) -> None:
        """Write everything through to the disk and close the files."""
        files, self._files, self._ids = self._files, {}, {}
        for file in files.values():
            with file:
                os.fsync(file.fileno())

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

    def _known(self, resource_type: str) -> set[str]:
        """Return the ids in the file of a type; opens the file."""
        if resource_type not in self._ids:
            path = self._folder / f"{resource_type}.ndjson"
            try:
                ids = _read_ids(path)
                self._files[resource_type] = path.open("ab", buffering=0)
            except OSError as error:
                raise DeliveryError(f"{path}: cannot be opened: {error.strerror}") from error
            self._ids[resource_type] = ids
        return self._ids[resource_type]


def _read_ids(path: Path) -> set[str]:
    """Return the ids in a file, and cut off a last line that was never written to its end."""
    ids: set[str] = set()
    if not path.exists():
        return ids
    with path.open("r+b") as file:
        whole = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                file.truncate(whole)
                break
            try:
                ids.add(json.loads(line)["id"])
            except (ValueError, KeyError, TypeError):  # the error itself would quote the line
                raise DeliveryError(f"{path}:{number}: is no FHIR resource with an id; move the file away") from None
            whole += len(line)
    return ids


def _place(entry: Json) -> tuple[str, str]:
    """Return type and id of the resource of an entry."""
    resource = entry.get("resource", {})
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

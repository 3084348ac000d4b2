"""The two places that resources are delivered to, seen alike: what stands there, and sending a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from fhir_coder.delivery.client import FhirClient, Sent, Standing
from fhir_coder.delivery.ndjson import NdjsonWriter, rows
from fhir_coder.delivery.revision import put
from fhir_coder.delivery.written import Written
from fhir_coder.errors import DeliveryError, TransientDeliveryError

Json = Mapping[str, Any]


class ServerTarget:
    """A FHIR server."""

    def __init__(self, url: str, client: FhirClient) -> None:
        """`client` is that of the server at `url`, and is closed with this."""
        self.name = url.rstrip("/")
        self.client = client

    def standing(self, row: Written) -> Standing:
        """Return what stands on the server, read anew."""
        return self.client.read(row.place)

    def again(self, entry: Json, row: Written) -> Json:
        """Return the entry of what stands unchanged: created once more if it is gone, else left alone."""
        request = entry.get("request", {})
        if request.get("method") != "PUT":
            return entry
        query = str(request.get("url", "")).partition("?")[2]
        return {**entry, "request": {"method": "POST", "url": row.type, "ifNoneExist": query}}

    def send(self, bundle: Json, request: str | None = None) -> list[Sent]:
        """Send a transaction with its X-Request-Id; raises what `FhirClient.write` raises."""
        return self.client.write(bundle, request)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


class FolderTarget:
    """A folder of NDJSON files. Its methods may be called from several threads."""

    def __init__(self, folder: Path) -> None:
        """Raises `DeliveryError` when the folder cannot be made or written."""
        self.name = str(folder.resolve())
        self._folder = folder
        self._lock = Lock()
        self._writer: NdjsonWriter | None = NdjsonWriter(folder)

    def standing(self, row: Written) -> Standing:
        """Return what was last written: nobody else writes into the folder."""
        return Standing(row.resource)

    def again(self, entry: Json, row: Written) -> Json:
        """Return the entry of what stands unchanged; it is written only where somebody has cleared the folder."""
        return put(str(entry["fullUrl"]), row.place, row.resource, None)

    def send(self, bundle: Json, request: str | None = None) -> list[Sent]:  # noqa: ARG002 - as for a server
        """Write the resources of a Bundle, and return where they stand.

        Raises `DeliveryError` for a damaged file, and `TransientDeliveryError` for a disk that is full or at fault.
        """
        with self._lock:
            writer = self._writer or NdjsonWriter(self._folder)
            # Forgotten until it has succeeded: after a fault, what it believes to be in the files may not be there.
            self._writer = None
            try:
                writer.write(bundle)
            except DeliveryError as error:
                with suppress(OSError, DeliveryError):  # the first fault is the one to tell
                    writer.close()
                if isinstance(error.__cause__, OSError):  # a full disk is not the note's fault
                    raise TransientDeliveryError(str(error)) from error
                raise
            self._writer = writer
        return [Sent(f"{row.resource_type}/{row.id}", None) for row in rows(bundle)]

    def close(self) -> None:
        """Write everything through to the disk and close the files."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
            self._writer = None

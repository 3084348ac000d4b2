"""Whether the service can do its work: what is at fault, and what to do about it.

`ready`: all is well. `degraded`: what comes in is taken and kept, but something behind it does not go on (the FHIR
server is away). `not ready`: nothing should be sent here now.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.delivery.database import database_file
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.errors import QueueFullError
from fhir_coder.model import SNOMED
from fhir_coder.service.desk import Desk
from fhir_coder.service.workers import Workers

State = Literal["ready", "degraded", "not ready"]

_WORST_FIRST: tuple[State, ...] = ("not ready", "degraded", "ready")
_CLINICAL_FINDING = "404684003"
_PROBE_BYTES = 1_000_000  # a commit takes some pages of SQLite's journal
_GROWING_SCARCE = 2  # times the free space below which nothing is taken in


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and how it is. It holds nothing of a note, and no password."""

    name: str
    state: State
    detail: str = ""


class Health:
    """Looks at the parts of a running service. `report` takes milliseconds, and may wait for a busy database."""

    def __init__(self, desk: Desk, inbox: Inbox, workers: Workers | None) -> None:
        """`workers` is None when there is no place to deliver to."""
        self._desk = desk
        self._inbox = inbox
        self._workers = workers

    def report(self) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and the JSON of `/health/ready`."""
        looks = (self._terminology, self._database, self._disk, self._room, self._working, self._server)
        checks = [check for look in looks for check in look()]
        state = min((check.state for check in checks), key=_WORST_FIRST.index)
        told: dict[str, Any] = {
            "status": state,
            "checks": {
                check.name: {"status": check.state} | ({"detail": check.detail} if check.detail else {})
                for check in checks
            },
        }
        if all(check.state != "not ready" for check in checks if check.name == "database"):
            told |= {"inbox": self._inbox.counts(), "outbox": self._desk.outbox.counts()}
        return (503 if state == "not ready" else 200), told

    def _terminology(self) -> Iterator[Check]:
        try:
            self._desk.store.concept(SNOMED, _CLINICAL_FINDING)
        except Exception as error:  # whatever the files are at fault with
            detail = f"the concept store cannot be read ({type(error).__name__}); restart the service"
            yield Check("terminology", "not ready", detail)
        else:
            yield Check("terminology", "ready")

    def _database(self) -> Iterator[Check]:
        try:
            with self._inbox.queue.engine.begin() as connection:  # on SQLite, this takes the lock to write
                read_only = (
                    connection.dialect.name == "postgresql"
                    and connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on"
                )
        except SQLAlchemyError as error:
            yield Check("database", "not ready", f"the delivery database cannot be written ({type(error).__name__})")
            return
        if read_only:
            yield Check("database", "not ready", "it takes no writes; is it a replica?")
        else:
            yield Check("database", "ready")

    def _disk(self) -> Iterator[Check]:
        """Look at the disk of the delivery database; where that is PostgreSQL, at the one of the data folder."""
        settings, url = self._desk.settings, self._desk.settings.database
        file = database_file(settings.data_dir, url.get_secret_value() if url else None)
        folder = file.parent if file else settings.data_dir
        free, least = shutil.disk_usage(folder).free, settings.queue_min_free_bytes
        detail = f"{free / 1e9:.1f} GB free; below {least / 1e9:.1f} GB nothing is taken in: free some space"
        if file and (fault := _fault_of_writing(folder)):
            yield Check("disk", "not ready", f"nothing can be written where the delivery database is ({fault})")
        elif file and free < least:
            yield Check("disk", "not ready", detail)
        elif free < least * _GROWING_SCARCE:
            yield Check("disk", "degraded", detail)
        else:
            yield Check("disk", "ready")

    def _room(self) -> Iterator[Check]:
        try:
            self._desk.require_room()
        except QueueFullError as error:
            yield Check("inbox", "not ready", str(error))
        else:
            yield Check("inbox", "ready")

    def _working(self) -> Iterator[Check]:
        if self._workers is None:
            yield Check("workers", "ready", "none: without --out or --server, messages wait in the inbox")
        elif not self._workers.alive:
            yield Check("workers", "not ready", "a worker has ended; restart the service")
        else:
            yield Check("workers", "ready")

    def _server(self) -> Iterator[Check]:
        if self._workers is None or self._desk.settings.server is None:
            return
        if self._workers.server_away:
            detail = "the last deliveries failed; Bundles wait in the outbox. See 'fhir-coder doctor'"
            yield Check("FHIR server", "degraded", detail)
        else:
            yield Check("FHIR server", "ready")


def _fault_of_writing(folder: Path) -> str:
    """Return why nothing can be written there (ENOSPC, EROFS), "" when it can: free space says nothing of a quota."""
    try:
        with TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return ""

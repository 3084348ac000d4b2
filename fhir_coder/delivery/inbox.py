"""The inbox: messages that were acknowledged and are still to be coded and delivered.

A message is stored and synced to disk before its sender hears that it was taken, so that neither a crash nor
a power cut loses it. It is a table in an SQLite file of the data folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any, Literal

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    case,
    create_engine,
    event,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from fhir_coder.delivery.group_commit import GroupCommit

State = Literal["received", "coded", "failed"]

_METADATA = MetaData()
_INBOX = Table(
    "inbox",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False, unique=True),
    Column("payload", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("attempts", Integer, nullable=False),
    Column("received", DateTime, nullable=False),  # UTC
    Column("changed", DateTime, nullable=False),  # UTC
    Index("inbox_state", "state", "id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A stored message that is taken up to be coded."""

    id: int
    kind: str  # what the payload is: "hl7v2"
    payload: bytes
    attempts: int  # this one included


class Inbox:
    """The table of messages. Its methods may be called from any thread; a disk at fault raises SQLAlchemyError."""

    def __init__(self, data_dir: Path) -> None:
        """Open, or create, `inbox.sqlite` in `data_dir`. Raises OSError when the folder cannot be written."""
        data_dir.mkdir(parents=True, exist_ok=True)
        path = data_dir / "inbox.sqlite"
        # The payloads are patients' notes: the file is the owner's alone, before anything is in it.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._engine: Engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        event.listen(self._engine, "connect", _prepare_connection)
        _METADATA.create_all(self._engine)
        self._commits = GroupCommit(self._write)

    def store(self, kind: str, payload: bytes, key: str) -> int:
        """Store a message, synced to disk, and return its id; for a key that is known, the id it has already."""
        return self.submit(kind, payload, key).result()

    def submit(self, kind: str, payload: bytes, key: str) -> Future[int]:
        """Return at once what will hold the id of `store`. Messages that wait at the same time share one sync.

        A disk at fault raises SQLAlchemyError from its `result`.
        """
        now = _now()
        row = {
            "kind": kind,
            "key": key,
            "payload": payload,
            "state": "received",
            "attempts": 0,
            "received": now,
            "changed": now,
        }
        return self._commits.submit(row, len(payload))

    def _write(self, rows: Sequence[dict[str, Any]]) -> list[int]:
        new = insert(_INBOX).on_conflict_do_nothing(index_elements=["key"]).returning(_INBOX.c.key, _INBOX.c.id)
        with self._engine.begin() as connection:
            # One statement for all rows: after each one, this thread would wait for those that read messages.
            ids = {row.key: row.id for row in connection.execute(new, rows)}
            known = [row["key"] for row in rows if row["key"] not in ids]
            if known:
                found = connection.execute(select(_INBOX.c.key, _INBOX.c.id).where(_INBOX.c.key.in_(known)))
                ids |= {row.key: row.id for row in found}
        return [ids[row["key"]] for row in rows]

    def take(self) -> Item | None:
        """Return the oldest message that is not done, or None, and count the attempt.

        The attempt is counted before it is made: a message that brings the program down counts too.
        """
        oldest = select(func.min(_INBOX.c.id)).where(_INBOX.c.state == "received").scalar_subquery()
        statement = (
            update(_INBOX)
            .where(_INBOX.c.id == oldest)
            .values(attempts=_INBOX.c.attempts + 1, changed=_now())
            .returning(_INBOX.c.id, _INBOX.c.kind, _INBOX.c.payload, _INBOX.c.attempts)
        )
        with self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else Item(id=row.id, kind=row.kind, payload=row.payload, attempts=row.attempts)

    def done(self, item: Item) -> None:
        """Mark a message as coded and delivered."""
        self._set(item, state="coded", reason=None)

    def fail(self, item: Item, reason: str) -> None:
        """Set a message aside for good. `reason` holds no text of the message."""
        self._set(item, state="failed", reason=reason)

    def put_back(self, item: Item, reason: str, *, counts: bool) -> None:
        """Leave a message to be taken again. An attempt that failed through no fault of its own does not count."""
        # case() and not a plain subtraction, so that a message put back twice never has attempts below zero.
        left = case((_INBOX.c.attempts > 0, _INBOX.c.attempts - 1), else_=0)
        self._set(item, reason=reason, **({} if counts else {"attempts": left}))

    def counts(self) -> dict[State, int]:
        """Return the number of messages in each state."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_INBOX.c.state, func.count()).group_by(_INBOX.c.state)).all()
        found: dict[State, int] = {"received": 0, "coded": 0, "failed": 0}
        return found | {row[0]: row[1] for row in rows}

    def close(self) -> None:
        """Store what waits, and close the file."""
        self._commits.close()
        self._engine.dispose()

    def _set(self, item: Item, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(_INBOX).where(_INBOX.c.id == item.id).values(changed=_now(), **values))


def _prepare_connection(connection: SqliteConnection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL would lose the last commits in a power cut, and with them messages already acknowledged.
    connection.execute("PRAGMA synchronous = FULL")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)

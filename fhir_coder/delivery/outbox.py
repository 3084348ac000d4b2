"""The outbox: what is to be delivered to the FHIR server or the folder, and what they did not take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Column, Connection, Engine, Table, insert, select

from fhir_coder.delivery.database import METADATA
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.queue import ID, WAITING, Claimed, Queue, new_row, queue_columns, queue_indexes

SENT = "sent"

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("item", ID),  # of the inbox, that this came of; NULL for what a caller waits for
    *queue_columns(),
    sqlite_autoincrement=True,
)
queue_indexes(OUTBOX)

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A dispatch in hand."""

    row: Claimed
    dispatch: Dispatch
    attempts: int  # that count against it, with this one

    @property
    def id(self) -> int:
        """Its number in the outbox."""
        return self.row.id


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a dispatch."""

    state: str  # waiting, sent, failed
    reason: str | None


class Outbox:
    """What is to be delivered, oldest first; of one patient, in order. Its methods may be called from any thread."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is that of `open_database`."""
        self.queue = Queue(engine, OUTBOX, SENT)

    def store(self, dispatches: Sequence[Dispatch], patient: str | None = None) -> list[int]:
        """Store dispatches, synced to disk, and return their ids. `patient` is a `patient_key`."""
        with self.queue.engine.begin() as connection:
            numbers = add_dispatches(connection, dispatches, patient=patient)
        self.queue.bell.ring()
        return numbers

    def take(self) -> Outgoing | None:
        """Claim the oldest dispatch that may be delivered, or return None, and count the attempt."""
        row = self.queue.take()
        return None if row is None else Outgoing(row, read_dispatch(row.values["payload"]), row.values["attempts"])

    def sent(self, outgoing: Outgoing) -> None:
        """Mark a dispatch as delivered."""
        with self.queue.engine.begin() as connection:
            self.queue.finish(connection, outgoing.row)

    def outcome(self, number: int) -> Outcome:
        """Return what became of a dispatch so far."""
        with self.queue.engine.connect().execution_options(reads=True) as connection:
            row = connection.execute(select(OUTBOX.c.state, OUTBOX.c.reason).where(OUTBOX.c.id == number)).one()
        return Outcome(row.state, row.reason)

    def wait_for(self, number: int, seconds: float) -> Outcome:
        """Return what became of a dispatch, after at most so many seconds; it may still wait."""
        deadline = time.monotonic() + seconds
        while (outcome := self.outcome(number)).state == WAITING and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return outcome

    def counts(self) -> dict[str, int]:
        """Return the number of dispatches in each state: waiting, sent, failed."""
        return self.queue.counts()

    def close(self) -> None:
        """Give back what is claimed. The engine stays open."""
        self.queue.close()


def add_dispatches(
    connection: Connection, dispatches: Sequence[Dispatch], *, patient: str | None, item: int | None = None
) -> list[int]:
    """Add dispatches within a transaction, in order, and return their ids. `patient` is a `patient_key`."""
    return [
        connection.execute(
            insert(OUTBOX).returning(OUTBOX.c.id), {"item": item, **new_row(write_dispatch(dispatch), patient)}
        ).scalar_one()
        for dispatch in dispatches
    ]


def write_dispatch(dispatch: Dispatch) -> bytes:
    """Return a dispatch as JSON."""
    return orjson.dumps(dispatch)


def read_dispatch(raw: bytes) -> Dispatch:
    """Return the dispatch that `write_dispatch` wrote."""
    content: dict[str, Any] = orjson.loads(raw)
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in content.items()}
    return Dispatch(**values)

"""The outbox: what is to be delivered to the FHIR server or the folder, and what they did not take.

AuditEvents wait here too, each by itself: no note waits for one, and they wait for no note. What they bear in place of
a patient tells them from notes, and for which place they are.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import Column, ColumnElement, Connection, Engine, Table, false, insert, not_, or_, select

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
_AUDIT = "audit:"  # begins what AuditEvents bear in place of a patient, which is a hash


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

    def take(self, *, notes: bool = True, audits_of: Sequence[str] | None = None) -> Outgoing | None:
        """Claim the oldest dispatch that may be delivered, or return None, and count the attempt.

        `audits_of` names the places (base URL, folder) whose AuditEvents may be; None: all may.
        """
        if notes and audits_of is None:
            row = self.queue.take()
        else:
            audits = is_audit() if audits_of is None else or_(false(), *map(_is_audit_of, audits_of))
            row = self.queue.take(or_(_is_note(), audits) if notes else audits)
        return None if row is None else Outgoing(row, read_dispatch(row.values["payload"]), row.values["attempts"])

    def waiting(self) -> tuple[int, int]:
        """Return how many dispatches of notes and messages wait, and how many bytes they have."""
        return self.queue.waiting(_is_note())

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
    numbers = []
    for dispatch in dispatches:
        key = patient if dispatch.audit_of is None else f"{_prefix(dispatch.audit_of)}{uuid4().hex}"
        row = {"item": item, **new_row(write_dispatch(dispatch), key)}
        numbers.append(connection.execute(insert(OUTBOX).returning(OUTBOX.c.id), row).scalar_one())
    return numbers


def is_audit() -> ColumnElement[bool]:
    """Tell of a row whether it is an AuditEvent."""
    return OUTBOX.c.patient.like(f"{_AUDIT}%")


def is_audit_key(patient: str | None) -> bool:
    """Whether a row with this in place of a patient is an AuditEvent."""
    return patient is not None and patient.startswith(_AUDIT)


def _is_note() -> ColumnElement[bool]:
    return or_(OUTBOX.c.patient.is_(None), not_(is_audit()))


def _is_audit_of(place: str) -> ColumnElement[bool]:
    return OUTBOX.c.patient.like(f"{_prefix(place)}%")


def _prefix(place: str) -> str:
    return f"{_AUDIT}{sha256(place.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}:"


def write_dispatch(dispatch: Dispatch) -> bytes:
    """Return a dispatch as JSON."""
    return orjson.dumps(dispatch)


def read_dispatch(raw: bytes) -> Dispatch:
    """Return the dispatch that `write_dispatch` wrote."""
    content: dict[str, Any] = orjson.loads(raw)
    content.setdefault("act", sha256(raw).hexdigest())  # stored by an earlier release, which gave it none
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in content.items()}
    return Dispatch(**values)

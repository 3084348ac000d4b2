"""The inbox: messages and documents that were acknowledged and are still to be coded.

They are stored and synced to disk before their sender hears that they were taken, so that neither a crash nor a power
cut loses one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Column, Connection, Engine, String, Table, select

from fhir_coder.delivery.database import METADATA, insert_new
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.group_commit import GroupCommit
from fhir_coder.delivery.outbox import add_dispatches
from fhir_coder.delivery.queue import ID, Claimed, Queue, new_row, queue_columns, queue_indexes

CODED = "coded"

INBOX = Table(
    "inbox",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("kind", String, nullable=False),  # hl7v2, document
    Column("key", String, nullable=False, unique=True),  # what it is known by when it comes again; a hash
    *queue_columns(),
    sqlite_autoincrement=True,
)
queue_indexes(INBOX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """What came of an item."""

    dispatches: Sequence[Dispatch] = ()
    audits: Sequence[Dispatch] = ()  # AuditEvents of how it was come by
    # What else is written in the transaction that marks the item as coded.
    record: Callable[[Connection], None] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """What was taken in, in hand."""

    row: Claimed
    kind: str
    payload: bytes
    attempts: int  # with this one

    @property
    def id(self) -> int:
        """Its number in the inbox."""
        return self.row.id

    @property
    def act(self) -> str:
        """What tells it from all other items, of other databases too; the same at each attempt."""
        values = self.row.values
        return sha256(f"{values['key']}\x1f{values['added'].isoformat()}".encode()).hexdigest()[:32]


class Inbox:
    """What is to be coded, oldest first; of one patient, in order. Its methods may be called from any thread."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is that of `open_database`."""
        self.queue = Queue(engine, INBOX, CODED)
        self._commits = GroupCommit(self._write)

    def store(self, kind: str, payload: bytes, key: str, patient: str | None = None) -> int:
        """Store an item, synced to disk, and return its id; for a key that is known, the id it has already."""
        return self.submit(kind, payload, key, patient).result()

    def submit(self, kind: str, payload: bytes, key: str, patient: str | None = None) -> Future[int]:
        """Return at once what will hold the id of `store`. Items that wait at the same time share one sync.

        `patient` is whatever tells the patient from others; those of one are coded and delivered in order. It is
        hashed. A disk at fault raises SQLAlchemyError from the future's `result`.
        """
        row = {"kind": kind, "key": key, **new_row(payload, patient_key(patient))}
        return self._commits.submit(row, len(payload))

    def take(self) -> Item | None:
        """Claim the oldest item that may be coded, or return None, and count the attempt."""
        row = self.queue.take()
        if row is None:
            return None
        return Item(row, row.values["kind"], row.values["payload"], row.values["attempts"])

    def coded(self, item: Item, coded: Coded) -> bool:
        """Put what came of an item into the outbox and mark it as coded, both or neither.

        False: another process has it in hand by now, and nothing was written.
        """
        with self.queue.engine.begin() as connection:
            if not self.queue.finish(connection, item.row):
                return False
            dispatches = (*coded.dispatches, *coded.audits)
            add_dispatches(connection, dispatches, patient=item.row.values["patient"], item=item.id)
            if coded.record is not None:
                coded.record(connection)
        return True

    def counts(self) -> dict[str, int]:
        """Return the number of items in each state: waiting, coded, failed."""
        return self.queue.counts()

    def close(self) -> None:
        """Store what waits, and give back what is claimed. The engine stays open."""
        self._commits.close()
        self.queue.close()

    def _write(self, rows: Sequence[dict[str, Any]]) -> list[int]:
        key, number = INBOX.c.key, INBOX.c.id
        with self.queue.engine.begin() as connection:
            # One statement for all rows: after each one, this thread would wait for those that read messages.
            new = insert_new(connection, INBOX, "key").returning(key, number)
            ids = {row.key: row.id for row in connection.execute(new, rows)}
            known = [row["key"] for row in rows if row["key"] not in ids]
            if known:
                ids |= {row.key: row.id for row in connection.execute(select(key, number).where(key.in_(known)))}
        self.queue.bell.ring()
        return [ids[row["key"]] for row in rows]


def patient_key(patient: str | None) -> str | None:
    """Return the hash by which a patient is told from others in the tables."""
    return None if patient is None else sha256(f"patient\x1f{patient}".encode("utf-8", "surrogatepass")).hexdigest()

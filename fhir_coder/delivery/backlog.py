"""The queues as an operator sees them: how much waits, what failed, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, case, delete, func, or_, select, update

from fhir_coder.delivery.housekeeping import purge
from fhir_coder.delivery.inbox import CODED, INBOX
from fhir_coder.delivery.outbox import OUTBOX, SENT
from fhir_coder.delivery.queue import FAILED, WAITING, utc_now
from fhir_coder.errors import InputError

_QUEUES = {"in": (INBOX, CODED), "out": (OUTBOX, SENT)}
_ID = re.compile(r"(in|out)-([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message of the inbox or Bundle of the outbox. It holds nothing of its content."""

    id: str  # in-12, out-7
    kind: str  # hl7v2, document, bundle
    state: str  # waiting, coded or sent, failed
    bytes: int
    attempts: int
    reason: str | None  # why it failed, or waits again
    added: datetime  # UTC
    changed: datetime
    not_before: datetime | None  # when it is tried again
    in_hand: bool  # somebody works on it
    purged: bool  # its content was removed
    came_of: str | None  # the message that a Bundle came of

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            name: f"{value.isoformat()}Z" if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """How much is in one queue."""

    waiting: int
    delayed: int  # of these, tried before and to be tried again later
    in_hand: int  # of these, worked on now
    bytes: int  # of what waits
    oldest_seconds: float | None  # since the oldest that waits was added
    done: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How much is in both, and the latest that failed."""

    inbox: QueueStatus
    outbox: QueueStatus
    failed: tuple[Entry, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        inbox, outbox = asdict(self.inbox), asdict(self.outbox)
        return {
            "inbox": {**inbox, CODED: inbox.pop("done")},
            "outbox": {**outbox, SENT: outbox.pop("done")},
            "failed": [entry.as_json() for entry in self.failed],
        }


class Backlog:
    """Looks into the queues and changes them, while others work on them."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is that of `open_database`. A database at fault raises SQLAlchemyError."""
        self._engine = engine

    def status(self, failed: int) -> Status:
        """Return how much is in the queues, and the latest `failed` of those that failed."""
        with self._reading() as connection:
            entries = [
                _entry(name, row)
                for name, (table, _) in _QUEUES.items()
                for row in connection.execute(
                    _columns(table).where(table.c.state == FAILED).order_by(table.c.changed.desc()).limit(failed)
                ).mappings()
            ]
            latest = sorted(entries, key=lambda entry: entry.changed, reverse=True)[:failed]
            inbox, outbox = (_counts(connection, table, done) for table, done in _QUEUES.values())
        return Status(inbox=inbox, outbox=outbox, failed=tuple(latest))

    def entry(self, identifier: str) -> Entry:
        """Return one entry. Raises `InputError` when there is none of that id."""
        name, number = _read_id(identifier)
        table, _ = _QUEUES[name]
        with self._reading() as connection:
            row = connection.execute(_columns(table).where(table.c.id == number)).mappings().one_or_none()
        if row is None:
            raise _unknown(identifier)
        return _entry(name, row)

    def payload(self, identifier: str) -> bytes:
        """Return the message, or the dispatch as JSON. Raises `InputError` when it was purged."""
        name, number = _read_id(identifier)
        table, _ = _QUEUES[name]
        with self._reading() as connection:
            row = connection.execute(select(table.c.payload).where(table.c.id == number)).one_or_none()
        if row is None:
            raise _unknown(identifier)
        if row.payload is None:
            raise InputError(f"{identifier}: its content was purged")
        content: bytes = row.payload
        return content

    def replay(self, identifiers: Sequence[str]) -> int:
        """Have entries tried again, and return of how many that is so.

        Raises `InputError`, and changes nothing, when one is unknown, was purged or waits already.
        """
        with self._engine.begin() as connection:
            for identifier in identifiers:
                name, number = _read_id(identifier)
                table, _ = _QUEUES[name]
                changed = connection.execute(
                    update(table)
                    .where(table.c.id == number, table.c.state != WAITING, table.c.payload.is_not(None))
                    .values(_anew())
                ).rowcount
                if not changed:
                    raise InputError(f"{identifier}: there is no such one, it waits already, or it was purged")
        return len(identifiers)

    def replay_failed(self) -> int:
        """Have all that failed tried again, and return how many these are."""
        with self._engine.begin() as connection:
            return sum(
                connection.execute(update(table).where(table.c.state == FAILED).values(_anew())).rowcount
                for table, _ in _QUEUES.values()
            )

    def discard(self, identifiers: Sequence[str]) -> int:
        """Delete entries that failed or wait, and return how many.

        Raises `InputError`, and deletes nothing, when one is unknown, is done or is worked on now.
        """
        with self._engine.begin() as connection:
            for identifier in identifiers:
                name, number = _read_id(identifier)
                table, _ = _QUEUES[name]
                free = or_(table.c.claimed_until.is_(None), table.c.claimed_until < utc_now())
                gone = connection.execute(
                    delete(table).where(table.c.id == number, table.c.state.in_((WAITING, FAILED)), free)
                ).rowcount
                if not gone:
                    raise InputError(f"{identifier}: there is no such one, it is done, or it is worked on now")
        return len(identifiers)

    def discard_failed(self) -> int:
        """Delete all that failed, and return how many these were."""
        with self._engine.begin() as connection:
            return sum(
                connection.execute(delete(table).where(table.c.state == FAILED)).rowcount
                for table, _ in _QUEUES.values()
            )

    def purge(self, days: float) -> int:
        """Remove the content of what is done, as `housekeeping.purge` does."""
        return purge(self._engine, days)

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reads=True)


def _read_id(identifier: str) -> tuple[str, int]:
    found = _ID.fullmatch(identifier)
    if found is None:
        raise InputError(f"{identifier[:40]!r} is no ID; give one such as in-12 or out-7, see 'queue status'")
    return found[1], int(found[2])


def _unknown(identifier: str) -> InputError:
    return InputError(f"{identifier}: there is no such one", code="not-found")


def _anew() -> dict[str, Any]:
    return {
        "state": WAITING,
        "attempts": 0,
        "delays": 0,
        "reason": None,
        "not_before": None,
        "claim": None,
        "claimed_until": None,
        "changed": utc_now(),
    }


def _columns(table: Table) -> Any:
    return select(
        *(column for column in table.c if column.name != "payload"), table.c.payload.is_(None).label("is_purged")
    )


def _entry(name: str, row: Any) -> Entry:
    claimed_until = row["claimed_until"]
    return Entry(
        id=f"{name}-{row['id']}",
        kind=row.get("kind", "bundle"),
        state=row["state"],
        bytes=row["size"],
        attempts=row["attempts"],
        reason=row["reason"],
        added=row["added"],
        changed=row["changed"],
        not_before=row["not_before"],
        in_hand=claimed_until is not None and claimed_until > utc_now(),
        purged=bool(row["is_purged"]),
        came_of=f"in-{row['item']}" if row.get("item") is not None else None,
    )


def _ended(state: ColumnElement[str], waits: ColumnElement[bool]) -> Any:
    return select(state, func.count()).where(~waits).group_by(state)


def _counts(connection: Connection, table: Table, done: str) -> QueueStatus:
    now, rows = utc_now(), table.c
    waits = rows.state == WAITING
    delayed, in_hand = and_(waits, rows.not_before > now), and_(waits, rows.claimed_until > now)
    found = connection.execute(
        select(
            func.count().label("waiting"),
            func.coalesce(func.sum(case((delayed, 1), else_=0)), 0).label("delayed"),
            func.coalesce(func.sum(case((in_hand, 1), else_=0)), 0).label("in_hand"),
            func.coalesce(func.sum(rows.size), 0).label("bytes"),
            func.min(rows.added).label("oldest"),
        ).where(waits)
    ).one()
    ended = {row[0]: row[1] for row in connection.execute(_ended(rows.state, waits))}
    return QueueStatus(
        waiting=found.waiting,
        delayed=int(found.delayed),
        in_hand=int(found.in_hand),
        bytes=int(found.bytes),
        oldest_seconds=None if found.oldest is None else (now - found.oldest).total_seconds(),
        done=ended.get(done, 0),
        failed=ended.get(FAILED, 0),
    )

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
from fhir_coder.delivery.message_parts import PARTS, PartsStatus, parts_status
from fhir_coder.delivery.outbox import OUTBOX, SENT, is_audit_key
from fhir_coder.delivery.queue import FAILED, WAITING, utc_now
from fhir_coder.errors import InputError

_QUEUES = {"in": (INBOX, CODED), "out": (OUTBOX, SENT)}
_TABLES = {"in": INBOX, "out": OUTBOX, "part": PARTS}
_ID = re.compile(r"(in|out|part)-([1-9][0-9]{0,17})")
_NOT_TRIED = "part"  # waits for others, and not to be tried
_WHOLE = "whole"  # the state of a part whose message is in the inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message of the inbox, Bundle of the outbox or part of a message. It holds nothing of its content."""

    id: str  # in-12, out-7, part-3
    kind: str  # hl7v2, document, bundle, audit, part
    state: str  # waiting, coded or sent, failed; of a part: waiting or whole
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
    """How much is in both, the latest that failed, and what waits for the parts that are still to come."""

    inbox: QueueStatus
    outbox: QueueStatus
    parts: PartsStatus
    failed: tuple[Entry, ...]
    incomplete: tuple[Entry, ...]  # parts that wait for others, the oldest first

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        inbox, outbox = asdict(self.inbox), asdict(self.outbox)
        return {
            "inbox": {**inbox, CODED: inbox.pop("done")},
            "outbox": {**outbox, SENT: outbox.pop("done")},
            "parts": asdict(self.parts),
            "failed": [entry.as_json() for entry in self.failed],
            "incomplete": [entry.as_json() for entry in self.incomplete],
        }


class Backlog:
    """Looks into the queues and changes them, while others work on them."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is that of `open_database`. A database at fault raises SQLAlchemyError."""
        self._engine = engine

    def status(self, most: int) -> Status:
        """Return how much is in the queues, the latest `most` that failed, and as many parts that wait for others."""
        with self._reading() as connection:
            entries = [
                _entry(name, row)
                for name, (table, _) in _QUEUES.items()
                for row in connection.execute(
                    _columns(table).where(table.c.state == FAILED).order_by(table.c.changed.desc()).limit(most)
                ).mappings()
            ]
            latest = sorted(entries, key=lambda entry: entry.changed, reverse=True)[:most]
            inbox, outbox = (_counts(connection, table, done) for table, done in _QUEUES.values())
            oldest = _columns(PARTS).where(PARTS.c.payload.is_not(None)).order_by(PARTS.c.id).limit(most)
            incomplete = tuple(_part(row) for row in connection.execute(oldest).mappings())
            parts = parts_status(connection)
        return Status(inbox=inbox, outbox=outbox, parts=parts, failed=tuple(latest), incomplete=incomplete)

    def entry(self, identifier: str) -> Entry:
        """Return one entry. Raises `InputError` when there is none of that id."""
        name, number = _read_id(identifier)
        table = _TABLES[name]
        with self._reading() as connection:
            row = connection.execute(_columns(table).where(table.c.id == number)).mappings().one_or_none()
        if row is None:
            raise _unknown(identifier)
        return _part(row) if table is PARTS else _entry(name, row)

    def payload(self, identifier: str) -> bytes:
        """Return the message or part of one, or the dispatch as JSON. Raises `InputError` when it was purged."""
        name, number = _read_id(identifier)
        table = _TABLES[name]
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
                if name == _NOT_TRIED:
                    raise InputError(f"{identifier}: it waits for the other parts of its message; nothing is tried")
                table = _TABLES[name]
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
                table = _TABLES[name]
                gone = connection.execute(delete(table).where(table.c.id == number, _discardable(table))).rowcount
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
        raise InputError(f"{identifier[:40]!r} is no ID; give one such as in-12, out-7 or part-3, see 'queue status'")
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
        kind=row["kind"] if "kind" in row else "audit" if is_audit_key(row["patient"]) else "bundle",
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


def _discardable(table: Table) -> ColumnElement[bool]:
    if table is PARTS:
        return table.c.payload.is_not(None)
    free = or_(table.c.claimed_until.is_(None), table.c.claimed_until < utc_now())
    return and_(table.c.state.in_((WAITING, FAILED)), free)


def _part(row: Any) -> Entry:
    return Entry(
        id=f"part-{row['id']}",
        kind="part",
        state=_WHOLE if row["is_purged"] else WAITING,
        bytes=row["size"],
        attempts=0,
        reason=None,
        added=row["added"],
        changed=row["added"],
        not_before=None,
        in_hand=False,
        purged=bool(row["is_purged"]),
        came_of=None,
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

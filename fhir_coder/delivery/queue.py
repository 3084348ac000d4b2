"""A queue in a table of the database: who works on what, in which order, and what became of it.

A row waits until it is done or has failed (was set aside). Whoever works on it holds a claim, which is renewed while
the process lives and runs out when it does not. Rows of one patient are taken in their order, each only when those
before it wait no more; rows of other patients pass by.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    case,
    func,
    literal_column,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.delivery.bell import Bell
from fhir_coder.delivery.owner import Owner

_log = logging.getLogger(__name__)

WAITING, FAILED = "waiting", "failed"

CLAIM_SECONDS = 30.0
"""After which a process that renews its claims no more is taken for gone."""

ID = BigInteger().with_variant(Integer, "sqlite")
_LONGEST_DELAY = 60.0


def queue_columns() -> list[Column[Any]]:
    """Return the columns of every queue, beside its id and what is its own."""
    return [
        Column("patient", String),  # a hash; rows of one are worked on in order. NULL: in no order
        Column("payload", LargeBinary),  # NULL when it was purged
        Column("size", Integer, nullable=False),  # bytes of the payload
        Column("state", String, nullable=False),
        Column("attempts", Integer, nullable=False),  # that count against it
        Column("delays", Integer, nullable=False),  # times it was put back through no fault of its own
        Column("reason", String),
        Column("added", DateTime, nullable=False),  # times are UTC
        Column("changed", DateTime, nullable=False),
        Column("not_before", DateTime),
        Column("claim", String),  # owner:number, of who works on it
        Column("claimed_until", DateTime),
    ]


def queue_indexes(table: Table) -> None:
    """Add the indexes of a queue: most rows of a table are done, and are never looked at again."""
    waiting = text(f"state = '{WAITING}'")
    for name, columns in (("waiting", ("id", "size")), ("patient", ("patient", "id"))):
        on = [table.c[column] for column in columns]
        Index(f"{table.name}_{name}", *on, sqlite_where=waiting, postgresql_where=waiting)
    Index(f"{table.name}_state", table.c.state, table.c.changed)


def new_row(payload: bytes, patient: str | None) -> dict[str, Any]:
    """Return the values of a row that begins to wait."""
    now = utc_now()
    return {
        "patient": patient,
        "payload": payload,
        "size": len(payload),
        "state": WAITING,
        "attempts": 0,
        "delays": 0,
        "added": now,
        "changed": now,
    }


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row in hand."""

    id: int
    claim: str
    values: Mapping[str, Any]


class Queue:
    """The claims on the rows of one table. Its methods may be called from any thread."""

    def __init__(self, engine: Engine, table: Table, done: str) -> None:
        """`done` is the state of rows that need no more work."""
        self.engine = engine
        self.done = done
        self.bell = Bell()  # rung when a row was added here
        self._table = table
        self._next = _next_row(table)
        self._lock = Lock()
        self._owner: Owner | None = None
        self._in_hand: set[str] = set()
        self._dropped: set[str] = set()  # could not be put back: the database was away
        self._closing = Event()
        self._renewing: Thread | None = None

    def take(self, only: ColumnElement[bool] | None = None) -> Claimed | None:
        """Claim the oldest row that may be worked on, `only` of those where that holds, or return None, and count the
        attempt.

        The attempt is counted before it is made: one that brings the program down counts too.
        """
        owner, now, rows = self._begin(), utc_now(), self._table.c
        self._give_back_dropped()
        with self.engine.begin() as connection:
            found = self._next if only is None else self._next.where(only)
            row = connection.execute(found, {"now": now}).mappings().one_or_none()
            if row is None:
                return None
            claim = f"{owner.name}:{uuid4().hex[:12]}"
            until = now + timedelta(seconds=CLAIM_SECONDS)
            taken = {"claim": claim, "claimed_until": until, "attempts": rows.attempts + 1, "changed": now}
            connection.execute(update(self._table).where(rows.id == row["id"]).values(taken))
        with self._lock:
            self._in_hand.add(claim)
        return Claimed(row["id"], claim, {**row, "attempts": row["attempts"] + 1})

    def finish(self, connection: Connection, row: Claimed) -> bool:
        """Mark a row as done, with what else is in the transaction. False: the claim was lost, and nothing is done."""
        return self._let_go(connection, row, state=self.done, reason=None, not_before=None)

    def fail(self, row: Claimed, reason: str) -> None:
        """Set a row aside for good. `reason` holds nothing of the payload."""
        with self.engine.begin() as connection:
            self._let_go(connection, row, state=FAILED, reason=reason, not_before=None)

    def put_back(self, row: Claimed, reason: str, *, counts: bool, after: float | None = None) -> float:
        """Leave a row to be taken again, and return in how many seconds.

        That is `after`, where the server said so, else more each time. An attempt that failed through no fault of the
        row does not count against it.
        """
        delays = row.values["delays"]
        seconds = min(0.5 * 2 ** min(delays, 10), _LONGEST_DELAY) if after is None else after
        with self.engine.begin() as connection:
            self._let_go(
                connection,
                row,
                reason=reason,
                delays=delays + 1,
                not_before=utc_now() + timedelta(seconds=seconds),
                **({} if counts else {"attempts": _one_less(self._table)}),
            )
        return seconds

    def give_back(self, row: Claimed) -> None:
        """Leave a row as it was before it was taken: the program ends, or the database was away."""
        with self._lock:
            self._in_hand.discard(row.claim)
            self._dropped.add(row.claim)
        self._give_back_dropped()

    def release_gone(self) -> int:
        """Take the claims from processes that have ended, and return how many these were."""
        owner, claims = self._begin(), self._table.c.claim
        with self.engine.connect().execution_options(reads=True) as connection:
            held = connection.execute(
                select(claims).where(_is_waiting(self._table), claims.is_not(None)).distinct()
            ).scalars()
            gone = [claim for claim in held if owner.is_gone(claim.partition(":")[0])]
        if gone:
            with self.engine.begin() as connection:
                connection.execute(update(self._table).where(claims.in_(gone)).values(claim=None, claimed_until=None))
        return len(gone)

    def counts(self) -> dict[str, int]:
        """Return the number of rows in each state."""
        state = self._table.c.state
        with self.engine.connect().execution_options(reads=True) as connection:
            rows = connection.execute(select(state, func.count()).group_by(state)).all()
        return {WAITING: 0, self.done: 0, FAILED: 0} | {row[0]: row[1] for row in rows}

    def waiting(self, only: ColumnElement[bool] | None = None) -> tuple[int, int]:
        """Return how many rows wait, `only` of those where that holds, and how many bytes they have."""
        found = select(func.count(), func.coalesce(func.sum(self._table.c.size), 0)).where(_is_waiting(self._table))
        with self.engine.connect().execution_options(reads=True) as connection:
            row = connection.execute(found if only is None else found.where(only)).one()
        return int(row[0]), int(row[1])

    def oldest(self) -> float:
        """Return how many seconds the oldest row that waits has waited; 0 when none does."""
        with self.engine.connect().execution_options(reads=True) as connection:
            added = connection.execute(select(func.min(self._table.c.added)).where(_is_waiting(self._table))).scalar()
        return 0.0 if added is None else max(0.0, (utc_now() - added).total_seconds())

    def close(self) -> None:
        """End the claims. The engine stays open."""
        self._closing.set()
        with self._lock:
            thread, owner, self._owner = self._renewing, self._owner, None
        if thread is not None:
            thread.join()
        if owner is not None:
            owner.close()

    def _let_go(self, connection: Connection, row: Claimed, **values: Any) -> bool:
        rows = self._table.c
        changed = {**values, "changed": utc_now(), "claim": None, "claimed_until": None}
        done = connection.execute(
            update(self._table).where(rows.id == row.id, rows.claim == row.claim).values(changed)
        ).rowcount
        if not done:
            _log.warning("%s row %d is in other hands by now", self._table.name, row.id)
        return bool(done)

    def _give_back_dropped(self) -> None:
        with self._lock:
            dropped = set(self._dropped)
        if not dropped:
            return
        left = {"claim": None, "claimed_until": None, "attempts": _one_less(self._table)}
        with self.engine.begin() as connection:
            connection.execute(update(self._table).where(self._table.c.claim.in_(dropped)).values(left))
        with self._lock:
            self._dropped -= dropped

    def release(self, row: Claimed) -> None:
        """Renew the claim on a row no more; whatever became of it is in the database, or could not be written."""
        with self._lock:
            self._in_hand.discard(row.claim)

    def _begin(self) -> Owner:
        with self._lock:
            if self._owner is None:
                self._owner = Owner(self.engine)
                self._renewing = Thread(target=self._renew, name=f"{self._table.name}-claims", daemon=True)
                self._renewing.start()
            return self._owner

    def _renew(self) -> None:
        while not self._closing.wait(CLAIM_SECONDS / 3):
            with self._lock:
                held = list(self._in_hand)
            if not held:
                continue
            until = utc_now() + timedelta(seconds=CLAIM_SECONDS)
            try:
                with self.engine.begin() as connection:
                    connection.execute(
                        update(self._table).where(self._table.c.claim.in_(held)).values(claimed_until=until)
                    )
            except SQLAlchemyError as error:
                _log.warning("claims in %s could not be renewed: %s", self._table.name, type(error).__name__)


def utc_now() -> datetime:
    """Return the time as it stands in the tables: UTC, without a zone, which SQLite does not keep."""
    return datetime.now(UTC).replace(tzinfo=None)


def _is_waiting(table: FromClause) -> Any:
    # A literal, not a bound value: with that, SQLite would not use the index of what waits.
    return table.c.state == literal_column(f"'{WAITING}'")


def _one_less(table: Table) -> Any:
    # case() and not a plain subtraction, so that a row put back twice never has attempts below zero.
    return case((table.c.attempts > 0, table.c.attempts - 1), else_=0)


def _next_row(table: Table) -> Any:
    now, rows, before = bindparam("now", type_=DateTime), table.c, table.alias("before")
    older = (
        select(before.c.id)
        .where(before.c.patient == rows.patient, _is_waiting(before), before.c.id < rows.id)
        .correlate(table)
        .exists()
    )
    return (
        select(table)
        .where(
            _is_waiting(table),
            or_(rows.not_before.is_(None), rows.not_before <= now),
            or_(rows.claimed_until.is_(None), rows.claimed_until <= now),
            not_(older),
        )
        .order_by(rows.id)
        .limit(1)
        .with_for_update(skip_locked=True)  # PostgreSQL: who comes second takes the next one; SQLite leaves it out
    )

"""Calls that are answered later: kept, with their answers, in the delivery database until they expire.

A restart loses none of them. They hold notes and what was made of them: only who has the id, which cannot be guessed,
and is the caller who asked, is told of a job.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from fhir_coder.delivery.database import METADATA
from fhir_coder.errors import QueueFullError

State = Literal["waiting", "running", "answered"]

_JOBS = Table(
    "jobs",
    METADATA,
    Column("number", Integer, primary_key=True),  # their order
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("taken", DateTime),  # UTC
    Column("status", Integer),  # HTTP status of the answer
    Column("answer", LargeBinary),
    Column("expires", DateTime, nullable=False),  # UTC
    Index("jobs_state", "state", "number"),
)
_LEASE = timedelta(minutes=10)  # a job that takes longer is taken to be another process's that died
_MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that is taken up to be answered."""

    number: int
    request: bytes
    poisonous: bool  # taken up three times, and never answered: answering it ended the service


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """How a job stands."""

    state: State
    before: int  # jobs that wait and will be answered earlier
    status: int | None
    answer: bytes | None
    expires: datetime  # with UTC as its zone


class Jobs:
    """The table of jobs. Its methods may be called from any thread; a disk at fault raises SQLAlchemyError."""

    def __init__(self, engine: Engine, *, most: int, hours: float) -> None:
        """At most `most` jobs are kept, each for `hours` after it was asked for."""
        self._engine = engine
        self._most = most
        self._kept = timedelta(hours=hours)

    def open(self) -> None:
        """Take up again what a process that is gone had taken."""
        # SQLite is the database of one service alone: whatever is running in it now is not. Elsewhere the lease tells.
        if self._engine.dialect.name == "sqlite":
            with self._engine.begin() as connection:
                connection.execute(update(_JOBS).where(_JOBS.c.state == "running").values(state="waiting"))

    def add(self, owner: str, request: bytes) -> str:
        """Store a job, synced to disk, and return its id. Raises `QueueFullError` when as many are kept as may be."""
        identifier = secrets.token_urlsafe(32)
        with self._engine.begin() as connection:
            connection.execute(delete(_JOBS).where(_JOBS.c.expires <= _now()))
            if connection.execute(select(func.count()).select_from(_JOBS)).scalar_one() >= self._most:
                raise QueueFullError(
                    "as many asynchronous calls are kept as the setting async_calls allows; delete the answers "
                    "that were read, or call again later"
                )
            connection.execute(
                insert(_JOBS).values(
                    id=identifier,
                    owner=owner,
                    request=request,
                    state="waiting",
                    attempts=0,
                    expires=_now() + self._kept,
                )
            )
        return identifier

    def take(self) -> Job | None:
        """Return the oldest job that waits, or None, and count the attempt: it may be the service's last."""
        abandoned = and_(_JOBS.c.state == "running", _JOBS.c.taken < _now() - _LEASE)
        oldest = (
            select(_JOBS.c.number)
            .where(or_(_JOBS.c.state == "waiting", abandoned), _JOBS.c.expires > _now())
            .order_by(_JOBS.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        statement = (
            update(_JOBS)
            .where(_JOBS.c.number == oldest)
            .values(state="running", attempts=_JOBS.c.attempts + 1, taken=_now())
            .returning(_JOBS.c.number, _JOBS.c.request, _JOBS.c.attempts)
        )
        with self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        return Job(number=row.number, request=row.request, poisonous=row.attempts > _MOST_ATTEMPTS)

    def wanted(self, job: Job) -> bool:
        """Return whether a job was neither cancelled nor has expired."""
        statement = select(_JOBS.c.number).where(_JOBS.c.number == job.number, _JOBS.c.expires > _now())
        with self._reading() as connection:
            return connection.execute(statement).one_or_none() is not None

    def finish(self, job: Job, status: int, answer: bytes) -> None:
        """Keep the answer, and the request no longer. A job that was cancelled meanwhile stays so."""
        values = {"state": "answered", "status": status, "answer": answer, "request": b""}
        with self._engine.begin() as connection:
            connection.execute(update(_JOBS).where(_JOBS.c.number == job.number).values(**values))

    def give_back(self, job: Job) -> None:
        """Leave a job to be taken up at the next start: the service ends."""
        values = {"state": "waiting", "attempts": _JOBS.c.attempts - 1}
        with self._engine.begin() as connection:
            connection.execute(update(_JOBS).where(_JOBS.c.number == job.number).values(**values))

    def find(self, owner: str, identifier: str) -> JobState | None:
        """Return how the owner's job stands, or None where there is no such job, or no longer."""
        columns = (_JOBS.c.number, _JOBS.c.state, _JOBS.c.status, _JOBS.c.answer, _JOBS.c.expires)
        with self._reading() as connection:
            row = connection.execute(select(*columns).where(_owned(owner, identifier))).one_or_none()
            if row is None:
                return None
            earlier = and_(_JOBS.c.state == "waiting", _JOBS.c.number < row.number, _JOBS.c.expires > _now())
            before = connection.execute(select(func.count()).where(earlier)).scalar_one()
        return JobState(
            state=row.state,
            before=before,
            status=row.status,
            answer=row.answer,
            expires=row.expires.replace(tzinfo=UTC),
        )

    def remove(self, owner: str, identifier: str) -> bool:
        """Delete the owner's job, and return whether there was one."""
        with self._engine.begin() as connection:
            found = connection.execute(delete(_JOBS).where(_owned(owner, identifier)).returning(_JOBS.c.number))
            return found.one_or_none() is not None

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reads=True)


def job_counts(engine: Engine) -> dict[str, int]:
    """Return how many jobs are kept, by their state."""
    statement = select(_JOBS.c.state, func.count()).where(_JOBS.c.expires > _now()).group_by(_JOBS.c.state)
    with engine.connect().execution_options(reads=True) as connection:
        found = {row[0]: row[1] for row in connection.execute(statement)}
    return {"waiting": 0, "running": 0, "answered": 0} | found


def remove_expired(engine: Engine) -> int:
    """Delete the jobs that have expired, and return how many these were."""
    with engine.begin() as connection:
        return connection.execute(delete(_JOBS).where(_JOBS.c.expires <= _now())).rowcount


def _owned(owner: str, identifier: str) -> ColumnElement[bool]:
    return and_(_JOBS.c.id == identifier, _JOBS.c.owner == owner, _JOBS.c.expires > _now())


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)

"""Parts of messages that were acknowledged and wait for the others: stored and synced like the messages themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

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
    delete,
    func,
    select,
    update,
)

from fhir_coder.delivery.database import METADATA, insert_new
from fhir_coder.delivery.queue import ID, utc_now
from fhir_coder.errors import InputError

PARTS = Table(
    "message_parts",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("key", String, nullable=False, unique=True),  # what the part is known by when it comes again; a hash
    # Hashes of the sender and the pointer; "" where there is none.
    Column("continues", String, nullable=False),
    Column("pointer", String, nullable=False),
    Column("payload", LargeBinary),  # None once it is part of a stored message
    Column("size", Integer, nullable=False),  # bytes
    Column("added", DateTime, nullable=False),  # UTC
    Index("message_parts_continues", "continues"),
    Index("message_parts_pointer", "pointer"),
)
_MOST_PARTS = 10_000  # of one message


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsStatus:
    """How much waits for the parts that are still to come."""

    messages: int  # of which some parts are here and others are not
    parts: int
    bytes: int
    oldest_seconds: float | None  # since the oldest part that waits was added


class MessageParts:
    """The table of parts. Its methods may be called from any thread; a disk at fault raises SQLAlchemyError."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is that of `open_database`."""
        self._engine = engine

    def store(self, key: str, sender: str, continues: str, pointer: str, payload: bytes) -> bool:
        """Store a part, synced to disk. False: it came before, and its message is stored already."""
        row = {
            "key": key,
            "continues": _link(sender, continues),
            "pointer": _link(sender, pointer),
            "payload": payload,
            "size": len(payload),
            "added": utc_now(),
        }
        with self._engine.begin() as connection:
            connection.execute(insert_new(connection, PARTS, "key"), row)
            waits = select(PARTS.c.payload.is_not(None)).where(PARTS.c.key == key)
            return bool(connection.execute(waits).scalar_one())

    def message(self, key: str, most: int) -> Mapping[str, bytes] | None:
        """Return all parts of the message that a part belongs to, by their keys, in order, or None: some are missing.

        Where a sender uses a pointer again, the part that came last counts.

        Raises `InputError` when they are more than `most` bytes, or point at each other for ever.
        """
        with self._engine.connect().execution_options(reads=True) as connection:
            chain = _chain(connection, key, most)
            if chain is None:
                return None
            rows = connection.execute(select(PARTS.c.key, PARTS.c.payload).where(PARTS.c.key.in_(chain)))
            payloads = {row.key: row.payload for row in rows}
        return {each: payloads[each] for each in chain}

    def release(self, keys: Collection[str]) -> None:
        """Remove the content of parts whose message is stored. The rows stay: a part that comes again is known."""
        with self._engine.begin() as connection:
            connection.execute(update(PARTS).where(PARTS.c.key.in_(keys)).values(payload=None))

    def forget(self, key: str) -> None:
        """Remove a part that is refused."""
        with self._engine.begin() as connection:
            connection.execute(delete(PARTS).where(PARTS.c.key == key, PARTS.c.payload.is_not(None)))

    def waiting(self) -> int:
        """Return how many parts wait for others."""
        with self._engine.connect().execution_options(reads=True) as connection:
            count = select(func.count()).select_from(PARTS).where(PARTS.c.payload.is_not(None))
            return int(connection.execute(count).scalar_one())


def parts_status(connection: Connection) -> PartsStatus:
    """Return how much waits. Parts that follow one another, as far as they are here, count as one message."""
    waits, before = PARTS.c.payload.is_not(None), PARTS.alias("before")
    follows = (
        select(before.c.id)
        .where(before.c.pointer == PARTS.c.continues, before.c.pointer != "", before.c.payload.is_not(None))
        .correlate(PARTS)
        .exists()
    )
    found = connection.execute(
        select(
            func.count().label("parts"),
            func.coalesce(func.sum(PARTS.c.size), 0).label("bytes"),
            func.min(PARTS.c.added).label("oldest"),
        ).where(waits)
    ).one()
    messages = connection.execute(select(func.count()).select_from(PARTS).where(waits, ~follows)).scalar_one()
    return PartsStatus(
        messages=messages,
        parts=found.parts,
        bytes=int(found.bytes),
        oldest_seconds=None if found.oldest is None else (utc_now() - found.oldest).total_seconds(),
    )


def _chain(connection: Connection, key: str, most: int) -> list[str] | None:
    """Return the keys of the parts from the first to the last, or None when one is missing."""
    own = _newest(connection, PARTS.c.key == key)
    if own is None:
        return None
    first, last, size, chain = own, own, own.size, [own.key]
    while first.continues or last.pointer:
        if first.continues:
            found = first = _newest(connection, PARTS.c.pointer == first.continues)
        else:
            found = last = _newest(connection, PARTS.c.continues == last.pointer)
        if found is None:
            return None
        size += found.size
        if size > most or len(chain) == _MOST_PARTS or found.key in chain:
            raise InputError(
                f"the parts of the message are more than {_MOST_PARTS}, or than the setting max_body_bytes ({most}) "
                "allows, or point at each other; split it into messages of their own",
                place="DSC-1",
                code="too-long",
            )
        chain = [found.key, *chain] if found is first else [*chain, found.key]
    return chain


def _newest(connection: Connection, where: ColumnElement[bool]) -> Any:
    """Return the part that came last of those that wait, or None."""
    columns = (PARTS.c.key, PARTS.c.continues, PARTS.c.pointer, PARTS.c.size)
    waiting = select(*columns).where(where, PARTS.c.payload.is_not(None))
    return connection.execute(waiting.order_by(PARTS.c.id.desc()).limit(1)).first()


def _link(sender: str, pointer: str) -> str:
    return sha256(f"{sender}\x1e{pointer}".encode("utf-8", "surrogatepass")).hexdigest() if pointer else ""

"""Parts of messages that were acknowledged and wait for the others: stored and synced like the messages themselves."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from sqlalchemy import Column, Connection, DateTime, Engine, Index, LargeBinary, String, Table, delete, func, select, update

from fhir_coder.delivery.database import METADATA, insert_new
from fhir_coder.delivery.queue import ID, utc_now

_PARTS = Table(
    "message_parts",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("key", String, nullable=False, unique=True),  # what the part is known by when it comes again; a hash
    # Hashes of the sender and the pointer; "" where there is none.
    Column("continues", String, nullable=False),
    Column("pointer", String, nullable=False),
    Column("payload", LargeBinary),  # None once it is part of a stored message
    Column("added", DateTime, nullable=False),  # UTC
    Index("message_parts_continues", "continues"),
    Index("message_parts_pointer", "pointer"),
)
_MOST_PARTS = 10_000  # of one message


class MessageParts:
    """The table of parts. Its methods may be called from any thread; a disk at fault raises SQLAlchemyError."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is that of `open_database`."""
        self._engine = engine
        METADATA.create_all(engine, tables=[_PARTS])

    def store(self, key: str, sender: str, continues: str, pointer: str, payload: bytes) -> bool:
        """Store a part, synced to disk. False: it came before, and its message is stored already."""
        row = {
            "key": key,
            "continues": _link(sender, continues),
            "pointer": _link(sender, pointer),
            "payload": payload,
            "added": utc_now(),
        }
        with self._engine.begin() as connection:
            connection.execute(insert_new(connection, _PARTS, "key"), row)
            waits = select(_PARTS.c.payload.is_not(None)).where(_PARTS.c.key == key)
            return bool(connection.execute(waits).scalar_one())

    def message(self, key: str) -> tuple[list[str], list[bytes]] | None:
        """Return the keys and payloads of all parts of the message that a part belongs to, or None: some are missing.

        Where a sender uses a pointer again, the part that came last counts.
        """
        with self._engine.connect() as connection:
            own = _rows(connection, _PARTS.c.key == key)
            if not own:
                return None
            found = [own[0]]
            while found[0].continues:
                before = _rows(connection, _PARTS.c.pointer == found[0].continues)
                if not before or len(found) > _MOST_PARTS:
                    return None
                found.insert(0, before[0])
            while found[-1].pointer:
                after = _rows(connection, _PARTS.c.continues == found[-1].pointer)
                if not after or len(found) > _MOST_PARTS:
                    return None
                found.append(after[0])
            keys = [row.key for row in found]
            if len(set(keys)) < len(keys):  # they point at each other
                return None
            rows = connection.execute(select(_PARTS.c.key, _PARTS.c.payload).where(_PARTS.c.key.in_(keys)))
            payloads = {row.key: row.payload for row in rows}
        return keys, [payloads[each] for each in keys]

    def release(self, keys: Sequence[str]) -> None:
        """Remove the content of parts whose message is stored. The rows stay: a part that comes again is known."""
        with self._engine.begin() as connection:
            connection.execute(update(_PARTS).where(_PARTS.c.key.in_(keys)).values(payload=None))

    def forget(self, key: str) -> None:
        """Remove a part that is refused."""
        with self._engine.begin() as connection:
            connection.execute(delete(_PARTS).where(_PARTS.c.key == key, _PARTS.c.payload.is_not(None)))

    def waiting(self) -> int:
        """Return how many parts wait for others."""
        with self._engine.connect() as connection:
            count = select(func.count()).select_from(_PARTS).where(_PARTS.c.payload.is_not(None))
            return int(connection.execute(count).scalar_one())


def _rows(connection: Connection, where: object) -> Sequence[object]:
    columns = (_PARTS.c.key, _PARTS.c.continues, _PARTS.c.pointer)
    found = select(*columns).where(where, _PARTS.c.payload.is_not(None)).order_by(_PARTS.c.id.desc()).limit(1)
    return connection.execute(found).all()


def _link(sender: str, pointer: str) -> str:
    return sha256(f"{sender}\x1e{pointer}".encode("utf-8", "surrogatepass")).hexdigest() if pointer else ""

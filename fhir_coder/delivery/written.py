"""The ledger: which resources each document gave, where they stand, and what became of them, per target.

A target is a FHIR server (its base URL) or a folder (its path). By the ledger a later version of a document, its
replacement or its withdrawal knows what to take back, and what somebody else has changed in the meantime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import JSON, Column, Connection, DateTime, Engine, Index, Integer, String, Table, delete, or_, select

from fhir_coder.delivery.database import METADATA

State = Literal["standing", "retracted", "left", "evidence"]
"""standing: as we wrote it. retracted: entered in error. left: somebody else changed it, so it is theirs now.
evidence: a resource of somebody else's to which the document was added as evidence."""

_AT_ONCE = 500  # identities in one statement

_WRITTEN = Table(
    "written",
    METADATA,
    Column("target", String, primary_key=True),
    Column("identity", String, primary_key=True),
    Column("document", String, nullable=False),
    Column("type", String, nullable=False),
    Column("place", String, nullable=False),
    Column("resource", JSON, nullable=False),
    Column("content", String, nullable=False),
    Column("version", String),
    Column("revision", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("changed", DateTime, nullable=False),  # UTC
    Index("written_document", "target", "document"),
)
_NAMES = Table(
    "document_name",
    METADATA,
    Column("target", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("document", String, primary_key=True),
)
_REPLACED = Table(
    "document_replaced",
    METADATA,
    Column("target", String, primary_key=True),
    Column("document", String, primary_key=True),
    Column("replaced_by", String, primary_key=True),
)


_WAITING = Table(
    "document_waiting",
    METADATA,
    Column("target", String, primary_key=True),
    Column("document", String, primary_key=True),
    Column("kept", JSON, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A resource that a document gave."""

    identity: str  # the full URL of its entry, which follows from document and content
    document: str  # identity of the document
    type: str  # "Condition"
    place: str  # on the target: "Condition/7"
    resource: Mapping[str, Any]  # as last sent, with references to places on the target
    content: str  # digest of what was to be said (revision.content), with the Bundle's own references
    version: str | None  # that the server gave to what was last sent; None where it told none, and for a folder
    revision: int  # how many times it was written
    state: State


class Ledger:
    """The table of what was written. A database at fault raises SQLAlchemyError. Safe for several threads."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is that of `open_database`."""
        self._engine = engine

    def rows(self, target: str, documents: Iterable[str]) -> list[Written]:
        """Return what these documents gave, in the order of the documents."""
        wanted = list(dict.fromkeys(documents))
        if not wanted:
            return []
        with self._reading() as connection:
            statement = select(_WRITTEN).where(_WRITTEN.c.target == target, _WRITTEN.c.document.in_(wanted))
            # Sorted below: to sort by its key, SQLite would go through all that was ever written.
            found = connection.execute(statement).mappings().all()
        made = [
            Written(**{name: value for name, value in row.items() if name not in ("target", "changed")})
            for row in found
        ]
        return sorted(made, key=lambda row: (wanted.index(row.document), row.identity))

    def documents(self, target: str, names: Iterable[str]) -> list[str]:
        """Return the identities of the documents that are known by any of the names; a name may be an identity."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return []
        with self._reading() as connection:
            statement = select(_NAMES.c.document).where(_NAMES.c.target == target, _NAMES.c.name.in_(wanted))
            known = connection.execute(statement.order_by(_NAMES.c.document)).scalars().all()
        return list(dict.fromkeys((*wanted, *known)))

    def wrote(self, target: str, place: str) -> bool:
        """Whether what is at a place ("DocumentReference/7") was written by us, whatever became of it since."""
        statement = select(_WRITTEN.c.identity).where(_WRITTEN.c.target == target, _WRITTEN.c.place == place).limit(1)
        with self._reading() as connection:
            return connection.execute(statement).first() is not None

    def waiting(self, target: str, document: str) -> Mapping[str, Any] | None:
        """Return what `wait` kept of a preliminary document, or None."""
        statement = select(_WAITING.c.kept).where(_WAITING.c.target == target, _WAITING.c.document == document)
        with self._reading() as connection:
            found: Mapping[str, Any] | None = connection.execute(statement).scalar()
        return found

    def wait(self, target: str, document: str, kept: Mapping[str, Any] | None) -> None:
        """Keep what a preliminary document says until it is final, in place of what was kept; None keeps nothing."""
        if kept is None and self.waiting(target, document) is None:
            return
        with self._engine.begin() as connection:
            connection.execute(delete(_WAITING).where(_WAITING.c.target == target, _WAITING.c.document == document))
            if kept is not None:
                connection.execute(_WAITING.insert(), {"target": target, "document": document, "kept": dict(kept)})

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reads=True)

    def replaced_by(self, target: str, names: Iterable[str]) -> set[str]:
        """Return the documents that say they replace the one of these names (its identity among them)."""
        statement = select(_REPLACED.c.replaced_by).where(
            _REPLACED.c.target == target, _REPLACED.c.document.in_(list(dict.fromkeys(names)))
        )
        with self._reading() as connection:
            return set(connection.execute(statement).scalars())

    def record(
        self,
        target: str,
        document: str,
        rows: Iterable[Written],
        *,
        forgotten: Iterable[str] = (),
        names: Iterable[str] | None = (),
        replaces: Iterable[str] = (),
        stands: bool = True,
        also: Callable[[Connection], None] | None = None,
    ) -> None:
        """Write what a delivery of `document` has led to, all of it or nothing.

        `forgotten` are identities that another row has taken over. `names` are those by which the document is known;
        with None, what was said of the document itself before still holds.
        `replaces` are the documents it takes the place of, and what it said of that before is forgotten; a document
        that no longer `stands` (it was withdrawn) replaces none. `also` writes what else is in the transaction.
        """
        made = [_values(target, row) for row in rows]
        gone = [*forgotten, *(row["identity"] for row in made)]
        with self._engine.begin() as connection:
            for start in range(0, len(gone), _AT_ONCE):
                some = gone[start : start + _AT_ONCE]
                connection.execute(delete(_WRITTEN).where(_WRITTEN.c.target == target, _WRITTEN.c.identity.in_(some)))
            if made:
                connection.execute(_WRITTEN.insert(), made)
            if also is not None:
                also(connection)
            if names is not None:
                _say(connection, target, document, list(names), list(replaces) if stands else [])


def _say(connection: Connection, target: str, document: str, names: list[str], replaces: list[str]) -> None:
    connection.execute(delete(_NAMES).where(_NAMES.c.target == target, _NAMES.c.document == document))
    replaced = _REPLACED.c.target == target
    # What this one replaces does not stand any more, so neither does what that one said of it.
    turned = (_REPLACED.c.document == document) & _REPLACED.c.replaced_by.in_(replaces)
    connection.execute(delete(_REPLACED).where(replaced, or_(_REPLACED.c.replaced_by == document, turned)))
    if names:
        rows = [{"target": target, "name": name, "document": document} for name in dict.fromkeys(names)]
        connection.execute(_NAMES.insert(), rows)
    if replaces:
        rows = [{"target": target, "document": each, "replaced_by": document} for each in dict.fromkeys(replaces)]
        connection.execute(_REPLACED.insert(), rows)


def _values(target: str, row: Written) -> dict[str, Any]:
    return {
        "target": target,
        "identity": row.identity,
        "document": row.document,
        "type": row.type,
        "place": row.place,
        "resource": dict(row.resource),
        "content": row.content,
        "version": row.version,
        "revision": row.revision,
        "state": row.state,
        "changed": datetime.now(UTC).replace(tzinfo=None),
    }

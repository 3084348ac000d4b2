"""Which version of each document on the FHIR server was dealt with, so that every note is coded once.

A document is heard of several times: it is notified, the notification is repeated, and the sweep finds it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from sqlalchemy import Column, Connection, DateTime, Engine, String, Table, select

from fhir_coder.delivery.database import METADATA
from fhir_coder.upstream.rows import put

Outcome = Literal["coded", "refused", "gone"]

_MOST_IDS = 500  # in one query
_DOCUMENTS = Table(
    "upstream_documents",
    METADATA,
    Column("server", String, primary_key=True),  # base URL
    Column("id", String, primary_key=True),
    Column("version", String),  # None on servers without versions, and when it is gone
    Column("digest", String),  # of the content without its meta; None when some of it lies behind a url
    Column("outcome", String, nullable=False),
    Column("changed", DateTime, nullable=False),  # UTC
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was made of a document."""

    version: str | None
    digest: str | None
    outcome: Outcome


class Documents:
    """The documents of one FHIR server."""

    def __init__(self, engine: Engine, server: str) -> None:
        """`server` is its base URL."""
        self._engine = engine
        self._server = server

    @property
    def server(self) -> str:
        """The base URL."""
        return self._server

    def known(self, identifier: str) -> Known | None:
        """Return what was made of a document, or None when there was none yet."""
        return self.all_known([identifier]).get(identifier)

    def all_known(self, identifiers: Collection[str]) -> dict[str, Known]:
        """Return what was made of those documents of which anything was, by id."""
        wanted = list(identifiers)
        found: dict[str, Known] = {}
        with self._engine.connect().execution_options(reads=True) as connection:
            for start in range(0, len(wanted), _MOST_IDS):
                rows = connection.execute(
                    select(_DOCUMENTS).where(
                        _DOCUMENTS.c.server == self._server, _DOCUMENTS.c.id.in_(wanted[start : start + _MOST_IDS])
                    )
                )
                found |= {row.id: Known(version=row.version, digest=row.digest, outcome=row.outcome) for row in rows}
        return found

    def record(self, identifier: str, known: Known) -> None:
        """Remember what was made of a document."""
        with self._engine.begin() as connection:
            self.put(connection, identifier, known)

    def put(self, connection: Connection, identifier: str, known: Known) -> None:
        """Remember what was made of a document, within a transaction."""
        values = {"version": known.version, "digest": known.digest, "outcome": known.outcome}
        key = {"server": self._server, "id": identifier}
        put(connection, _DOCUMENTS, key, {**values, "changed": datetime.now(UTC).replace(tzinfo=None)})


def content_digest(resource: Mapping[str, Any]) -> str | None:
    """Return the hash of what a DocumentReference says; None when that cannot be told without fetching its urls."""
    contents = resource.get("content")
    for each in contents if isinstance(contents, list) else []:
        attachment = each.get("attachment") if isinstance(each, dict) else None
        if not isinstance(attachment, dict) or "url" in attachment:
            return None
    said = {name: value for name, value in resource.items() if name not in ("meta", "text")}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()

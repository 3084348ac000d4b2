"""What is done with rows that wait no more: their content is removed after a time, they are replayed or discarded."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine, Table, case, select, update

from fhir_coder.delivery.inbox import CODED, INBOX
from fhir_coder.delivery.outbox import OUTBOX, SENT, is_audit
from fhir_coder.delivery.queue import utc_now

_AT_ONCE = 500  # rows


def purge(engine: Engine, days: float) -> int:
    """Remove the content of what was coded and sent more than so many days ago, and return of how many rows.

    The rows stay: by the hash in one, a message that is sent again is known. What failed keeps its content.
    """
    before, purged = utc_now() - timedelta(days=days), 0
    for table, done in ((INBOX, CODED), (OUTBOX, SENT)):
        while count := _purge_some(engine, table, done, before):
            purged += count
    return purged


def _purge_some(engine: Engine, table: Table, done: str, before: datetime) -> int:
    """Purge a few rows: whoever takes messages in waits no longer than that takes."""
    rows = table.c
    # What tells an AuditEvent from a note tells nothing of a patient.
    patient = case((is_audit(), rows.patient), else_=None) if table is OUTBOX else None
    old = select(rows.id).where(rows.state == done, rows.changed < before, rows.payload.is_not(None)).limit(_AT_ONCE)
    with engine.begin() as connection:
        return connection.execute(
            update(table).where(rows.id.in_(old.scalar_subquery())).values(payload=None, patient=patient)
        ).rowcount

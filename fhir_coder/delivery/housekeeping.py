"""What is done with rows that wait no more: their content is removed after a time, they are replayed or discarded."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, update

from fhir_coder.delivery.inbox import CODED, INBOX
from fhir_coder.delivery.outbox import OUTBOX, SENT
from fhir_coder.delivery.queue import utc_now


def purge(engine: Engine, days: float) -> int:
    """Remove the content of what was coded and sent more than so many days ago, and return of how many rows.

    The rows stay: by the hash in one, a message that is sent again is known. What failed keeps its content.
    """
    before = utc_now() - timedelta(days=days)
    purged = 0
    with engine.begin() as connection:
        for table, done in ((INBOX, CODED), (OUTBOX, SENT)):
            old = table.c.changed < before
            purged += connection.execute(
                update(table)
                .where(table.c.state == done, old, table.c.payload.is_not(None))
                .values(payload=None, patient=None)
            ).rowcount
    return purged

"""How much may wait: when the stated bound is reached, nothing more is taken in until some of it is done."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.delivery.bell import Bell
from fhir_coder.delivery.database import is_sqlite
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.delivery.worker import Worker
from fhir_coder.errors import QueueFullError
from fhir_coder.settings import Settings

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
"""How old what is known may be: by what comes in this time, the bound may be passed."""
_GOES_ON_BELOW = 0.95  # of the bound, so that it is not all the time reached anew


class Capacity:
    """Looks now and then how much waits, in a thread of its own. Its methods may be called from any thread."""

    def __init__(self, settings: Settings, inbox: Inbox, outbox: Outbox) -> None:
        """Look for the first time. Raises SQLAlchemyError when the database cannot be read."""
        self._settings = settings
        # AuditEvents do not count: a server that takes none of them must not keep notes from being taken in.
        self._waiting = (inbox.queue.waiting, outbox.waiting if settings.audit == "fhir" else outbox.queue.waiting)
        engine = inbox.queue.engine
        self._disk = Path(engine.url.database or ".").parent if is_sqlite(engine) else None
        self._reached = ""
        self._look()
        self._worker = Worker("capacity", self._step, Bell())

    def start(self) -> None:
        """Begin to look."""
        self._worker.start()

    def stop(self) -> None:
        """End."""
        self._worker.stop()

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be taken in."""
        return bool(self._reached)

    def require_room(self) -> None:
        """Raise `QueueFullError` when nothing more is to be taken in."""
        if self._reached:
            raise QueueFullError(f"nothing more is taken in until what waits is done ({self._reached}); send it again")

    def _step(self) -> float:
        try:
            self._look()
        except SQLAlchemyError as error:
            _log.error("how much waits cannot be read: %s", type(error).__name__)
        return _LOOK_SECONDS

    def _look(self) -> None:
        before, self._reached = self._reached, self._bound_reached(_GOES_ON_BELOW if self._reached else 1.0)
        if self._reached and not before:
            _log.error("nothing more is taken in: %s", self._reached)
        elif before and not self._reached:
            _log.warning("messages are taken in again")

    def _bound_reached(self, share: float) -> str:
        """Return the setting whose bound is reached, "" when none is."""
        items, size = (sum(each) for each in zip(*(waiting() for waiting in self._waiting), strict=True))
        if items >= self._settings.queue_max_items * share:
            return "queue_max_items"
        if size >= self._settings.queue_max_bytes * share:
            return "queue_max_bytes"
        if self._disk is not None and shutil.disk_usage(self._disk).free * share < self._settings.queue_min_free_bytes:
            return "queue_min_free_bytes"
        return ""

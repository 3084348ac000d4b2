"""The coding of what the inbox holds: taken, handed over, and what came of it put into the outbox."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.delivery.inbox import Coded, Inbox, Item
from fhir_coder.delivery.worker import is_storage_fault, told
from fhir_coder.errors import CodingFailedError, CodingStoppedError, FhirCoderError, TransientDeliveryError
from fhir_coder.logs import correlated
from fhir_coder.tracing import span

_log = logging.getLogger(__name__)

TRIES = 3
"""An item that fails so often in a way nobody foresaw is set aside."""


class Coding:
    """Takes items one by one.

    An item at fault (`InputError`) is set aside at once; one that fails in a way nobody foresaw, or during whose
    coding the program ended, after three tries. What is not its fault (a server away, a full disk) is tried again for
    as long as it takes, with growing pauses; meanwhile the items of other patients go on.
    """

    def __init__(
        self,
        inbox: Inbox,
        handle: Callable[[Item], Coded],
        stored: Callable[[], None],
        *,
        interruptions: int = TRIES,
    ) -> None:
        """`handle` codes one item; `stored` is called after something was put into the outbox.

        `interruptions` is how often the program may end while an item is in hand before that is held against the
        item: more than three times where a note cannot bring the program down.
        """
        self._inbox = inbox
        self._handle = handle
        self._stored = stored
        self._interruptions = interruptions

    def step(self) -> float | None:
        """Code one item, if there is one. Return the seconds to wait before the next, or None when there is none.

        Raises SQLAlchemyError and OSError when the database or the disk is at fault.
        """
        item = self._inbox.take()
        if item is None:
            return None
        try:
            with correlated(f"inbox-{item.id}"), span("item", attempt=item.attempts):
                self._code(item)
        except Exception as error:
            if not is_storage_fault(error):
                raise
            with suppress(SQLAlchemyError):  # else it is given back when the database is there again
                self._inbox.queue.give_back(item.row)
            raise
        finally:
            self._inbox.queue.release(item.row)
        return 0.0

    def _code(self, item: Item) -> None:
        queue = self._inbox.queue
        if item.attempts > self._interruptions:
            self._set_aside(item, f"the program ended during each of {self._interruptions} attempts")
            return
        try:
            coded = self._handle(item)
        except CodingStoppedError:
            queue.give_back(item.row)
            return
        except TransientDeliveryError as error:
            seconds = queue.put_back(item.row, told(error), counts=False, after=error.retry_after)
            _log.warning("inbox item %d is tried again in %.0f s: %s", item.id, seconds, told(error))
            return
        except CodingFailedError as error:
            self._unforeseen(item, error)
            return
        except FhirCoderError as error:
            self._set_aside(item, told(error))
            return
        except Exception as error:
            if is_storage_fault(error):
                raise
            self._unforeseen(item, error)
            return
        self._inbox.coded(item, coded)
        _log.info("inbox item %d is coded, %d to be delivered", item.id, len(coded.dispatches))
        self._stored()

    def _unforeseen(self, item: Item, error: Exception) -> None:
        if item.attempts >= TRIES:
            self._set_aside(item, told(error))
            return
        self._inbox.queue.put_back(item.row, told(error), counts=True)
        _log.warning("inbox item %d is tried again: %s", item.id, told(error))

    def _set_aside(self, item: Item, reason: str) -> None:
        self._inbox.queue.fail(item.row, reason)
        _log.error("inbox item %d is set aside: %s", item.id, reason)

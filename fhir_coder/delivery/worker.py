"""The worker: one thread that takes the messages of the inbox in order, and has each coded and delivered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.delivery.inbox import Inbox, Item
from fhir_coder.errors import FhirCoderError, TransientDeliveryError

_log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 3
_POLL_SECONDS = 1.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0


class Worker:
    """Codes what the inbox holds, oldest first, until it is stopped.

    A message at fault (`InputError`, `DeliveryError`) is set aside at once; one that fails in a way nobody
    foresaw, after three tries. What is not the message's fault (a server away, a full disk) is tried again
    for as long as it takes, with growing pauses; the messages behind it wait, so that order is kept.
    """

    def __init__(self, inbox: Inbox, handle: Callable[[Item], None]) -> None:
        """`handle` codes and delivers one message."""
        self._inbox = inbox
        self._handle = handle
        self._stopping = Event()
        self._wake = Event()
        # A daemon: a message in hand when the program ends stays "received" and is resumed at the next start.
        self._thread = Thread(target=self._run, name="inbox-worker", daemon=True)

    def start(self) -> None:
        """Begin with what was left over from before."""
        self._thread.start()

    def wake(self) -> None:
        """Tell that a message was stored."""
        self._wake.set()

    def stop(self, timeout: float = 10.0) -> bool:
        """Finish the message in hand and end. Return False when that took longer than `timeout` seconds."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the worker runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                item = self._inbox.take()
                again = None if item is None else self._work(item)
            except SQLAlchemyError as error:
                _log.error("the inbox cannot be read or written (%s); trying again", type(error).__name__)
                item, again = None, pause
            if again is not None:
                self._stopping.wait(max(again, pause))
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            if item is None:
                self._wake.wait(_POLL_SECONDS)
                self._wake.clear()

    def _work(self, item: Item) -> float | None:
        """Code one message. Return the least seconds to wait when it has to be tried again, None when it is done."""
        if item.attempts > _MAX_ATTEMPTS:
            self._set_aside(item, "the program ended during each of three attempts")
            return None
        try:
            self._handle(item)
        except (TransientDeliveryError, OSError, SQLAlchemyError) as error:
            self._put_back(item, error, counts=False)
            return (error.retry_after or 0.0) if isinstance(error, TransientDeliveryError) else 0.0
        except FhirCoderError as error:
            self._set_aside(item, _reason(error))
        except Exception as error:
            if item.attempts < _MAX_ATTEMPTS:
                self._put_back(item, error, counts=True)
                return 0.0
            self._set_aside(item, _reason(error))
        else:
            self._inbox.done(item)
        return None

    def _set_aside(self, item: Item, reason: str) -> None:
        self._inbox.fail(item, reason)
        _log.error("inbox item %d is set aside: %s", item.id, reason)

    def _put_back(self, item: Item, error: Exception, *, counts: bool) -> None:
        self._inbox.put_back(item, _reason(error), counts=counts)
        _log.warning("inbox item %d is tried again: %s", item.id, _reason(error))


def _reason(error: Exception) -> str:
    """Why, without PHI: our own errors hold none by contract; of others only the kind is told."""
    return f"{type(error).__name__}: {error}" if isinstance(error, FhirCoderError) else type(error).__name__

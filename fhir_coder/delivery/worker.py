"""A worker: one thread that does one piece of work after another until it is stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.delivery.bell import Bell
from fhir_coder.errors import FhirCoderError
from fhir_coder.logs import in_short

_log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""After which one who found nothing to do looks again: others may have put something there."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class Worker:
    """Does what is there to do, first of all what was left over from before."""

    def __init__(self, name: str, step: Callable[[], float | None], bell: Bell) -> None:
        """`step` does one piece of work; `bell` is rung when there is more.

        It returns the seconds to wait before the next one, or None when there was nothing to do. While it raises
        SQLAlchemyError or OSError (the database or the disk is at fault), it is called again after growing pauses.
        """
        self._name = name
        self._step = step
        self._bell = bell
        self._stopping = Event()
        # A daemon: what is in hand when the program ends is claimed by nobody at the next start.
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Tell that there is something to do."""
        self._bell.ring()

    def begin_stop(self) -> None:
        """Let the piece of work in hand be the last one."""
        self._stopping.set()
        self._bell.ring()

    def stop(self, timeout: float = 10.0) -> bool:
        """Finish what is in hand and end. Return False when that took longer than `timeout` seconds."""
        self.begin_stop()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            strokes = self._bell.strokes
            try:
                wait = self._step()
            except Exception as error:
                # A database or disk at fault; of anything else, the message may quote a note.
                _log.error("%s: %s; trying again in %.0f s", self._name, type(error).__name__, pause)
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            if wait is None:
                self._bell.wait(strokes, POLL_SECONDS)
            elif wait:
                self._stopping.wait(wait)


def is_storage_fault(error: Exception) -> bool:
    """Whether the database or the disk is at fault, and not what was in hand."""
    return isinstance(error, OSError | SQLAlchemyError)


def told(error: Exception) -> str:
    """Why, without PHI: our own errors hold none by contract; of others only the kind and the place are told."""
    return f"{type(error).__name__}: {error}" if isinstance(error, FhirCoderError) else in_short(error)

"""The sweeper: one thread that asks the FHIR server for what notifications missed, and keeps the Subscription alive."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.errors import FhirCoderError, TransientDeliveryError

_log = logging.getLogger(__name__)

_GATHER_SECONDS = 0.5  # notifications come in swarms: one search serves all
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class Sweeper:
    """Sweeps when it is woken, and every so many seconds."""

    def __init__(self, sweep: Callable[[], bool], seconds: float) -> None:
        """`sweep` asks for what is new and returns whether to do so every `seconds`; 0 seconds: only when woken."""
        self.sweep = sweep
        self._seconds = seconds
        self._stopping = Event()
        self._wake = Event()
        # A daemon: what it has not asked for yet, it asks for at the next start.
        self._thread = Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin with a sweep: something may have happened while the service was not there."""
        self._thread.start()

    def wake(self) -> None:
        """Tell that there is something to be found."""
        self._wake.set()

    def stop(self, timeout: float = 10.0) -> bool:
        """End after the sweep in hand. Return False when that took longer than `timeout` seconds."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                goes_on = self.sweep()
            except (FhirCoderError, OSError, SQLAlchemyError) as error:
                wait = max(pause, (error.retry_after or 0.0) if isinstance(error, TransientDeliveryError) else 0.0)
                _log.warning("the sweep failed and is tried again in %.0f s: %s", wait, _reason(error))
                self._stopping.wait(wait)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            except Exception as error:
                _log.error("the sweep failed: %s", type(error).__name__)
                self._stopping.wait(_LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            if self._wake.wait(self._seconds if goes_on and self._seconds else None):
                self._stopping.wait(_GATHER_SECONDS)


def _reason(error: Exception) -> str:
    """Why, without PHI: our own errors hold none by contract; of others only the kind is told."""
    return str(error) if isinstance(error, FhirCoderError) else type(error).__name__

"""Whether the server may be asked now: while it takes nothing at all, by one sender at a time, after growing pauses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock

_log = logging.getLogger(__name__)

_CLOSES_AFTER = 3  # failures in a row; one or two may be of the dispatch alone
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_PROBING_PAUSE = 0.2  # of those who wait for the one that asks


class Gate:
    """Shared by all that send to one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, name: str = "the server") -> None:
        """`clock` gives seconds; `name` is what is asked."""
        self.clock = clock
        self._name = name
        self._lock = Lock()
        self._failures = 0  # in a row
        self._opens = 0.0
        self._inside = 0

    @property
    def away(self) -> bool:
        """Whether the server took nothing lately."""
        with self._lock:
            return self._failures >= _CLOSES_AFTER

    def enter(self) -> float:
        """Return 0 when the server may be asked now (`leave` must follow), else the seconds to wait."""
        with self._lock:
            if self._failures >= _CLOSES_AFTER:
                wait = self._opens - self.clock()
                if wait > 0:
                    return min(wait, 1.0)  # a success elsewhere may open it before
                if self._inside:
                    return _PROBING_PAUSE
            self._inside += 1
            return 0.0

    def leave(self) -> None:
        """Tell that what was entered for is over."""
        with self._lock:
            self._inside -= 1

    def succeeded(self) -> None:
        """Tell that the server answered as it should."""
        with self._lock:
            if self._failures >= _CLOSES_AFTER:
                _log.warning("%s answers again", self._name)
            self._failures = 0

    def failed(self, retry_after: float | None) -> bool:
        """Tell that the server was away or busy; `retry_after` is the seconds that it asked for.

        Return whether it had taken something just before: then the fault may be of what was sent.
        """
        with self._lock:
            self._failures += 1
            beyond = self._failures - _CLOSES_AFTER
            if beyond >= 0:
                pause = min(_FIRST_PAUSE * 2 ** min(beyond, 10), _LONGEST_PAUSE)
                self._opens = self.clock() + max(pause, retry_after or 0.0)
                if beyond == 0:
                    _log.warning("%s is away; one delivery at a time asks for it", self._name)
            return self._failures == 1

"""Work off the event loop, in a few threads, with a bound to what may wait for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from fhir_coder.errors import QueueFullError

_THREADS = 4  # the desk lets one code at a time; the others read, check and deliver

T = TypeVar("T")


class Threads:
    """Runs functions in one of a few threads: the event loop goes on, and threads do not pile up."""

    def __init__(self, most_waiting: int) -> None:
        """At most `most_waiting` calls wait for a thread."""
        self._limiter = CapacityLimiter(_THREADS)
        self._most = _THREADS + most_waiting
        self._calls = 0

    def require_room(self) -> None:
        """Raise `QueueFullError` when as many calls wait as may: before a body is read that nobody has time for."""
        if self._calls >= self._most:
            raise QueueFullError("as many calls wait as the setting http_waiting allows; call again later")

    async def run(self, function: Callable[[], T]) -> T:
        """Return what the function returns. Raises what it raises, and `QueueFullError` as `require_room` does."""
        self.require_room()
        self._calls += 1
        try:
            return await run_sync(function, limiter=self._limiter)
        finally:
            self._calls -= 1

"""The time by which the queues count, in the hands of a test.

By the machine's own time a test would tell of the machine: what is put back for half a second may be taken at once
where a disk takes a second to write.
"""

from datetime import datetime, timedelta

import pytest

from fhir_coder.delivery import queue, sending


class Clock:
    """Stands still, and gives seconds to a `Gate`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._seconds = 0.0
        begun = queue.utc_now()

        def now() -> datetime:
            return begun + timedelta(seconds=self._seconds)

        for module in (queue, sending):
            monkeypatch.setattr(module, "utc_now", now)

    def __call__(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self._seconds += seconds

"""A bell: rung when something was put into a queue, heard by all who wait for that."""

from __future__ import annotations

from threading import Condition


class Bell:
    """Counts its strokes, so that one that is rung while nobody listens is heard all the same."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._strokes = 0

    def ring(self) -> None:
        """Wake all who wait."""
        with self._condition:
            self._strokes += 1
            self._condition.notify_all()

    @property
    def strokes(self) -> int:
        """How often it was rung."""
        return self._strokes

    def wait(self, strokes: int, seconds: float) -> None:
        """Return when it was rung more than `strokes` times, or after so many seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._strokes > strokes, seconds)

"""Gathers the lines of all connections into batches, as large as the load makes them.

A batch begins as soon as a worker is free, with the lines that wait: on an idle server that is the one that just came,
on a busy one all that came while the workers were at work. So a line waits for a worker and for nothing else, with one
exception: where the last batches were large and only a few lines are there, the others are about to come (their clients
just got their answers), and the batch waits for them, a millisecond at the most.

A batch is no larger than what takes `_BATCH_SECONDS`, by the time that the last ones took, and free workers share.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Protocol

from fhir_coder.lookup.metrics import LineMetrics

_log = logging.getLogger(__name__)

Question = tuple[str, str]
"""A code system's short name ("icd10cm"), and a description."""

Answer = str | None
"""A code, "" where none is sure enough, or None where the lookup failed."""

Worker = Callable[[Sequence[Question]], list[Answer]]
"""Answers a batch, in a thread of its own; one batch at a time."""

_LARGEST = 256
_BATCH_SECONDS = 0.04  # 100 clients at one time: half of them in each batch of two workers
_FIRST_GUESS = 0.001  # seconds a line
_LINGER_SECONDS = 0.001
_MEMORY = 0.8  # of what the figures of the last batches are made


class Asked(Protocol):
    """A line that waits for its answer."""

    question: Question

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the answer any more."""

    def settle(self, code: Answer) -> None:
        """Take the answer. Called in the event loop."""


class Batcher:
    """Hands lines to the workers in batches. To be used in one event loop."""

    def __init__(self, workers: Sequence[Worker], bound: int, metrics: LineMetrics) -> None:
        """At most `bound` lines wait; who has more is to ask `has_room`, and waits with `when_room`."""
        self._idle = list(workers)
        self._threads = ThreadPoolExecutor(len(workers), thread_name_prefix="lookup")
        self._bound = bound
        self._metrics = metrics
        self._queue: deque[Asked] = deque()
        self._for_room: deque[Callable[[], None]] = deque()
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._usual = 1.0  # lines in a batch
        self._seconds = _FIRST_GUESS  # a line, as the last batches took

    @property
    def has_room(self) -> bool:
        """Whether a line may be submitted now."""
        return len(self._queue) < self._bound

    def when_room(self, call: Callable[[], None]) -> None:
        """Call this once, when there is room; who waits longest is called first."""
        self._for_room.append(call)

    def submit(self, asked: Asked) -> None:
        """Take a line; there must be room. It is settled later, once."""
        self._queue.append(asked)
        if self._timer is None and self._idle:
            # Not at once: what this turn of the event loop still reads belongs to the same batch.
            self._timer = asyncio.get_running_loop().call_soon(self._gather)

    def close(self) -> None:
        """Begin no more batches."""
        if self._timer is not None:
            self._timer.cancel()
        self._idle.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _gather(self) -> None:
        """Begin now, or wait a moment for those that are about to come."""
        if len(self._queue) * 2 < self._usual:
            self._timer = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._idle and (batch := self._next_batch()):
            worker = self._idle.pop()
            begun = perf_counter()
            work = loop.run_in_executor(self._threads, worker, [asked.question for asked in batch])
            work.add_done_callback(partial(self._end, worker, batch, begun))
        self._give_room()

    def _next_batch(self) -> list[Asked]:
        share = -(-len(self._queue) // len(self._idle))
        size = max(1, min(_LARGEST, share, int(_BATCH_SECONDS / self._seconds)))
        batch: list[Asked] = []
        while self._queue and len(batch) < size:
            asked = self._queue.popleft()
            if not asked.abandoned:
                batch.append(asked)
        return batch

    def _end(self, worker: Worker, batch: Sequence[Asked], begun: float, work: asyncio.Future[list[Answer]]) -> None:
        self._idle.append(worker)
        if work.cancelled():  # the batcher was closed; the clients are gone
            return
        error = work.exception()
        if error is not None:
            _log.error("a batch of lookups failed: %s", type(error).__name__)
        answers = [None] * len(batch) if error is not None else work.result()
        spent = max(perf_counter() - begun, 1e-6)
        self._metrics.batch(len(batch), spent)
        self._usual = _MEMORY * self._usual + (1 - _MEMORY) * len(batch)
        self._seconds = _MEMORY * self._seconds + (1 - _MEMORY) * spent / len(batch)
        for asked, code in zip(batch, answers, strict=True):
            asked.settle(code)
        if self._queue and self._timer is None:
            self._gather()

    def _give_room(self) -> None:
        """Call those who wait for room, each once: one that has more than there is room for waits again, behind."""
        for _ in range(len(self._for_room)):
            if not self.has_room:
                return
            self._for_room.popleft()()

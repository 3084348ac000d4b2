"""A load on the line protocol, as the ancestor's benchmark made it: so many requests, so many at one time.

Each connection sends one line, waits for its answer, and sends the next. To be run in another process than the server:
a client in the same one would measure itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import cast

from fhir_coder.errors import BenchmarkError

_LINGER = 10.0  # seconds that an answer may take before the connection counts as failed


@dataclass(frozen=True, slots=True)
class Target:
    """Where a system is asked."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A request with its answer: what stood where the code would, or None when there was none; and the seconds."""

    number: int  # in the requests that were given
    answer: str | None
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether it was answered, be it that no code is sure enough."""
        return self.answer is not None and not self.answer.startswith("!")


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    sent: tuple[Sent, ...]
    seconds: float  # from the first request to the last answer, connecting not included


async def run_load(requests: Sequence[tuple[Target, str]], concurrent: int) -> Load:
    """Send each (target, description) once, over `concurrent` connections in all.

    Each target gets its share of the connections. Raises `BenchmarkError` when a target does not take connections.
    """
    by_target: dict[Target, list[tuple[int, str]]] = {}
    for number, (target, text) in enumerate(requests):
        by_target.setdefault(target, []).append((number, text))
    clients: list[_Client] = []
    try:
        for target, waiting in by_target.items():
            share = max(1, round(concurrent * len(waiting) / len(requests)))
            queue = list(reversed(waiting))
            # One after the other: what is there is closed below, should one of them fail.
            clients.extend([await _connect(target, queue) for _ in range(min(share, len(waiting)))])
        begun = perf_counter()
        for client in clients:
            client.send()
        await asyncio.gather(*(client.done for client in clients))
        seconds = perf_counter() - begun
    finally:
        for client in clients:
            client.close()
    sent = {each.number: each for client in clients for each in client.sent}
    lost = (Sent(number, None, 0.0) for number in range(len(requests)) if number not in sent)
    return Load(sent=(*sent.values(), *lost), seconds=seconds)


async def _connect(target: Target, queue: list[tuple[int, str]]) -> _Client:
    loop = asyncio.get_running_loop()
    try:
        _, client = await loop.create_connection(lambda: _Client(queue), target.host, target.port, ssl=target.tls)
    except OSError as error:
        raise BenchmarkError(
            f"{target.host}:{target.port} does not take connections ({error.strerror or error}): "
            "is the line protocol switched on there?"
        ) from error
    return client


class _Client(asyncio.Protocol):
    """One connection: takes the next request of the queue that it shares, until there are none."""

    def __init__(self, queue: list[tuple[int, str]]) -> None:
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._received = b""
        self._number = 0
        self._begun = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.sent: list[Sent] = []
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """Send the next request, or be done."""
        if self.done.done():  # it was turned away
            return
        if not self._queue:
            self._finish()
            return
        self._number, text = self._queue.pop()
        self._timer = self._loop.call_later(_LINGER, self._finish)
        self._begun = perf_counter()
        self._transport.write(f"{self._number},{text}\n".encode())

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\n"):
            return
        seconds = perf_counter() - self._begun
        line, self._received = self._received[:-1], b""
        number, _, answer = line.decode(errors="replace").partition(",")
        if self._timer is not None:
            self._timer.cancel()
        if number != str(self._number):  # turned away, or out of step: nothing more of it can be told apart
            self._finish()
            return
        self.sent.append(Sent(self._number, answer, seconds))
        self.send()

    def connection_lost(self, _: Exception | None) -> None:
        self._finish()

    def close(self) -> None:
        self._transport.close()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

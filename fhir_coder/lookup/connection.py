"""One client of the line protocol. What it sends and what it does not read costs bounded memory, and only its own.

A connection has at most `_IN_FLIGHT` lines in work; while it has them, or the queue of all is full, nothing more is
read from it, and TCP makes the client wait. The same holds while it does not read its answers.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from fhir_coder.lookup.batcher import Answer, Batcher, Question
from fhir_coder.lookup.metrics import LineMetrics
from fhir_coder.lookup.peers import Network, may_connect
from fhir_coder.lookup.protocol import LineReader, Refusal, answer, refuse

_log = logging.getLogger(__name__)

_IN_FLIGHT = 128  # lines; few, so that a client that sends many at once does not keep the others waiting
_LINGER_SECONDS = 1  # for a client to notice that we closed, and to stop sending
_UNREAD = 64 * 1024  # bytes of answers, in the kernel and here each


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may do."""

    line_bytes: int
    seconds: float  # for the rest of a line that was begun, and for reading answers


@dataclass(slots=True, kw_only=True)
class House:
    """What the connections of all ports share."""

    batcher: Batcher
    limits: Limits
    most: int  # connections
    metrics: LineMetrics
    peers: Sequence[Network] = ()  # none: all
    connections: set[LineConnection] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class _Asked:
    """A line and, later, its answer."""

    connection: LineConnection
    sequence: bytes
    question: Question
    answer: bytes | None = None

    @property
    def abandoned(self) -> bool:
        return self.connection.lost

    def settle(self, code: Answer) -> None:
        self.connection.settle(self, code)


class LineConnection(asyncio.Protocol):
    """Reads lines, has them looked up, and writes the answers in the order of the lines."""

    def __init__(self, system: str, house: House) -> None:
        self.lost = False
        self._system = system
        self._house = house
        self._loop = asyncio.get_running_loop()
        self._reader = LineReader(house.limits.line_bytes)
        self._asked: deque[_Asked] = deque()
        self._counted: Counter[str] = Counter()
        self._transport: asyncio.Transport
        self._ended = False  # nothing more is to be taken
        self._heard_out = False  # the client closed its side
        self._closing = False
        self._reading = True
        self._writable = True
        self._waits_for_room = False
        self._flushing: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None  # the rest of a line
        self._unread: asyncio.TimerHandle | None = None  # the answers
        self._lingering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client in, or turn it away."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if not may_connect(peer, self._house.peers):
            self._ended = True
            _log.warning("a connection is turned away: %s is not among line_peers", peer[0] if peer else "who is gone")
            self._transport.abort()
            return
        if len(self._house.connections) >= self._house.most:
            self._ended = True
            self._transport.write(refuse(b"", Refusal.TOO_MANY))
            self._house.metrics.dropped(Refusal.TOO_MANY)
            self._close()
            return
        self._house.connections.add(self)
        self._house.metrics.connections.inc()
        self._transport.set_write_buffer_limits(high=_UNREAD)
        connected = self._transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # finds out who is gone without a word

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if not self._ended:
            self._reader.feed(data)
            self._take()

    def eof_received(self) -> bool:
        """Answer what was asked, then close. Over TLS there is no half-closed connection: the answers are lost."""
        self._ended = self._heard_out = True
        if self._closing:
            self._transport.close()
        else:
            self._take()
        return self._transport.get_extra_info("ssl_object") is None

    def pause_writing(self) -> None:
        """Take nothing more from a client that does not read, and drop it when it does not for long."""
        self._writable = False
        self._unread = self._loop.call_later(self._house.limits.seconds, self._drop)

    def resume_writing(self) -> None:
        """Go on with a client that reads again."""
        self._writable = True
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        self._take()

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the client, and what it asked."""
        self.lost = True
        self._ended = True
        self._asked.clear()
        for timer in (self._late, self._unread, self._lingering, self._flushing):
            if timer is not None:
                timer.cancel()
        if self in self._house.connections:
            self._house.connections.discard(self)
            self._house.metrics.connections.dec()
        self._count()

    def finish(self) -> None:
        """Read nothing more, answer what was received, then close."""
        self._ended = True
        self._take()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def settle(self, asked: _Asked, code: Answer) -> None:
        """Take the answer to a line."""
        if code is None:
            self._refuse(asked, Refusal.FAILED)
        else:
            asked.answer = answer(asked.sequence, code)
            self._counted["coded" if code else "abstained"] += 1
        self._flush_soon()

    def _refuse(self, asked: _Asked, refusal: Refusal) -> None:
        asked.answer = refuse(asked.sequence, refusal)
        self._counted[refusal] += 1

    def _take(self) -> None:
        """Hand on the lines that were received, as many as there is room for, and read on or rest."""
        is_drained = False
        while self._may_take() and not is_drained:
            is_drained = not self._take_one()
        self._read(is_drained)
        self._watch(is_drained)
        if is_drained and self._ended and not self._asked:
            self._close()

    def _may_take(self) -> bool:
        if self.lost or not self._writable or len(self._asked) >= _IN_FLIGHT or self._waits_for_room:
            return False
        if self._house.batcher.has_room:
            return True
        self._waits_for_room = True
        self._house.batcher.when_room(self._room)
        return False

    def _room(self) -> None:
        self._waits_for_room = False
        self._take()

    def _take_one(self) -> bool:
        line = self._reader.next()
        if line is None and self._ended:
            line = self._reader.rest()
        if line is None:
            return False
        self._on_time()
        asked = _Asked(self, line.sequence, (self._system, line.text))
        self._asked.append(asked)
        if line.refusal is None:
            self._house.batcher.submit(asked)
        else:
            self._refuse(asked, line.refusal)
            self._flush_soon()
        return True

    def _read(self, wanted: bool) -> None:
        # When it has ended, what still comes is read and dropped.
        wanted = wanted or self._ended
        if wanted != self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _watch(self, is_drained: bool) -> None:
        """Have the rest of a line come in time; the time does not run while it is the server that does not read."""
        is_inside = is_drained and not self._ended and self._reader.inside
        if is_inside and self._late is None:
            self._late = self._loop.call_later(self._house.limits.seconds, self._give_up)
        elif not is_inside:
            self._on_time()

    def _on_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._ended = True
        asked = _Asked(self, b"", ("", ""))
        self._asked.append(asked)
        self._refuse(asked, Refusal.TIMEOUT)
        self._house.metrics.dropped(Refusal.TIMEOUT)
        self._reader = LineReader(self._house.limits.line_bytes)
        self._flush_soon()

    def _drop(self) -> None:
        self._house.metrics.dropped("does-not-read")
        self.abort()

    def _flush_soon(self) -> None:
        """Write the answers at the end of this turn of the event loop: those of a batch go out together."""
        if self._flushing is None and not self.lost:
            self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = None
        ready = []
        while self._asked and self._asked[0].answer is not None:
            ready.append(self._asked.popleft().answer)
        if ready and not self._transport.is_closing():
            self._transport.write(b"".join(answer for answer in ready if answer is not None))
        self._count()
        if self._ended or not self._reading:
            self._take()

    def _close(self) -> None:
        """Close when the client has read its answers, or did not for long.

        Our side first: closing both with bytes unread would be a reset, which may cost the client answers.
        """
        if self._closing:
            return
        self._closing = True
        if self._unread is None and self._transport.get_write_buffer_size():
            self._unread = self._loop.call_later(self._house.limits.seconds, self._drop)
        if self._transport.can_write_eof() and not self._heard_out:
            self._transport.write_eof()
            self._lingering = self._loop.call_later(_LINGER_SECONDS, self._transport.close)
        else:
            self._transport.close()

    def _count(self) -> None:
        if self._counted:
            self._house.metrics.answered(self._system, self._counted)
            self._counted.clear()

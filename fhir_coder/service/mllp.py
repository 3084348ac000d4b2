"""MLLP: HL7 v2 messages over TCP, each in a frame 0x0B ... 0x1C 0x0D.

Source: HL7 Minimal Lower Layer Protocol, release 1, and HL7 v2.5.1, appendix C.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.errors import InputError, SettingsError
from fhir_coder.ingest.hl7v2_part import may_be_part
from fhir_coder.lookup.peers import may_connect
from fhir_coder.lookup.tls import server_context
from fhir_coder.service.group_waiter import GroupWaiter
from fhir_coder.service.receiver import Receipt, Receiver
from fhir_coder.settings import Settings

_log = logging.getLogger(__name__)

START = b"\x0b"
END = b"\x1c\r"
_CHUNK = 64 * 1024
_HEAD = 4096  # of a message that is too long, kept to address its refusal
_SMALL = 64 * 1024  # a message that is looked at where it came in; a thread would take longer to begin
_ENCAPSULATED = b"ED"  # OBX-2 of a document inside a message, whose reader may take a second
_MEGABYTE = 1_000_000
_FULL_SECONDS = 0.25  # between two looks whether there is room again
_MOST_HELD = 8  # messages of the largest size, of which the beginnings are in memory at one time


@dataclass(frozen=True, slots=True)
class Frame:
    """The content of one frame; of one that was too long, its beginning."""

    content: bytes
    too_long: bool = False


class FrameReader:
    """Cuts a stream of bytes into frames. What stands outside of frames is dropped, memory is bounded."""

    def __init__(self, limit: int) -> None:
        """Frames longer than `limit` bytes are not kept."""
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0  # up to where the buffer holds no end
        self._inside = False
        self._too_long = False
        self.received = 0  # bytes of the frame that has begun; 0 when none has

    @property
    def held(self) -> int:
        """The bytes in memory."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes."""
        self._buffer += data
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
            self.received = 0
        if self._inside:
            # Of the data that completed a frame, only what began the next one counts.
            begun = len(self._buffer) if frames or not self.received else len(data)
            self.received += max(begun, 1)
        return frames

    def _next(self) -> Frame | None:
        if not self._inside and not self._enter():
            return None
        end = self._buffer.find(END, self._searched)
        if end < 0:
            # The last byte may be the first half of the end.
            self._searched = max(len(self._buffer) - 1, 0)
            self._bound()
            return None
        content, too_long = bytes(self._buffer[:end]), self._too_long or end > self._limit
        del self._buffer[: end + len(END)]
        self._inside, self._too_long, self._searched = False, False, 0
        # A frame that breaks off and is begun anew: what came before the new start was cut.
        content = content[content.rfind(START + b"MSH") + 1 :] if START + b"MSH" in content else content
        return Frame(content[:_HEAD] if too_long else content, too_long)

    def _enter(self) -> bool:
        start = self._buffer.find(START)
        if start < 0:
            self._buffer.clear()
            return False
        del self._buffer[: start + len(START)]
        self._inside, self._searched = True, 0
        return True

    def _bound(self) -> None:
        """Keep of a frame that is too long only its head, and the byte that may begin its end."""
        # One byte more than the limit may be the first half of the end.
        self._too_long = self._too_long or len(self._buffer) > self._limit + 1
        if self._too_long and len(self._buffer) > _HEAD + 1:
            self._buffer[_HEAD:] = self._buffer[-1:]
            self._searched = _HEAD


class MllpServer:
    """Listens for HL7 v2 messages; every one is stored before it is acknowledged."""

    def __init__(self, receiver: Receiver, settings: Settings) -> None:
        self._receiver = receiver
        self._settings = settings
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._stored = GroupWaiter()
        self._held = 0  # bytes of unfinished messages, of all connections

    async def start(self) -> list[str]:
        """Listen as the settings say, and return the addresses ("mllp://127.0.0.1:2575").

        Raises `SettingsError` when a port is taken or a certificate cannot be used.
        """
        given, addresses = self._settings, []
        try:
            if given.mllp in ("tcp", "both"):
                addresses.append(await self._listen("mllp", given.mllp_port, None))
            if given.mllp in ("tls", "both"):
                context = server_context(given, "mllp")
                addresses.append(await self._listen("mllps", given.mllp_tls_port, context))
        except SettingsError:
            await self.stop()
            raise
        return addresses

    async def stop(self) -> None:
        """Stop listening and close the connections. What was not acknowledged is sent again by its sender."""
        for server in self._servers:
            server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _listen(self, scheme: str, port: int, context: ssl.SSLContext | None) -> str:
        host = self._settings.host
        handshake = self._settings.mllp_timeout if context else None
        try:
            server = await asyncio.start_server(
                self._serve, host, port, limit=_CHUNK, ssl=context, ssl_handshake_timeout=handshake
            )
        except OSError as error:
            name = "mllp_tls_port" if context else "mllp_port"
            raise SettingsError(f"setting {name}: cannot listen on {host}:{port}: {error.strerror}") from error
        self._servers.append(server)
        return f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - told to the type checker: a coroutine runs in a task
        peer = writer.get_extra_info("peername")
        if not may_connect(peer, self._settings.mllp_peers):
            _log.warning("a connection is turned away: %s is not among mllp_peers", peer[0] if peer else "who is gone")
            writer.close()
            return
        if len(self._connections) >= self._settings.mllp_connections:
            _log.warning("a connection is turned away: there are as many as mllp_connections allows")
            writer.close()
            return
        self._connections.add(task)
        _keep_alive(writer)
        frames = FrameReader(self._settings.max_body_bytes)
        try:
            await self._answer(frames, reader, writer)
        except TimeoutError:
            _log.warning("a sender was too slow; closing without an answer")
        except (ConnectionError, asyncio.CancelledError):
            pass  # the sender is gone, or the service stops
        except (OSError, SQLAlchemyError) as error:
            _log.error("a message could not be stored (%s); closing without an answer", type(error).__name__)
        except Exception as error:
            _log.error("a message could not be taken (%s); closing without an answer", type(error).__name__)
        finally:
            self._held -= frames.held
            self._connections.discard(task)
            writer.close()

    async def _answer(self, frames: FrameReader, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pace = _Pace(self._settings.mllp_timeout)
        while data := await self._read(pace, reader, frames):
            before = frames.held
            found = frames.feed(data)
            self._held += frames.held - before
            self._require_room(frames)
            # All that one packet brought is stored together, and answered in its order.
            receipts = [await self._begin(frame) for frame in found]
            for receipt in receipts:
                for stored in receipt.stored:
                    await self._stored.wait(stored)
                acknowledgement = self._receiver.finish(receipt)
                if acknowledgement is not None:
                    writer.write(START + acknowledgement + END)
            # Most answers are gone by now, and no timer is set for them.
            is_held_up = writer.transport.get_write_buffer_size() > 0
            async with asyncio.timeout(self._settings.mllp_timeout if is_held_up else None):
                await writer.drain()

    async def _read(self, pace: _Pace, reader: asyncio.StreamReader, frames: FrameReader) -> bytes:
        """Return what comes next. While as much waits as may, nothing is read, and the sender feels it."""
        while not self._receiver.has_room:
            await asyncio.sleep(_FULL_SECONDS)
        return await pace.read(reader, frames)

    async def _begin(self, frame: Frame) -> Receipt:
        if frame.too_long:
            limit = self._settings.max_body_bytes
            error = InputError(
                f"the message is longer than the setting max_body_bytes ({limit}) allows; split it", code="too-long"
            )
            return self._receiver.refuse(frame.content, error)
        small = len(frame.content) <= _SMALL and _ENCAPSULATED not in frame.content
        if small and not may_be_part(frame.content):
            return self._receiver.begin(frame.content)
        return await asyncio.to_thread(self._receiver.begin, frame.content)

    def _require_room(self, frames: FrameReader) -> None:
        """Raise ConnectionError when many senders at once leave no room; theirs is to send again."""
        if self._held > _MOST_HELD * self._settings.max_body_bytes and frames.held > _MEGABYTE:
            _log.warning("unfinished messages take too much memory; closing one without an answer")
            raise ConnectionAbortedError


class _Pace:
    """How long a sender may take: for ever between messages, `timeout` seconds for each megabyte of one."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._megabytes = -1
        self._deadline = 0.0

    async def read(self, reader: asyncio.StreamReader, frames: FrameReader) -> bytes:
        """Return what comes next; b"" at the end. Raises TimeoutError when it takes too long."""
        if frames.received == 0:
            self._megabytes = -1
            return await reader.read(_CHUNK)
        if frames.received // _MEGABYTE != self._megabytes:
            self._megabytes = frames.received // _MEGABYTE
            self._deadline = asyncio.get_running_loop().time() + self._timeout
        async with asyncio.timeout_at(self._deadline):
            return await reader.read(_CHUNK)


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Have the system ask after silent peers: a sender that was switched off would hold its connection for ever."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # not on every system
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)

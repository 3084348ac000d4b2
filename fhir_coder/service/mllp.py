"""MLLP: HL7 v2 messages over TCP, each in a frame 0x0B ... 0x1C 0x0D.

Source: HL7 Minimal Lower Layer Protocol, release 1, and HL7 v2.5.1, appendix C.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.errors import InputError
from fhir_coder.service.receiver import Receiver

_log = logging.getLogger(__name__)

START = b"\x0b"
END = b"\x1c\r"
_CHUNK = 64 * 1024
_HEAD = 4096  # of a message that is too long, kept to address its refusal


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

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes."""
        self._buffer += data
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
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

    def __init__(self, receiver: Receiver, max_bytes: int) -> None:
        """Messages longer than `max_bytes` are refused."""
        self._receiver = receiver
        self._max_bytes = max_bytes
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port. Raises OSError when it is taken."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_CHUNK)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and close the connections. What was not acknowledged is sent again by its sender."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - told to the type checker: a coroutine runs in a task
        self._connections.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the sender is gone, or the service stops
        except (OSError, SQLAlchemyError) as error:
            _log.error("a message could not be stored (%s); closing without an answer", type(error).__name__)
        except Exception as error:
            _log.error("a message could not be taken (%s); closing without an answer", type(error).__name__)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader(self._max_bytes)
        while data := await reader.read(_CHUNK):
            for frame in frames.feed(data):
                acknowledgement = await asyncio.to_thread(self._take, frame)
                if acknowledgement is not None:
                    writer.write(START + acknowledgement + END)
                    await writer.drain()

    def _take(self, frame: Frame) -> bytes | None:
        if frame.too_long:
            error = InputError(
                f"the message is longer than the setting max_body_bytes ({self._max_bytes}) allows; split it",
                code="too-long",
            )
            return self._receiver.refuse(frame.content, error)
        return self._receiver.receive(frame.content)

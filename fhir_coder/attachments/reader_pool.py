"""A few processes that read attachments, each ended when it takes too long, and replaced by another one.

They are started by their command line and not by `multiprocessing`: that would run the caller's own script again
(spawn), or copy the locks of its threads (fork).
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from fhir_coder.attachments.extracted import Extracted, Limits
from fhir_coder.attachments.reader_frames import read_frame, write_frame
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.model import Origin
from fhir_coder.settings import Settings

_PACKAGE = Path(__file__).resolve().parents[2]
_MOST_READ = 500  # attachments, then a fresh process: parsers leak
_STOP_SECONDS = 5
_BYTES_PER_CHAR = 16  # of an answer, at most: six for an escaped character, and the origins


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An attachment that is to be read."""

    raw: bytes
    format: str  # cda, html, rtf, pdf
    charset: str | None
    limits: Limits


class _ReaderProcess:
    """One process. It is used by one thread at a time."""

    def __init__(self, seconds: float, megabytes: int) -> None:
        self._seconds = seconds
        self._timed_out = False
        self._count = 0
        self._is_broken = False
        paths = [str(_PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no input in the command
            # -P: the folder one happens to stand in must not shadow a module.
            [sys.executable, "-P", "-m", "fhir_coder.attachments.reader_process", str(seconds), str(megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a parser's warnings may quote what it reads
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for us; it ends when its input does
        )

    def ask(self, request: Request) -> dict[str, Any] | None:
        """Return the answer, or None when the process ended without one."""
        self._count += 1
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - told to the type checker: both are pipes
        assert stdout is not None  # noqa: S101
        head = {"format": request.format, "charset": request.charset, "limits": asdict(request.limits)}
        watch = threading.Timer(self._seconds, self._time_out)
        watch.daemon = True
        watch.start()
        try:
            write_frame(stdin, orjson.dumps(head))  # type: ignore[arg-type] # IO[bytes] has all of BinaryIO that is used
            write_frame(stdin, request.raw)  # type: ignore[arg-type]
            answer = read_frame(stdout, _BYTES_PER_CHAR * request.limits.chars + (1 << 20))  # type: ignore[arg-type]
        except OSError:
            answer = None
        finally:
            watch.cancel()
        found: dict[str, Any] | None = None if answer is None else orjson.loads(answer)
        self._is_broken = found is None or "memory" in found
        return found

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because it took too long."""
        return self._timed_out

    @property
    def is_usable(self) -> bool:
        """Whether it may be asked again."""
        return not self._is_broken and not self._timed_out and self._count < _MOST_READ

    def end(self) -> None:
        """End it, at work or not."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass  # what was not sent yet cannot be any more
        self._process.wait(_STOP_SECONDS)

    def _time_out(self) -> None:
        self._timed_out = True
        self._process.kill()


class ReaderPool:
    """The processes. Its methods may be called from any thread; they are started when they are first needed."""

    def __init__(self, *, workers: int, seconds: float, megabytes: int) -> None:
        self._seconds = seconds
        self._megabytes = megabytes
        self._free = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._idle: list[_ReaderProcess] = []

    def read(self, request: Request, *, place: str) -> Extracted:
        """Return the text of an attachment.

        Raises `InputError`, with `place`, when it is damaged, or takes too long or too much memory, and
        `UnsupportedError` when it has no text that can be read.
        """
        with self._process() as process:
            answer = process.ask(request)
            timed_out = process.timed_out
        if answer is None:
            raise InputError(
                f"the attachment takes longer to read than the setting attachment_seconds ({self._seconds:g}) allows; "
                "send the text"
                if timed_out
                else "the attachment broke its reader; send the text",
                place=place,
                code="too-costly",
            )
        return _extracted(answer, self._megabytes, place)

    def close(self) -> None:
        """End all idle processes."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    @contextmanager
    def _process(self) -> Iterator[_ReaderProcess]:
        with self._free:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            process = process or _ReaderProcess(self._seconds, self._megabytes)
            healthy = False
            try:
                yield process
                healthy = True
            finally:
                with self._lock:
                    keep = healthy and process.is_usable
                    if keep:
                        self._idle.append(process)
                if not keep:
                    process.end()


def _extracted(answer: dict[str, Any], megabytes: int, place: str) -> Extracted:
    if "unsupported" in answer:
        raise UnsupportedError(answer["unsupported"], place=place)
    if "error" in answer:
        raise InputError(answer["error"], place=place, code=answer["code"])
    if "memory" in answer:
        raise InputError(
            f"the attachment takes more memory to read than the setting attachment_memory ({megabytes} MB) allows; "
            "send the text",
            place=place,
            code="too-costly",
        )
    return Extracted(text=answer["text"], origins=tuple(Origin(**origin) for origin in answer["origins"]))


def pool(settings: Settings) -> ReaderPool:
    """Return the pool for these settings; there is one in a program, as its settings are."""
    return _pool(settings.attachment_readers, settings.attachment_seconds, settings.attachment_memory)


@cache
def _pool(workers: int, seconds: float, megabytes: int) -> ReaderPool:
    made = ReaderPool(workers=workers, seconds=seconds, megabytes=megabytes)
    atexit.register(made.close)
    return made

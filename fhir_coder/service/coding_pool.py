"""Processes that code notes: one that hangs or dies takes down no note but its own, and another takes its place."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from fhir_coder.errors import CodingFailedError, CodingStoppedError, FhirCoderError, TerminologyError
from fhir_coder.logs import configure as configure_logs
from fhir_coder.logs import in_short
from fhir_coder.model import CodedNote, Note
from fhir_coder.service.memory import calm_collector
from fhir_coder.settings import Settings
from fhir_coder.tracing import carrier, configure_tracing, continued

if TYPE_CHECKING:
    from fhir_coder.pipeline import Coder

_log = logging.getLogger(__name__)

_STOP_SECONDS = 5
_WARM_UP = Note(text="HTN.")  # is coded first: it makes the coder load what is loaded when needed


class CodingPool:
    """The processes, each with a coder of its own. Called from any thread; a caller waits for one that is free."""

    def __init__(self, settings: Settings) -> None:
        """Begin to start `coding_workers` of them."""
        self._settings = settings
        self._closing = threading.Event()
        threads = max(1, (os.cpu_count() or 1) // settings.coding_workers)
        self._all: Sequence[_CodingProcess] = [
            _CodingProcess(settings, threads) for _ in range(settings.coding_workers)
        ]
        self._free: queue.SimpleQueue[_CodingProcess | None] = queue.SimpleQueue()

    def wait_until_ready(self) -> None:
        """Wait until all coders are loaded. Raises `TerminologyError`, or what else of ours keeps them from that."""
        for process in self._all:
            process.wait_until_ready()
            self._free.put(process)

    def __call__(self, note: Note, min_confidence: float | None) -> CodedNote:
        """Return the coded note.

        Raises what the coder raises of ours, `CodingFailedError` when the process died, took longer than the setting
        coding_seconds or failed otherwise, and `CodingStoppedError` when the pool is closed meanwhile.
        """
        process = self._free.get()
        if process is None or self._closing.is_set():
            self._free.put(process)
            raise CodingStoppedError("the service ends; send the note again")
        try:
            return process.ask(note, min_confidence, self._settings.coding_seconds)
        except CodingFailedError:
            if self._closing.is_set():
                raise CodingStoppedError("the service ends; send the note again") from None
            raise
        finally:
            self._free.put(process)

    def close(self) -> None:
        """End all processes, at work or not."""
        self._closing.set()
        self._free.put(None)
        for process in self._all:
            process.end()


class _CodingProcess:
    """One process and its replacements. Used by one thread at a time, but for `end`."""

    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._threads = threads
        self._ending = False
        self._loading = False
        self._begin()

    def wait_until_ready(self) -> None:
        if not self._loading:
            return
        try:
            said = self._pipe.recv()
        except EOFError as error:
            raise TerminologyError("a coding process ended while it loaded; is there memory enough?") from error
        if isinstance(said, FhirCoderError):
            raise said
        self._loading = False

    def ask(self, note: Note, min_confidence: float | None, seconds: float) -> CodedNote:
        """Return the coded note, from a process that is started anew where the last one ended."""
        try:
            if not self._process.is_alive():
                self._replace()
            self.wait_until_ready()
            said = self._ask(note, min_confidence, seconds)
        except (EOFError, OSError, ValueError, TerminologyError) as error:  # ValueError: it was closed meanwhile
            self._kill()
            raise CodingFailedError("the process that coded the note ended") from error
        if isinstance(said, CodedNote):
            return said
        raise said if isinstance(said, FhirCoderError) else CodingFailedError(f"the coding failed: {said}")

    def end(self) -> None:
        self._ending = True
        self._kill()
        self._pipe.close()

    def _ask(self, note: Note, min_confidence: float | None, seconds: float) -> object:
        self._pipe.send((note, min_confidence, carrier()))
        deadline = time.monotonic() + seconds
        while not self._pipe.poll(max(0.0, min(1.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                self._kill()
                raise CodingFailedError(
                    f"the note takes longer to code than the setting coding_seconds ({seconds:g}) allows"
                )
        return self._pipe.recv()

    def _replace(self) -> None:
        if self._ending:
            raise EOFError
        _log.error("a coding process ended (status %s); another one is started", self._process.exitcode)
        self._pipe.close()
        self._begin()

    def _kill(self) -> None:
        if self._process.is_alive():
            self._process.kill()
            self._process.join(_STOP_SECONDS)

    def _begin(self) -> None:
        context = get_context("spawn")  # a fork would copy threads' locks
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, self._settings, self._threads), name="coding", daemon=True
        )
        self._process.start()
        self._loading = True
        theirs.close()


def _work(pipe: Connection, settings: Settings, threads: int) -> None:
    """Code notes until the other end is closed. Runs in a process of its own."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # before the libraries that read it are loaded
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the service stops its processes itself
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    configure_logs(settings)
    configure_tracing()
    from fhir_coder.pipeline import Coder  # after OMP_NUM_THREADS is set

    with suppress(EOFError, ConnectionError):  # the service has closed its end, also while this one was at work
        try:
            coder = Coder.from_settings(settings)
            coder(_WARM_UP)
        except FhirCoderError as error:
            pipe.send(error)
            return
        calm_collector()
        pipe.send("ready")
        while True:
            note, min_confidence, names = pipe.recv()
            pipe.send(_answer(coder, note, min_confidence, names))


def _answer(coder: Coder, note: Note, min_confidence: float | None, names: Mapping[str, str]) -> object:
    """Return the coded note, an error of ours, or what kind of error it was: its message may quote the note."""
    try:
        with continued(names):
            return coder(note, min_confidence=min_confidence)
    except FhirCoderError as error:
        return error
    except Exception as error:
        return in_short(error)


def _end_with_parent() -> None:
    """End with the service also when that is killed, and cannot say so."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)

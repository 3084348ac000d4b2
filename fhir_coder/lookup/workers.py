"""Who answers a batch: the coder of this process, or a process of its own with a linker of its own.

Neither is to be shared between threads. One in this process makes the event loop wait while it holds the
interpreter; a process of its own does not, and several use several cores. The indexes are memory-mapped, so that
processes share most of what they read.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from fhir_coder.coding.choose import choose
from fhir_coder.coding.thresholds import Thresholds, thresholds
from fhir_coder.errors import FhirCoderError, TerminologyError
from fhir_coder.logs import configure as configure_logs
from fhir_coder.lookup.batcher import Answer, Question
from fhir_coder.lookup.protocol import PORTS
from fhir_coder.model import CODE_SYSTEMS, Candidate
from fhir_coder.settings import Settings

if TYPE_CHECKING:
    from fhir_coder.linking.linker import Linker

_log = logging.getLogger(__name__)

Find = Callable[[Sequence[Question]], Sequence[tuple[Candidate, ...]]]
"""Returns the ranked candidates of each question."""

_UNUSUAL = "a phrase that no release has"  # is asked first: it makes the coder load what is loaded when needed
_STOP_SECONDS = 5


def candidates(linker: Linker, questions: Sequence[Question]) -> list[tuple[Candidate, ...]]:
    """Return the ranked candidates of each question, as for the entities of notes.

    Unlike `Coder.lookup_many`, which shows similar names beside what a name settles, this goes no further than needed.
    """
    from fhir_coder.linking.linker import Query  # the process that listens needs none of what it brings

    return linker.link([Query(text, (CODE_SYSTEMS[system],)) for system, text in questions])


def codes(find: Find, settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """Return the code of each question, by the rule that also chooses the codes of notes."""
    try:
        found = find(questions)
    except Exception as error:
        if len(questions) == 1:
            # The type alone: a message may quote what was asked.
            _log.error("a lookup failed: %s", type(error).__name__)
            return [None]
        return [code for question in questions for code in codes(find, settings, [question])]
    least = thresholds(settings.line_min_confidence)
    return [_code(ranked, least) for ranked in found]


def warm_up(find: Find, settings: Settings) -> None:
    """Have everything loaded that the first lookups would load."""
    codes(find, settings, [(system, _UNUSUAL) for system in PORTS])


def _code(ranked: Sequence[Candidate], least: Thresholds) -> str:
    codings, _ = choose(ranked, least)
    return codings[0].code if codings else ""


class WorkerProcess:
    """A process that answers batches. Called from one thread at a time; when it dies, another one takes its place."""

    def __init__(self, settings: Settings, threads: int) -> None:
        """Begin to start it. `threads` is how many cores its libraries may use."""
        self._settings = settings
        self._threads = threads
        self._closed = False
        self._begin()

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        """Return the answers to a batch; none, should the process die of it."""
        try:
            self._pipe.send(list(questions))
            answers: list[Answer] = self._pipe.recv()
        except (EOFError, OSError):
            if not self._closed:
                self._replace()
            return [None] * len(questions)
        return answers

    def wait_until_ready(self) -> None:
        """Wait until the coder is loaded. Raises `TerminologyError`, or whatever else of ours keeps it from that."""
        try:
            said = self._pipe.recv()
        except EOFError as error:
            raise TerminologyError("a lookup process ended while it loaded; is there memory enough?") from error
        if isinstance(said, FhirCoderError):
            raise said

    def close(self) -> None:
        """End the process. One that is at work is not waited for."""
        self._closed = True
        self._end()

    def _replace(self) -> None:
        self._process.join(_STOP_SECONDS)
        _log.error("a lookup process ended (status %s); another one is started", self._process.exitcode)
        self._end()
        self._begin()
        self.wait_until_ready()

    def _end(self) -> None:
        self._pipe.close()  # which it takes for the end
        self._process.join(_STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _begin(self) -> None:
        context = get_context("spawn")  # a fork would copy threads' locks
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, self._settings, self._threads), name="lookup", daemon=True
        )
        self._process.start()
        theirs.close()


def _work(pipe: Connection, settings: Settings, threads: int) -> None:
    """Answer batches until the other end is closed. Runs in a process of its own."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # before the libraries that read it are loaded
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the front stops its workers itself
        signal.signal(number, signal.SIG_IGN)
    configure_logs(settings)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):  # the front has closed its end, also while this one was at work
        try:
            find = _load(settings)
        except FhirCoderError as error:
            pipe.send(error)
            return
        pipe.send("ready")
        while True:
            pipe.send(codes(find, settings, pipe.recv()))


def _load(settings: Settings) -> Find:
    """Load what links, and nothing that reads notes: it would cost seconds and hundreds of megabytes."""
    from fhir_coder.prepare import open_linker, prepare
    from fhir_coder.terminology.store import ConceptStore
    from fhir_coder.terminology.stored_release import StoredRelease

    store = ConceptStore([StoredRelease(folder) for folder in prepare(settings)])
    find = partial(candidates, open_linker(store, settings, settings.max_candidates))
    warm_up(find, settings)
    return find


def _end_with_parent() -> None:
    """End with the front also when that is killed, and cannot say so."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)

"""The thread that answers jobs, one after the other: coding is work for the processor, and more would not be faster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

import orjson
from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.errors import CodingStoppedError, FhirCoderError
from fhir_coder.service.jobs import Job, Jobs
from fhir_coder.service.outcome import of_error, operation_outcome

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 5.0  # another process may have left a job behind
_FAULT_SECONDS = 5.0

Answer = Callable[[Job], bytes]


class JobRunner:
    """Takes up jobs as long as it runs."""

    def __init__(self, jobs: Jobs, answer: Answer) -> None:
        """`answer` returns the answer to a job; what it raises becomes one."""
        self._jobs = jobs
        self._answer = answer
        self._more = Event()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def runs(self) -> bool:
        """Whether jobs are taken up."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Say that there is a job."""
        self._more.set()

    def stop(self, seconds: float) -> None:
        """End after the job under way, or without it after `seconds`: it is taken up again at the next start."""
        self._stopping.set()
        self._more.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._more.clear()
            try:
                job = self._jobs.take()
                if job is not None:
                    self._do(job)
            except SQLAlchemyError as error:
                _log.error("the table of jobs cannot be used: %s", type(error).__name__)
                self._stopping.wait(_FAULT_SECONDS)
                continue
            if job is None:
                self._more.wait(_IDLE_SECONDS)

    def _do(self, job: Job) -> None:
        try:
            self._jobs.finish(job, *self._answered(job))
        except CodingStoppedError:
            self._jobs.give_back(job)
            self._stopping.set()

    def _answered(self, job: Job) -> tuple[int, bytes]:
        """The status and body of the answer. Faults of any kind answer 500, as the asynchronous pattern has it."""
        if job.poisonous:
            return 500, orjson.dumps(operation_outcome("exception", "the service ended three times while coding this"))
        try:
            return 200, self._answer(job)
        except CodingStoppedError:
            raise
        except FhirCoderError as error:
            return 500, orjson.dumps(of_error(error)[1])
        except Exception as error:  # its message may quote the note
            _log.error("a job failed: %s", type(error).__name__)
            return 500, orjson.dumps(operation_outcome("exception", "an unforeseen error; see the service's log"))

"""`fhir-coder benchmark lookup`: load the line protocol with queries whose answer is known.

The load comes from this process; the server is another one, running already or started here for the purpose.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from time import perf_counter

from fhir_coder.errors import BenchmarkError
from fhir_coder.lookup.figures import TOGETHER, Cost, Figures, accuracies, speed
from fhir_coder.lookup.load import Load, Target, run_load
from fhir_coder.lookup.processes import cpu_seconds, megabytes
from fhir_coder.lookup.protocol import PORTS
from fhir_coder.lookup.queries import Query, make_queries
from fhir_coder.lookup.rank import rank
from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.settings import Settings
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

_WARM_UP = 10  # requests that are measured, for each one sent before
_STOP_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured."""

    systems: tuple[str, ...]  # short names
    requests: int
    concurrent: int
    seed: int
    ranked: bool  # also rank each query in this process, for what the protocol does not tell


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is running: where each code system is asked; how long it took to start, where that was here."""

    targets: Mapping[str, Target]
    start_seconds: float | None = None
    process: int | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A load: the queries, and what came of them."""

    queries: Sequence[Query]
    load: Load
    cpu: float | None  # seconds of the server

    @property
    def answers(self) -> list[str | None]:
        """The answer to each query."""
        return [sent.answer for sent in sorted(self.load.sent, key=lambda sent: sent.number)]


def measure(settings: Settings, plan: Plan, server: Server) -> Figures:
    """Ask each code system alone, then all of them together; no query is asked twice.

    Raises `BenchmarkError` when the server does not take connections or a system has no names.
    """
    store = _store(settings)
    try:
        made = {system: _queries(store, system, plan) for system in plan.systems}
        sizes = {system: _names(store, system) for system in plan.systems}
    finally:
        store.close()
    asked = {}
    for system, (before, alone, _) in made.items():
        _ask(server, before, plan)
        asked[system] = _ask(server, alone, plan)
    speeds = [speed(system, sizes[system], each.load, plan.concurrent, each.cpu) for system, each in asked.items()]
    if len(made) > 1:
        mixed = _in_turn([shares for *_, shares in made.values()])
        together = asked[TOGETHER] = _ask(server, mixed, plan)
        speeds.append(speed(TOGETHER, sum(sizes.values()), together.load, plan.concurrent, together.cpu))
    cost = _cost(server)
    queries = [query for each in asked.values() for query in each.queries]
    answers = [answer for each in asked.values() for answer in each.answers]
    if not plan.ranked:
        return Figures(tuple(speeds), tuple(accuracies(queries, answers)), cost)
    found = rank(settings, queries)
    return Figures(tuple(speeds), tuple(accuracies(queries, answers, found.ranked, found.dense)), cost, found.ways)


def _store(settings: Settings) -> ConceptStore:
    from fhir_coder.prepare import prepare

    return ConceptStore([StoredRelease(folder) for folder in prepare(settings)])


def _queries(store: ConceptStore, system: str, plan: Plan) -> tuple[list[Query], list[Query], list[Query]]:
    """Return queries to warm up with, to ask alone, and to ask together with the other systems.

    Few names give fewer queries of a kind; the load is then made full by asking some again.
    """
    before, share = plan.requests // _WARM_UP, -(-plan.requests // len(plan.systems))
    made = make_queries(store, system, before + plan.requests + share, f"{plan.seed} {system}")
    shares = [round(len(made) * part / (before + plan.requests + share)) for part in (before, before + plan.requests)]
    parts = made[: shares[0]], made[shares[0] : shares[1]], made[shares[1] :]
    return _filled(parts[0], before), _filled(parts[1], plan.requests), _filled(parts[2], share)


def _filled(queries: list[Query], count: int) -> list[Query]:
    return (queries * -(-count // len(queries)))[:count] if queries else []


def _names(store: ConceptStore, system: str) -> int:
    base = store.base(CODE_SYSTEMS[system])
    return base.last_row() if base else 0


def _in_turn(lists: Sequence[Sequence[Query]]) -> list[Query]:
    return [query for query in chain.from_iterable(zip_longest(*lists)) if query is not None]


def _ask(server: Server, queries: Sequence[Query], plan: Plan) -> _Asked:
    requests = [(server.targets[query.system], query.text) for query in queries]
    before = cpu_seconds(server.process) if server.process else None
    load = asyncio.run(run_load(requests, plan.concurrent)) if requests else Load((), 0.0)
    after = cpu_seconds(server.process) if server.process else None
    return _Asked(queries, load, None if before is None or after is None else after - before)


def running(host: str, port: int, tls: ssl.SSLContext | None) -> Server:
    """Return a server that runs already; its ports follow `port` in the order of `PORTS`."""
    return Server({system: Target(host, port + offset, tls) for system, offset in PORTS.items()})


@contextmanager
def started(settings_file: Path | None, environment: Mapping[str, str]) -> Iterator[Server]:
    """Run a server in a process of its own, with this process's environment and what is added to it.

    Raises `BenchmarkError` when it does not start; its own message is on stderr by then.
    """
    command = [sys.executable, "-m", "fhir_coder", "serve-lines", "--protocol", "tcp", "--port", "0"]
    command += ["--settings", str(settings_file)] if settings_file else []
    begun = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:  # noqa: S603
        try:
            said = process.stdout.readline() if process.stdout else ""
            if not said.startswith("lines: "):
                raise BenchmarkError("the server did not start")
            targets = dict(map(_target, said.removeprefix("lines: ").split()))
            yield Server(targets, perf_counter() - begun, process.pid)
        finally:
            _stop(process)


def _target(address: str) -> tuple[str, Target]:
    """Return what "icd10cm=tcp://127.0.0.1:8901" says."""
    system, _, url = address.partition("=")
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    return system, Target(host.strip("[]"), int(port))


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _cost(server: Server) -> Cost | None:
    if server.start_seconds is None or server.process is None:
        return None
    return Cost(server.start_seconds, megabytes(server.process))

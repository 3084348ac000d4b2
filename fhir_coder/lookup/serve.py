"""The line protocol on its own, until it is told to stop. `fhir-coder serve` has it beside HTTP and MLLP."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from fhir_coder.logs import configure as configure_logs
from fhir_coder.lookup.batcher import Worker
from fhir_coder.lookup.metrics import LineMetrics
from fhir_coder.lookup.peers import require_known_peers
from fhir_coder.lookup.server import Address, LineServer
from fhir_coder.lookup.workers import WorkerProcess
from fhir_coder.settings import Settings


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Prints one line with the addresses when all is ready.

    Raises `SettingsError` when an address or a certificate cannot be used or nobody is asked who they are (see
    `require_known_peers`), `TerminologyError` when a coder cannot be
    loaded.
    """
    configure_logs(settings)
    for said in require_known_peers(settings, "line"):
        print(said, file=sys.stderr, flush=True)
    with worker_processes(settings) as workers:
        asyncio.run(_serve(settings, workers))


@contextmanager
def worker_processes(settings: Settings) -> Iterator[list[WorkerProcess]]:
    """Run the processes that answer, `settings.line_workers` of them, at least one; they are ready inside."""
    count = max(1, settings.line_workers)
    workers: list[WorkerProcess] = []
    try:
        threads = max(1, (os.cpu_count() or 1) // count)
        workers.extend(WorkerProcess(settings, threads) for _ in range(count))
        for worker in workers:
            worker.wait_until_ready()
        yield workers
    finally:
        for worker in workers:
            worker.close()


def told(addresses: Sequence[Address]) -> str:
    """Return the line that tells where the code systems are asked."""
    return f"lines: {' '.join(map(str, addresses))}"


async def _serve(settings: Settings, workers: Sequence[Worker]) -> None:
    server = LineServer(settings, workers, LineMetrics(CollectorRegistry()))
    addresses = await server.start()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    print(told(addresses), flush=True)
    await stopped.wait()
    await server.stop()

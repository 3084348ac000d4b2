"""Measure what the line protocol itself costs: a server whose lookups cost nothing, and a client in another process.

Run: .venv/bin/python benchmarks/lines.py [--lines 50000] [--tls]. Two clients: the ancestor's (100 connections, each
sends a line and waits for its answer), and one that pipelines (20 connections, each sends all its lines and reads
meanwhile).
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from fhir_coder.lookup.certificates import make_certificates
from fhir_coder.lookup.load import Target, run_load
from fhir_coder.lookup.metrics import LineMetrics
from fhir_coder.lookup.server import LineServer
from fhir_coder.settings import Settings

WAITING, PIPELINED = 100, 20  # connections
TEXT = "type 2 diabetes mellitus with diabetic nephropathy"

Client = Callable[[Target, int], Coroutine[None, None, None]]


def serve(pipe: Connection, settings: Settings) -> None:
    """Serve until told to stop; send the port first, and the CPU seconds at the end."""

    def trivial(questions: Sequence[tuple[str, str]]) -> list[str | None]:
        return ["E11.21"] * len(questions)

    async def run() -> None:
        server = LineServer(settings, [trivial], LineMetrics(CollectorRegistry()))
        addresses = await server.start()
        pipe.send(addresses[0].port)
        begun = time.process_time()
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        pipe.send(time.process_time() - begun)
        await server.stop()

    asyncio.run(run())


async def waiting(target: Target, lines: int) -> None:
    """Send a line, wait for its answer, send the next: on many connections."""
    load = await run_load([(target, TEXT)] * lines, WAITING)
    if not all(sent.succeeded for sent in load.sent):
        raise SystemExit("not every line was answered")


async def pipelined(target: Target, lines: int) -> None:
    """Send all lines, and read the answers meanwhile: on some connections."""
    share = lines // PIPELINED

    async def one() -> None:
        reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls)

        async def send() -> None:
            for start in range(0, share, 100):
                numbers = range(start, min(start + 100, share))
                writer.write("".join(f"{number},{TEXT}\n" for number in numbers).encode())
                await writer.drain()

        sending = asyncio.create_task(send())
        answered = 0
        while answered < share:
            answered += (await reader.read(65536)).count(b"\n")
        await sending
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one() for _ in range(PIPELINED)))


def measure(
    client: Client, settings: Settings, context: ssl.SSLContext | None, lines: int
) -> tuple[float, float, float]:
    """Return seconds, and the CPU seconds of the server and of the client."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(theirs, settings))
    process.start()
    target = Target("localhost", ours.recv(), context)
    begun, cpu = time.perf_counter(), time.process_time()
    asyncio.run(client(target, lines))
    seconds, client_cpu = time.perf_counter() - begun, time.process_time() - cpu
    ours.send("stop")
    server_cpu = ours.recv()
    process.join()
    return seconds, server_cpu, client_cpu


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--tls", action="store_true", help="over TLS")
    options = parser.parse_args()
    table = Table(title=f"{options.lines:,} lines{' over TLS' if options.tls else ''}", title_justify="left")
    for column in ("client", "lines/s", "lines / CPU s of the server", "CPU us a line, server", "client"):
        table.add_column(column, justify="right" if table.columns else "left")
    with tempfile.TemporaryDirectory() as folder:
        files = make_certificates(Path(folder))
        settings = Settings(
            line_protocol="tls" if options.tls else "tcp",
            line_port=0,
            line_tls_port=0,
            line_tls_certificate=files.server.certificate,
            line_tls_key=files.server.key,
        )
        context = ssl.create_default_context(cafile=str(files.authority.certificate)) if options.tls else None
        for name, client in (("sends one, reads one", waiting), ("pipelines", pipelined)):
            seconds, server, own = measure(client, settings, context, options.lines)
            costs = (f"{cpu / options.lines * 1e6:.1f}" for cpu in (server, own))
            table.add_row(name, f"{options.lines / seconds:,.0f}", f"{options.lines / server:,.0f}", *costs)
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure the intake of HL7 v2: what every reference message gives, the speed of reading, and MLLP.

Run: python benchmarks/hl7v2.py [--folder DIR]. Prints, in this order:
- of the messages under FHIR_CODER_REFERENCES (else ../shared/data): how many give text, records, a reason, a crash;
- messages a second of one CPU, parsed and mapped to a note with its resources, not coded;
- messages a second over MLLP, each answered after it was synced to the disk in DIR (else a temporary folder): with
  `mllp_send` of the package hl7, the client of another make, and with one and with 50 connections of our own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.table import Table

from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.errors import InputError
from fhir_coder.ingest.files import files_of
from fhir_coder.ingest.hl7v2_batch import split_messages
from fhir_coder.ingest.hl7v2_intake import read_raw
from fhir_coder.service.memory import calm_collector
from fhir_coder.service.metrics import Metrics
from fhir_coder.service.mllp import END, START, MllpServer
from fhir_coder.service.receiver import Receiver
from fhir_coder.settings import Settings

REFERENCES = Path(os.environ.get("FHIR_CODER_REFERENCES", Path(__file__).resolve().parents[2] / "shared" / "data"))
SECONDS = 3.0  # of each measurement of speed
MESSAGES = 3000  # of each measurement of MLLP
CONNECTIONS = 50
LINES = 10
AND = "\\T\\"  # of every fifth line
READY = re.compile(r"mllp://127\.0\.0\.1:(\d+)")


def document(number: int) -> bytes:
    """Return an MDM^T02 of ten lines, about 1,100 bytes."""
    head = (
        rf"MSH|^~\&|APP|HOSP|US|HERE|20250422183015-0500||MDM^T02^MDM_T02|M{number}|P|2.5.1",
        "EVN|T02|20250422183015",
        f"PID|1||{number % 997}^^^RIVER&2.16.840.1.113883.3.1&ISO^MR||Doe^Jane^Q||19790208|F|||1 A St^^Duluth^MN^55802",
        "PV1|1|I|||||7^Attend^Ann||||||||||||V77^^^RIVER^VN|||||||||||||||||||||||||20250420",
        f"TXA|1|PR|TX|20250422||202504221820|||55^Who^Doc|||D{number}^NOTE||||F.TXT|AU|R|AV",
    )
    body = (
        f"OBX|{line}|TX|||Line {line}: HTN {'and' if line % 5 else AND} DM well controlled, on lisinopril 10 mg.||||||F"
        for line in range(1, LINES + 1)
    )
    return "\r".join((*head, *body)).encode() + b"\r"


def corpus() -> list[bytes]:
    """Return the messages of the reference data."""
    folder = REFERENCES / "hl7v2"
    files = [path for path in files_of([folder]) if path.suffix == ".hl7"] if folder.is_dir() else []
    return [message for path in files for message in split_messages(path.read_bytes())]


def outcomes(messages: Sequence[bytes], settings: Settings) -> tuple[Counter[str], Counter[str], list[bytes]]:
    """Return how many messages give what, why those that are refused are, and those that are read."""
    counts, reasons, readable = Counter[str](), Counter[str](), []
    for raw in messages:
        try:
            _, content = read_raw(raw, settings)
        except InputError as error:
            counts["refused, with the reason"] += 1
            reasons["another message type" if error.place == "MSH-9" else f"{error.code} at {error.place}"] += 1
        except Exception as error:
            counts["crash"] += 1
            reasons[type(error).__name__] += 1
        else:
            given = "text" if content.notes else "records (no text)" if content.records else "neither, with the reason"
            counts[given] += 1
            readable.append(raw)
    return counts, reasons, readable


def per_second(messages: Sequence[bytes], settings: Settings) -> float:
    """Return how many messages one CPU reads in a second of its time, in the best round: others use the machine too."""
    rounds, begun = [], time.process_time()
    while time.process_time() - begun < SECONDS or len(rounds) < 3:
        start = time.process_time()
        for raw in messages:
            read_raw(raw, settings)
        rounds.append(time.process_time() - start)
    return len(messages) / min(rounds)


def commits_per_second(folder: Path) -> float:
    """Return how many single rows SQLite syncs to this disk in a second."""
    connection = sqlite3.connect(folder / "probe.sqlite")
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE probe (row BLOB)")
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < 1:
        connection.execute("INSERT INTO probe VALUES (zeroblob(1100))")
        connection.commit()
        count += 1
    connection.close()
    return count / (time.perf_counter() - begun)


@contextmanager
def listening(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A receiver in a process of its own, with an inbox in the folder; its port, and the process."""
    command = [sys.executable, __file__, "--serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = READY.search(process.stdout.readline() if process.stdout else "")
            if found is None:
                raise SystemExit("the receiver did not start")
            yield int(found[1]), psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


async def serve(folder: Path) -> None:
    """Receive until SIGTERM."""
    settings = Settings(mllp_port=0, data_dir=folder)
    inbox = Inbox(open_database(folder))
    server = MllpServer(Receiver(inbox, lambda: None, settings, Metrics()), settings)
    calm_collector()
    print(*await server.start(), flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop()
    inbox.close()


async def send(port: int, messages: Sequence[bytes]) -> None:
    """Send messages over one connection, each after the answer to the one before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for message in messages:
        writer.write(START + message + END)
        if b"\rMSA|AA|" not in await reader.readuntil(END):
            raise SystemExit("a message was not accepted")
    writer.close()


def over_connections(count: int) -> Callable[[int, Sequence[bytes]], None]:
    """Return a client that sends over so many connections at once."""

    async def all_at_once(port: int, messages: Sequence[bytes]) -> None:
        await asyncio.gather(*(send(port, messages[start::count]) for start in range(count)))

    return lambda port, messages: asyncio.run(all_at_once(port, messages))


def by_mllp_send(port: int, messages: Sequence[bytes]) -> None:
    """Send over one connection with the client of the package hl7."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "messages.hl7"
        file.write_bytes(b"".join(START + message + END for message in messages))
        command = [
            str(Path(sys.executable).with_name("mllp_send")),
            "--file",
            str(file),
            "--port",
            str(port),
            "127.0.0.1",
        ]
        done = subprocess.run(command, capture_output=True, check=True)
        if done.stdout.count(b"MSA|AA|") != len(messages):
            raise SystemExit("mllp_send: a message was not accepted")


def sent_per_second(
    client: Callable[[int, Sequence[bytes]], None], folder: Path, first: int, count: int
) -> tuple[float, float]:
    """Return messages a second, of the clock, and CPU ms of the receiver for each: stored, synced and answered."""
    messages = [document(number) for number in range(first, first + count)]
    with listening(folder) as (port, receiver):
        client(port, messages[:20])
        begun, before = time.perf_counter(), sum(receiver.cpu_times()[:2])
        client(port, messages[20:])
        elapsed, used = time.perf_counter() - begun, sum(receiver.cpu_times()[:2]) - before
    return (count - 20) / elapsed, used * 1e3 / (count - 20)


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the inbox of the MLLP measurements is made")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve))
        return
    settings, console = Settings(), Console()
    messages = corpus()
    counts, reasons, readable = outcomes(messages, settings)
    table = Table("Reference messages", "", title=f"{len(messages)} messages", title_justify="left")
    for name in ("text", "records (no text)", "neither, with the reason", "refused, with the reason", "crash"):
        table.add_row(name, str(counts[name]))
    for name, number in reasons.most_common():
        table.add_row(f"  {name}", str(number))
    console.print(table)
    made = [document(number) for number in range(500)]
    speeds = Table("Parsed and mapped, one CPU", "messages/s")
    speeds.add_row(f"MDM^T02 of {LINES} lines, {len(made[0])} bytes", f"{per_second(made, settings):,.0f}")
    if readable:
        size = sum(map(len, readable)) / len(readable)
        speeds.add_row(f"the reference messages, {size:,.0f} bytes", f"{per_second(readable, settings):,.0f}")
    console.print(speeds)
    with TemporaryDirectory(dir=given.folder) as folder:
        place = Path(folder)
        sent = Table("MLLP, stored, synced and answered", "messages/s", "CPU ms of the receiver")
        sent.add_row("(the disk: commits of one row)", f"{commits_per_second(place):,.0f}", "")
        for number, (name, client) in enumerate(
            (
                ("mllp_send of hl7, one connection", by_mllp_send),
                ("our client, one connection", over_connections(1)),
                (f"our client, {CONNECTIONS} connections", over_connections(CONNECTIONS)),
            )
        ):
            rate, cpu = sent_per_second(client, place, number * MESSAGES, MESSAGES)
            sent.add_row(name, f"{rate:,.0f}", f"{cpu:.2f}")
        console.print(sent)


if __name__ == "__main__":
    main()

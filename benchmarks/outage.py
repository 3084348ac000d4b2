"""Deliver to a FHIR server that fails and goes away: what was lost, what came too early, how fast the rest follows.

Run: python benchmarks/outage.py [--away 600] [--rate 10] [--connections 4] [--database URL]

Notes come at `--rate` a second, before, while and after the server is away for `--away` seconds. Whenever it is there
it answers 5% of all transactions with 429, 5% with 503 (each with Retry-After: 1) and 3% with 500 although they were
written; each takes 20 ms. The outbox, the sender and the HTTP client are those of the service; the notes are coded
already. Exit status 1 when a note was lost or doubled, one was tried again too early, or the backlog did not shrink at
twice the rate at which notes came.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from receiving_server import Faults, ReceivingServer

from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.deliver import Deliverer
from fhir_coder.delivery.dispatch import dispatch_of
from fhir_coder.delivery.gate import Gate
from fhir_coder.delivery.inbox import patient_key
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.delivery.sending import Sending
from fhir_coder.delivery.worker import Worker
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.ingest.hl7v2_intake import read_raw
from fhir_coder.model import CodedNote
from fhir_coder.settings import Settings

PATIENTS = 50
FAULTS = Faults(busy=0.05, unavailable=0.05, written_but_500=0.03, retry_after=1)
TAKES = 0.02  # seconds, of a transaction
BEFORE = 5.0  # seconds of notes before the server goes away
STALL_SECONDS = 120.0  # in which the backlog does not shrink, after which the rest is given up


@dataclass
class Result:
    """What a run came to."""

    stored: int
    lost: int
    waiting: int  # when the rest was given up
    duplicates: int
    early: int
    inversions: int
    set_aside: int
    rate: float  # notes a second that came
    drained: float  # and that were delivered, from the server's return to the end of the backlog
    probes: int  # transactions that were tried while the server was away

    @property
    def is_good(self) -> bool:
        """Whether the targets are met."""
        wrong = self.lost + self.waiting + self.duplicates + self.early + self.inversions + self.set_aside
        return not wrong and self.drained >= 2 * self.rate


class Notes:
    """Puts notes into the outbox, at a rate, until it is stopped."""

    def __init__(self, outbox: Outbox, settings: Settings, rate: float) -> None:
        self.stored = 0
        self._outbox = outbox
        self._settings = settings
        self._rate = rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._stopping.is_set():
            note = _note(self.stored, self._settings)
            dispatch = dispatch_of(note.note, to_bundle(note), self._settings)
            self._outbox.store([dispatch], patient_key(note.note.subject))
            self.stored += 1
            self._stopping.wait(max(0.0, begun + self.stored / self._rate - time.monotonic()))


def _note(number: int, settings: Settings) -> CodedNote:
    raw = (
        rf"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M{number}|P|2.5.1" + "\r"
        f"PID|1||{number % PATIENTS}^^^HOSP\rTXA|1|PR||||||||||D{number}\rOBX|1|TX|||Well.||||||F\r"
    )
    _, content = read_raw(raw.encode(), settings)
    return CodedNote(note=content.notes[0])


def run(folder: Path, *, away: float, rate: float, connections: int, database: str | None = None) -> Result:
    """Run, and return the result."""
    engine = open_database(folder, database)
    outbox = Outbox(engine)
    with ReceivingServer(FAULTS, seconds=TAKES) as server:
        settings = Settings(server=server.url, data_dir=folder)
        deliverer, gate = Deliverer(settings, engine, attempts=1), Gate()
        sending = Sending(outbox, deliverer.deliver, gate)
        workers = [Worker(f"sending-{number}", sending.step, outbox.queue.bell) for number in range(connections)]
        for worker in workers:
            worker.start()
        notes = Notes(outbox, settings, rate)
        notes.start()
        time.sleep(BEFORE)
        server.away, before = True, server.account.transactions
        time.sleep(away)
        server.away, probes, delivered = False, server.account.transactions - before, _delivered(server)
        returned = time.monotonic()
        _wait(outbox, most=2 * rate)
        drained = (_delivered(server) - delivered) / (time.monotonic() - returned)
        notes.stop()
        waiting = _wait(outbox, most=0)
        for worker in workers:
            worker.stop()
        set_aside = outbox.counts()["failed"]
        result = _result(
            server, notes.stored, waiting=waiting, set_aside=set_aside, rate=rate, drained=drained, probes=probes
        )
    deliverer.close()
    outbox.close()
    engine.dispose()
    return result


def _wait(outbox: Outbox, *, most: float) -> int:
    """Wait until no more than `most` notes wait, as long as they become less, and return how many these are."""
    waiting, _ = outbox.queue.waiting()
    least, given_up = waiting, time.monotonic() + STALL_SECONDS
    while waiting > most and time.monotonic() < given_up:
        time.sleep(0.1)
        waiting, _ = outbox.queue.waiting()
        if waiting < least:
            least, given_up = waiting, time.monotonic() + STALL_SECONDS
    return waiting


def _delivered(server: ReceivingServer) -> int:
    return server.account.count("DocumentReference")


def _result(
    server: ReceivingServer,
    stored: int,
    *,
    waiting: int,
    set_aside: int,
    rate: float,
    drained: float,
    probes: int,
) -> Result:
    documents = server.account.documents()
    missing = sum(f"D{number}" not in documents for number in range(stored))
    first = {int(name[1:]): place for place, name in enumerate(server.account.first_seen)}
    inversions = sum(
        first.get(number, -1) > first.get(number + PATIENTS, stored) for number in range(max(stored - PATIENTS, 0))
    )
    return Result(
        stored=stored,
        lost=max(missing - waiting - set_aside, 0),
        waiting=waiting,
        duplicates=sum(count - 1 for count in documents.values()),
        early=server.account.early,
        inversions=inversions,
        set_aside=set_aside,
        rate=rate,
        drained=round(drained, 1),
        probes=probes,
    )


def main() -> int:
    """Run, print the result, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--away", type=float, default=600.0, help="seconds")
    parser.add_argument("--rate", type=float, default=10.0, help="notes a second")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--database", help="URL of the delivery database")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        result = run(
            Path(folder),
            away=given.away,
            rate=given.rate,
            connections=given.connections,
            database=given.database,
        )
    print(result)
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Kill the service again and again while notes come in over MLLP and HTTP, and count what was lost.

Run: python benchmarks/crash.py --data DIR [--rounds 250] [--database URL | --postgresql] [--services 1] [--mutant]

DIR is a data folder with a concept store; the delivery database is made in a folder of its own. Each round starts what
is not running, sends over MLLP and HTTP, and kills with SIGKILL at a random time: one of the services, or, with
`--kill database`, PostgreSQL. What was not acknowledged is sent again in the next round, as interface engines do. In
the end all must be at the FHIR server: each acknowledged note once, those of one patient in the order in which they
were acknowledged; and a service that is asked to end (SIGTERM) under load does so within 30 s. Exit status 1 when not.
`--mutant` runs a service that acknowledges before it stores, which must be found out. Codes are by names alone: this
measures no coding.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from postgresql import PostgreSQL
from receiving_server import ReceivingServer

START, END = b"\x0b", b"\x1c\r"
READY = re.compile(r"ready: (http://\S+) mllp://127\.0\.0\.1:(\d+)")
STALL_SECONDS = 120  # without a delivery, after which the rest is given up
STOP_SECONDS = 30
SENDERS = 4  # over MLLP; and as many over HTTP
PAUSE = 0.1  # seconds, of a sender after each answer: what 250 rounds take in must also be delivered


def message(number: int, patient: int) -> bytes:
    """Return an MDM^T02 of one document that gives one Condition."""
    return (
        rf"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M{number}|P|2.5.1" + "\r"
        f"PID|1||{patient}^^^HOSP\rTXA|1|PR||||||||||D{number}\rOBX|1|TX|||Assessment: HTN.||||||F\r"
    ).encode()


@dataclass
class Sender:
    """Sends the notes of one patient, each after the acknowledgement of the one before."""

    patient: int
    over_http: bool
    acknowledged: list[int] = field(default_factory=list)
    _next: int = 0

    def send(self, services: list[Service], until: float) -> None:
        """Send until then, or until the service is gone."""
        while time.monotonic() < until:
            service = random.choice(services)  # noqa: S311 - a load, not a secret
            with suppress(OSError, httpx2.HTTPError, EOFError):
                (self._post if self.over_http else self._mllp)(service, until)
            time.sleep(0.05)  # the connection broke: come again

    def finish(self, services: list[Service]) -> None:
        """Send what was begun and never acknowledged."""
        number = self.patient * 1_000_000 + self._next
        while self._next and number not in self.acknowledged:
            with (
                suppress(OSError, EOFError),
                socket.create_connection(("127.0.0.1", services[0].mllp), timeout=30) as connection,
            ):
                self._exchange(connection, number)

    def _mllp(self, service: Service, until: float) -> None:
        with socket.create_connection(("127.0.0.1", service.mllp), timeout=10) as connection:
            while time.monotonic() < until:
                self._exchange(connection, self._due())
                time.sleep(PAUSE)

    def _exchange(self, connection: socket.socket, number: int) -> None:
        connection.sendall(START + message(number, self.patient) + END)
        received = b""
        while not received.endswith(END):
            part = connection.recv(4096)
            if not part:
                raise EOFError
            received += part
        if b"\rMSA|AA|" in received:
            self.acknowledged.append(number)

    def _post(self, service: Service, until: float) -> None:
        with httpx2.Client(trust_env=False, timeout=10) as client:
            while time.monotonic() < until:
                number = self._due()
                headers = {"Content-Type": "application/hl7-v2"}
                answer = client.post(f"{service.http}/hl7v2", content=message(number, self.patient), headers=headers)
                if answer.status_code == 200:
                    self.acknowledged.append(number)
                time.sleep(PAUSE)

    def _due(self) -> int:
        """Return the number to be sent: the last one, until it was acknowledged."""
        if not self._next or self.patient * 1_000_000 + self._next in self.acknowledged[-1:]:
            self._next += 1
        return self.patient * 1_000_000 + self._next


@dataclass
class Service:
    """A service that runs."""

    process: subprocess.Popen[str]
    http: str
    mllp: int

    def kill(self) -> None:
        """Kill it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> float:
        """Ask it to end, and return the seconds that it took."""
        begun = time.monotonic()
        self.process.terminate()
        self.process.wait(60)
        return time.monotonic() - begun

    def waiting(self) -> tuple[int, int]:
        """Return how many items wait, and how many were set aside."""
        ready = httpx2.get(f"{self.http}/health/ready", trust_env=False, timeout=10).json()
        inbox, outbox = ready["inbox"], ready["outbox"]
        return inbox["waiting"] + outbox["waiting"], inbox["failed"] + outbox["failed"]


def start(environment: Mapping[str, str], server: str, *, mutant: bool, log: Path) -> Service:
    """Start a service that sends to `server`, and wait until it is ready."""
    own = [sys.executable, __file__, "--serve-mutant"] if mutant else [sys.executable, "-m", "fhir_coder"]
    command = [*own, "serve", "--port", "0", "--mllp-port", "0", "--server", server]
    with log.open("a") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=dict(environment), start_new_session=True
        )
    said = process.stdout.readline() if process.stdout else ""
    found = READY.match(said)
    if found is None:
        raise SystemExit(f"the service did not start: {said}{log.read_text()[-2000:]}")
    return Service(process, found[1], int(found[2]))


def serve_mutant(arguments: list[str]) -> None:
    """Run a service that acknowledges at once and stores a moment later. It must not pass."""
    from concurrent.futures import Future

    from fhir_coder.cli import main
    from fhir_coder.delivery.inbox import Inbox

    submit = Inbox.submit

    def submit_later(self: Inbox, *given: object, **named: object) -> Future[int]:
        threading.Timer(0.3, lambda: submit(self, *given, **named)).start()  # type: ignore[arg-type]
        done: Future[int] = Future()
        done.set_result(0)
        return done

    Inbox.submit = submit_later  # type: ignore[method-assign, assignment]
    sys.argv = ["fhir-coder", *arguments]
    main()


@dataclass
class Result:
    """What a run came to."""

    rounds: int
    acknowledged: int
    lost: int
    duplicates: int
    inversions: int
    set_aside: int
    drained: bool
    stop_seconds: float  # that a service took to end on SIGTERM, under load

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled or turned round."""
        wrong = self.lost + self.duplicates + self.inversions + self.set_aside
        return self.drained and self.stop_seconds < STOP_SECONDS and not wrong


def run(
    environment: Mapping[str, str],
    *,
    rounds: int,
    services: int,
    mutant: bool,
    log: Path,
    database: PostgreSQL | None = None,
    kill_database: bool = False,
    seconds: float = 1.5,
) -> Result:
    """Kill `rounds` times, drain, and compare. The services are killed after up to `seconds` of load."""
    senders = [Sender(patient, over_http=patient > SENDERS) for patient in range(1, 2 * SENDERS + 1)]
    chance = random.Random(1)  # noqa: S311 - times of kills, not secrets
    running: list[Service] = []
    with ReceivingServer() as server:
        for number in range(rounds):
            while len(running) < services:
                running.append(start(environment, server.url, mutant=mutant, log=log))
            after = chance.uniform(0.2, seconds)
            with _load(senders, running, after + 0.5):
                time.sleep(after)
                if kill_database and database is not None:
                    database.kill()
                    database.start()
                else:
                    running.pop(chance.randrange(len(running))).kill()
            print(f"round {number + 1}: {sum(len(each.acknowledged) for each in senders)} acknowledged", flush=True)
        while not running:
            running.append(start(environment, server.url, mutant=False, log=log))
        with _load(senders, running, 1.5):
            time.sleep(1.0)
            stop_seconds = running.pop().terminate()
        while not running:
            running.append(start(environment, server.url, mutant=False, log=log))
        for sender in senders:
            sender.finish(running)
        drained, set_aside = drain(running[0])
        for service in running:
            service.terminate()
        result = _compare(server, senders, drained=drained, set_aside=set_aside)
    return replace(result, rounds=rounds, stop_seconds=round(stop_seconds, 1))


@contextmanager
def _load(senders: list[Sender], services: list[Service], seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    targets = list(services)
    threads = [threading.Thread(target=sender.send, args=(targets, until)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def drain(service: Service) -> tuple[bool, int]:
    """Wait as long as what waits becomes less. Return whether nothing waits, and how many were set aside."""
    waiting, failed = service.waiting()
    least, given_up = waiting, time.monotonic() + STALL_SECONDS
    while waiting and time.monotonic() < given_up:
        time.sleep(0.2)
        waiting, failed = service.waiting()
        if waiting < least:
            least, given_up = waiting, time.monotonic() + STALL_SECONDS
    return not waiting, failed


def _compare(server: ReceivingServer, senders: list[Sender], *, drained: bool, set_aside: int) -> Result:
    documents, account = server.account.documents(), server.account
    acknowledged = [number for sender in senders for number in sender.acknowledged]
    expected: Counter[str] = Counter(f"D{number}" for number in set(acknowledged))
    duplicates = sum(count - 1 for count in documents.values())
    duplicates += max(account.count("Condition") - len(documents), 0)
    duplicates += max(account.count("Patient") - len(senders), 0)
    first = {name: place for place, name in enumerate(account.first_seen)}
    inversions = sum(
        first.get(f"D{before}", -1) > first.get(f"D{after}", -1)
        for sender in senders
        for before, after in zip(sender.acknowledged, sender.acknowledged[1:], strict=False)
    )
    return Result(
        rounds=0,
        acknowledged=len(expected),
        lost=len(expected.keys() - documents.keys()),
        duplicates=duplicates,
        inversions=inversions,
        set_aside=set_aside,
        drained=drained,
        stop_seconds=0.0,
    )


def main() -> int:
    """Run, print the result, and return the exit status."""
    if "--serve-mutant" in sys.argv:
        serve_mutant(sys.argv[sys.argv.index("--serve-mutant") + 1 :])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a data folder with a concept store")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--services", type=int, default=1, help="services on one database (PostgreSQL)")
    parser.add_argument("--database", help="URL of the delivery database")
    parser.add_argument("--postgresql", action="store_true", help="start a PostgreSQL of its own")
    parser.add_argument("--kill", choices=("service", "database"), default="service")
    parser.add_argument("--mutant", action="store_true", help="acknowledge before storing")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        folder.chmod(0o755)  # PostgreSQL does not run as root, and has a folder below
        cluster = stack.enter_context(PostgreSQL(folder / "postgresql")) if given.postgresql else None
        database = cluster.url if cluster else given.database or f"sqlite:///{folder}/delivery.sqlite"
        environment = {
            "FHIR_CODER_ENCODER": "none",
            "FHIR_CODER_RECOGNISER": "none",
            **os.environ,
            "FHIR_CODER_DATA_DIR": str(given.data),
            "FHIR_CODER_DATABASE": database,
        }
        result = run(
            environment,
            rounds=given.rounds,
            services=given.services,
            mutant=given.mutant,
            log=folder / "log",
            database=cluster,
            kill_database=given.kill == "database",
        )
        if not result.is_good:
            print((folder / "log").read_text()[-3000:], file=sys.stderr)
    print(result)
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Offer ten times what the service carries, for minutes: does its memory stay bounded, and is nothing lost?

Run: python benchmarks/overload.py [--seconds 300] [--times 10] [--most 2000] [--models] [--data DIR]

A service of its own (a new delivery database, the concept store in DIR) delivers to a FHIR server in memory. First it
is given notes to work off: how many it delivers a second is what it carries. Then ten times as many are offered, half
over MLLP and half over HTTP, as a clock says and whatever becomes of them: what cannot be sent because nothing is read
is sent as soon as it is, what is turned away (503) is not sent again. `--most` is the setting queue_max_items, low
enough to be reached soon. Each second the memory (RSS of the service and its coding processes), what waits, and
readiness are looked at.

Exit status 1 when: an acknowledged note was not delivered, or one twice; a call was answered otherwise than by 200, or
503 with Retry-After; nothing was turned away, or MLLP went on; liveness or readiness did not answer; more waited than
twice `--most`; the memory in the last third exceeded that of the second third by more than 5%, or 2,000 MB at any
time (4,000 with models); a process ended, or SIGTERM was not obeyed within 30 s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import psutil
from crash import END, START, STOP_SECONDS, Service, drain, start
from hl7v2 import document
from receiving_server import ReceivingServer
from rich.console import Console
from rich.table import Table

from fhir_coder.settings import Settings

MLLP_CONNECTIONS = 40
HTTP_CONNECTIONS = 10
WARM_UP, MEASURED = 100, 600  # notes that are worked off before: all is loaded, and the rate is that of a long run
AWAITED_SECONDS = 300.0  # for an answer; a sender whose message is not read waits
GROWTH = 1.05  # of the memory, from the second third to the last
MOST_MB = {False: 2_000, True: 4_000}  # with models or without
ANSWER_SECONDS = 10.0  # in which a probe of readiness must be answered; a supervisor would wait no longer


@dataclass
class Offer:
    """Numbers of notes, each when it is due: so many a second, and after a delay the missed ones at once."""

    first: int
    rate: float  # notes a second
    seconds: float
    most: int | None = None
    sent: int = 0
    _begun: float = field(default_factory=time.monotonic)

    async def next(self) -> int | None:
        """Return the next number when it is due; None at the end."""
        number, due = self.sent, self._begun + self.sent / self.rate
        if number == self.most or max(due, time.monotonic()) >= self._begun + self.seconds:
            return None
        self.sent += 1
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        return self.first + number


@dataclass
class Answers:
    """What became of what was sent."""

    acknowledged: list[int] = field(default_factory=list)
    turned_away: int = 0  # 503 with Retry-After
    wrong: Counter[str] = field(default_factory=Counter)  # everything else
    longest: float = 0.0  # seconds that a sender over MLLP waited for its answer


async def send(service: Service, by_mllp: Offer, by_http: Offer) -> Answers:
    """Send what is offered over all connections, and return when all is answered."""
    answers = Answers()
    async with httpx2.AsyncClient(base_url=service.http, trust_env=False, timeout=AWAITED_SECONDS) as client:
        await asyncio.gather(
            *(_over_mllp(service.mllp, by_mllp, answers) for _ in range(MLLP_CONNECTIONS)),
            *(_over_http(client, by_http, answers) for _ in range(HTTP_CONNECTIONS)),
        )
    return answers


async def _over_mllp(port: int, offer: Offer, answers: Answers) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (number := await offer.next()) is not None:
        begun = time.monotonic()
        writer.write(START + document(number) + END)
        try:
            async with asyncio.timeout(AWAITED_SECONDS):
                answer = await reader.readuntil(END)
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            answers.wrong[f"MLLP: {type(error).__name__}"] += 1
            break
        answers.longest = max(answers.longest, time.monotonic() - begun)
        if b"\rMSA|AA|" in answer:
            answers.acknowledged.append(number)
        else:
            answers.wrong["MLLP: not AA"] += 1
    writer.close()


async def _over_http(client: httpx2.AsyncClient, offer: Offer, answers: Answers) -> None:
    headers = {"Content-Type": "application/hl7-v2"}
    while (number := await offer.next()) is not None:
        try:
            answer = await client.post("/hl7v2", content=document(number), headers=headers)
        except httpx2.HTTPError as error:
            answers.wrong[f"HTTP: {type(error).__name__}"] += 1
            continue
        if answer.status_code == 200:
            answers.acknowledged.append(number)
        elif answer.status_code == 503 and answer.headers.get("Retry-After", "").isdigit():
            answers.turned_away += 1
        else:
            answers.wrong[f"HTTP: {answer.status_code}"] += 1


@dataclass(frozen=True)
class Sample:
    """What was seen at one time."""

    megabytes: float
    waiting: int
    is_full: bool
    seconds: float  # that readiness took to answer


class Watch:
    """Looks at the service each second, in a thread of its own."""

    def __init__(self, service: Service) -> None:
        self.samples: list[Sample] = []
        self.unanswered = 0
        self._service = service
        self._process = psutil.Process(service.process.pid)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look, until the end of the block."""
        ended = threading.Event()
        thread = threading.Thread(target=self._run, args=(ended,))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def thirds(self) -> list[Sequence[Sample]]:
        """Return the samples of the first, the second and the last third."""
        bounds = [len(self.samples) * number // 3 for number in range(4)]
        return [self.samples[begin:end] for begin, end in pairwise(bounds)]

    def _run(self, ended: threading.Event) -> None:
        with httpx2.Client(base_url=self._service.http, trust_env=False, timeout=ANSWER_SECONDS) as client:
            while not ended.wait(1.0):
                try:
                    self._look(client)
                except (httpx2.HTTPError, psutil.NoSuchProcess, KeyError, ValueError):
                    self.unanswered += 1

    def _look(self, client: httpx2.Client) -> None:
        client.get("/health/live").raise_for_status()
        begun = time.monotonic()
        told = client.get("/health/ready").json()
        seconds = time.monotonic() - begun
        waiting = told["inbox"]["waiting"] + told["outbox"]["waiting"]
        is_full = told["checks"]["inbox"]["status"] == "not ready"
        self.samples.append(Sample(self._megabytes(), waiting, is_full, seconds))

    def _megabytes(self) -> float:
        family = [self._process, *self._process.children(recursive=True)]
        return sum(process.memory_info().rss for process in family) / 1e6


@dataclass
class Result:
    """What a run came to."""

    carried: float  # notes a second that are delivered
    offered: float  # notes a second
    seconds: float
    acknowledged: int
    turned_away: int  # HTTP 503 with Retry-After
    held_back: int  # due over MLLP, and never sent because nothing was read
    longest_wait: float  # seconds, of a sender over MLLP for its acknowledgement
    wrong: int  # answers of other kinds, or none
    unanswered: int  # probes of liveness and readiness
    deepest: int  # that waited at one time
    most: int  # that may wait
    full: int  # percent of the time
    second_third_mb: int
    last_third_mb: int
    peak_mb: int
    bound_mb: int
    lost: int
    duplicates: int
    set_aside: int
    drained: bool
    ended: int  # coding processes, and the service itself with another status than 0
    stop_seconds: float

    @property
    def is_good(self) -> bool:
        """Whether the service held out, and pushed back."""
        wrong = self.lost + self.duplicates + self.set_aside + self.wrong + self.unanswered + self.ended
        pushed_back = self.turned_away > 0 and self.held_back > 0 and self.deepest <= 2 * self.most
        bounded = self.last_third_mb <= self.second_third_mb * GROWTH and self.peak_mb <= self.bound_mb
        return self.drained and not wrong and pushed_back and bounded and self.stop_seconds < STOP_SECONDS


def run(environment: dict[str, str], log: Path, *, seconds: float, times: float, most: int, models: bool) -> Result:
    """Measure what the service carries, overload it, drain, and compare. `log` receives what it says."""
    with ReceivingServer() as server:
        service = start({**environment, "FHIR_CODER_QUEUE_MAX_ITEMS": str(most)}, server.url, mutant=False, log=log)
        try:
            carried, worked_off = _carried(service, server, most)
            rate = times * carried
            by_mllp = Offer(1_000_000, rate / 2, seconds)
            by_http = Offer(2_000_000, rate / 2, seconds)
            watch = Watch(service)
            with watch.watching():
                answers = asyncio.run(send(service, by_mllp, by_http))
            drained, set_aside = drain(service)
            stop_seconds = service.terminate()
        finally:
            service.kill()
        expected = {f"D{number}" for number in (*worked_off, *answers.acknowledged)}
        documents = server.account.documents()
    if answers.wrong:
        print("wrong answers:", dict(answers.wrong), file=sys.stderr)
    _print(watch)
    memory = [max((sample.megabytes for sample in third), default=0.0) for third in watch.thirds()]
    return Result(
        carried=round(carried, 1),
        offered=round(rate, 1),
        seconds=seconds,
        acknowledged=len(answers.acknowledged),
        turned_away=answers.turned_away,
        held_back=int(by_mllp.rate * seconds) - by_mllp.sent,
        longest_wait=round(answers.longest, 1),
        wrong=answers.wrong.total(),
        unanswered=watch.unanswered,
        deepest=max((sample.waiting for sample in watch.samples), default=0),
        most=most,
        full=100 * sum(sample.is_full for sample in watch.samples) // max(len(watch.samples), 1),
        second_third_mb=round(memory[1]),
        last_third_mb=round(memory[2]),
        peak_mb=round(max(memory)),
        bound_mb=MOST_MB[models],
        lost=len(expected - documents.keys()),
        duplicates=sum(count - 1 for count in documents.values()),
        set_aside=set_aside,
        drained=drained,
        ended=log.read_text().count("a coding process ended") + (service.process.returncode != 0),
        stop_seconds=round(stop_seconds, 1),
    )


def _carried(service: Service, server: ReceivingServer, most: int) -> tuple[float, list[int]]:
    """Return how many notes are delivered a second while there is work, and the notes that were sent for that."""
    sent: list[int] = []
    rate = 0.0
    for count in (min(WARM_UP, most // 2), min(MEASURED, most // 2)):
        offer, nothing = Offer(len(sent), 1e6, AWAITED_SECONDS, most=count), Offer(0, 1.0, 0.0)
        before, begun = server.account.count("DocumentReference"), time.monotonic()
        sent += asyncio.run(send(service, offer, nothing)).acknowledged
        drain(service)
        rate = (server.account.count("DocumentReference") - before) / (time.monotonic() - begun)
    return rate, sent


def _print(watch: Watch) -> None:
    table = Table("Third", "RSS MB, least", "most", "waiting, most", "full, % of the time", "readiness, longest ms")
    for name, third in zip(("first", "second", "last"), watch.thirds(), strict=True):
        if third:
            table.add_row(
                name,
                f"{min(sample.megabytes for sample in third):,.0f}",
                f"{max(sample.megabytes for sample in third):,.0f}",
                f"{max(sample.waiting for sample in third):,}",
                f"{100 * sum(sample.is_full for sample in third) // len(third)}",
                f"{1e3 * max(sample.seconds for sample in third):,.0f}",
            )
    Console().print(table)


def main() -> int:
    """Run, print the result, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Settings.load().data_dir, help="a folder with a concept store")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--times", type=float, default=10.0, help="of what the service carries")
    parser.add_argument("--most", type=int, default=2000, help="messages that may wait")
    parser.add_argument("--models", action="store_true", help="code with the encoder and the recogniser")
    given = parser.parse_args()
    without = {} if given.models else {"FHIR_CODER_ENCODER": "none", "FHIR_CODER_RECOGNISER": "none"}
    with TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            **os.environ,
            **without,
            "FHIR_CODER_DATA_DIR": str(given.data),
            "FHIR_CODER_DATABASE": f"sqlite:///{folder}/delivery.sqlite",
        }
        result = run(
            environment,
            folder / "log",
            seconds=given.seconds,
            times=given.times,
            most=given.most,
            models=given.models,
        )
        if not result.is_good:
            print((folder / "log").read_text()[-3000:], file=sys.stderr)
    print(result)
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Batches: all lines are answered once, as many at a time as the load makes, and never more wait than may."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from fhir_coder.lookup import batcher as module
from fhir_coder.lookup.batcher import Answer, Batcher, Question, Worker
from fhir_coder.lookup.metrics import LineMetrics


@dataclass(eq=False)
class Line:
    """A line that remembers its answers."""

    text: str
    abandoned: bool = False
    answers: list[Answer] = field(default_factory=list)

    @property
    def question(self) -> Question:
        return ("icd10cm", self.text)

    def settle(self, code: Answer) -> None:
        self.answers.append(code)


class Gate:
    """A worker that is held up until it is let go."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self._fault = fault

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        self.batches.append([text for _, text in questions])
        assert self.open.wait(20)
        if self._fault:
            raise self._fault
        return [text.upper() for _, text in questions]


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which the batcher measures."""
    made = Clock()
    monkeypatch.setattr(module, "perf_counter", made)
    return made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def batcher(*workers: Worker, bound: int = 10_000) -> Batcher:
    return Batcher(workers, bound, LineMetrics(CollectorRegistry()))


def test_an_idle_one_answers_one_line_and_a_busy_one_all_that_came_meanwhile() -> None:
    async def run() -> None:
        gate = Gate()
        tested = batcher(gate)
        lines = [Line(f"line {number}") for number in range(20)]
        tested.submit(lines[0])
        await until(lambda: len(gate.batches) == 1)
        for line in lines[1:]:
            tested.submit(line)
        gate.open.set()
        await until(lambda: all(line.answers for line in lines))
        assert gate.batches[0] == ["line 0"]
        assert gate.batches[1] == [line.text for line in lines[1:]]
        assert [line.answers for line in lines] == [[line.text.upper()] for line in lines]
        tested.close()

    asyncio.run(run())


def test_free_workers_share() -> None:
    async def run() -> None:
        gates = Gate(), Gate()
        tested = batcher(*gates)
        lines = [Line(str(number)) for number in range(10)]
        for line in lines:
            tested.submit(line)
        await until(lambda: all(gate.batches for gate in gates))
        assert [len(gate.batches[0]) for gate in gates] == [5, 5]
        for gate in gates:
            gate.open.set()
        await until(lambda: all(line.answers for line in lines))
        tested.close()

    asyncio.run(run())


def test_slow_lookups_make_small_batches(clock: Clock) -> None:
    async def run() -> None:
        sizes = []

        def slow(questions: Sequence[Question]) -> list[Answer]:
            sizes.append(len(questions))
            clock.now += 0.005 * len(questions)
            return ["" for _ in questions]

        tested = batcher(slow)
        lines = [Line(str(number)) for number in range(200)]
        for line in lines:
            tested.submit(line)
        await until(lambda: all(line.answers for line in lines))
        assert sizes[-1] == 4  # 20 ms
        tested.close()

    asyncio.run(run())


def test_what_waits_is_bounded_and_room_is_told_in_order() -> None:
    async def run() -> None:
        gate = Gate()
        tested = batcher(gate, bound=2)
        tested.submit(Line("in work"))
        await until(lambda: bool(gate.batches))
        for text in ("waits", "waits, too"):
            assert tested.has_room
            tested.submit(Line(text))
        assert not tested.has_room
        told: list[str] = []

        def first() -> None:
            told.append("first")
            tested.submit(Line("more"))
            tested.submit(Line("and more"))

        tested.when_room(first)
        tested.when_room(lambda: told.append("second"))
        gate.open.set()
        await until(lambda: told == ["first", "second"])
        tested.close()

    asyncio.run(run())


def test_what_nobody_waits_for_is_not_looked_up() -> None:
    async def run() -> None:
        gate = Gate()
        tested = batcher(gate)
        tested.submit(Line("in work"))
        await until(lambda: bool(gate.batches))
        gone, here = Line("gone"), Line("here")
        tested.submit(gone)
        tested.submit(here)
        gone.abandoned = True
        gate.open.set()
        await until(lambda: bool(here.answers))
        assert gate.batches[1] == ["here"]
        assert gone.answers == []
        tested.close()

    asyncio.run(run())


def test_a_batch_that_fails_is_answered_as_failed_and_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        gate = Gate(RuntimeError("Zebrafinch"))
        gate.open.set()
        tested = batcher(gate)
        lines = [Line("Zebrafinch"), Line("2")]
        for line in lines:
            tested.submit(line)
        await until(lambda: all(line.answers for line in lines))
        assert [line.answers for line in lines] == [[None], [None]]
        tested.close()

    asyncio.run(run())
    assert "RuntimeError" in caplog.text
    assert "Zebrafinch" not in caplog.text


def test_after_large_batches_a_few_lines_wait_for_those_about_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(module, "_LINGER_SECONDS", 0.2)
        gate = Gate()
        gate.open.set()
        tested = batcher(gate)
        lines = [Line(str(number)) for number in range(100)]
        for line in lines:
            tested.submit(line)
        await until(lambda: all(line.answers for line in lines))
        before = len(gate.batches)
        first, second = Line("first"), Line("second")
        tested.submit(first)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tested.submit(second)
        await until(lambda: bool(first.answers and second.answers))
        assert gate.batches[before:] == [["first", "second"]]
        tested.close()

    asyncio.run(run())

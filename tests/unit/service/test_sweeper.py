"""The sweeper: when it sweeps, and that nothing ends it but being told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

import pytest
from sqlalchemy.exc import OperationalError

from fhir_coder.errors import TransientDeliveryError
from fhir_coder.service import sweeper
from fhir_coder.service.sweeper import Sweeper

WAIT = 10


class Counting:
    """A sweep that counts, and fails as it is told."""

    def __init__(self, goes_on: bool, *faults: Exception) -> None:
        self.goes_on = goes_on
        self.faults = list(faults)
        self.times = 0
        self.swept = Event()

    def __call__(self) -> bool:
        self.times += 1
        self.swept.set()
        if self.faults:
            raise self.faults.pop(0)
        return self.goes_on

    def again(self) -> bool:
        """Wait for the next sweep; whether there was one."""
        self.swept.clear()
        return self.swept.wait(WAIT)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_GATHER_SECONDS", "_FIRST_PAUSE", "_LONGEST_PAUSE"):
        monkeypatch.setattr(sweeper, name, 0.01)


@pytest.fixture
def start() -> Iterator[Callable[[Counting, float], Sweeper]]:
    started: list[Sweeper] = []

    def begin(sweep: Counting, seconds: float) -> Sweeper:
        started.append(Sweeper(sweep, seconds))
        started[-1].start()
        return started[-1]

    yield begin
    for each in started:
        assert each.stop()


def test_it_sweeps_at_once_and_again_and_again(start: Callable[[Counting, float], Sweeper]) -> None:
    sweep = Counting(True)
    start(sweep, 0.01)
    assert sweep.swept.wait(WAIT)
    assert sweep.again()
    assert sweep.again()


@pytest.mark.parametrize(("goes_on", "seconds"), [(True, 0.0), (False, 0.01)])
def test_it_waits_to_be_woken(goes_on: bool, seconds: float, start: Callable[[Counting, float], Sweeper]) -> None:
    sweep = Counting(goes_on)
    made = start(sweep, seconds)
    assert sweep.swept.wait(WAIT)
    assert not sweep.swept.clear()
    assert not sweep.swept.wait(0.2)
    made.wake()
    assert sweep.swept.wait(WAIT)


def test_faults_are_tried_again(start: Callable[[Counting, float], Sweeper]) -> None:
    faults = (
        TransientDeliveryError("away", retry_after=0.01),
        OSError("full"),
        OperationalError("SELECT", {}, OSError("locked")),
        RuntimeError("unforeseen"),
    )
    sweep = Counting(False, *faults)
    start(sweep, 0)
    while sweep.faults:
        assert sweep.again()
    assert sweep.times >= len(faults)

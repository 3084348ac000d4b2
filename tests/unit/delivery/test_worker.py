"""The worker: wakes, waits, goes on after faults, and ends quickly."""

import threading
import time

import pytest

from fhir_coder.delivery import worker as worker_module
from fhir_coder.delivery.bell import Bell
from fhir_coder.delivery.worker import Worker


def test_it_wakes_for_the_bell_and_stops_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 60.0)
    bell, seen, idle = Bell(), [], threading.Event()
    there = [1]

    def step() -> float | None:
        if there:
            seen.append(there.pop())
            return 0.0
        idle.set()
        return None

    worker = Worker("test", step, bell)
    worker.start()
    assert worker.alive
    assert idle.wait(5)
    idle.clear()
    there.append(2)
    bell.ring()
    assert idle.wait(5)
    assert seen == [1, 2]
    begun = time.monotonic()
    assert worker.stop()
    assert time.monotonic() - begun < 5
    assert not worker.alive


def test_a_stroke_while_nobody_listens_is_heard() -> None:
    bell = Bell()
    strokes = bell.strokes
    bell.ring()
    begun = time.monotonic()
    bell.wait(strokes, 60)
    assert time.monotonic() - begun < 5


def test_it_goes_on_after_a_fault_and_tells_no_more_than_its_kind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_module, "_FIRST_PAUSE", 0.001)
    tries, done = [0], threading.Event()

    def step() -> float | None:
        tries[0] += 1
        if tries[0] < 3:
            raise OSError("CANARY")
        done.set()
        return None

    worker = Worker("test", step, Bell())
    worker.start()
    assert done.wait(5)
    assert worker.stop()
    assert "OSError" in caplog.text
    assert "CANARY" not in caplog.text


def test_it_stops_during_a_pause() -> None:
    worker = Worker("test", lambda: 60.0, Bell())
    worker.start()
    time.sleep(0.05)
    assert worker.stop(5)

"""The worker: order, three tries, patience with what is not the message's fault, and a quick end."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhir_coder.delivery import worker as worker_module
from fhir_coder.delivery.inbox import Inbox, Item
from fhir_coder.delivery.worker import Worker
from fhir_coder.errors import DeliveryError, InputError, TransientDeliveryError


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    monkeypatch.setattr(worker_module, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(worker_module, "_LONGEST_PAUSE", 0.01)
    opened = Inbox(tmp_path)
    yield opened
    opened.close()


def run(inbox: Inbox, handle: Callable[[Item], None]) -> None:
    """Run a worker until nothing is left."""
    worker = Worker(inbox, handle)
    worker.start()
    deadline = time.monotonic() + 10
    while inbox.counts()["received"] and time.monotonic() < deadline:
        time.sleep(0.005)
    assert worker.stop()
    assert not inbox.counts()["received"]


def test_messages_are_handled_in_order(inbox: Inbox) -> None:
    for number in range(5):
        inbox.store("hl7v2", b"%d" % number, str(number))
    seen: list[bytes] = []
    run(inbox, lambda item: seen.append(item.payload))
    assert seen == [b"0", b"1", b"2", b"3", b"4"]
    assert inbox.counts()["coded"] == 5


@pytest.mark.parametrize(
    ("error", "tries"), [(InputError("no"), 1), (DeliveryError("no"), 1), (RuntimeError("CANARY"), 3)]
)
def test_a_poisoned_message_is_set_aside(
    inbox: Inbox, error: Exception, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.store("hl7v2", b"bad", "bad")
    inbox.store("hl7v2", b"good", "good")
    seen: list[bytes] = []

    def handle(item: Item) -> None:
        seen.append(item.payload)
        if item.payload == b"bad":
            raise error

    run(inbox, handle)
    assert seen == [b"bad"] * tries + [b"good"]
    assert inbox.counts() == {"received": 0, "coded": 1, "failed": 1}
    assert "CANARY" not in caplog.text


@pytest.mark.parametrize("error", [TransientDeliveryError("away"), OSError("disk full")])
def test_what_is_not_its_fault_is_tried_for_as_long_as_it_takes(inbox: Inbox, error: Exception) -> None:
    inbox.store("hl7v2", b"a", "a")
    inbox.store("hl7v2", b"b", "b")
    seen: list[bytes] = []

    def handle(item: Item) -> None:
        seen.append(item.payload)
        if len(seen) < 8:
            raise error

    run(inbox, handle)
    assert seen == [b"a"] * 8 + [b"b"]
    assert inbox.counts()["coded"] == 2


def test_a_server_that_asks_to_wait_is_given_time(inbox: Inbox) -> None:
    inbox.store("hl7v2", b"a", "a")
    times: list[float] = []

    def handle(item: Item) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            raise TransientDeliveryError("busy", retry_after=0.2)

    run(inbox, handle)
    assert times[1] - times[0] >= 0.2


def test_a_message_that_brings_the_program_down_is_not_tried_for_ever(inbox: Inbox) -> None:
    inbox.store("hl7v2", b"a", "a")
    for _ in range(3):
        assert inbox.take() is not None  # and the program ended each time
    run(inbox, lambda _: pytest.fail("taken a fourth time"))
    assert inbox.counts()["failed"] == 1


def test_it_wakes_for_a_new_message_and_stops_quickly(inbox: Inbox) -> None:
    seen: list[bytes] = []
    worker = Worker(inbox, lambda item: seen.append(item.payload))
    worker.start()
    assert worker.alive
    inbox.store("hl7v2", b"a", "a")
    worker.wake()
    deadline = time.monotonic() + 5
    while not seen and time.monotonic() < deadline:
        time.sleep(0.01)
    start = time.monotonic()
    assert worker.stop()
    assert time.monotonic() - start < 2
    assert seen == [b"a"]
    assert not worker.alive


def test_it_stops_during_a_pause(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_FIRST_PAUSE", 60.0)
    inbox.store("hl7v2", b"a", "a")

    def handle(item: Item) -> None:
        raise TransientDeliveryError("away")

    worker = Worker(inbox, handle)
    worker.start()
    time.sleep(0.1)
    assert worker.stop(5)
    assert inbox.counts()["received"] == 1

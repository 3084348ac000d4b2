"""The coding of the inbox: three tries, patience with what is not the item's fault, and others go on meanwhile."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from fhir_coder.delivery.coding import Coding
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.inbox import Coded, Inbox, Item
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.errors import (
    CodingFailedError,
    CodingStoppedError,
    DeliveryError,
    FhirCoderError,
    InputError,
    TransientDeliveryError,
)
from tests.unit.clock import Clock


def hasten(inbox: Inbox) -> None:
    with inbox.queue.engine.begin() as connection:
        connection.execute(text("UPDATE inbox SET not_before = NULL"))


def run(inbox: Inbox, handle: Callable[[Item], Coded], steps: int = 20) -> None:
    coding = Coding(inbox, handle, lambda: None)
    for _ in range(steps):
        coding.step()
        hasten(inbox)


def test_each_item_is_coded_once_and_goes_to_the_outbox(inbox: Inbox, outbox: Outbox) -> None:
    for number in range(5):
        inbox.store("hl7v2", b"%d" % number, str(number))
    seen: list[bytes] = []

    def handle(item: Item) -> Coded:
        seen.append(item.payload)
        return Coded(dispatches=[Dispatch(bundle={"n": item.id})])

    run(inbox, handle)
    assert seen == [b"0", b"1", b"2", b"3", b"4"]
    assert inbox.counts()["coded"] == 5
    assert outbox.counts()["waiting"] == 5


@pytest.mark.parametrize(
    ("error", "tries"),
    [(InputError("no"), 1), (DeliveryError("no"), 1), (RuntimeError("CANARY"), 3), (CodingFailedError("died"), 3)],
)
def test_a_poisoned_item_is_set_aside(
    inbox: Inbox, error: Exception, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.store("hl7v2", b"bad", "bad", "x")
    inbox.store("hl7v2", b"good", "good", "x")
    seen: list[bytes] = []

    def handle(item: Item) -> Coded:
        seen.append(item.payload)
        if item.payload == b"bad":
            raise error
        return Coded()

    run(inbox, handle)
    assert seen == [b"bad"] * tries + [b"good"]
    assert inbox.counts() == {"waiting": 0, "coded": 1, "failed": 1}
    assert "CANARY" not in caplog.text


def test_a_server_that_is_away_is_asked_for_as_long_as_it_takes(inbox: Inbox) -> None:
    inbox.store("hl7v2", b"a", "a", "x")
    inbox.store("hl7v2", b"b", "b", "x")
    inbox.store("hl7v2", b"c", "c", "y")
    seen: list[bytes] = []

    def handle(item: Item) -> Coded:
        seen.append(item.payload)
        if item.payload == b"a" and seen.count(b"a") < 8:
            raise TransientDeliveryError("away")
        return Coded()

    run(inbox, handle)
    assert [each for each in seen if each != b"c"] == [b"a"] * 8 + [b"b"]
    assert inbox.counts()["coded"] == 3


def test_a_server_that_asks_to_wait_is_given_time(inbox: Inbox, clock: Clock) -> None:
    inbox.store("hl7v2", b"a", "a")
    seen: list[bytes] = []

    def handle(item: Item) -> Coded:
        seen.append(item.payload)
        if len(seen) == 1:
            raise TransientDeliveryError("busy", retry_after=100)
        return Coded()

    coding = Coding(inbox, handle, lambda: None)
    assert coding.step() is not None
    clock.advance(99)
    assert coding.step() is None
    clock.advance(1)
    assert coding.step() is not None
    assert seen == [b"a", b"a"]


@pytest.mark.parametrize("error", [OSError("disk full"), OperationalError("", {}, Exception())])
def test_a_disk_at_fault_is_told_and_held_against_nobody(inbox: Inbox, error: Exception) -> None:
    inbox.store("hl7v2", b"a", "a")

    def handle(item: Item) -> Coded:
        raise error

    coding = Coding(inbox, handle, lambda: None)
    for _ in range(5):
        with pytest.raises(type(error)):
            coding.step()
    assert Coding(inbox, lambda _: Coded(), lambda: None).step() == 0.0
    assert inbox.counts()["coded"] == 1


def test_an_item_that_brings_the_program_down_is_not_tried_for_ever(inbox: Inbox) -> None:
    inbox.store("hl7v2", b"a", "a")
    for _ in range(3):
        item = inbox.take()
        assert item is not None
        with inbox.queue.engine.begin() as connection:  # the program ended, and another one found it gone
            connection.execute(text("UPDATE inbox SET claim = NULL, claimed_until = NULL"))
    run(inbox, lambda _: pytest.fail("taken a fourth time"))
    assert inbox.counts()["failed"] == 1


def test_what_is_not_coded_as_the_program_ends_is_left_as_it_was(inbox: Inbox) -> None:
    inbox.store("hl7v2", b"a", "a")

    def handle(item: Item) -> Coded:
        raise CodingStoppedError("ends")

    for _ in range(5):
        Coding(inbox, handle, lambda: None).step()
    item = inbox.take()
    assert item is not None
    assert item.attempts == 1
    assert issubclass(CodingStoppedError, FhirCoderError)


def test_a_disk_that_was_full_loses_nothing(inbox: Inbox, outbox: Outbox) -> None:
    inbox.store("hl7v2", b"a", "a")
    pages = [0]
    engine = inbox.queue.engine

    @event.listens_for(engine, "begin")
    def limit(connection: Connection) -> None:
        # SQLite's own limit stands in for the disk: the same error, "database or disk is full". 0 is none.
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages[0] or 1_000_000}")

    pages[0] = 10
    coding = Coding(inbox, lambda _: Coded(dispatches=[Dispatch(bundle={"x": "x" * 500_000})]), lambda: None)
    for _ in range(5):
        with pytest.raises(OperationalError, match="full"):
            coding.step()
    assert outbox.counts()["waiting"] == 0
    pages[0] = 0
    assert coding.step() == 0.0
    assert (inbox.counts()["coded"], outbox.counts()["waiting"]) == (1, 1)

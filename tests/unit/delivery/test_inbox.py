"""The inbox: nothing is lost, nothing is taken twice, and patients keep their order."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from fhir_coder.delivery import queue as queue_module
from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.inbox import Coded, Inbox, Item
from fhir_coder.delivery.outbox import Outbox


def take(inbox: Inbox) -> Item:
    item = inbox.take()
    assert item is not None
    return item


def test_items_come_out_in_order(inbox: Inbox) -> None:
    ids = [inbox.store("hl7v2", payload, payload.decode()) for payload in (b"a", b"b")]
    first = take(inbox)
    assert (first.id, first.kind, first.payload, first.attempts) == (ids[0], "hl7v2", b"a", 1)
    assert inbox.coded(first, Coded())
    second = take(inbox)
    assert second.payload == b"b"
    inbox.queue.fail(second.row, "why")
    assert inbox.take() is None
    assert inbox.counts() == {"waiting": 0, "coded": 1, "failed": 1}


def test_an_item_that_comes_again_is_kept_once(inbox: Inbox) -> None:
    assert inbox.store("hl7v2", b"a", "k") == inbox.store("hl7v2", b"a", "k")
    inbox.coded(take(inbox), Coded())
    inbox.store("hl7v2", b"a", "k")
    assert inbox.take() is None


def test_of_one_patient_one_item_at_a_time_is_in_hand(inbox: Inbox) -> None:
    for number, patient in enumerate(("x", "x", "y", None, None)):
        inbox.store("hl7v2", b"%d" % number, str(number), patient)
    held = [take(inbox) for _ in range(4)]
    assert [item.payload for item in held] == [b"0", b"2", b"3", b"4"]
    assert inbox.take() is None
    inbox.coded(held[0], Coded())
    assert take(inbox).payload == b"1"


def test_one_set_aside_or_put_back_holds_up_none_but_its_patients(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, patient in enumerate(("x", "x", "y", "y")):
        inbox.store("hl7v2", b"%d" % number, str(number), patient)
    inbox.queue.fail(take(inbox).row, "why")
    waiting = inbox.queue.put_back(take(inbox).row, "away", counts=False, after=60.0)
    assert waiting == 60.0
    assert take(inbox).payload == b"2"
    assert inbox.take() is None


@pytest.mark.parametrize(("counts", "attempts"), [(True, 2), (False, 1)])
def test_an_item_put_back_is_taken_again(inbox: Inbox, counts: bool, attempts: int) -> None:
    inbox.store("hl7v2", b"a", "a")
    item = take(inbox)
    assert inbox.queue.put_back(item.row, "why", counts=counts, after=0.0) == 0.0
    again = take(inbox)
    assert (again.id, again.attempts, again.row.values["delays"]) == (item.id, attempts, 1)


def test_the_pauses_grow(inbox: Inbox) -> None:
    inbox.store("hl7v2", b"a", "a")
    pauses = []
    for _ in range(10):
        with inbox.queue.engine.begin() as connection:
            connection.execute(text("UPDATE inbox SET not_before = NULL"))
        pauses.append(inbox.queue.put_back(take(inbox).row, "why", counts=False))
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == 60.0


def test_what_came_of_an_item_and_its_end_are_written_together(inbox: Inbox, outbox: Outbox) -> None:
    dispatches = [Dispatch(bundle={"n": 1}, document="d", retracts=("r",), names=("m",)), Dispatch(bundle={"n": 2})]
    inbox.store("hl7v2", b"a", "a", "x")
    item = take(inbox)
    with pytest.raises(ZeroDivisionError):
        inbox.coded(item, Coded(dispatches=dispatches, record=lambda _: print(1 // 0)))
    assert (inbox.counts()["waiting"], outbox.counts()["waiting"]) == (1, 0)
    assert inbox.coded(item, Coded(dispatches=dispatches))
    first = outbox.take()
    assert first is not None
    assert first.dispatch == dispatches[0]
    assert outbox.take() is None  # of the same patient
    outbox.sent(first)
    second = outbox.take()
    assert second is not None
    assert second.dispatch == dispatches[1]


def test_who_lost_the_claim_writes_nothing(
    engine: Engine, inbox: Inbox, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "CLAIM_SECONDS", -3600.0)  # it stood still for longer than that
    inbox.store("hl7v2", b"a", "a")
    slow = take(inbox)
    other = Inbox(engine)
    quick = take(other)
    assert quick.id == slow.id
    assert other.coded(quick, Coded(dispatches=[Dispatch(bundle={})]))
    assert not inbox.coded(slow, Coded(dispatches=[Dispatch(bundle={})]))
    assert outbox.counts()["waiting"] == 1
    other.close()


def test_claims_are_renewed_while_their_owner_lives(
    engine: Engine, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "CLAIM_SECONDS", 3.0)
    inbox.store("hl7v2", b"a", "a")
    take(inbox)
    other = Inbox(engine)
    assert other.queue.release_gone() == 0
    for _ in range(3):
        inbox.queue._closing.wait(1.2)
        assert other.take() is None
    other.close()


def test_what_a_process_that_is_gone_had_in_hand_can_be_taken_at_once(tmp_path: Path) -> None:
    engine = open_database(tmp_path)
    first = Inbox(engine)
    first.store("hl7v2", b"a", "a")
    assert take(first).attempts == 1
    first.close()  # as the system does when the process ends
    second = Inbox(engine)
    assert second.take() is None
    assert second.queue.release_gone() == 1
    assert take(second).attempts == 2
    second.close()
    engine.dispose()


def test_patients_and_payloads_stand_in_no_column_in_clear(inbox: Inbox, engine: Engine) -> None:
    inbox.store("hl7v2", b"a", "k", "CANARY")
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM inbox")).mappings().one()
    assert "CANARY" not in str({name: value for name, value in row.items() if name != "payload"})

"""The sending of the outbox: order per patient, patience, refusals set aside, one probe while the server is away."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from fhir_coder.delivery import sending as sending_module
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.gate import Gate
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.delivery.sending import Sending
from fhir_coder.errors import DeliveryError, TransientDeliveryError
from tests.unit.clock import Clock


def fill(outbox: Outbox, *patients: str | None) -> None:
    for number, patient in enumerate(patients):
        outbox.store([Dispatch(bundle={"n": number})], patient)


def run(outbox: Outbox, deliver: Callable[[int], None], steps: int = 30) -> list[int]:
    """Send without pauses, and return what was tried."""
    tried: list[int] = []

    def one(dispatch: Dispatch) -> None:
        tried.append(dispatch.bundle["n"])
        deliver(dispatch.bundle["n"])

    for _ in range(steps):
        Sending(outbox, one, Gate()).step()
        with outbox.queue.engine.begin() as connection:
            connection.execute(text("UPDATE outbox SET not_before = NULL"))
    return tried


def test_all_are_sent_in_order(outbox: Outbox) -> None:
    fill(outbox, "x", "y", "x", None)
    assert run(outbox, lambda _: None) == [0, 1, 2, 3]
    assert outbox.counts() == {"waiting": 0, "sent": 4, "failed": 0}
    assert outbox.outcome(1).state == "sent"


def test_what_is_refused_is_set_aside_and_the_patients_next_note_goes_on(outbox: Outbox) -> None:
    fill(outbox, "x", "x")

    def deliver(number: int) -> None:
        if number == 0:
            raise DeliveryError("the FHIR server answered 422")

    assert run(outbox, deliver) == [0, 1]
    outcome = outbox.wait_for(1, 1)
    assert (outcome.state, outcome.reason) == ("failed", "DeliveryError: the FHIR server answered 422")


def test_others_pass_one_that_must_wait_and_its_patients_do_not(outbox: Outbox, clock: Clock) -> None:
    fill(outbox, "x", "x", "y")
    tried: list[int] = []

    def deliver(dispatch: Dispatch) -> None:
        tried.append(dispatch.bundle["n"])
        if tried == [0]:
            raise TransientDeliveryError("busy", retry_after=100)

    sending = Sending(outbox, deliver, Gate(clock))
    while sending.step() is not None:
        pass
    assert tried == [0, 2]
    clock.advance(99)
    assert sending.step() is None
    clock.advance(1)
    while sending.step() is not None:
        pass
    assert tried == [0, 2, 0, 1]


def test_one_that_fails_while_others_are_taken_is_set_aside_in_the_end(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_module, "TRIES", 4)
    fill(outbox, "x")

    def deliver(number: int) -> None:
        raise TransientDeliveryError("the FHIR server answered 500")

    assert run(outbox, deliver) == [0] * 4  # each time through a gate that saw no failure before
    assert "tried 4 times" in (outbox.outcome(1).reason or "")


def test_a_fault_of_ours_is_tried_three_times(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    fill(outbox, "x")

    def deliver(number: int) -> None:
        raise RuntimeError("CANARY")

    assert run(outbox, deliver) == [0] * 3
    assert (outbox.outcome(1).reason or "").startswith("RuntimeError (")
    assert "CANARY" not in caplog.text


def test_while_the_server_is_away_one_asks_at_a_time_after_growing_pauses() -> None:
    now = [0.0]
    gate = Gate(lambda: now[0])
    for number in range(3):
        assert gate.enter() == 0.0
        assert gate.failed(None) is (number == 0)
        gate.leave()
    assert gate.enter() == pytest.approx(0.5)
    now[0] += 0.5
    assert gate.enter() == 0.0
    assert gate.enter() > 0  # somebody asks already
    gate.failed(None)
    gate.leave()
    now[0] += 0.5
    assert gate.enter() == pytest.approx(0.5)  # the second pause is a second
    now[0] += 0.5
    assert gate.enter() == 0.0
    gate.failed(retry_after=100.0)
    gate.leave()
    now[0] += 99.5
    assert gate.enter() == pytest.approx(0.5)
    now[0] += 0.5
    assert gate.enter() == 0.0
    gate.succeeded()
    assert gate.enter() == 0.0
    gate.leave()
    gate.leave()


def test_an_outage_counts_against_nobody(outbox: Outbox) -> None:
    fill(outbox, "x", "y")
    now = [0.0]
    gate = Gate(lambda: now[0])

    def deliver(dispatch: Dispatch) -> None:
        raise TransientDeliveryError("away")

    sending = Sending(outbox, deliver, gate)
    for _ in range(60):
        sending.step()
        now[0] += 31
        with outbox.queue.engine.begin() as connection:
            connection.execute(text("UPDATE outbox SET not_before = NULL"))
    assert outbox.counts() == {"waiting": 2, "sent": 0, "failed": 0}

"""AuditEvents in the outbox and in a folder: beside the notes, never before them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fhir_coder.delivery.audit import audit_of_reading, literal_patient, places
from fhir_coder.delivery.backlog import Backlog
from fhir_coder.delivery.capacity import Capacity
from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.deliver import Deliverer
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.gate import Gate
from fhir_coder.delivery.housekeeping import purge
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.delivery.outbox import Outbox, read_dispatch, write_dispatch
from fhir_coder.delivery.sending import Sending
from fhir_coder.errors import DeliveryError, TransientDeliveryError
from fhir_coder.settings import Settings
from tests.unit.clock import Clock
from tests.unit.delivery.documents import Office, note

SERVER = "https://fhir.example.org/fhir"


def reading(act: str = "r1", server: str = SERVER) -> Dispatch:
    return audit_of_reading(server, act, ["DocumentReference/7"], patient="Patient/1")


def run(outbox: Outbox, failing: dict[str, Exception], clock: Clock, steps: int = 12) -> list[str]:
    """Send without pauses, and return what was tried."""
    tried: list[str] = []

    def deliver(dispatch: Dispatch) -> None:
        kind = "audit" if dispatch.audit_of else "note"
        tried.append(kind)
        if kind in failing:
            raise failing[kind]

    sending = Sending(outbox, deliver, Gate(clock))
    for _ in range(steps):
        sending.step()
        with outbox.queue.engine.begin() as connection:
            connection.execute(text("UPDATE outbox SET not_before = NULL"))
    return tried


def test_an_event_waits_for_no_note_and_no_note_for_it(outbox: Outbox, clock: Clock) -> None:
    outbox.store([reading(), Dispatch(bundle={}), Dispatch(bundle={})], "patient")
    tried = run(outbox, {"audit": TransientDeliveryError("busy")}, clock)
    # Three failures in a row, and it is asked for after pauses only.
    assert tried.count("note") == 2
    assert tried.count("audit") == 3
    assert outbox.counts() == {"waiting": 1, "sent": 2, "failed": 0}


def test_a_refused_event_is_set_aside_and_may_be_replayed(outbox: Outbox, clock: Clock) -> None:
    outbox.store([reading(), Dispatch(bundle={})], "patient")
    run(outbox, {"audit": DeliveryError("the FHIR server answered 422")}, clock)
    backlog = Backlog(outbox.queue.engine)
    (failed,) = backlog.status(5).failed
    assert (failed.kind, failed.reason) == ("audit", "DeliveryError: the FHIR server answered 422")
    assert backlog.replay_failed() == 1
    run(outbox, {}, clock)
    assert outbox.counts() == {"waiting": 0, "sent": 2, "failed": 0}
    assert purge(outbox.queue.engine, 0) == 2
    assert [backlog.entry(each).kind for each in ("out-1", "out-2")] == ["audit", "bundle"]


def test_events_go_to_the_place_that_they_are_of(outbox: Outbox) -> None:
    outbox.store([reading(server="https://elsewhere.example.org"), reading(), Dispatch(bundle={})])
    assert outbox.waiting()[0] == 1
    taken = outbox.take(notes=False, audits_of=[SERVER])
    assert taken is not None
    assert taken.dispatch.audit_of == SERVER
    assert outbox.take(notes=False, audits_of=[SERVER]) is None
    noted = outbox.take(audits_of=[SERVER])
    assert noted is not None
    assert noted.dispatch.audit_of is None


def test_events_keep_no_note_from_being_taken_in(tmp_path: Path, inbox: Inbox, outbox: Outbox) -> None:
    given: dict[str, Any] = {"data_dir": tmp_path, "queue_max_items": 1, "queue_min_free_bytes": 0, "server": SERVER}
    outbox.store([reading(), reading("r2")])
    assert not Capacity(Settings(**given, audit="fhir"), inbox, outbox).is_full
    outbox.store([Dispatch(bundle={})])
    assert Capacity(Settings(**given, audit="fhir"), inbox, outbox).is_full


def test_a_dispatch_keeps_its_name_in_the_outbox() -> None:
    made = Dispatch(bundle={})
    assert read_dispatch(write_dispatch(made)).act == made.act
    old = b'{"bundle":{}}'  # of an earlier release
    assert read_dispatch(old).act == read_dispatch(old).act != made.act


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("Patient/1", "Patient/1"),
        ("https://other.example.org/fhir/Patient/1", "https://other.example.org/fhir/Patient/1"),
        ("urn:uuid:1", None),
        ("#p", None),
        ("Patient?identifier=x", None),
        ("Group/1", None),
        (None, None),
    ],
)
def test_a_patient_is_named_by_a_literal_reference_alone(reference: str | None, found: str | None) -> None:
    assert literal_patient(reference) == found


def test_a_password_in_the_url_is_not_told() -> None:
    assert "secret" not in json.dumps(reading(server="https://user:secret@fhir.example.org/fhir").bundle)


def test_what_is_written_into_a_folder_is_told_there(tmp_path: Path) -> None:
    office = Office(tmp_path / "data", out=tmp_path / "out", audit="fhir")
    office.deliver(note("12", "hypertension"))
    office.deliver(note("12", "hypertension"))  # changes nothing
    office.deliver(note("12", "asthma"))
    settings = office.settings
    engine = open_database(settings.data_dir)
    outbox, deliverer = Outbox(engine), Deliverer(settings, engine)
    assert deliverer.places == places(settings)
    sending = Sending(outbox, lambda dispatch: [*deliverer.deliver(dispatch)] and None, Gate(), deliverer.places)
    while sending.step() == 0:
        pass
    deliverer.close()
    outbox.close()
    engine.dispose()
    lines = (tmp_path / "out" / "AuditEvent.ndjson").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert [(each["type"]["code"], each["action"]) for each in events] == [("110106", "R")] * 2
    written = {
        f"Condition/{json.loads(line)['id']}"
        for line in (tmp_path / "out" / "Condition.ndjson").read_text(encoding="utf-8").splitlines()
    }
    told = [{each["what"].get("reference") for each in event["entity"]} for event in events]
    assert written <= told[1] | told[0]
    assert written <= told[1]  # the new one, and the one that was taken back

"""`fhir-coder queue`: looking into a database that others work on, and changing it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from fhir_coder.cli import app
from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.inbox import Coded, Inbox
from fhir_coder.delivery.message_parts import MessageParts
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.errors import InputError
from fhir_coder.service.jobs import Jobs

CANARY = "Zebrafinch"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the command and return what it printed, JSON read."""
    monkeypatch.setenv("FHIR_CODER_DATA_DIR", str(tmp_path))

    def call(*arguments: str, status: int = 0) -> Any:
        done = CliRunner().invoke(app, ["queue", *arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if "json" in arguments else done.output

    return call


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    """An inbox with one item that failed, one that is coded and one that waits; the coded one's Bundle failed, too."""
    engine = open_database(tmp_path)
    inbox, outbox = Inbox(engine), Outbox(engine)
    for number in range(3):
        inbox.store("hl7v2", CANARY.encode(), f"{number}", CANARY)
    for fails in (True, False):
        item = inbox.take()
        assert item is not None
        if fails:
            inbox.queue.fail(item.row, "InputError: the report is missing")
        else:
            inbox.coded(item, Coded(dispatches=[Dispatch(bundle={"entry": CANARY})]))
    outgoing = outbox.take()
    assert outgoing is not None
    outbox.queue.fail(outgoing.row, "DeliveryError: the FHIR server answered 422")
    outbox.close()
    yield inbox
    inbox.close()
    engine.dispose()


def test_the_status_tells_all_but_what_is_in_it(queue: Callable[..., Any], inbox: Inbox) -> None:
    assert inbox.take() is not None
    found = queue("status", "--format", "json")
    assert {name: found["inbox"][name] for name in ("waiting", "in_hand", "coded", "failed")} == {
        "waiting": 1,
        "in_hand": 1,
        "coded": 1,
        "failed": 1,
    }
    assert (found["outbox"]["sent"], found["outbox"]["failed"]) == (0, 1)
    assert [entry["id"] for entry in found["failed"]] == ["out-1", "in-1"]
    printed = queue("status")
    assert "the FHIR server answered 422" in printed
    assert CANARY not in printed + json.dumps(found)


def test_one_is_shown_and_its_content_only_when_asked_for(queue: Callable[..., Any], inbox: Inbox) -> None:
    found = queue("show", "out-1", "--format", "json")
    assert (found["state"], found["came_of"], found["kind"]) == ("failed", "in-2", "bundle")
    assert "the report is missing" in queue("show", "in-1")
    assert CANARY not in queue("show", "in-1")
    assert queue("show", "in-1", "--payload") == CANARY


def test_what_failed_is_replayed(queue: Callable[..., Any], inbox: Inbox) -> None:
    assert "1 will" in queue("replay", "in-1")
    item = inbox.take()
    assert item is not None
    assert (item.id, item.attempts) == (1, 1)
    assert "1 will" in queue("replay", "--all-failed")
    assert queue("status", "--format", "json")["outbox"]["waiting"] == 1
    with pytest.raises(InputError, match="in-3"):
        queue("replay", "in-2", "in-3")  # the third waits already: neither is touched
    assert queue("show", "in-2", "--format", "json")["state"] == "coded"


def test_what_is_discarded_is_gone_and_taken_anew_when_it_comes_again(queue: Callable[..., Any], inbox: Inbox) -> None:
    queue("discard", "in-1")
    with pytest.raises(InputError, match="no such one"):
        queue("show", "in-1")
    with pytest.raises(InputError, match="is done"):
        queue("discard", "in-2")
    assert "1 discarded" in queue("discard", "--all-failed")
    assert inbox.store("hl7v2", b"again", "0") == 4


def test_a_purge_removes_the_content_of_what_is_done(queue: Callable[..., Any], inbox: Inbox) -> None:
    assert "content of 0" in queue("purge")
    assert "content of 1" in queue("purge", "--older-than", "0")
    assert queue("show", "in-2", "--format", "json")["purged"] is True
    with pytest.raises(InputError, match="purged"):
        queue("show", "in-2", "--payload")
    with pytest.raises(InputError, match="purged"):
        queue("replay", "in-2")
    assert queue("show", "in-1", "--payload") == CANARY  # what failed stays whole
    with inbox.queue.engine.connect() as connection:
        assert connection.execute(text("SELECT payload FROM inbox WHERE id = 2")).scalar() is None
    assert inbox.store("hl7v2", CANARY.encode(), "1") == 2  # and is known when it comes again


def test_messages_of_which_parts_are_missing_are_told_shown_and_discarded(
    queue: Callable[..., Any], inbox: Inbox
) -> None:
    parts = MessageParts(inbox.queue.engine)
    for key, sender, continues, pointer in (
        ("a1", "A", "", "P1"),  # with the next one, the beginning of a message
        ("a2", "A", "P1", "P2"),
        ("b1", "B", "", "P1"),  # of another one
        ("c3", "C", "P9", ""),  # the end of a third one
        ("d1", "D", "", "P1"),  # and a whole one
        ("d2", "D", "P1", ""),
    ):
        parts.store(key, sender, continues, pointer, CANARY.encode())
    parts.release(["d1", "d2"])
    found = queue("status", "--format", "json")
    assert found["parts"].pop("oldest_seconds") >= 0
    assert found["parts"] == {"messages": 3, "parts": 4, "bytes": 40}
    assert [entry["id"] for entry in found["incomplete"]] == ["part-1", "part-2", "part-3", "part-4"]
    printed = queue("status")
    assert "Messages in parts" in printed
    assert "part-4" in printed
    assert CANARY not in printed + json.dumps(found) + queue("show", "part-3")
    assert (queue("show", "part-1", "--format", "json")["state"], queue("show", "part-1", "--payload")) == (
        "waiting",
        CANARY,
    )
    assert queue("show", "part-5", "--format", "json")["state"] == "whole"
    with pytest.raises(InputError, match="nothing is tried"):
        queue("replay", "part-1")
    with pytest.raises(InputError, match="is done"):
        queue("discard", "part-5")
    queue("discard", "part-1", "part-2", "part-3", "part-4")
    found = queue("status", "--format", "json")
    assert found["parts"] == {"messages": 0, "parts": 0, "bytes": 0, "oldest_seconds": None}
    assert found["incomplete"] == []


def test_asynchronous_calls_are_counted_and_those_that_expired_purged(queue: Callable[..., Any], inbox: Inbox) -> None:
    engine = inbox.queue.engine
    assert "Asynchronous" not in queue("status")
    jobs = Jobs(engine, most=9, hours=1)
    for number in range(3):
        jobs.add("key a", f"{CANARY}{number}".encode())
    done = jobs.take()
    assert done is not None
    jobs.finish(done, 200, b"{}")
    jobs.take()
    assert queue("status", "--format", "json")["jobs"] == {"waiting": 1, "running": 1, "answered": 1}
    assert "1 waiting, 1 running, 1 answered" in queue("status")
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET expires = '2020-01-01 00:00:00.000000' WHERE number = 1"))
    assert "1 asynchronous" in queue("purge")
    assert queue("status", "--format", "json")["jobs"] == {"waiting": 1, "running": 1, "answered": 0}


@pytest.mark.parametrize("arguments", [("replay",), ("replay", "in-1", "--all-failed"), ("discard",)])
def test_misuse(queue: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    queue(*arguments, status=2)


@pytest.mark.parametrize("identifier", ["1", "in-0", "in-x", "box-1"])
def test_a_wrong_id(queue: Callable[..., Any], identifier: str) -> None:
    with pytest.raises(InputError, match="in-12"):
        queue("show", identifier)

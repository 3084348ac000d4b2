"""The inbox: nothing is lost, nothing is taken twice."""

import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from fhir_coder.delivery.inbox import Inbox


@pytest.fixture
def inbox(tmp_path: Path):
    opened = Inbox(tmp_path)
    yield opened
    opened.close()


def test_messages_come_out_in_order(inbox: Inbox) -> None:
    ids = [inbox.store("hl7v2", payload, payload.decode()) for payload in (b"a", b"b")]
    first = inbox.take()
    assert first is not None
    assert (first.id, first.kind, first.payload, first.attempts) == (ids[0], "hl7v2", b"a", 1)
    inbox.done(first)
    second = inbox.take()
    assert second is not None
    assert second.payload == b"b"
    inbox.fail(second, "why")
    assert inbox.take() is None
    assert inbox.counts() == {"received": 0, "coded": 1, "failed": 1}


def test_a_message_that_comes_again_is_kept_once(inbox: Inbox) -> None:
    assert inbox.store("hl7v2", b"a", "k") == inbox.store("hl7v2", b"a", "k")
    item = inbox.take()
    assert item is not None
    inbox.done(item)
    inbox.store("hl7v2", b"a", "k")
    assert inbox.take() is None


@pytest.mark.parametrize(("counts", "attempts"), [(True, 2), (False, 1)])
def test_a_message_put_back_is_next_again(inbox: Inbox, counts: bool, attempts: int) -> None:
    inbox.store("hl7v2", b"a", "a")
    inbox.store("hl7v2", b"b", "b")
    item = inbox.take()
    assert item is not None
    inbox.put_back(item, "why", counts=counts)
    again = inbox.take()
    assert again is not None
    assert (again.id, again.attempts) == (item.id, attempts)


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Inbox(tmp_path)
    first.store("hl7v2", b"a", "a")
    assert first.take() is not None  # in hand when the program ends
    first.close()
    second = Inbox(tmp_path)
    item = second.take()
    second.close()
    assert item is not None
    assert (item.payload, item.attempts) == (b"a", 2)


def test_commits_are_synced_and_the_file_is_the_owners_alone(inbox: Inbox, tmp_path: Path) -> None:
    with inbox._engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

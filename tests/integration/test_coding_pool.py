"""The processes that code: a note that hangs, kills its process or breaks its coder takes none but itself down."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy import text

from fhir_coder.delivery.coding import Coding
from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.inbox import Coded, Inbox, Item
from fhir_coder.errors import CodingFailedError, CodingStoppedError, InputError
from fhir_coder.lookup import workers
from fhir_coder.model import CodedNote, Note
from fhir_coder.service import coding_pool
from fhir_coder.service.coding_pool import CodingPool
from fhir_coder.settings import Settings


def work(pipe: Connection, settings: Settings, threads: int) -> None:
    """Stand in for a coder: what it does is what the note says."""
    pipe.send("ready")
    while True:
        try:
            note, *_ = pipe.recv()
        except EOFError:
            return
        if note.text == "hang":
            time.sleep(600)
        if note.text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        answers = {"refused": InputError("too long", place="text", code="too-long"), "broken": "ValueError"}
        pipe.send(answers.get(note.text, CodedNote(note=note)))


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., CodingPool]]:
    monkeypatch.setattr(coding_pool, "_work", work)
    made: list[CodingPool] = []

    def make(**given: object) -> CodingPool:
        made.append(CodingPool(Settings.load(**given)))
        made[-1].wait_until_ready()
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_one_that_dies_or_hangs_is_replaced(pool: Callable[..., CodingPool]) -> None:
    code = pool(coding_workers=1, coding_seconds=1.0)
    for words, said in (("die", "ended"), ("hang", "coding_seconds"), ("broken", "ValueError")):
        with pytest.raises(CodingFailedError, match=said):
            code(Note(text=words), None)
        assert code(Note(text="fine"), None).note.text == "fine"
    with pytest.raises(InputError) as caught:
        code(Note(text="refused"), None)
    assert (caught.value.place, caught.value.code) == ("text", "too-long")


def test_others_are_coded_while_one_hangs(pool: Callable[..., CodingPool]) -> None:
    code = pool(coding_workers=2, coding_seconds=5.0)
    errors: list[Exception] = []

    def hang() -> None:
        try:
            code(Note(text="hang"), None)
        except CodingFailedError as error:
            errors.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    for _ in range(20):
        assert code(Note(text="fine"), None).note.text == "fine"
    assert thread.is_alive()
    thread.join(30)
    assert len(errors) == 1


def test_a_note_in_hand_as_the_service_ends_is_given_back(pool: Callable[..., CodingPool], tmp_path: Path) -> None:
    code = pool(coding_workers=1)
    engine = open_database(tmp_path)
    inbox = Inbox(engine)
    inbox.store("hl7v2", b"hang", "a")
    coding = Coding(inbox, lambda item: Coded(dispatches=(code(Note(text=item.payload.decode()), None), ())[1]), bool)
    thread = threading.Thread(target=coding.step)
    thread.start()
    time.sleep(0.3)
    code.close()
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(CodingStoppedError):
        code(Note(text="fine"), None)
    item = inbox.take()
    assert item is not None
    assert item.attempts == 1  # the first one was not held against it
    inbox.close()
    engine.dispose()


def test_a_poison_note_is_set_aside_after_three_tries_and_can_be_replayed(
    pool: Callable[..., CodingPool], tmp_path: Path
) -> None:
    code = pool(coding_workers=1, coding_seconds=1.0)
    engine = open_database(tmp_path)
    inbox = Inbox(engine)
    for number, words in enumerate(("die", "fine", "hang", "fine")):
        inbox.store("hl7v2", words.encode(), str(number), "one patient")
    seen: list[bytes] = []

    def handle(item: Item) -> Coded:
        seen.append(item.payload)
        code(Note(text=item.payload.decode()), None)
        return Coded()

    coding = Coding(inbox, handle, lambda: None)
    while inbox.counts()["waiting"]:
        coding.step()
        with engine.begin() as connection:
            connection.execute(text("UPDATE inbox SET not_before = NULL"))
    assert seen == [b"die"] * 3 + [b"fine"] + [b"hang"] * 3 + [b"fine"]
    assert inbox.counts() == {"waiting": 0, "coded": 2, "failed": 2}
    inbox.close()
    engine.dispose()


@pytest.mark.parametrize("work_of", [coding_pool._work, workers._work])
def test_one_that_loads_while_its_front_goes_says_nothing(
    work_of: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    ours.close()
    process = context.Process(target=work_of, args=(theirs, Settings(data_dir=tmp_path / "file" / "data"), 1))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert "Traceback" not in capfd.readouterr().err

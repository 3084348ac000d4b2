"""The delivery database on a real PostgreSQL: many workers, order per patient, and a server that is killed."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.delivery.bell import Bell
from fhir_coder.delivery.coding import Coding
from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.gate import Gate
from fhir_coder.delivery.inbox import Coded, Inbox, Item
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.delivery.sending import Sending
from fhir_coder.delivery.worker import Worker

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
from postgresql import PostgreSQL, binaries

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install -e .[postgresql]")

PATIENTS = 7


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgreSQL]:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (initdb, postgres)")
    with TemporaryDirectory() as folder:  # not below pytest's own, which other users may not enter
        Path(folder).chmod(0o755)  # PostgreSQL does not run as root
        with PostgreSQL(Path(folder) / "postgresql") as started:
            yield started


@pytest.fixture
def engine(cluster: PostgreSQL, tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(tmp_path, cluster.url)
    yield opened
    with opened.begin() as connection:
        for table in ("inbox", "outbox"):
            connection.exec_driver_sql(f"TRUNCATE {table} RESTART IDENTITY")
    opened.dispose()


class Site:
    """One of several services on one database: it codes and sends, and stops as a process does."""

    def __init__(self, url: str, folder: Path, seen: dict[str, list[int]], lock: threading.Lock) -> None:
        self.engine = open_database(folder, url)
        self.inbox, self.outbox = Inbox(self.engine), Outbox(self.engine)
        self._seen, self._lock = seen, lock
        coding = Coding(self.inbox, self._code, self.outbox.queue.bell.ring)
        sending = Sending(self.outbox, self._deliver, Gate())
        self.workers = [Worker("coding", coding.step, Bell()), Worker("sending", sending.step, Bell())]
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        for worker in self.workers:
            assert worker.stop(30)
        self.inbox.close()
        self.outbox.close()
        self.engine.dispose()

    def _code(self, item: Item) -> Coded:
        return Coded(dispatches=[Dispatch(bundle={"what": item.payload.decode()})])

    def _deliver(self, dispatch: Dispatch) -> None:
        patient, number = str(dispatch.bundle["what"]).split()
        time.sleep(0.002)
        with self._lock:
            if int(number) not in self._seen[patient]:  # it may come twice, which a server does not mind
                self._seen[patient].append(int(number))


def store(inbox: Inbox, numbers: range) -> list[int]:
    """Store items of several patients, again and again until they are stored, and return which were."""
    stored = []
    for number in numbers:
        patient = f"p{number % PATIENTS}"
        while True:
            try:
                inbox.store("hl7v2", f"{patient} {number}".encode(), str(number), patient)
            except SQLAlchemyError:
                time.sleep(0.05)
                continue
            break
        stored.append(number)
    return stored


def wait_until_done(engine: Engine, seconds: float = 120) -> dict[str, int]:
    inbox, outbox = Inbox(engine), Outbox(engine)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            counts = {**inbox.counts(), "to send": outbox.counts()["waiting"], "refused": outbox.counts()["failed"]}
        except SQLAlchemyError:
            counts = {"waiting": 1, "to send": 1}
        if not counts["waiting"] and not counts["to send"]:
            return counts
        time.sleep(0.1)
    pytest.fail(f"not done in time: {counts}")


def test_the_schema_is_the_same_as_on_sqlite(engine: Engine, tmp_path: Path) -> None:
    sqlite = open_database(tmp_path)
    for table in ("inbox", "outbox"):
        there, here = inspect(engine), inspect(sqlite)
        assert [each["name"] for each in there.get_columns(table)] == [each["name"] for each in here.get_columns(table)]
        names = [{each["name"] for each in known.get_indexes(table)} for known in (there, here)]
        assert names[0] >= names[1] - {None}
    sqlite.dispose()


@pytest.mark.parametrize("sites", [2, 4])
def test_many_workers_keep_the_order_of_each_patient(
    cluster: PostgreSQL, engine: Engine, tmp_path: Path, sites: int
) -> None:
    seen: dict[str, list[int]] = defaultdict(list)
    lock = threading.Lock()
    running = [Site(cluster.url, tmp_path, seen, lock) for _ in range(sites)]
    store(running[0].inbox, range(300))
    counts = wait_until_done(engine)
    for site in running:
        site.stop()
    assert (counts["coded"], counts["failed"], counts["refused"]) == (300, 0, 0)
    assert sorted(number for numbers in seen.values() for number in numbers) == list(range(300))
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_a_database_that_is_killed_loses_nothing_and_turns_nothing_round(
    cluster: PostgreSQL, engine: Engine, tmp_path: Path
) -> None:
    seen: dict[str, list[int]] = defaultdict(list)
    lock = threading.Lock()
    running = [Site(cluster.url, tmp_path, seen, lock) for _ in range(2)]
    stored: list[int] = []
    feeding = threading.Thread(target=lambda: stored.extend(store(running[0].inbox, range(400))))
    feeding.start()
    for _ in range(3):
        time.sleep(0.4)
        cluster.kill()
        cluster.start()
    feeding.join(120)
    counts = wait_until_done(engine)
    for site in running:
        site.stop()
    assert stored == list(range(400))
    assert (counts["coded"], counts["failed"], counts["refused"]) == (400, 0, 0)
    assert sorted(number for numbers in seen.values() for number in numbers) == stored
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_what_one_holds_the_next_one_skips(engine: Engine) -> None:
    first, second = Inbox(engine), Inbox(engine)
    for number in range(3):
        first.store("hl7v2", b"%d" % number, str(number))
    taken: list[Any] = []
    threads = [threading.Thread(target=lambda inbox=inbox: taken.append(inbox.take())) for inbox in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({item.id for item in taken}) == 2
    first.close()
    second.close()

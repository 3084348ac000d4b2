"""The database: what it is opened with, its schema, and that it syncs."""

import stat
from pathlib import Path
from threading import Lock, Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, Table, inspect, text
from sqlalchemy.exc import OperationalError

from fhir_coder.delivery import database
from fhir_coder.delivery.database import METADATA, open_database
from fhir_coder.delivery.inbox import INBOX
from fhir_coder.delivery.outbox import OUTBOX
from fhir_coder.delivery.queue import Queue
from fhir_coder.errors import SettingsError, StorageError


def test_commits_are_synced_and_the_files_are_the_owners_alone(engine: Engine, tmp_path: Path) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_migrations_make_the_tables_that_the_modules_use(engine: Engine) -> None:
    ours = {INBOX.name, OUTBOX.name}
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in ours}
        )
        found = [
            each
            for each in compare_metadata(context, METADATA)
            if each[0] not in ("add_table", "add_index") or getattr(each[1], "name", "").split("_")[0] in ours
        ]
    assert found == []


def test_one_of_many_that_start_together_builds_the_schema(tmp_path: Path) -> None:
    engines: list[Engine] = []
    threads = [Thread(target=lambda: engines.append(open_database(tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engines) == 4
    assert {"inbox", "outbox"} <= set(inspect(engines[0]).get_table_names())
    for engine in engines:
        engine.dispose()


def test_a_newer_schema_is_refused(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match=r"9999.*newer"):
        open_database(tmp_path)


@pytest.mark.parametrize("url", ["mysql://secret@h/d", "nonsense secret", "sqlite://", "sqlite:///:memory:"])
def test_a_wrong_url_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="setting database") as caught:
        open_database(tmp_path, url)
    assert "secret" not in str(caught.value)


def test_a_file_of_ones_own_choice(tmp_path: Path) -> None:
    engine = open_database(tmp_path, f"sqlite:///{tmp_path}/elsewhere/queue.db")
    assert (tmp_path / "elsewhere" / "queue.db").exists()
    engine.dispose()


@pytest.mark.parametrize("table", [INBOX, OUTBOX])
def test_the_oldest_row_is_found_without_sorting_what_waits(engine: Engine, table: Table) -> None:
    """However many wait: a server that was away for a day is not asked more slowly for that."""
    asked = Queue(engine, table, "done")._next.compile(engine)
    values = tuple("2030-01-01" if name == "now" else asked.params[name] for name in asked.positiontup)
    with engine.connect() as connection:
        plan = " ".join(row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", values))
    assert f"INDEX {table.name}_waiting" in plan
    assert "TEMP B-TREE" not in plan


def test_a_thread_that_writes_has_its_turn_and_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Lock()
    monkeypatch.setattr(database, "Lock", lambda: turn)
    engine = open_database(tmp_path)
    with engine.connect().execution_options(reads=True) as connection:
        connection.execute(text("SELECT 1"))
        assert not turn.locked()
    with engine.connect() as connection:
        for _ in range(2):  # one connection, one turn
            with connection.begin():
                assert turn.locked()
    assert not turn.locked()
    with pytest.raises(OperationalError), engine.begin() as connection:
        connection.execute(text("SELECT * FROM nothing"))
    assert not turn.locked()
    with engine.connect() as connection, connection.begin() as transaction:
        connection.invalidate()
        transaction.rollback()
    assert not turn.locked()
    engine.dispose()

"""The steps of the schema, on SQLite and PostgreSQL: from every state that an earlier version may have left."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, Table, func, insert, inspect, select, text
from sqlalchemy.types import JSON, DateTime, Integer, LargeBinary

import fhir_coder
from fhir_coder.delivery import migrations
from fhir_coder.delivery.database import METADATA, connect_database, open_database
from fhir_coder.delivery.queue import utc_now

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
from postgresql import PostgreSQL, binaries

PACKAGE = Path(fhir_coder.__file__).parent
FIRST = {"inbox", "outbox"}
# Whichever module defines tables: one that is new is compared, too.
for module in PACKAGE.rglob("*.py"):
    if "    METADATA,\n" in module.read_text(encoding="utf-8"):
        importlib.import_module(".".join(module.relative_to(PACKAGE.parent).with_suffix("").parts))

Connect = Callable[[], Engine]


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgreSQL]:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install -e .[postgresql]")
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (initdb, postgres)")
    with TemporaryDirectory() as folder:  # not below pytest's own, which other users may not enter
        Path(folder).chmod(0o755)  # PostgreSQL does not run as root
        with PostgreSQL(Path(folder) / "postgresql") as started:
            yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return None
    server: PostgreSQL = request.getfixturevalue("cluster")
    name = f"d{uuid4().hex}"
    engine = connect_database(tmp_path, server.url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server.url.rpartition('/')[0]}/{name}"


def differences(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))


def make_first(engine: Engine) -> None:
    """Make the schema as the first step left it."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")


def fill(engine: Engine, table: Table) -> None:
    def value(type_: Any) -> Any:
        kinds = ((Integer, 7), (DateTime, utc_now()), (LargeBinary, b"kept"), (JSON, {"kept": True}))
        return next((each for kind, each in kinds if isinstance(type_, kind)), "kept")

    with engine.begin() as connection:
        connection.execute(insert(table).values({column.name: value(column.type) for column in table.columns}))


def rows(engine: Engine, table: Table) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_there_are_tables_of_every_layer() -> None:
    assert {"inbox", "written", "message_parts", "jobs", "upstream_documents"} <= METADATA.tables.keys()


def test_a_new_database_has_what_the_modules_use(url: str | None, tmp_path: Path) -> None:
    engine = open_database(tmp_path, url)
    assert differences(engine) == []
    engine.dispose()


@pytest.mark.parametrize("missing", [0, 1, 3, None], ids=["all", "but one", "but three", "none"])
def test_what_was_made_at_run_time_stays_with_what_is_in_it(
    url: str | None, tmp_path: Path, missing: int | None
) -> None:
    engine = connect_database(tmp_path, url)
    make_first(engine)
    later = [table for name, table in sorted(METADATA.tables.items()) if name not in FIRST]
    made = [] if missing is None else later[missing:]
    METADATA.create_all(engine, tables=made)
    filled = [METADATA.tables[name] for name in sorted(FIRST)] + made
    for table in filled:
        fill(engine, table)
    opened = open_database(tmp_path, url)
    assert differences(opened) == []
    assert [rows(opened, table) for table in filled] == [1] * len(filled)
    for table in set(later) - set(made):
        fill(opened, table)
    opened.dispose()
    engine.dispose()


@pytest.mark.parametrize("begun", [False, True], ids=["empty", "of an earlier version"])
def test_services_that_start_at_once_bring_it_up_to_date_once(url: str | None, tmp_path: Path, begun: bool) -> None:
    if begun:
        engine = connect_database(tmp_path, url)
        make_first(engine)
        METADATA.create_all(engine, tables=[METADATA.tables["jobs"]])
        engine.dispose()
    opened: list[Engine] = []
    threads = [Thread(target=lambda: opened.append(open_database(tmp_path, url))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 5
    assert differences(opened[0]) == []
    assert len(inspect(opened[0]).get_table_names()) == len(METADATA.tables) + 1  # and alembic's own
    for engine in opened:
        engine.dispose()

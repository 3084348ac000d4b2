"""The database of what was taken in, what is to go out, and what stands where: SQLite by default, PostgreSQL by a URL."""

from __future__ import annotations

import os
from pathlib import Path
from sqlite3 import Connection as SqliteConnection

from sqlalchemy import Engine, MetaData, create_engine, event

METADATA = MetaData()
"""The tables: each is defined in the module that reads and writes it."""


def open_database(data_dir: Path) -> Engine:
    """Open, or create, the database in `data_dir`. Raises OSError when the folder cannot be written."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "delivery.sqlite"
    # It holds patients' notes: the file is the owner's alone, before anything is in it.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
    event.listen(engine, "connect", _prepare_connection)
    return engine


def _prepare_connection(connection: SqliteConnection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL would lose the last commits in a power cut, and with them messages already acknowledged.
    connection.execute("PRAGMA synchronous = FULL")

"""The database of what was taken in, what is to go out, and what stands where: SQLite by default, PostgreSQL by a URL.

Its schema is built and brought up to date when it is opened (`migrations`).
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from threading import Lock
from typing import Any

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.schema import Table

from fhir_coder.delivery.migrate import migrate
from fhir_coder.errors import SettingsError, StorageError
from fhir_coder.settings import Settings

METADATA = MetaData()
"""The tables: each is defined in the module that reads and writes it."""

_KEY = re.compile(r"[0-9A-Fa-f]{64}")
_BUSY_SECONDS = 30  # for another process that writes to the same SQLite file
_CONNECT_SECONDS = 10
_TURN = "turn"  # of a connection that writes


def open_database_of(settings: Settings) -> Engine:
    """Open the database that the settings name, as `open_database` does."""
    url = settings.database.get_secret_value() if settings.database else None
    return open_database(settings.data_dir, url, database_key(settings))


def database_key(settings: Settings) -> str | None:
    """Return the key that the SQLite file is encrypted with, or None. Raises `SettingsError` when it is none."""
    name, key = "database_key", settings.database_key.get_secret_value() if settings.database_key else None
    if settings.database_key_file is not None:
        name = "database_key_file"
        try:
            key = settings.database_key_file.read_text(encoding="ascii", errors="replace").strip()
        except OSError as error:
            raise SettingsError(f"setting {name}: {settings.database_key_file}: {error.strerror}") from error
    if key is not None and not _KEY.fullmatch(key):
        # A key and no passphrase: to derive one from that takes a fraction of a second for every connection.
        raise SettingsError(f"setting {name}: give 64 hexadecimal digits (openssl rand -hex 32)")
    return key


def open_database(data_dir: Path, url: str | None = None, key: str | None = None) -> Engine:
    """Open the database at `url` (postgresql://... or sqlite:///...), else the file delivery.sqlite in `data_dir`.

    It is created, and its schema brought up to date, where needed. With a `key` (`database_key`) the file is encrypted.

    Raises `SettingsError` for a wrong URL, `StorageError` for a wrong key and for a schema newer than this program,
    OSError when the folder cannot be written, and SQLAlchemyError when the database cannot be reached.
    """
    engine = connect_database(data_dir, url, key)
    try:
        if is_sqlite(engine):
            _require_readable(engine, key)
        migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def connect_database(data_dir: Path, url: str | None = None, key: str | None = None) -> Engine:
    """Return the database as it is, with the errors of `open_database`; a file of SQLite is created."""
    file = database_file(data_dir, url)
    if file is not None:
        return _open_sqlite(file, key)
    if key is not None:
        raise SettingsError("setting database_key: PostgreSQL is not encrypted by us; encrypt its disk")
    return _open_postgresql(_read_url(url or ""))


def database_file(data_dir: Path, url: str | None = None) -> Path | None:
    """Return the file of the database, or None when it is PostgreSQL. Raises `SettingsError` for a wrong URL."""
    where = _read_url(url) if url else None
    if where is None:
        return data_dir / "delivery.sqlite"
    return Path(where.database or "") if where.get_backend_name() == "sqlite" else None


def is_sqlite(engine: Engine) -> bool:
    """Whether the database is a file that one process at a time may write."""
    return engine.dialect.name == "sqlite"


def insert_new(connection: Connection, table: Table, key: str) -> Any:
    """Return an INSERT that leaves out rows whose `key` is there already."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing(index_elements=[key])


def _read_url(url: str) -> URL:
    try:
        where = make_url(url)
    except ArgumentError:
        where = None
    # The URL may hold a password; it is not repeated.
    if where is None or where.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError("setting database: give postgresql://user:password@host/name or sqlite:////path/to/file")
    if where.get_backend_name() == "sqlite" and where.database in (None, "", ":memory:"):
        raise SettingsError("setting database: SQLite needs a file, sqlite:////path/to/file")
    return where


def _open_sqlite(path: Path, key: str | None) -> Engine:
    path.parent.mkdir(parents=True, exist_ok=True)
    # It holds patients' notes: the file is the owner's alone, before anything is in it.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connect = {"timeout": _BUSY_SECONDS}
    if key is None:
        engine = create_engine(f"sqlite:///{path}", connect_args=connect)
    else:
        engine = create_engine(f"sqlite:///{path}", connect_args=connect, module=_sqlcipher())
        event.listen(engine, "connect", partial(_give_key, key))
    event.listen(engine, "connect", _prepare_sqlite)
    turn = Lock()
    event.listen(engine, "begin", partial(_begin_sqlite, turn))
    event.listen(engine, "checkin", partial(_end_turn, turn))
    return engine


def _sqlcipher() -> Any:
    try:
        from sqlcipher3 import dbapi2
    except ModuleNotFoundError as error:
        raise SettingsError("setting database_key: it needs SQLCipher; install fhir-coder[encryption]") from error
    return dbapi2


def _give_key(key: str, connection: SqliteConnection, _record: object) -> None:
    connection.execute(f"PRAGMA key = \"x'{key}'\"")  # hexadecimal digits: `database_key`; a PRAGMA binds no values
    connection.execute("PRAGMA temp_store = MEMORY")  # temporary files would not be encrypted


def _require_readable(engine: Engine, key: str | None) -> None:
    """Raise `StorageError` when the file is encrypted with another key, or with none, or not at all."""
    try:
        with engine.connect().execution_options(reads=True) as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except DatabaseError as error:
        if "file is not a database" not in str(error.orig):
            raise
        advice = "was it made without a key, or with another one?" if key else "is it encrypted? give database_key"
        raise StorageError(f"the delivery database cannot be read with these settings; {advice}") from None


def _prepare_sqlite(connection: SqliteConnection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, not where Python guesses
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL would lose the last commits in a power cut, and with them messages already acknowledged.
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(turn: Lock, connection: Connection) -> None:
    """Begin a transaction; one that writes waits for its turn among the threads of this process.

    SQLite itself looks again after up to 100 ms whether another has ended, and half of the time of four senders was
    spent so.
    """
    if connection.get_execution_options().get("reads", False):
        connection.exec_driver_sql("BEGIN")
        return
    of_connection = connection.connection.record_info
    if of_connection is not None and _TURN not in of_connection and turn.acquire(timeout=_BUSY_SECONDS):
        of_connection[_TURN] = True
    # A transaction that reads first and writes then would fail, not wait, where another one wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _end_turn(turn: Lock, _connection: object, record: ConnectionPoolEntry) -> None:
    if (record.record_info or {}).pop(_TURN, False):
        turn.release()


def _open_postgresql(where: URL) -> Engine:
    try:
        engine = create_engine(
            where.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,  # a server that was started again has closed the connections
            pool_size=10,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise SettingsError("setting database: PostgreSQL needs psycopg; install fhir-coder[postgresql]") from error
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        # Off would lose the last commits when the server dies, and with them messages already acknowledged.
        if cursor.execute("SHOW synchronous_commit").fetchone() == ("off",):
            cursor.execute("SET synchronous_commit = on")
    connection.commit()

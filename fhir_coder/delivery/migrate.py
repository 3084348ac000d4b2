"""Bringing the schema of the database up to date, with alembic: each step is a file in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from fhir_coder.errors import StorageError

_FOLDER = Path(__file__).with_name("migrations")
_LOCK = 0x66686972  # "fhir": the advisory lock of PostgreSQL that is ours


def migrate(engine: Engine) -> None:
    """Bring the schema up to date. One process at a time does so; the others wait and find it done.

    Raises `StorageError` when the schema is newer than this program.
    """
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    with engine.begin() as connection:  # on SQLite, this alone locks
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        current = _revision(connection)
        if current == scripts.get_current_head():
            return
        if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
            raise StorageError(
                f"the delivery database has the schema {current}, which this program does not know: it was opened by a "
                "newer one; install that one again, or give another database"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def schema_state(engine: Engine) -> Literal["empty", "current", "older", "newer"]:
    """Return how the schema stands to what this program needs; nothing is changed."""
    scripts = ScriptDirectory.from_config(_config())
    with engine.connect() as connection:
        current = _revision(connection)
    if current is None:
        return "empty"
    if current == scripts.get_current_head():
        return "current"
    return "older" if current in {script.revision for script in scripts.walk_revisions()} else "newer"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()

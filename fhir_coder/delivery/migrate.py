"""Bringing the schema of the database up to date, with alembic: each step is a file in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path

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
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
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


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()

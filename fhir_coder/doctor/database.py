"""The delivery database: whether it can be reached and written, and the state of its schema."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from fhir_coder.delivery.database import connect_database, database_file, database_key
from fhir_coder.delivery.inbox import INBOX
from fhir_coder.delivery.migrate import schema_state
from fhir_coder.delivery.outbox import OUTBOX
from fhir_coder.delivery.queue import FAILED
from fhir_coder.doctor.finding import Finding, failure, ok, warning
from fhir_coder.errors import FhirCoderError
from fhir_coder.settings import Settings

_SUBJECT = "database"


def database(settings: Settings) -> Iterator[Finding]:
    """Look at the database without changing it; a file that is not there yet is not made."""
    url = settings.database.get_secret_value() if settings.database else None
    try:
        file = database_file(settings.data_dir, url)
        if file is not None and not file.exists():
            yield ok(_SUBJECT, f"{file} is made at the first start")
            return
        engine = connect_database(settings.data_dir, url, database_key(settings))
    except (FhirCoderError, OSError) as error:
        reason = str(error) if isinstance(error, FhirCoderError) else error.strerror or type(error).__name__
        yield failure(_SUBJECT, reason, "")
        return
    name = str(file) if file is not None else f"PostgreSQL at {engine.url.host}"
    failed = 0
    try:
        state = schema_state(engine)
        if state == "current":
            failed = _failed(engine)
        with engine.begin() as connection:
            if file is None and connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on":
                yield failure(_SUBJECT, f"{name} takes no writes", "name the primary server, not a replica")
    except SQLAlchemyError as error:
        # Its message may hold the URL.
        found = f"{name} cannot be used ({type(error).__name__})"
        yield failure(_SUBJECT, found, "check that it runs, the name, the user and the password (setting database)")
        return
    finally:
        engine.dispose()
    if state == "current":
        yield ok(_SUBJECT, f"{name}, its schema is current")
        if failed:
            yield warning("queues", f"{failed} messages or Bundles were set aside", "see 'fhir-coder queue status'")
    elif state == "newer":
        found = f"{name} was opened by a newer version of fhir-coder"
        yield failure(_SUBJECT, found, "install that version again, or name another database")
    else:
        yield warning(_SUBJECT, f"{name}, its schema is {state}", "nothing: the next start brings it up to date")


def _failed(engine: Engine) -> int:
    with engine.connect().execution_options(reads=True) as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table).where(table.c.state == FAILED)).scalar_one()
            for table in (INBOX, OUTBOX)
        ]
    return sum(counts)

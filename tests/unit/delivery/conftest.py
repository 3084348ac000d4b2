"""A delivery database in a folder of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.delivery.outbox import Outbox


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An SQLite database."""
    opened = open_database(tmp_path)
    yield opened
    opened.dispose()


@pytest.fixture
def inbox(engine: Engine) -> Iterator[Inbox]:
    """An inbox."""
    opened = Inbox(engine)
    yield opened
    opened.close()


@pytest.fixture
def outbox(engine: Engine) -> Iterator[Outbox]:
    """The outbox beside it."""
    opened = Outbox(engine)
    yield opened
    opened.close()

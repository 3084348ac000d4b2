"""The tables that were made where they were missing, by the modules that use them, until there was this step.

A database may have all of them, some or none: those that are there stay as they are, with what is in them. The columns
are told here again, and not taken from the modules: a step does not change when a module does.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create what is missing."""
    _ledger()
    _message_parts()
    _jobs()
    _upstream()


def _ledger() -> None:
    _create(
        "written",
        _key("target"),
        _key("identity"),
        _text("document"),
        _text("type"),
        _text("place"),
        sa.Column("resource", sa.JSON(), nullable=False),
        _text("content"),
        sa.Column("version", sa.String()),
        sa.Column("revision", sa.Integer(), nullable=False),
        _text("state"),
        sa.Column("changed", sa.DateTime(), nullable=False),
    )
    _index("written", "document", ["target", "document"])
    _create("document_name", _key("target"), _key("name"), _key("document"))
    _create("document_replaced", _key("target"), _key("document"), _key("replaced_by"))
    _create("document_waiting", _key("target"), _key("document"), sa.Column("kept", sa.JSON(), nullable=False))


def _message_parts() -> None:
    _create(
        "message_parts",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("key", sa.String(), nullable=False, unique=True),
        _text("continues"),
        _text("pointer"),
        sa.Column("payload", sa.LargeBinary()),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("added", sa.DateTime(), nullable=False),
    )
    for column in ("continues", "pointer"):
        _index("message_parts", column, [column])


def _jobs() -> None:
    _create(
        "jobs",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        _text("owner"),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("taken", sa.DateTime()),
        sa.Column("status", sa.Integer()),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("expires", sa.DateTime(), nullable=False),
    )
    _index("jobs", "state", ["state", "number"])


def _upstream() -> None:
    _create(
        "upstream_documents",
        _key("server"),
        _key("id"),
        sa.Column("version", sa.String()),
        sa.Column("digest", sa.String()),
        _text("outcome"),
        sa.Column("changed", sa.DateTime(), nullable=False),
    )
    _create(
        "upstream_subscriptions",
        _key("server"),
        _key("subscription"),
        sa.Column("filled", sa.Integer(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
    )
    _create("upstream_searched", _key("server"), _text("until"))


def _create(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(name, *columns, if_not_exists=True)


def _index(table: str, name: str, columns: list[str]) -> None:
    op.create_index(f"{table}_{name}", table, columns, if_not_exists=True)


def _key(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.String(), primary_key=True)


def _text(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.String(), nullable=False)

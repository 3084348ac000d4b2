"""The inbox and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create both tables, with their indexes."""
    op.create_table(
        "inbox",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False, unique=True),
        *_queue_columns(),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("item", _ID),
        *_queue_columns(),
        sqlite_autoincrement=True,
    )
    for table in ("inbox", "outbox"):
        waiting = sa.text("state = 'waiting'")
        for name, columns in (("waiting", ["id", "size"]), ("patient", ["patient", "id"])):
            op.create_index(f"{table}_{name}", table, columns, sqlite_where=waiting, postgresql_where=waiting)
        op.create_index(f"{table}_state", table, ["state", "changed"])


def _queue_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("patient", sa.String()),
        sa.Column("payload", sa.LargeBinary()),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("delays", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("added", sa.DateTime(), nullable=False),
        sa.Column("changed", sa.DateTime(), nullable=False),
        sa.Column("not_before", sa.DateTime()),
        sa.Column("claim", sa.String()),
        sa.Column("claimed_until", sa.DateTime()),
    ]

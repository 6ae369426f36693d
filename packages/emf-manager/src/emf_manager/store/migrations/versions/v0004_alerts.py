"""Alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("raised", sa.Double(), nullable=False),
        sa.Column("cleared", sa.Double(), nullable=True),
        sa.Column("acknowledged", sa.Double(), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_cleared"), "alerts", ["cleared"], unique=False)
    # What happened before there were alerts is nobody's task any more.
    op.execute(
        "INSERT INTO counters (name, value) SELECT 'alerts_seen', value FROM counters "
        "WHERE name = 'events'"
    )
    op.execute("INSERT INTO counters (name, value) VALUES ('alerts', 0)")

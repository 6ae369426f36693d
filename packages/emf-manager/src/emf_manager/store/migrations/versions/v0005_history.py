"""What the daemons said over time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "history",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("daemon", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["node"], ["nodes.fqdn"], name="fk_history_node"),
        sa.PrimaryKeyConstraint("node", "daemon", "step", "start", name="pk_history"),
    )
    op.create_index("ix_history_step_until", "history", ["step", "until"])

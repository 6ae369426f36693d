"""Jobs that go batch by batch until a deadline, and groups of nodes that operators define."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("rollout", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("deadline", sa.Double(), nullable=True))
    op.add_column("targets", sa.Column("batch", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("targets", sa.Column("apart", sa.Text(), nullable=True))
    op.create_table(
        "node_groups",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("nodes", sa.Text(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_node_groups")),
    )

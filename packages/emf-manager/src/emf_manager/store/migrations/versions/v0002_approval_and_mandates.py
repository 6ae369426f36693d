"""Nodes that wait for approval, and users who may order only some things."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, column in (("nodes", "waiting"), ("enrolment_grants", "approval")):
        no = sa.false()
        op.add_column(table, sa.Column(column, sa.Boolean(), nullable=False, server_default=no))
    op.add_column("users", sa.Column("mandates", sa.Text(), nullable=True))

"""Secret arguments of jobs, sealed until the last outcome."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("sealed", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("secret_digest", sa.Text(), nullable=True))

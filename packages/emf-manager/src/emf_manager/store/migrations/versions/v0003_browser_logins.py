"""People who sign in with a browser: passwords, one-time codes, logins."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "passwords",
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user"], ["users.name"], name="fk_passwords_user", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user", name="pk_passwords"),
    )
    op.create_table(
        "login_codes",
        sa.Column("code_sha256", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("used", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user"], ["users.name"], name="fk_login_codes_user", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code_sha256", name="pk_login_codes"),
    )
    op.create_table(
        "logins",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("last_used", sa.Double(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=True),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("browser", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user"], ["users.name"], name="fk_logins_user", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_logins"),
        sa.UniqueConstraint("secret_sha256", name="uq_logins_secret_sha256"),
    )
    op.create_index("ix_logins_user", "logins", ["user"])

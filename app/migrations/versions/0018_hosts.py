"""The accounts that organise one competition

A new table beside what was there. Programs of 0003 go on working: to them these accounts are participants.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db import UtcTime

revision = "0018_since_0003"
down_revision = "0017_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "competition_host",
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("added_by", sa.String(60), nullable=False),
        sa.Column("added_at", UtcTime(), nullable=False),
        sa.Column("removed_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("competition_id", "user_id", name="pk_competition_host"),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name="fk_competition_host_competition_id_competition"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name="fk_competition_host_user_id_user_account"
        ),
    )
    op.create_index("ix_competition_host_user_id", "competition_host", ["user_id"])


def downgrade() -> None:
    op.drop_table("competition_host")

"""Announcements of competitions and of the installation, and the accounts that have read each

New tables beside what was there. Programs of 0003 go on working: they show no announcement.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0025_since_0003"
down_revision = "0024_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "announcement",
        sa.Column("id", _ID, nullable=False),
        sa.Column("competition_id", _ID, nullable=True),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("is_automatic", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("publish_at", UtcTime(), nullable=True),
        sa.Column("edited_at", UtcTime(), nullable=True),
        sa.Column("withdrawn_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["competition_id"],
            ["competition.id"],
            name=op.f("fk_announcement_competition_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcement")),
    )
    op.create_index(
        "ix_announcement_competition_id_publish_at", "announcement", ["competition_id", "publish_at"]
    )
    op.create_table(
        "announcement_reading",
        sa.Column("announcement_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("read_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["announcement_id"],
            ["announcement.id"],
            name=op.f("fk_announcement_reading_announcement_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_announcement_reading_user_id")
        ),
        sa.PrimaryKeyConstraint("announcement_id", "user_id", name=op.f("pk_announcement_reading")),
    )
    op.create_index(op.f("ix_announcement_reading_user_id"), "announcement_reading", ["user_id"])


def downgrade() -> None:
    op.drop_table("announcement_reading")
    op.drop_table("announcement")

"""Upload tickets, for clients that send a file before they submit it

A new table beside what was there: programs of 0003 go on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db import UtcTime

revision = "0006_since_0003"
down_revision = "0005_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "upload_ticket",
        sa.Column("id", _ID, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("filename", sa.String(length=200), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("received_at", UtcTime(), nullable=True),
        sa.Column("submitted_at", UtcTime(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_upload_ticket"),
        sa.UniqueConstraint("token_hash", name="uq_upload_ticket_token_hash"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name="fk_upload_ticket_user_id_user_account"
        ),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name="fk_upload_ticket_competition_id_competition"
        ),
    )
    op.create_index("ix_upload_ticket_user_id", "upload_ticket", ["user_id"])


def downgrade() -> None:
    op.drop_table("upload_ticket")

"""Files for drafts that are sent before it is said for which draft

A new table beside what was there: programs of 0003 go on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db import UtcTime

revision = "0021_since_0003"
down_revision = "0020_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "draft_upload",
        sa.Column("id", _ID, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("key_id", _ID, nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_draft_upload"),
        sa.UniqueConstraint("token_hash", name="uq_draft_upload_token_hash"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name="fk_draft_upload_user_id_user_account"
        ),
        sa.ForeignKeyConstraint(["key_id"], ["inbox_key.id"], name="fk_draft_upload_key_id_inbox_key"),
    )
    op.create_index("ix_draft_upload_user_id", "draft_upload", ["user_id"])


def downgrade() -> None:
    op.drop_table("draft_upload")

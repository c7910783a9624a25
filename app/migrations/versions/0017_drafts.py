"""Drafts of competitions, their encrypted files and the work on them

New tables beside what was there: programs of 0003 go on working. Only workers of this version do the steps.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db import UtcTime

revision = "0017_since_0003"
down_revision = "0016_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "inbox_key",
        sa.Column("id", _ID, nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("private_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_inbox_key"),
    )
    op.create_table(
        "draft",
        sa.Column("id", _ID, nullable=False),
        sa.Column("owner_id", _ID, nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("slug", sa.String(length=60), nullable=True),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("choices", sa.JSON(), nullable=False),
        sa.Column("competition_id", _ID, nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("opened_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_draft"),
        sa.ForeignKeyConstraint(["owner_id"], ["user_account.id"], name="fk_draft_owner_id_user_account"),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name="fk_draft_competition_id_competition"
        ),
    )
    op.create_index("ix_draft_owner_id", "draft", ["owner_id"])
    op.create_index("ix_draft_slug", "draft", ["slug"])
    op.create_table(
        "draft_file",
        sa.Column("id", _ID, nullable=False),
        sa.Column("draft_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_draft_file"),
        sa.ForeignKeyConstraint(["draft_id"], ["draft.id"], name="fk_draft_file_draft_id_draft"),
        sa.ForeignKeyConstraint(["key_id"], ["inbox_key.id"], name="fk_draft_file_key_id_inbox_key"),
    )
    op.create_index("ix_draft_file_draft_id", "draft_file", ["draft_id"])
    op.create_index("ix_draft_file_sha256", "draft_file", ["sha256"])
    op.create_table(
        "draft_step",
        sa.Column("id", _ID, nullable=False),
        sa.Column("draft_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("doing", sa.String(length=100), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.String(length=200), nullable=True),
        sa.Column("lease_until", UtcTime(), nullable=True),
        sa.Column("next_try_at", UtcTime(), nullable=False),
        sa.Column("hinted_at", UtcTime(), nullable=True),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_draft_step"),
        sa.ForeignKeyConstraint(["draft_id"], ["draft.id"], name="fk_draft_step_draft_id_draft"),
        sa.UniqueConstraint("draft_id", "kind", "key", name="uq_draft_step_draft_id_kind_key"),
    )
    op.create_index("ix_draft_step_due", "draft_step", ["state", "next_try_at"])


def downgrade() -> None:
    for table in ("draft_step", "draft_file", "draft", "inbox_key"):
        op.drop_table(table)

"""Competitions that not everybody sees: visibility, private links and admitted accounts

Programs of 0003 go on working: to them every competition is public. Stop them before one is made private.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0030_since_0003"
down_revision = "0029_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column(
        "competition", sa.Column("visibility", sa.String(10), server_default="public", nullable=False)
    )
    op.create_table(
        "private_link",
        sa.Column("id", _ID, nullable=False),
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("made_by", sa.String(60), nullable=False),
        sa.Column("made_at", UtcTime(), nullable=False),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_private_link"),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name="fk_private_link_competition_id_competition"
        ),
        sa.UniqueConstraint("secret_hash", name="uq_private_link_secret_hash"),
    )
    op.create_index("ix_private_link_competition_id", "private_link", ["competition_id"])
    op.create_table(
        "admission",
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("way", sa.String(10), nullable=False),
        sa.Column("admitted_by", sa.String(60), nullable=False),
        sa.Column("admitted_at", UtcTime(), nullable=False),
        sa.Column("removed_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("competition_id", "user_id", name="pk_admission"),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name="fk_admission_competition_id_competition"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_admission_user_id_user_account"),
    )
    op.create_index("ix_admission_user_id", "admission", ["user_id"])


def downgrade() -> None:
    op.drop_table("admission")
    op.drop_table("private_link")
    op.drop_column("competition", "visibility")

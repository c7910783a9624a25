"""Rules of competitions with versions, and the accounts that have accepted them

New tables beside what was there. Programs of 0003 go on working: they ask for no acceptance.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0022_since_0003"
down_revision = "0021_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "rules_version",
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(60), nullable=False),
        sa.Column("made_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name=op.f("fk_rules_version_competition_id")
        ),
        sa.PrimaryKeyConstraint("competition_id", "number", name=op.f("pk_rules_version")),
    )
    op.create_table(
        "rules_acceptance",
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("accepted_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name=op.f("fk_rules_acceptance_competition_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_rules_acceptance_user_id")),
        sa.PrimaryKeyConstraint("competition_id", "user_id", "number", name=op.f("pk_rules_acceptance")),
    )
    op.create_index(op.f("ix_rules_acceptance_user_id"), "rules_acceptance", ["user_id"])


def downgrade() -> None:
    op.drop_table("rules_acceptance")
    op.drop_table("rules_version")

"""Files that are checked and not submitted

A new table beside what was there: programs of 0003 go on working. A worker of before does not know these
inspections, so workers are upgraded before the web, which alone makes them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db import UtcTime

revision = "0010_since_0003"
down_revision = "0009_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "file_check",
        sa.Column("inspection_id", _ID, nullable=False),
        sa.Column("team_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("filename", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("is_rejected", sa.Boolean(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("inspection_id", name="pk_file_check"),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspection.id"], name="fk_file_check_inspection_id_inspection"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name="fk_file_check_team_id_team"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_file_check_user_id_user_account"),
    )
    op.create_index("ix_file_check_team", "file_check", ["team_id", "day"])


def downgrade() -> None:
    op.drop_table("file_check")

"""Boards that are frozen from a time until the final results

Programs of 0003 go on working: they show the ordinary board, and leave the frozen one as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0032_since_0003"
down_revision = "0031_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OF = {
    "competition_id": "competition",
    "team_id": "team",
    "public_submission_id": "submission",
    "private_submission_id": "submission",
}


def upgrade() -> None:
    op.add_column("competition", sa.Column("board_frozen_at", UtcTime(), nullable=True))
    op.create_table(
        "frozen_standing",
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("team_id", _ID, nullable=False),
        sa.Column("is_baseline", sa.Boolean(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("last_at", UtcTime(), nullable=False),
        sa.Column("public_key", sa.Double(), nullable=False),
        sa.Column("public_at", UtcTime(), nullable=False),
        sa.Column("public_submission_id", _ID, nullable=False),
        sa.Column("public_also", sa.JSON(), nullable=False),
        sa.Column("private_key", sa.Double(), nullable=False),
        sa.Column("private_at", UtcTime(), nullable=False),
        sa.Column("private_submission_id", _ID, nullable=False),
        sa.Column("private_also", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("competition_id", "team_id", name="pk_frozen_standing"),
        *(
            sa.ForeignKeyConstraint([column], [f"{of}.id"], name=f"fk_frozen_standing_{column}_{of}")
            for column, of in _OF.items()
        ),
    )
    op.create_index(
        "ix_frozen_standing_public",
        "frozen_standing",
        ["competition_id", "public_key", "public_at", "team_id"],
    )


def downgrade() -> None:
    op.drop_table("frozen_standing")
    op.drop_column("competition", "board_frozen_at")

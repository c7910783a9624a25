"""Competitions that are archived

Programs of 0003 go on working: they accept late files of an archived competition.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031_since_0003"
down_revision = "0030_since_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "competition", sa.Column("is_archived", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("competition", "is_archived")

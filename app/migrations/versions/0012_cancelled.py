"""Submissions that their team cancelled before they were scored

A program of before does not know the column: a rescore that it begins scores cancelled files again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db import UtcTime

revision = "0012_since_0003"
down_revision = "0011_since_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("submission", sa.Column("cancelled_at", UtcTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("submission", "cancelled_at")

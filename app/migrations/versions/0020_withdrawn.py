"""When a team withdrew a scored submission, which then counts for no board

Files from before count as they did. Programs of 0003 go on working: a board that one of them writes counts
the file again, until this program writes it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0020_since_0003"
down_revision = "0019_since_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("submission", sa.Column("withdrawn_at", UtcTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("submission", "withdrawn_at")

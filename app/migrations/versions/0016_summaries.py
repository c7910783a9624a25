"""The summary that a competition has instead of its challenge's

Programs of 0003 go on working: they show the challenge's.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016_since_0003"
down_revision = "0015_since_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("competition", sa.Column("own_summary", sa.String(300), nullable=True))


def downgrade() -> None:
    op.drop_column("competition", "own_summary")

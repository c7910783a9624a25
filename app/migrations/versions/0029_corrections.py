"""Why an organiser removed the description of a team's method, and when a question was edited

Programs of 0003 go on working: they show neither.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0029_since_0003"
down_revision = "0028_since_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("team", sa.Column("method_removed_why", sa.String(500), nullable=True))
    op.add_column("question", sa.Column("edited_at", UtcTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("question", "edited_at")
    op.drop_column("team", "method_removed_why")

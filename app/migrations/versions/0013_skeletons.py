"""Punctuation around names and marks below letters no longer count

Skeletons are computed again when the first name is given after the upgrade: those of before hold these marks,
which are not compared any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_since_0003"
down_revision = "0012_since_0003"
branch_labels = None
depends_on = None

_COLUMNS = (("user_account", "skeleton"), ("former_name", "skeleton"), ("team", "skeleton"), ("team", "look"))


def upgrade() -> None:
    for table, column in _COLUMNS:
        op.execute(sa.update(sa.table(table, sa.column(column))).values({column: None}))


def downgrade() -> None:
    """Keep the skeletons: an older program compares these with its own, and finds fewer names alike."""

"""Names of accounts and teams get the skeleton that they are compared by

The skeletons of the rows that exist are computed when the first name is given after the upgrade, and so are
those of rows that an older program adds. Names that look alike already stay, and the doctor reports them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_since_0003"
down_revision = "0007_since_0003"
branch_labels = None
depends_on = None

_COLUMNS = (("user_account", "skeleton"), ("team", "skeleton"), ("team", "look"))


def upgrade() -> None:
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, sa.String(length=200), nullable=True))
        op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    for table, column in _COLUMNS:
        op.drop_index(f"ix_{table}_{column}", table)
        op.drop_column(table, column)

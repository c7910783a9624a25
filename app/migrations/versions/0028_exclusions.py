"""Teams and files that an organiser took off the board, with the reason

Programs of 0003 go on working: they rank such a team or file again when its scores change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0028_since_0003"
down_revision = "0027_since_0003"
branch_labels = None
depends_on = None

_COLUMNS = {"team": "unranked", "submission": "excluded"}


def upgrade() -> None:
    for table, name in _COLUMNS.items():
        op.add_column(table, sa.Column(f"{name}_at", UtcTime(), nullable=True))
        op.add_column(table, sa.Column(f"{name}_why", sa.String(500), nullable=True))


def downgrade() -> None:
    for table, name in _COLUMNS.items():
        op.drop_column(table, f"{name}_why")
        op.drop_column(table, f"{name}_at")

"""Teams of organisers whose earlier files are not ranked

A program of before does not know the column: a board that it writes ranks these teams again, until this
program writes it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_since_0003"
down_revision = "0014_since_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("team", sa.Column("is_host", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("team", "is_host")

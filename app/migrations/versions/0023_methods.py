"""What a team says of its method, with a link to code or a paper

New columns beside what was there. Programs of 0003 go on working: they show neither.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023_since_0003"
down_revision = "0022_since_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("team", sa.Column("method", sa.String(500), nullable=True))
    op.add_column("team", sa.Column("method_link", sa.String(300), nullable=True))


def downgrade() -> None:
    op.drop_column("team", "method_link")
    op.drop_column("team", "method")

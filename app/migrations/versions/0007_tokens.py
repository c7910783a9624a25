"""Tokens get a scope, an expiry and the time of their last use

Tokens that exist keep all rights of their account and do not expire, as do those that older programs make.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db import UtcTime

revision = "0007_since_0003"
down_revision = "0006_since_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "token", sa.Column("scope", sa.String(length=10), nullable=False, server_default="organise")
    )
    op.add_column("token", sa.Column("expires_at", UtcTime(), nullable=True))
    op.add_column("token", sa.Column("last_used_at", UtcTime(), nullable=True))


def downgrade() -> None:
    for column in ("scope", "expires_at", "last_used_at"):
        op.drop_column("token", column)

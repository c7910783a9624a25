"""Databases made by the first forms of 0001 and 0003 get what was added to these revisions later

Three commits edited a revision that had made databases already: an index on events and the grace in 0001,
then two indexes on standings in 0001, then the detail of a heartbeat in 0003. What is there stays as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_since_0003"
down_revision = "0004_since_0003"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_event_subject", "event", ["subject"]),
    ("ix_evaluation_due", "evaluation", ["state", "next_try_at"]),
    ("ix_evaluation_round_due", "evaluation", ["round_id", "state", "next_try_at", "submission_id"]),
    ("ix_standing_entries", "standing", ["competition_id", "entries"]),
    ("ix_standing_last", "standing", ["competition_id", "last_at"]),
)
_REPLACED = (
    ("ix_event_action", "event"),
    ("ix_evaluation_round_state", "evaluation"),
    ("ix_evaluation_unfinished", "evaluation"),
)


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    found = sa.inspect(op.get_bind())
    if "grace_seconds" not in {column["name"] for column in found.get_columns("competition")}:
        # The default stays on SQLite, which would copy the table to remove it.
        op.add_column(
            "competition", sa.Column("grace_seconds", sa.Integer(), nullable=False, server_default="120")
        )
        if not is_sqlite:
            op.alter_column("competition", "grace_seconds", server_default=None)
    if "detail" not in {column["name"] for column in found.get_columns("heartbeat")}:
        op.add_column("heartbeat", sa.Column("detail", sa.JSON(), nullable=True))
    lengths = {
        column["name"]: getattr(column["type"], "length", 0) for column in found.get_columns("evaluation")
    }
    if not is_sqlite and lengths["lease_token"] < 200:  # SQLite does not enforce a length
        op.alter_column("evaluation", "lease_token", type_=sa.String(length=200))
    indexes = {
        index["name"] for table in ("event", "evaluation", "standing") for index in found.get_indexes(table)
    }
    for name, table, columns in _INDEXES:
        if name not in indexes:
            op.create_index(name, table, columns)
    for name, table in _REPLACED:
        if name in indexes:
            op.drop_index(name, table)


def downgrade() -> None:
    """Keep everything: 0001 and 0003 are complete now."""

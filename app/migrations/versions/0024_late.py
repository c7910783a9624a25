"""Competitions that take late files, and the files that were late; the latter is written once

No earlier file was late: uploads ended with the close. Programs of 0003 go on working: they refuse late
files.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024_since_0003"
down_revision = "0023_since_0003"
branch_labels = None
depends_on = None

_WHEN, _WORDS = "UPDATE OF is_late", "a row of submission is written once"


def upgrade() -> None:
    for table, column in (("submission", "is_late"), ("competition", "allows_late")):
        op.add_column(table, sa.Column(column, sa.Boolean(), nullable=False, server_default=sa.false()))
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER submission_late BEFORE {_WHEN} ON submission "
            f"BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION submission_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{_WORDS}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER submission_late BEFORE {_WHEN} ON submission "
        "FOR EACH ROW EXECUTE FUNCTION submission_late()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER submission_late")
    else:
        op.execute("DROP TRIGGER submission_late ON submission")
        op.execute("DROP FUNCTION submission_late()")
    op.drop_column("submission", "is_late")
    op.drop_column("competition", "allows_late")

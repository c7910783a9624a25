"""Files of organisers are scored and not ranked; whether a file is ranked is written once

Files from before stay ranked, also those of organisers, so that no board changes. Programs of 0003 go on
working: they rank every file that they accept.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_since_0003"
down_revision = "0010_since_0003"
branch_labels = None
depends_on = None

_WHEN, _WORDS = "UPDATE OF is_ranked", "a row of submission is written once"


def upgrade() -> None:
    op.add_column(
        "submission", sa.Column("is_ranked", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER submission_ranked BEFORE {_WHEN} ON submission "
            f"BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION submission_ranked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{_WORDS}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER submission_ranked BEFORE {_WHEN} ON submission "
        "FOR EACH ROW EXECUTE FUNCTION submission_ranked()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER submission_ranked")
    else:
        op.execute("DROP TRIGGER submission_ranked ON submission")
        op.execute("DROP FUNCTION submission_ranked()")
    op.drop_column("submission", "is_ranked")

"""Files that agents have sent, and competitions that mark them; the first is written once

Files from before are not by agents: there was no MCP endpoint. Programs of 0003 go on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_since_0003"
down_revision = "0013_since_0003"
branch_labels = None
depends_on = None

_WHEN, _WORDS = "UPDATE OF is_by_agent", "a row of submission is written once"


def upgrade() -> None:
    for table, column in (("submission", "is_by_agent"), ("competition", "marks_agents")):
        op.add_column(table, sa.Column(column, sa.Boolean(), nullable=False, server_default=sa.false()))
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER submission_by_agent BEFORE {_WHEN} ON submission "
            f"BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION submission_by_agent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{_WORDS}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER submission_by_agent BEFORE {_WHEN} ON submission "
        "FOR EACH ROW EXECUTE FUNCTION submission_by_agent()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER submission_by_agent")
    else:
        op.execute("DROP TRIGGER submission_by_agent ON submission")
        op.execute("DROP FUNCTION submission_by_agent()")
    op.drop_column("submission", "is_by_agent")
    op.drop_column("competition", "marks_agents")

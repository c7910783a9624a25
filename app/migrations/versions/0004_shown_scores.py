"""What was shown of a score is written once too: the board ranks by it

Programs of 0003 only ever insert it, so they go on working.
"""

from __future__ import annotations

from alembic import op

revision = "0004_since_0003"
down_revision = "0003"
branch_labels = None
depends_on = None

_WHEN, _WORDS = "UPDATE OF shown, shown_also", "a row of score is written once"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER score_shown BEFORE {_WHEN} ON score BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION score_shown() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{_WORDS}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER score_shown BEFORE {_WHEN} ON score FOR EACH ROW EXECUTE FUNCTION score_shown()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER score_shown")
        return
    op.execute("DROP TRIGGER score_shown ON score")
    op.execute("DROP FUNCTION score_shown()")

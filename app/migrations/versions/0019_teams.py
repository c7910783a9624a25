"""Teams of several people: captains, invite links, offers to merge, and the files of merged teams

The team of a file may change in one way only: to the team that its own team was merged into, while the file
keeps the id of the first. Programs of 0003 go on working: they neither merge teams nor read the new columns.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0019_since_0003"
down_revision = "0018_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WORDS = "a row of submission is written once"
_ONCE = "competition_id, user_id, received_at, day, sha256, size_bytes"
_INTO = "(SELECT merged_into_id FROM team WHERE id = OLD.team_id)"
_FIRST = "COALESCE(OLD.first_team_id, OLD.team_id)"


def upgrade() -> None:
    op.add_column("competition", sa.Column("entry_closes_at", UtcTime(), nullable=True))
    op.add_column("competition", sa.Column("teams_close_at", UtcTime(), nullable=True))
    op.add_column("team", sa.Column("captain_id", _ID, nullable=True))
    op.add_column("team", sa.Column("merged_into_id", _ID, nullable=True))
    op.add_column("submission", sa.Column("first_team_id", _ID, nullable=True))
    op.create_index(op.f("ix_team_merged_into_id"), "team", ["merged_into_id"])
    op.create_table(
        "team_invite",
        sa.Column("id", _ID, nullable=False),
        sa.Column("team_id", _ID, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("most_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("made_by", sa.String(length=60), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_team_invite_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team_invite")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_team_invite_secret_hash")),
    )
    op.create_index(op.f("ix_team_invite_team_id"), "team_invite", ["team_id"])
    op.create_table(
        "merge_offer",
        sa.Column("id", _ID, nullable=False),
        sa.Column("team_id", _ID, nullable=False),
        sa.Column("other_team_id", _ID, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("made_by", sa.String(length=60), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("decided_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_merge_offer_team_id")),
        sa.ForeignKeyConstraint(["other_team_id"], ["team.id"], name=op.f("fk_merge_offer_other_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merge_offer")),
    )
    op.create_index("ix_merge_offer_team", "merge_offer", ["team_id", "state"])
    op.create_index("ix_merge_offer_other_team", "merge_offer", ["other_team_id", "state"])
    _refuse_other_teams()


def _refuse_other_teams() -> None:
    """Replace the trigger of 0003, which refuses every change of a file's team."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER submission_update")
        op.execute(
            f"CREATE TRIGGER submission_update BEFORE UPDATE OF {_ONCE} ON submission "
            f"BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END"
        )
        op.execute(
            "CREATE TRIGGER submission_team BEFORE UPDATE OF team_id, first_team_id ON submission "
            f"WHEN NEW.team_id IS NOT {_INTO} OR NEW.first_team_id IS NOT {_FIRST} "
            f"BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END"
        )
        return
    op.execute("DROP TRIGGER submission_update ON submission")
    op.execute(
        f"CREATE TRIGGER submission_update BEFORE UPDATE OF {_ONCE} ON submission "
        "FOR EACH ROW EXECUTE FUNCTION submission_update()"
    )
    op.execute(
        "CREATE FUNCTION submission_team() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NEW.team_id IS DISTINCT FROM {_INTO} OR NEW.first_team_id IS DISTINCT FROM {_FIRST} THEN "
        f"RAISE EXCEPTION '{_WORDS}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
        "RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER submission_team BEFORE UPDATE OF team_id, first_team_id ON submission "
        "FOR EACH ROW EXECUTE FUNCTION submission_team()"
    )


def downgrade() -> None:
    every = f"team_id, {_ONCE}"
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER submission_team")
        op.execute("DROP TRIGGER submission_update")
        op.execute(
            f"CREATE TRIGGER submission_update BEFORE UPDATE OF {every} ON submission "
            f"BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END"
        )
    else:
        op.execute("DROP TRIGGER submission_team ON submission")
        op.execute("DROP FUNCTION submission_team()")
        op.execute("DROP TRIGGER submission_update ON submission")
        op.execute(
            f"CREATE TRIGGER submission_update BEFORE UPDATE OF {every} ON submission "
            "FOR EACH ROW EXECUTE FUNCTION submission_update()"
        )
    op.drop_table("merge_offer")
    op.drop_table("team_invite")
    op.drop_index(op.f("ix_team_merged_into_id"), "team")
    op.drop_column("submission", "first_team_id")
    op.drop_column("team", "merged_into_id")
    op.drop_column("team", "captain_id")
    op.drop_column("competition", "teams_close_at")
    op.drop_column("competition", "entry_closes_at")

"""Integrity: how public scores are shown, what audits said, cases, inspections, predictions for training rows

Competitions that run already keep the exact public scores they began with.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db import UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # Not in a batch: on SQLite that may copy and drop a table while others still refer to it.
    op.add_column("challenge_version", sa.Column("audit", sa.JSON(), nullable=True))
    op.add_column("challenge_version", sa.Column("benchmark", sa.JSON(), nullable=True))
    op.add_column("competition", sa.Column("total_limit", sa.Integer(), nullable=True))
    op.add_column(
        "competition", sa.Column("public_score", sa.String(length=10), nullable=False, server_default="exact")
    )
    op.add_column(
        "team", sa.Column("has_coarse_feedback", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("team", sa.Column("disqualified_at", UtcTime(), nullable=True))
    op.add_column("team", sa.Column("disqualified_why", sa.String(length=500), nullable=True))
    op.add_column("score", sa.Column("shown", sa.Double(), nullable=True))
    op.add_column("score", sa.Column("shown_also", sa.JSON(), nullable=True))
    _show_what_was_shown()
    with op.batch_alter_table("score") as table:
        table.alter_column("shown", existing_type=sa.Double(), nullable=False)
        table.alter_column("shown_also", existing_type=sa.JSON(), nullable=False)
    op.create_table(
        "rung",
        sa.Column("round_id", _ID, nullable=False),
        sa.Column("team_id", _ID, nullable=False),
        sa.Column("shown", sa.Double(), nullable=False),
        sa.Column("submission_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"], name=op.f("fk_rung_round_id")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_rung_team_id")),
        sa.ForeignKeyConstraint(["submission_id"], ["submission.id"], name=op.f("fk_rung_submission_id")),
        sa.PrimaryKeyConstraint("round_id", "team_id", name=op.f("pk_rung")),
    )
    op.create_table(
        "train_file",
        sa.Column("submission_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("problems", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["submission.id"], name=op.f("fk_train_file_submission_id")
        ),
        sa.PrimaryKeyConstraint("submission_id", "kind", name=op.f("pk_train_file")),
    )
    op.create_table(
        "inspection",
        sa.Column("id", _ID, nullable=False),
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("round_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("submission_id", _ID, nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.String(length=200), nullable=True),
        sa.Column("lease_until", UtcTime(), nullable=True),
        sa.Column("next_try_at", UtcTime(), nullable=False),
        sa.Column("hinted_at", UtcTime(), nullable=True),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("doing", sa.String(length=100), nullable=False),
        sa.Column("asked_by", sa.String(length=60), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name=op.f("fk_inspection_competition_id")
        ),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"], name=op.f("fk_inspection_round_id")),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["submission.id"], name=op.f("fk_inspection_submission_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspection")),
    )
    with op.batch_alter_table("inspection") as table:
        table.create_index("ix_inspection_due", ["state", "next_try_at"])
        table.create_index("ix_inspection_competition", ["competition_id", "kind", "id"])
    op.create_table(
        "integrity_case",
        sa.Column("id", _ID, nullable=False),
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("team_id", _ID, nullable=False),
        sa.Column("other_team_id", _ID, nullable=True),
        sa.Column("other_key", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("strength", sa.Double(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("advice", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("first_seen_at", UtcTime(), nullable=False),
        sa.Column("last_seen_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name=op.f("fk_integrity_case_competition_id")
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_integrity_case_team_id")),
        sa.ForeignKeyConstraint(["other_team_id"], ["team.id"], name=op.f("fk_integrity_case_other_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_integrity_case")),
        sa.UniqueConstraint(
            "competition_id", "code", "team_id", "other_key",
            name=op.f("uq_integrity_case_competition_id_code_team_id_other_key"),
        ),
    )  # fmt: skip
    with op.batch_alter_table("integrity_case") as table:
        table.create_index("ix_integrity_case_open", ["competition_id", "state"])


def _show_what_was_shown() -> None:
    """Until now every public score was shown as it is."""
    score = sa.table(
        "score",
        sa.column("submission_id"),
        sa.column("round_id"),
        sa.column("public", sa.Double()),
        sa.column("also", sa.JSON()),
        sa.column("shown", sa.Double()),
        sa.column("shown_also", sa.JSON()),
    )
    connection = op.get_bind()
    connection.execute(score.update().values(shown=score.c.public))
    with_more = []
    for row in connection.execute(sa.select(score.c.submission_id, score.c.round_id, score.c.also)):
        also = {name: values["public"] for name, values in (row.also or {}).items()}
        with_more.append({"s": row.submission_id, "r": row.round_id, "shown_also": also})
    if with_more:
        mine = (score.c.submission_id == sa.bindparam("s"), score.c.round_id == sa.bindparam("r"))
        connection.execute(
            score.update().where(*mine).values(shown_also=sa.bindparam("shown_also")), with_more
        )


def downgrade() -> None:
    op.drop_table("integrity_case")
    op.drop_table("inspection")
    op.drop_table("train_file")
    op.drop_table("rung")
    for table_name, columns in (
        ("score", ("shown", "shown_also")),
        ("team", ("has_coarse_feedback", "disqualified_at", "disqualified_why")),
        ("competition", ("total_limit", "public_score")),
        ("challenge_version", ("audit", "benchmark")),
    ):
        for column in columns:
            op.drop_column(table_name, column)

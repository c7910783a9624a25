"""Questions to the organisers of a competition, answers that they keep, and which questions are taken

New tables beside what was there. Programs of 0003 go on working: they show no question.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0027_since_0003"
down_revision = "0026_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "question",
        sa.Column("id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("asked_at", UtcTime(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", UtcTime(), nullable=True),
        sa.Column("answer_read_at", UtcTime(), nullable=True),
        sa.Column("shown_as", sa.String(120), nullable=True),
        sa.Column("hidden_at", UtcTime(), nullable=True),
        sa.Column("hidden_why", sa.String(300), nullable=True),
        sa.Column("pinned_at", UtcTime(), nullable=True),
        _of_competition("question"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_question_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_question")),
    )
    op.create_index("ix_question_competition_id_asked_at", "question", ["competition_id", "asked_at"])
    op.create_index(op.f("ix_question_user_id"), "question", ["user_id"])
    op.create_table(
        "canned_answer",
        sa.Column("id", _ID, nullable=False),
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("title", sa.String(80), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        _of_competition("canned_answer"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_canned_answer")),
    )
    op.create_index(op.f("ix_canned_answer_competition_id"), "canned_answer", ["competition_id"])
    op.create_table(
        "question_settings",
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("allows_public", sa.Boolean(), nullable=False),
        sa.Column("ends_with_competition", sa.Boolean(), nullable=False),
        _of_competition("question_settings"),
        sa.PrimaryKeyConstraint("competition_id", name=op.f("pk_question_settings")),
    )


def _of_competition(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_competition_id")
    return sa.ForeignKeyConstraint(["competition_id"], ["competition.id"], name=name, ondelete="CASCADE")


def downgrade() -> None:
    for table in ("question_settings", "canned_answer", "question"):
        op.drop_table(table)

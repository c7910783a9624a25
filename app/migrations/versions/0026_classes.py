"""Classes with their members, personal codes and competitions

New tables beside what was there. Programs of 0003 go on working: they have no classes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0026_since_0003"
down_revision = "0025_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "classroom",
        sa.Column("id", _ID, nullable=False),
        sa.Column("slug", sa.String(60), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("code", sa.String(8), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("made_by", sa.String(60), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("archived_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_classroom")),
        sa.UniqueConstraint("slug", name=op.f("uq_classroom_slug")),
        sa.UniqueConstraint("code", name=op.f("uq_classroom_code")),
    )
    op.create_table(
        "enrolment",
        sa.Column("id", _ID, nullable=False),
        sa.Column("classroom_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=True),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("external_id", sa.String(120), nullable=True),
        sa.Column("login", sa.String(120), nullable=True),
        sa.Column("email", sa.String(254), nullable=True),
        sa.Column("given", sa.String(120), nullable=False),
        sa.Column("family", sa.String(120), nullable=False),
        sa.Column("section", sa.String(120), nullable=True),
        sa.Column("team", sa.String(120), nullable=True),
        sa.Column("canvas_id", sa.String(120), nullable=True),
        sa.Column("worksheet_id", sa.String(120), nullable=True),
        sa.Column("pseudonym", sa.String(40), nullable=False),
        sa.Column("is_by_hand", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("left_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["classroom_id"], ["classroom.id"], name=op.f("fk_enrolment_classroom_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_enrolment_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment")),
        sa.UniqueConstraint("classroom_id", "user_id", name=op.f("uq_enrolment_classroom_id_user_id")),
        sa.UniqueConstraint("classroom_id", "pseudonym", name=op.f("uq_enrolment_classroom_id_pseudonym")),
    )
    op.create_index(op.f("ix_enrolment_classroom_id"), "enrolment", ["classroom_id"])
    op.create_index(op.f("ix_enrolment_user_id"), "enrolment", ["user_id"])
    op.create_table(
        "join_code",
        sa.Column("id", _ID, nullable=False),
        sa.Column("enrolment_id", _ID, nullable=False),
        sa.Column("code_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("made_by", sa.String(60), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["enrolment_id"], ["enrolment.id"], name=op.f("fk_join_code_enrolment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_join_code")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_join_code_code_hash")),
    )
    op.create_index("ix_join_code_enrolment", "join_code", ["enrolment_id", "revoked_at"])
    op.create_table(
        "class_competition",
        sa.Column("id", _ID, nullable=False),
        sa.Column("classroom_id", _ID, nullable=False),
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["classroom_id"], ["classroom.id"], name=op.f("fk_class_competition_classroom_id")
        ),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name=op.f("fk_class_competition_competition_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_class_competition")),
        sa.UniqueConstraint(
            "classroom_id", "competition_id", name=op.f("uq_class_competition_classroom_id_competition_id")
        ),
    )
    op.create_index(op.f("ix_class_competition_competition_id"), "class_competition", ["competition_id"])


def downgrade() -> None:
    for table in ("class_competition", "join_code", "enrolment", "classroom"):
        op.drop_table(table)

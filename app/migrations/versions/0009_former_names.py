"""Former names of accounts stay theirs, and blanks in names no longer count

The names from before earlier renames are taken from the log. Skeletons are computed again when the first name
is given after the upgrade: those of before keep blanks, which are not compared any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0009_since_0003"
down_revision = "0008_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_COLUMNS = (("user_account", "skeleton"), ("team", "skeleton"), ("team", "look"))


def upgrade() -> None:
    former = op.create_table(
        "former_name",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("skeleton", sa.String(length=200), nullable=True),
        sa.Column("until", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_former_name_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_former_name")),
    )
    op.create_index("ix_former_name_user_id", "former_name", ["user_id"])
    op.create_index("ix_former_name_skeleton", "former_name", ["skeleton"])
    connection = op.get_bind()
    users = set(connection.execute(sa.text("SELECT id FROM user_account")).scalars())
    event = sa.table(
        "event",
        sa.column("id"),
        sa.column("action"),
        sa.column("at", UtcTime()),
        sa.column("detail", sa.JSON()),
    )
    renames = connection.execute(
        sa.select(event.c.at, event.c.detail).where(event.c.action == "user renamed").order_by(event.c.id)
    ).all()
    rows = [
        {"user_id": detail["user"], "name": detail["before"], "until": at}
        for at, detail in renames
        if detail["user"] in users
    ]
    if rows:
        op.bulk_insert(former, rows)
    for table, column in _COLUMNS:
        op.execute(sa.update(sa.table(table, sa.column(column))).values({column: None}))


def downgrade() -> None:
    op.drop_table("former_name")

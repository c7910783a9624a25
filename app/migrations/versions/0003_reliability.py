"""Reliability: rounds that repeat, extensions, a sealed log, facts that no statement can change

Everything is added beside what was there and has a default, so that programs of the version before go on
working on this schema while they are replaced one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa
from alembic import op

from app.db import UtcTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# What the database itself refuses, whatever the program above it does: table -> (when, words).
_REFUSED: Mapping[str, Sequence[tuple[str, str]]] = {
    "challenge_version": (
        ("UPDATE OF challenge_id, number, digest, solution_digest, metric_digest", "is written once"),
        ("DELETE", "is kept for good"),
    ),
    "submission": (
        (
            "UPDATE OF competition_id, team_id, user_id, received_at, day, sha256, size_bytes",
            "is written once",
        ),
        ("DELETE", "is kept for good"),
    ),
    "score": (("UPDATE OF submission_id, round_id, public, private, also, provenance", "is written once"),),
    "event": (
        ("UPDATE OF id, at, actor, action, subject, detail", "is written once"),
        ("DELETE", "is kept for good"),
    ),
}


def upgrade() -> None:
    op.add_column("competition", sa.Column("extended_until", UtcTime(), nullable=True))
    op.add_column("round", sa.Column("repeat_of", _ID, nullable=True))
    op.add_column(
        "round", sa.Column("applies_itself", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("round", sa.Column("served_at", UtcTime(), nullable=True))
    op.add_column("heartbeat", sa.Column("detail", sa.JSON(), nullable=True))
    op.add_column("event", sa.Column("seq", sa.BigInteger(), nullable=True))
    op.add_column("event", sa.Column("hash", sa.String(length=64), nullable=True))
    # Not unique constraints: SQLite would copy the table for them.
    op.create_index("uq_event_seq", "event", ["seq"], unique=True)
    op.create_table(
        "extension",
        sa.Column("id", _ID, nullable=False),
        sa.Column("competition_id", _ID, nullable=False),
        sa.Column("team_id", _ID, nullable=False),
        sa.Column("closes_at", UtcTime(), nullable=True),
        sa.Column("daily_extra", sa.Integer(), nullable=False),
        sa.Column("total_extra", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("granted_by", sa.String(length=60), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["competition_id"], ["competition.id"], name=op.f("fk_extension_competition_id")
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_extension_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_extension")),
    )
    op.create_index(op.f("ix_extension_competition_id"), "extension", ["competition_id"])
    op.create_index("ix_extension_team", "extension", ["team_id"])
    op.create_table(
        "sign_in_try",
        sa.Column("id", _ID, nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_try")),
    )
    op.create_index("ix_sign_in_try_key", "sign_in_try", ["key", "at"])
    for name, table, when, words in _triggers():
        _refuse(name, table, when, words)
    _refuse("event_seal", "event", "UPDATE OF seq, hash", "is sealed once", only_if="OLD.hash IS NOT NULL")


def _triggers() -> Iterator[tuple[str, str, str, str]]:
    for table, refusals in _REFUSED.items():
        for when, words in refusals:
            yield f"{table}_{when.split()[0].lower()}", table, when, words


def _refuse(name: str, table: str, when: str, words: str, only_if: str = "") -> None:
    condition = f" WHEN ({only_if})" if only_if else ""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {when} ON {table}{condition} "
            f"BEGIN SELECT RAISE(ABORT, 'a row of {table} {words}'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION 'a row of {table} {words}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {when} ON {table} FOR EACH ROW{condition} EXECUTE FUNCTION {name}()"
    )


def downgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name, table in (*((name, table) for name, table, _, _ in _triggers()), ("event_seal", "event")):
        op.execute(f"DROP TRIGGER {name}" if is_sqlite else f"DROP TRIGGER {name} ON {table}")
        if not is_sqlite:
            op.execute(f"DROP FUNCTION {name}()")
    op.drop_table("sign_in_try")
    op.drop_table("extension")
    op.drop_index("uq_event_seq", "event")
    for table, columns in (
        ("event", ("seq", "hash")),
        ("round", ("repeat_of", "applies_itself", "served_at")),
        ("competition", ("extended_until",)),
        ("heartbeat", ("detail",)),
    ):
        for column in columns:
            op.drop_column(table, column)

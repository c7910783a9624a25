"""Addresses of accounts, letters, and links for a new password

New tables beside what was there. Programs of 0003 go on working: they send no mail.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.base.db import UtcTime

revision = "0034_since_0003"
down_revision = "0033_since_0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "mail_address",
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        sa.Column("address", sa.String(254), nullable=True),
        sa.Column("wanted", sa.String(254), nullable=True),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("link_hash", sa.LargeBinary(32), nullable=True),
        sa.Column("link_until", UtcTime(), nullable=True),
        sa.Column("set_at", UtcTime(), nullable=False),
        sa.Column("confirmed_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_mail_address")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_mail_address_user_id_user_account")
        ),
    )
    op.create_index(op.f("ix_mail_address_address"), "mail_address", ["address"])
    op.create_table(
        "letter",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("reference", sa.String(40), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("next_try_at", UtcTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("fault", sa.String(300), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letter")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_letter_user_id_user_account")
        ),
        sa.UniqueConstraint("user_id", "kind", "reference", name=op.f("uq_letter_user_id_kind_reference")),
    )
    op.create_index("ix_letter_ended_at_next_try_at", "letter", ["ended_at", "next_try_at"])
    op.create_table(
        "letters_written",
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("reference", sa.String(40), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "reference", name=op.f("pk_letters_written")),
    )
    op.create_table(
        "password_link",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("until", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_link")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_password_link_user_id_user_account")
        ),
        sa.UniqueConstraint("token_hash", name=op.f("uq_password_link_token_hash")),
    )
    op.create_index(op.f("ix_password_link_user_id"), "password_link", ["user_id"])


def downgrade() -> None:
    for table in ("password_link", "letters_written", "letter", "mail_address"):
        op.drop_table(table)

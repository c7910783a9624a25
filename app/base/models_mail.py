"""The tables of mail: addresses of accounts, letters to send, and links for a new password.

A letter is a kind and a reference. Its text is composed when it is sent, so that no secret of a link and no
words of others wait here.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, UtcTime
from app.base.models import Id, User


class MailAddress(Base):
    """The address of an account, and which kinds of mail it wants."""

    __tablename__ = "mail_address"

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True, autoincrement=False)
    address: Mapped[str | None] = mapped_column(String(254), index=True)
    """The confirmed one, in lower case."""
    wanted: Mapped[str | None] = mapped_column(String(254))
    """Set and not confirmed yet; until then the one before stays."""
    kinds: Mapped[list[str]] = mapped_column(JSON)
    link_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    """Of the link that confirms the address."""
    link_until: Mapped[datetime | None] = mapped_column(UtcTime)
    set_at: Mapped[datetime] = mapped_column(UtcTime)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Nothing but the link to confirm is sent to an address before."""


class Letter(Base):
    """One mail to one account: waiting, sent, or given up with the reason."""

    __tablename__ = "letter"
    __table_args__ = (
        UniqueConstraint("user_id", "kind", "reference"),
        Index("ix_letter_ended_at_next_try_at", "ended_at", "next_try_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))
    """None: asked for an address that no account has; it is dropped."""
    kind: Mapped[str] = mapped_column(String(20))
    reference: Mapped[str] = mapped_column(String(40))
    """The id of what it is about, or a random text."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    next_try_at: Mapped[datetime] = mapped_column(UtcTime)
    """Also the end of the claim of the process that sends it."""
    attempts: Mapped[int] = mapped_column(default=0)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When it was sent, or given up."""
    fault: Mapped[str | None] = mapped_column(String(300))
    """Why it was given up, or why the last attempt failed."""


class LettersWritten(Base):
    """Something about which the letters to all have been written."""

    __tablename__ = "letters_written"

    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    reference: Mapped[str] = mapped_column(String(40), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime)


class PasswordLink(Base):
    """A link with which an account sets a new password once."""

    __tablename__ = "password_link"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    until: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When a link of the account was used, or its password changed otherwise."""

"""A new password by a link in a mail: asked for by address, used once, for half an hour."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import NotFound
from app.base.models import User
from app.base.models_mail import MailAddress, PasswordLink
from app.delivery import outbox
from app.delivery.addresses import Kind
from app.people import accounts

LINK_LIFE = timedelta(minutes=30)
MOST_ACCOUNTS = 5
"""With one address, to which each gets a letter."""


def ask(session: Session, address: str, *, now: datetime) -> None:
    """Write a letter with a link for each account that has confirmed the address.

    For an unknown address too, to no account: the answer and its time tell nothing about accounts.
    """
    known = MailAddress.address == address.strip().lower(), MailAddress.confirmed_at.is_not(None)
    found = session.scalars(
        select(MailAddress.user_id).where(*known).order_by(MailAddress.user_id).limit(MOST_ACCOUNTS)
    ).all()
    for user_id in found or (None,):
        outbox.write(session, user_id, Kind.PASSWORD, secrets.token_hex(8), now=now)


def link(session: Session, user_id: int, secret: str, *, now: datetime) -> bool:
    """Let a secret set a new password once; return whether it still can, on a repeated attempt.

    Earlier links stay valid until one is used: requests of others take no link away from the owner.
    """
    known = session.scalar(select(PasswordLink).where(PasswordLink.token_hash == _hash(secret)))
    if known is not None:
        return known.ended_at is None and known.until > now
    session.add(PasswordLink(user_id=user_id, token_hash=_hash(secret), until=now + LINK_LIFE))
    session.flush()
    return True


def account_of(session: Session, secret: str, *, now: datetime, locked: bool = False) -> User:
    """Return the account of a live link; NotFound otherwise."""
    found = (
        select(User)
        .join(PasswordLink, PasswordLink.user_id == User.id)
        .where(
            PasswordLink.token_hash == _hash(secret),
            PasswordLink.ended_at.is_(None),
            PasswordLink.until > now,
        )
    )
    user = session.scalar(found.with_for_update() if locked else found)
    if user is None:
        raise NotFound("This link is unknown, used, or older than half an hour. Ask for a new one.")
    return user


def set_(session: Session, secret: str, password_hash: str, *, now: datetime) -> User:
    """Use the link: set the password, sign out every browser, revoke the tokens."""
    user = account_of(session, secret, now=now, locked=True)
    used = PasswordLink.token_hash == _hash(secret), PasswordLink.ended_at.is_(None)
    if (
        session.scalar(update(PasswordLink).where(*used).values(ended_at=now).returning(PasswordLink.id))
        is None
    ):
        raise NotFound("This link was used a moment ago. Ask for a new one.")
    accounts.set_password(session, user.id, password_hash, now=now)
    events.log(session, user.name, "password reset by mail", user.name, now=now, user=user.id)
    return user


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

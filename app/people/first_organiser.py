"""The first organiser, created in the browser with a token that the server prints.

A new installation has no account, and so no default password. The token in the address is derived from the
secret key: nothing is stored, and it is invalid once there is an organiser.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import NotFound
from app.base.models import User
from app.people import accounts

_LOCK = 0x6F72_6761_6E69_7365  # "organise": PostgreSQL identifies such a lock by a number


def token(secret_key: str) -> str:
    made = hmac.digest(secret_key.encode(), b"first organiser", hashlib.sha256)
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def is_missing(session: Session) -> bool:
    return session.scalar(select(User.id).where(User.is_organiser).limit(1)) is None


def invitation(session: Session, secret_key: str, address: str) -> str | None:
    """Return the line for the operator; None if there is an organiser."""
    if not is_missing(session):
        return None
    return f"No organiser yet: make one at {address}/setup?token={token(secret_key)}"


def admit(session: Session, given: str, secret_key: str) -> None:
    """Refuse a wrong token, and any once there is an organiser.

    Both get the same answer.
    """
    is_right = hmac.compare_digest(given.encode(), token(secret_key).encode())
    if not is_right or not is_missing(session):
        raise NotFound("There is no such page.")


def make(session: Session, name: str, password_hash: str, *, now: datetime) -> User:
    """Create the organiser, unless there is one."""
    if session.get_bind().dialect.name == "postgresql":
        # Two concurrent requests would both see no organiser; on SQLite there is one writer at a time.
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if not is_missing(session):
        raise NotFound("There is an organiser already.")
    user = accounts.register(session, name, password_hash, now=now, is_organiser=True)
    session.flush()
    events.log(session, user.name, "first organiser made", user.name, now=now)
    return user

"""The first organiser of an installation: made in the browser by whoever can read what the server printed.

No account comes with an installation, so none has a password that a stranger could know. The address holds a
token made from the secret key: nothing is stored, and it is worth nothing once there is an organiser.
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

_LOCK = 0x6F72_6761_6E69_7365  # "organise": the number is PostgreSQL's only name for such a lock


def token(secret_key: str) -> str:
    made = hmac.digest(secret_key.encode(), b"first organiser", hashlib.sha256)
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def is_missing(session: Session) -> bool:
    return session.scalar(select(User.id).where(User.is_organiser).limit(1)) is None


def invitation(session: Session, secret_key: str, address: str) -> str | None:
    """The line for the operator while there is no organiser."""
    if not is_missing(session):
        return None
    return f"No organiser yet: make one at {address}/setup?token={token(secret_key)}"


def admit(session: Session, given: str, secret_key: str) -> None:
    """Refuse whoever does not hold the token, and everybody once there is an organiser, in the same words."""
    is_right = hmac.compare_digest(given.encode(), token(secret_key).encode())
    if not is_right or not is_missing(session):
        raise NotFound("There is no such page.")


def make(session: Session, name: str, password_hash: str, *, now: datetime) -> User:
    """The organiser, unless another was first."""
    if session.get_bind().dialect.name == "postgresql":
        # Two at once would both see none; SQLite's writers queue anyway.
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if not is_missing(session):
        raise NotFound("There is an organiser already.")
    user = accounts.register(session, name, password_hash, now=now, is_organiser=True)
    session.flush()
    events.log(session, user.name, "first organiser made", user.name, now=now)
    return user

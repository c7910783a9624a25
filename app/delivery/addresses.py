"""The address of an account: set, confirmed by a link, removed; and which kinds of mail it wants."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import User
from app.base.models_mail import Letter, MailAddress, PasswordLink
from app.delivery import outbox

LINK_LIFE = timedelta(hours=24)
_FORM = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+[A-Za-z]{2,63}"
)


class Kind(StrEnum):
    """The kinds of mail, of which an account chooses the last three."""

    CONFIRM = "confirm"
    PASSWORD = "password"  # noqa: S105  a kind of letter
    ANNOUNCEMENT = "announcement"
    ANSWER = "answer"
    RESULTS = "results"


CHOSEN = (Kind.ANNOUNCEMENT, Kind.ANSWER, Kind.RESULTS)
"""All are sent unless an account wants less."""


def valid(address: str) -> str:
    """Return an address as it is stored; Refused with the reason."""
    address = address.strip()
    if len(address) > 254 or not _FORM.fullmatch(address):
        raise Refused(
            f"{address[:60]!r} is no e-mail address; expected a form like name@example.org, in ASCII."
        )
    return address.lower()


def of(session: Session, user_id: int) -> MailAddress | None:
    """Return the address of an account; None if it has none."""
    return session.get(MailAddress, user_id)


def set_(session: Session, user: User, address: str, *, now: datetime) -> MailAddress:
    """Give an account an address, and write the letter with the link that confirms it."""
    address = valid(address)
    row = session.get(MailAddress, user.id, with_for_update=True)
    if row is not None and row.address == address and row.confirmed_at is not None:
        raise Conflict(f"{address} is already your confirmed address.")
    if row is None:
        row = MailAddress(user_id=user.id, kinds=[kind.value for kind in CHOSEN], address=address, set_at=now)
        session.add(row)
    # A link to a former address confirms nothing, and one for a new password, sent there, ends.
    row.address, row.set_at, row.confirmed_at, row.link_hash = address, now, None, None
    _end_password_links(session, user.id, now)
    session.flush()
    outbox.write(session, user.id, Kind.CONFIRM, secrets.token_hex(8), now=now)
    events.log(session, user.name, "mail address set", user.name, now=now, user=user.id)
    return row


def new_link(session: Session, row: MailAddress, *, now: datetime) -> str:
    """Return the secret of a fresh link, which ends the one before."""
    secret = secrets.token_urlsafe(24)
    row.link_hash, row.link_until = _hash(secret), now + LINK_LIFE
    session.flush()
    return secret


def confirm(session: Session, secret: str, *, now: datetime) -> str:
    """Confirm the address of a link; return it. NotFound if the link is unknown, used or too old."""
    live = MailAddress.link_hash == _hash(secret), MailAddress.link_until > now
    row = session.scalar(select(MailAddress).where(*live).with_for_update())
    if row is None:
        raise NotFound("This link is unknown, used, or older than a day. Your account page sends a new one.")
    row.confirmed_at, row.link_hash, row.link_until = now, None, None
    user = session.get_one(User, row.user_id)
    events.log(session, user.name, "mail address confirmed", user.name, now=now, user=user.id)
    return row.address


def choose(session: Session, user_id: int, kinds: Collection[str]) -> None:
    """Set which kinds of mail an account wants."""
    row = session.get(MailAddress, user_id)
    if row is None:
        raise NotFound("You have no address yet; set one first.")
    row.kinds = [kind.value for kind in CHOSEN if kind.value in kinds]


def remove(session: Session, user: User, *, now: datetime) -> None:
    """Remove the address of an account with its letters and links."""
    if session.get(MailAddress, user.id) is None:
        raise NotFound("You have no address.")
    erase(session, user.id)
    events.log(session, user.name, "mail address removed", user.name, now=now, user=user.id)


def erase(session: Session, user_id: int) -> None:
    """Delete everything about mail of an account."""
    for table in (Letter, PasswordLink, MailAddress):
        session.execute(delete(table).where(table.user_id == user_id))


def _end_password_links(session: Session, user_id: int, now: datetime) -> None:
    live = PasswordLink.user_id == user_id, PasswordLink.ended_at.is_(None)
    for link in session.scalars(select(PasswordLink).where(*live)):
        link.ended_at = now


def _hash(secret: str) -> bytes:
    # 192 random bits: one fast hash is enough.
    return hashlib.sha256(secret.encode()).digest()

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
from app.people import accounts

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


def set_(session: Session, user: User, address: str, *, now: datetime) -> str:
    """Set the address that an account wants, and write the letter with the link that confirms it.

    A confirmed one stays until then: a wrong letter in the new one takes no way back from its owner.
    """
    address = valid(address)
    row = session.get(MailAddress, user.id, with_for_update=True)
    if row is not None and row.address == address:
        raise Conflict(f"{address} is already your confirmed address.")
    if row is None:
        row = MailAddress(user_id=user.id, kinds=[kind.value for kind in CHOSEN], set_at=now)
        session.add(row)
    row.wanted, row.set_at, row.link_hash, row.link_until = address, now, None, None
    session.flush()
    outbox.write(session, user.id, Kind.CONFIRM, secrets.token_hex(8), now=now)
    events.log(session, user.name, "mail address set", user.name, now=now, user=user.id)
    return address


def link(session: Session, row: MailAddress, secret: str, *, now: datetime) -> None:
    """Let a secret confirm the wanted address; one of an earlier letter no longer does."""
    if row.link_hash != _hash(secret):
        row.link_hash, row.link_until = _hash(secret), now + LINK_LIFE
        session.flush()


def confirm(session: Session, secret: str, *, now: datetime) -> str:
    """Confirm the address of a link; return it. NotFound if the link is unknown, used or too old.

    Links for a new password that went to the address before end.
    """
    live = MailAddress.link_hash == _hash(secret), MailAddress.link_until > now
    row = session.scalar(select(MailAddress).where(*live).with_for_update())
    if row is None or row.wanted is None:
        raise NotFound("This link is unknown, used, or older than a day. Your account page sends a new one.")
    address = row.wanted
    row.address, row.wanted, row.confirmed_at, row.link_hash, row.link_until = address, None, now, None, None
    accounts.end_password_links(session, row.user_id, now=now)
    user = session.get_one(User, row.user_id)
    events.log(session, user.name, "mail address confirmed", user.name, now=now, user=user.id)
    return address


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


def _hash(secret: str) -> bytes:
    # 192 random bits: one fast hash is enough.
    return hashlib.sha256(secret.encode()).digest()

"""Limits on attempts to sign in, to sign up and to change a password.

All web processes count attempts in the database before they hash a password. A failed attempt to sign in from
an unknown browser counts for the account from this address, for the account, for the address and for all. The
first failures cost nothing; each one after them doubles the wait for the same key. So guesses at one account
delay neither the other accounts behind an address nor the same account elsewhere.

A browser in which the account has signed in before is counted by itself alone, so a flood of guesses does
not keep the owner out. A success removes only its own rows, so signing in to an own account does not clear
guesses from the same address. Password changes have a key of their own, so that a flood of sign-ins cannot
block them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, text
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import RateLimited
from app.base.models import SignInAttempt, User
from app.people import names

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PER_PASSWORD_CHANGE = 5  # attempts a minute
PER_QUESTION = 6  # questions an hour
PER_ADDRESS_SET, PER_FORGOTTEN, PER_NETWORK_FORGOTTEN = 5, 3, 60  # letters an hour
PER_ADDRESS, IN_ALL = 120, 300  # attempts a minute; two addresses leave room for the others
FREE_HERE, FREE_BROWSER, FREE_ACCOUNT = 5, 10, 30  # failures in an hour before the first wait
SHORTEST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
PER_CODE = 20  # forms with one valid code, in an hour, before the first wait
PER_ROOM, PER_CLASS = 300, 1500  # codes that are not valid, in an hour, before the first wait
PURGE_EVERY = 100  # rows
_KNOWN = "A browser in which you have signed in before is not held up."
_HELD = "here", "account", "address"  # and "all", which has no further word
_LOCK = 0x7472_6965_73  # "tries": PostgreSQL identifies such a lock by a number


@dataclass(frozen=True)
class Limit:
    key: str
    most: int
    within: timedelta
    words: str
    grows: bool = False
    """Above `most`, wait a time that doubles with each attempt, instead of until the oldest has expired."""

    def wait(self, count: int, oldest: datetime, newest: datetime, now: datetime) -> timedelta:
        """Return the time until the next attempt; zero or less: now."""
        if count < self.most:
            return timedelta()
        if not self.grows:
            return oldest + self.within - now
        factor: int = 2 ** min(count - self.most, 10)
        return newest + min(SHORTEST_WAIT * factor, LONGEST_WAIT) - now


@dataclass(frozen=True)
class Held:
    """A limit that refuses sign-ins now; None for any account or any address, both for the limit of all."""

    account: str | None
    address: str | None
    attempts: int
    until: datetime


def to_sign_in(name: str, address: str | None, browser: str | None = None) -> list[Limit]:
    """Return the limits of an attempt; `browser` identifies one that this account has used before.

    They are the same for a name without an account.
    """
    if browser is not None:
        words = "Too many failed attempts in this browser."
        return [Limit(f"browser {browser}", FREE_BROWSER, HOUR, words, grows=True)]
    account, here = _account(name), network(address)
    return [
        Limit(
            f"here {account} {here}",
            FREE_HERE,
            HOUR,
            f"Too many failed attempts for this account. {_KNOWN}",
            grows=True,
        ),
        Limit(
            f"account {account}",
            FREE_ACCOUNT,
            HOUR,
            f"Too many failed attempts for this account. {_KNOWN}",
            grows=True,
        ),
        Limit(
            f"address {here}", PER_ADDRESS, MINUTE, f"Too many failed attempts from your network. {_KNOWN}"
        ),
        Limit("all", IN_ALL, MINUTE, "Too many people are signing in now."),
    ]


def to_change_password(user_id: int) -> list[Limit]:
    words = "Too many attempts for this account."
    return [Limit(f"password {user_id}", PER_PASSWORD_CHANGE, MINUTE, words)]


def to_sign_up(address: str | None, per_hour: int) -> list[Limit]:
    return [
        Limit(
            f"sign-up {network(address)}",
            per_hour,
            HOUR,
            f"The limit of {per_hour} new accounts an hour from your network is reached.",
        ),
        Limit(
            "sign-up",
            5 * per_hour,
            HOUR,
            f"The limit of {5 * per_hour} new accounts an hour on this server is reached.",
        ),
    ]


def to_join(classroom_id: int, address: str | None) -> list[Limit]:
    """Return the limits of an attempt to join a class.

    They are wide: a whole room shares an address, and a code has 50 random bits.
    """
    words = "Too many codes that are not valid in this class."
    return [
        Limit(f"join {classroom_id} {network(address)}", PER_ROOM, HOUR, words, grows=True),
        Limit(f"join {classroom_id}", PER_CLASS, HOUR, words, grows=True),
    ]


def to_ask(user_id: int) -> list[Limit]:
    """Return the limit of the questions of an account, over all competitions."""
    words = f"The limit of {PER_QUESTION} questions an hour is reached."
    return [Limit(f"question {user_id}", PER_QUESTION, HOUR, words)]


def to_set_address(user_id: int, mail_address: str) -> list[Limit]:
    """Return the limits of letters that confirm addresses: of an account, and to one address."""
    words = "Too many letters to confirm an address were asked for."
    return [
        Limit(f"mail {user_id}", PER_ADDRESS_SET, HOUR, words),
        Limit(f"mail to {_hashed(mail_address)}", PER_FORGOTTEN, HOUR, words),
    ]


def to_forget(mail_address: str, address: str | None) -> list[Limit]:
    """Return the limits of asking for a new password: for an address from one network, and of a network.

    The same for an address that no account has. Another network's requests do not count.
    """
    words = "Too many letters for a new password were asked for."
    return [
        Limit(f"forgot {_hashed(mail_address)} {network(address)}", PER_FORGOTTEN, HOUR, words),
        Limit(f"forgot from {network(address)}", PER_NETWORK_FORGOTTEN, HOUR, words),
    ]


def _hashed(mail_address: str) -> str:
    return hashlib.sha256(mail_address.strip().lower().encode()).hexdigest()[:24]


def to_use_code(enrolment_id: int) -> list[Limit]:
    """Return the limit of forms with a valid code: each costs a hash and tells whether a name is taken."""
    words = "Too many attempts with this code."
    return [Limit(f"join code {enrolment_id}", PER_CODE, HOUR, words, grows=True)]


def network(address: str | None) -> str:
    """Return the network that counts as one address.

    For IPv6 this is the /64, which one household or server has.
    """
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:  # a unix socket, or a proxy that sends no address
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), 64), strict=False))


def refuse(session: Session, limits: Sequence[Limit], *, now: datetime) -> None:
    """Refuse an attempt above a limit, with the longest wait; only reads."""
    row = SignInAttempt
    recent = or_(*(and_(row.key == limit.key, row.at > now - limit.within) for limit in limits))
    found = session.execute(
        select(row.key, func.count(), func.min(row.at), func.max(row.at)).where(recent).group_by(row.key)
    )
    counted = {key: (count, oldest, newest) for key, count, oldest, newest in found}
    waits = [(limit.wait(*counted.get(limit.key, (0, now, now)), now), limit) for limit in limits]
    left, limit = max(waits, key=lambda one: one[0])
    if left > timedelta():
        raise RateLimited(f"{limit.words} Please wait {_wait(left)}.", retry_after=left)


def count(session: Session, limits: Sequence[Limit], *, now: datetime) -> list[int]:
    """Count or refuse an attempt; return its rows for `forget`."""
    if session.get_bind().dialect.name == "postgresql":
        # Two concurrent attempts would both see room for one; on SQLite there is one writer at a time.
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    refuse(session, limits, now=now)
    rows = [SignInAttempt(key=limit.key, at=now) for limit in limits]
    session.add_all(rows)
    session.flush()
    if any(row.id % PURGE_EVERY == 0 for row in rows):
        session.execute(delete(SignInAttempt).where(SignInAttempt.at <= now - HOUR))
    return [row.id for row in rows]


def forget(session: Session, ids: Sequence[int]) -> None:
    """Remove an attempt that was successful."""
    session.execute(delete(SignInAttempt).where(SignInAttempt.id.in_(ids)))


def held(session: Session, *, now: datetime) -> list[Held]:
    """Return the limits that refuse sign-ins now, of existing accounts, of addresses and of all.

    Other names are left out: people also type passwords into the field.
    """
    row = SignInAttempt
    found = session.execute(
        select(row.key, func.count(), func.min(row.at), func.max(row.at))
        .where(
            row.at > now - HOUR, or_(row.key == "all", *(row.key.startswith(f"{kind} ") for kind in _HELD))
        )
        .group_by(row.key)
        .having(func.count() >= min(FREE_HERE, FREE_ACCOUNT, PER_ADDRESS))
    ).all()
    refusing = []
    for key, count, oldest, newest in found:
        kind, _, rest = key.partition(" ")
        account, _, address = rest.rpartition(" ") if kind == "here" else (rest, "", "")
        if kind == "address":
            account, address = "", rest
        limit = next(one for one in to_sign_in(account, address or None) if one.key.partition(" ")[0] == kind)
        if limit.within < HOUR:
            recent = row.key == key, row.at > now - limit.within
            count, oldest, newest = session.execute(
                select(func.count(), func.min(row.at), func.max(row.at)).where(*recent)
            ).one()
        left = limit.wait(count, oldest or now, newest or now, now)
        if left > timedelta():
            refusing.append(Held(account or None, address or None, count, now + left))
    names = {one.account for one in refusing if one.account}
    known = set(session.scalars(select(User.name).where(User.name.in_(names))))
    kept = [one for one in refusing if one.account is None or one.account in known]
    return sorted(kept, key=lambda one: (one.account or "", one.address or ""))


def lift(
    session: Session,
    *,
    account: User | None = None,
    address: str | None = None,
    of_all: bool = False,
    by: str,
    now: datetime,
) -> None:
    """Forget failed attempts of an account, of an address at all accounts, and the count of all attempts."""
    row = SignInAttempt
    which: list[ColumnElement[bool]] = []
    if account is not None:
        which += [row.key.in_([f"account {account.name}", f"password {account.id}"])]
        which += [row.key.startswith(f"here {account.name} ", autoescape=True)]
        which += [row.key.startswith(f"browser {account.id} ", autoescape=True)]
    if address is not None:
        here = address if "/" in address else network(address)  # the list shows an IPv6 network
        which += [row.key == f"address {here}"]
        which += [and_(row.key.startswith("here "), row.key.endswith(f" {here}", autoescape=True))]
    if of_all:
        which += [row.key == "all"]
    session.execute(delete(row).where(or_(*which)))
    subject = account.name if account else "sign-in"
    events.log(session, by, "sign-in limits lifted", subject, now=now, address="all" if of_all else address)


def _account(name: str) -> str:
    return names.canonical(name)[:40]


def _wait(left: timedelta) -> str:
    seconds = max(1, math.ceil(left.total_seconds()))
    return f"{seconds} seconds" if seconds <= 120 else f"{math.ceil(seconds / 60)} minutes"

"""Limits on attempts to sign in, to sign up and to change a password.

All web processes count attempts in the database before they hash a password. An attempt to sign in is three
rows: for the account, for the address and for all. A success removes only its own rows, so signing in to an
own account does not clear guesses from the same address. Password changes have a key of their own, so that an
attacker who floods an account's sign-in cannot block them.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, or_, select, text
from sqlalchemy.orm import Session

from app.base.errors import RateLimited
from app.base.models import SignInAttempt

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PER_ACCOUNT, PER_ADDRESS, IN_ALL = 5, 30, 300  # attempts a minute
PURGE_EVERY = 100  # rows
_LOCK = 0x7472_6965_73  # "tries": PostgreSQL identifies such a lock by a number


@dataclass(frozen=True)
class Limit:
    key: str
    most: int
    within: timedelta
    words: str


def to_sign_in(name: str, address: str | None) -> list[Limit]:
    account = name.strip().lower()[:64]
    return [
        Limit(f"account {account}", PER_ACCOUNT, MINUTE, "Too many attempts for this account."),
        Limit(
            f"address {network(address)}", PER_ADDRESS, MINUTE, "Too many failed attempts from your network."
        ),
        Limit("all", IN_ALL, MINUTE, "Too many people are signing in now."),
    ]


def to_change_password(user_id: int) -> list[Limit]:
    return [Limit(f"password {user_id}", PER_ACCOUNT, MINUTE, "Too many attempts for this account.")]


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
    """Refuse an attempt above a limit; only reads."""
    row = SignInAttempt
    recent = or_(*(and_(row.key == limit.key, row.at > now - limit.within) for limit in limits))
    found = session.execute(select(row.key, func.count(), func.min(row.at)).where(recent).group_by(row.key))
    counted = {key: (count, oldest) for key, count, oldest in found}
    for limit in limits:
        count, oldest = counted.get(limit.key, (0, now))
        if count >= limit.most:
            left = oldest + limit.within - now
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


def _wait(left: timedelta) -> str:
    seconds = max(1, math.ceil(left.total_seconds()))
    return f"{seconds} seconds" if seconds <= 120 else f"{math.ceil(seconds / 60)} minutes"

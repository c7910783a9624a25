"""API tokens: make, check, list and revoke them.

`check` is the one function that turns a token into an account and a scope, whatever carries the token.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.base.errors import Conflict, Forbidden, InsufficientScope, NotFound, NotSignedIn, Refused
from app.base.models import Token, User
from app.base.models_roles import Host
from app.people import accounts
from app.people.accounts import Viewer

MOST_TOKENS = 20
MOST_DAYS = 366
DEFAULT_DAYS = 90
NOTED_EVERY = timedelta(minutes=1)


class Scope(StrEnum):
    """What a token may do; each scope includes those before it."""

    READ = "read"
    """Read what the account may see."""
    SUBMIT = "submit"
    """Also join, upload and pick."""
    ORGANISE = "organise"
    """Also all that an organiser may do; without it an organiser's token acts as a participant's."""

    def includes(self, other: Scope) -> bool:
        order = list(Scope)
        return order.index(other) <= order.index(self)


DEFAULT_SCOPE = Scope.SUBMIT


@dataclass(frozen=True)
class Grant:
    """A valid token: its account, and what it may do.

    The viewer is an organiser or a host only with the scope organise, so that every rule holds for the token;
    `owner` is the account without regard to the scope.
    """

    token_id: int
    viewer: Viewer
    owner: Viewer
    scope: Scope
    label: str
    hint: str
    expires_at: datetime | None
    last_used_at: datetime | None

    def require(self, scope: Scope) -> None:
        """Refuse if the token's scope does not include this one."""
        if not self.scope.includes(scope):
            raise InsufficientScope(
                f"The token {self.hint}... ({self.label}) has the scope {self.scope}; this needs {scope}. "
                f"Make a token with the scope {scope} on your account page.",
                scope,
            )

    def is_use_due(self, now: datetime) -> bool:
        """Whether the last use is to be noted again: at most once a minute."""
        return self.last_used_at is None or now - self.last_used_at >= NOTED_EVERY


def issue(
    session: Session,
    user_id: int,
    label: str,
    *,
    now: datetime,
    scope: Scope | str = DEFAULT_SCOPE,
    days: int = DEFAULT_DAYS,
    maker: Grant | None = None,
) -> str:
    """Create an API token; return its text, which is not stored.

    A token that another one makes may do no more and is valid no longer: a stolen token gains nothing by it.
    """
    if scope not in set(Scope):
        raise Refused(f"{str(scope)[:20]!r} is not a scope of a token: use {', '.join(Scope)}.")
    if not 1 <= days <= MOST_DAYS:
        raise Refused(f"A token is valid for 1 to {MOST_DAYS} days, not {days}.")
    expires_at = now + timedelta(days=days)
    if maker is not None:
        maker.require(Scope(scope))
        expires_at = min(expires_at, maker.expires_at or expires_at)
    # Locked: two concurrent requests would both see room for one.
    user = session.scalars(select(User).where(User.id == user_id).with_for_update()).one()
    its = Host.user_id == user.id, Host.removed_at.is_(None)
    hosts = user.is_organiser or session.scalar(select(Host.user_id).where(*its).limit(1)) is not None
    if scope == Scope.ORGANISE and not hosts and not accounts.teaches(session, user.id):
        raise Forbidden(f"{user.name} is not an organiser; the widest scope is {Scope.SUBMIT}.")
    if sum(token.is_live(now) for token in listed(session, user_id)) >= MOST_TOKENS:
        raise Conflict(f"{user.name} has {MOST_TOKENS} tokens, the most allowed. Revoke one first.")
    secret = "hld_" + secrets.token_urlsafe(32)
    session.add(
        Token(
            user_id=user_id,
            label=label.strip()[:60] or "token",
            token_hash=_digest(secret),
            hint=secret[:8],
            scope=str(scope),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return secret


def check(session: Session, secret: str, *, now: datetime) -> Grant:
    """Return what a token grants; refuse one that is unknown, revoked or expired."""
    found = session.execute(
        select(Token, User, accounts.hosted())
        .join(User, Token.user_id == User.id)
        .where(Token.token_hash == _digest(secret))
    ).one_or_none()
    if found is None:
        raise NotSignedIn("There is no such token. Make one on your account page.")
    token, user, hosted = found
    owner = Viewer(user.id, user.name, user.is_organiser, *accounts.by_role(hosted))
    named = f"The token {token.hint}... ({token.label})"
    if token.revoked_at is not None:
        raise NotSignedIn(f"{named} was revoked on {_time(token.revoked_at)}. Make one on your account page.")
    if token.expires_at is not None and not token.is_live(now):
        raise NotSignedIn(f"{named} expired on {_time(token.expires_at)}. Make one on your account page.")
    scope = Scope(token.scope)
    return Grant(
        token_id=token.id,
        viewer=owner if scope.includes(Scope.ORGANISE) else Viewer(user.id, user.name, is_organiser=False),
        owner=owner,
        scope=scope,
        label=token.label,
        hint=token.hint,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )


def note_use(session: Session, token_id: int, *, now: datetime) -> None:
    """Note that a token was used, unless that was noted within a minute."""
    is_due = or_(Token.last_used_at.is_(None), Token.last_used_at <= now - NOTED_EVERY)
    session.execute(update(Token).where(Token.id == token_id, is_due).values(last_used_at=now))


def listed(session: Session, user_id: int) -> list[Token]:
    """Return the tokens of an account that are not revoked, newest first."""
    kept = select(Token).where(Token.user_id == user_id, Token.revoked_at.is_(None))
    return list(session.scalars(kept.order_by(Token.id.desc())))


def revoke(session: Session, user_id: int, token_id: int, *, now: datetime) -> None:
    mine = Token.id == token_id, Token.user_id == user_id
    if not session.execute(update(Token).where(*mine).values(revoked_at=now).returning(Token.id)).first():
        raise NotFound("There is no such token of yours.")


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _digest(secret: str) -> bytes:
    # The secrets have 256 random bits, so one fast hash is enough; passwords need argon2.
    return hashlib.sha256(secret.encode()).digest()

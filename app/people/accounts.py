"""Accounts: names and passwords, browser sign-ins."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import ScalarSelect, String, cast, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, NotFound, NotSignedIn, RateLimited, Refused
from app.base.models import FormerName, SignIn, Token, User
from app.base.models_classes import Enrolment
from app.base.models_classes import Role as ClassRole
from app.base.models_mail import PasswordLink
from app.base.models_roles import Host, Role
from app.people.names import canonical, refuse_reserved, refuse_taken, stored

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 200  # argon2 would also hash a megabyte, slowly

# OWASP's second choice, with 19 MiB a hash, for web processes on small machines.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# More hashes at a time than cores would only take longer, and more memory.
_hashing = threading.BoundedSemaphore(2)
# Requests that hash or wait for it: each holds a web thread, and some threads must stay free for pages.
_hashing_slots = threading.BoundedSemaphore(4)
_dummy_hash = _hasher.hash("no account has this password")


@dataclass(frozen=True)
class Viewer:
    """The signed-in user, as pages and rules need it, without a session."""

    id: int
    name: str
    is_organiser: bool
    """Of the whole installation."""
    hosted: frozenset[int] = frozenset()
    """The competitions of which it is owner or co-host; see app.competing.roles."""
    assisted: frozenset[int] = frozenset()
    """Those of which it is an assistant."""
    judged: frozenset[int] = frozenset()
    """Those of which it is a judge."""

    def organises(self, competition_id: int) -> bool:
        """Return whether the user may do what organisers do in this competition."""
        return self.is_organiser or competition_id in self.hosted

    def assists(self, competition_id: int) -> bool:
        """Return whether the user may see the tables of this competition and answer questions."""
        return self.organises(competition_id) or competition_id in self.assisted

    def has_role(self, competition_id: int) -> bool:
        """Return whether the user has any role in this competition; its files are then not ranked."""
        return self.assists(competition_id) or competition_id in self.judged

    @property
    def has_roles(self) -> bool:
        """Return whether the user has a role anywhere."""
        return self.is_organiser or bool(self.hosted or self.assisted or self.judged)


def hash_password(password: str) -> str:
    """Hash a password; refuse a weak one.

    Slow on purpose: call it before a transaction begins.
    """
    if len(password) < MIN_PASSWORD_LENGTH:
        raise Refused(
            f"The password has {len(password)} characters; it must have at least {MIN_PASSWORD_LENGTH}."
        )
    if len(password) > MAX_PASSWORD_LENGTH:
        raise Refused(
            f"The password has {len(password)} characters; at most {MAX_PASSWORD_LENGTH} are allowed."
        )
    with _hashing:
        return _hasher.hash(password)


def register(
    session: Session, name: str, password_hash: str | None, *, now: datetime, is_organiser: bool = False
) -> User:
    """Create an account with a lower-case name that looks like no other."""
    name = _valid(session, name, is_organiser=is_organiser)
    user = User(
        name=name,
        skeleton=stored(name)[0],
        password_hash=password_hash,
        is_organiser=is_organiser,
        created_at=now,
    )
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError:
        raise Conflict(f"The name {name} is taken; choose another.") from None
    return user


def rename(
    session: Session, user: User, name: str, *, by: str, now: datetime, releases_former: bool = False
) -> None:
    """Give an account another name; for organisers, since the audit log names actors by their accounts.

    The former name stays the account's, so that no other participant can pass for it on old boards and
    receipts. `releases_former` frees this and all earlier names of the account.
    """
    before = user.name
    user.name = _valid(session, name, is_organiser=user.is_organiser, own=[user.id])
    user.skeleton = stored(user.name)[0]
    if releases_former:
        session.execute(delete(FormerName).where(FormerName.user_id == user.id))
    elif user.name != before:
        former = FormerName(user_id=user.id, name=before, skeleton=stored(before)[0], until=now)
        session.add(former)
    session.flush()
    events.log(
        session,
        by,
        "user renamed",
        user.name,
        now=now,
        user=user.id,
        before=before,
        **({"released": True} if releases_former else {}),
    )


def _valid(session: Session, name: str, *, is_organiser: bool, own: Collection[int] = ()) -> str:
    name = canonical(name)
    if not NAME.fullmatch(name):
        raise Refused(
            f"{name[:40]!r} is not a valid name: use 1 to 40 letters a-z, digits, dots, dashes and "
            "underscores, beginning and ending with a letter or digit."
        )
    refuse_reserved(name, is_organiser=is_organiser)
    refuse_taken(session, name, own=own)
    return name


@contextmanager
def hashing_slot() -> Iterator[None]:
    """Hold one of few slots to hash a password; refuse when all are taken."""
    # A class signs in all at once, and a hash takes a tenth of a second.
    if not _hashing_slots.acquire(timeout=2.0):
        raise RateLimited(
            "Too many people are signing in now. Please try again in a few seconds.",
            retry_after=timedelta(seconds=5),
        )
    try:
        yield
    finally:
        _hashing_slots.release()


def candidate(session: Session, name: str) -> User | None:
    """Find the user for `verify`, to call after this session.

    No session is open while a password is hashed.
    """
    return session.scalar(select(User).where(User.name == canonical(name)))


def verify(user: User | None, password: str) -> User:
    """Return the user if the password is right.

    An unknown name takes as much time as a wrong password.
    """
    known = user.password_hash if user and user.password_hash else _dummy_hash
    try:
        with _hashing:
            _hasher.verify(known, password[:MAX_PASSWORD_LENGTH])
    except VerificationError:
        user = None
    if user is None or user.password_hash is None:
        raise NotSignedIn("The name or the password is wrong.")
    return user


def by_name(session: Session, name: str) -> User:
    user = session.scalar(select(User).where(User.name == canonical(name)))
    if user is None:
        raise NotFound(f"There is no user {name}; `heldout user add {name}` creates one.")
    return user


def names(session: Session, user_ids: Collection[int]) -> dict[int, str]:
    """Return the names of accounts by id."""
    found = session.execute(select(User.id, User.name).where(User.id.in_(user_ids)))
    return {row.id: row.name for row in found}


def sign_in(session: Session, user_id: int, *, now: datetime, days: int, browser: str = "") -> str:
    """Sign a browser in; return its secret, which only the cookie holds."""
    secret = secrets.token_urlsafe(32)
    session.add(
        SignIn(
            user_id=user_id,
            token_hash=_digest(secret),
            browser=browser[:200],
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
    )
    return secret


def by_sign_in(session: Session, secret: str, *, now: datetime) -> Viewer | None:
    """Return the user of a cookie's secret; None if revoked or expired."""
    found = session.execute(
        select(User.id, User.name, User.is_organiser, hosted())
        .join(SignIn, SignIn.user_id == User.id)
        .where(SignIn.token_hash == _digest(secret), SignIn.revoked_at.is_(None), SignIn.expires_at > now)
    ).one_or_none()
    return Viewer(*found[:3], *by_role(found[3])) if found else None


def hosted() -> ScalarSelect[str | None]:
    """Return the roles of a selected user as a column: `id:role` with commas between them."""
    its = Host.user_id == User.id, Host.removed_at.is_(None)
    listed = func.aggregate_strings(cast(Host.competition_id, String) + ":" + Host.role, ",")
    return select(listed).where(*its).correlate(User).scalar_subquery()


def teaches(session: Session, user_id: int) -> bool:
    """Return whether an account is an instructor or assistant of a class."""
    its = Enrolment.user_id == user_id, Enrolment.left_at.is_(None), Enrolment.role != ClassRole.STUDENT.value
    return session.scalar(select(Enrolment.id).where(*its).limit(1)) is not None


def by_role(listed: str | None) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    """Return the competitions of the column `hosted`: those hosted, assisted and judged."""
    roles = [one.split(":", 1) for one in listed.split(",")] if listed else []

    def having(*wanted: Role) -> frozenset[int]:
        return frozenset(int(number) for number, role in roles if role in wanted)

    return having(Role.OWNER, Role.COHOST), having(Role.ASSISTANT), having(Role.JUDGE)


def sign_ins(session: Session, user_id: int, *, now: datetime) -> list[SignIn]:
    live = SignIn.revoked_at.is_(None), SignIn.expires_at > now
    return list(
        session.scalars(select(SignIn).where(SignIn.user_id == user_id, *live).order_by(SignIn.id.desc()))
    )


def is_this_browser(row: SignIn, secret: str) -> bool:
    """Whether a cookie's secret belongs to this row."""
    return secrets.compare_digest(row.token_hash, _digest(secret))


def sign_out(session: Session, secret: str, *, now: datetime) -> None:
    session.execute(update(SignIn).where(SignIn.token_hash == _digest(secret)).values(revoked_at=now))


def revoke_sign_in(session: Session, user_id: int, sign_in_id: int, *, now: datetime) -> None:
    mine = SignIn.id == sign_in_id, SignIn.user_id == user_id
    if not session.execute(update(SignIn).where(*mine).values(revoked_at=now).returning(SignIn.id)).first():
        raise NotFound("There is no such sign-in of yours.")


def set_password(
    session: Session, user_id: int, password_hash: str, *, now: datetime, keep_tokens: bool = False
) -> None:
    """Change the password, sign out every browser and revoke the tokens unless they are kept."""
    session.execute(update(User).where(User.id == user_id).values(password_hash=password_hash))
    end_password_links(session, user_id, now=now)
    for secret in (SignIn,) if keep_tokens else (SignIn, Token):
        live = secret.user_id == user_id, secret.revoked_at.is_(None)
        session.execute(update(secret).where(*live).values(revoked_at=now))


def end_password_links(session: Session, user_id: int, *, now: datetime) -> None:
    """End every link with which the account could set a new password."""
    live = PasswordLink.user_id == user_id, PasswordLink.ended_at.is_(None)
    session.execute(update(PasswordLink).where(*live).values(ended_at=now))


def _digest(secret: str) -> bytes:
    # The secrets have 256 random bits, so one fast hash is enough; passwords need argon2.
    return hashlib.sha256(secret.encode()).digest()

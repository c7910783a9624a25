"""Admissions: the accounts that may see a competition which is not public, by its list or its private link.

The link holds a secret of 256 bits, of which the database has a hash, and is shown once. It admits accounts
only while the competition is unlisted. A link that is unknown, revoked or of another competition is refused
like an unknown name of a competition.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import Competition, Membership, User, Visibility
from app.base.models_visibility import Admission, PrivateLink, Way
from app.competing import competitions, visibility
from app.people.accounts import Viewer
from app.people.names import canonical
from scorer.report import Problem

MOST_AT_ONCE = 500
"""Names that one request admits."""


@dataclass(frozen=True)
class Entry:
    """An account that is admitted to a competition."""

    name: str
    way: Way
    admitted_by: str
    admitted_at: datetime
    has_joined: bool


def listed(session: Session, competition: Competition) -> list[Entry]:
    """Return the accounts that are admitted, the newest first."""
    joined = exists().where(
        Membership.competition_id == competition.id, Membership.user_id == Admission.user_id
    )
    found = session.execute(
        select(Admission, User.name, joined)
        .join(User, User.id == Admission.user_id)
        .where(Admission.competition_id == competition.id, Admission.removed_at.is_(None))
        .order_by(Admission.admitted_at.desc(), User.name)
    )
    return [
        Entry(name, Way(row.way), row.admitted_by, row.admitted_at, has_joined)
        for row, name, has_joined in found
    ]


def admit(
    session: Session, competition: Competition, names: Sequence[str], *, by: str, now: datetime
) -> list[str]:
    """Put accounts on the list of a competition; return the names of the new ones.

    Refuses all when a name has no account: a later account of this name could be another person's.
    """
    wanted = list(dict.fromkeys(canonical(name) for name in names if name.strip()))
    if not 1 <= len(wanted) <= MOST_AT_ONCE:
        raise Refused(f"Give 1 to {MOST_AT_ONCE} names of accounts; {len(wanted)} were given.")
    competitions.lock(session, competition)
    found = {user.name: user.id for user in session.scalars(select(User).where(User.name.in_(wanted)))}
    unknown = [name for name in wanted if name not in found]
    if unknown:
        problems = [
            Problem("UNKNOWN_ACCOUNT", f"there is no account {name[:40]}", value=name[:40])
            for name in unknown
        ]
        words = "; ".join(problem.message for problem in problems)
        raise Refused(
            f"No account was admitted: {words}. Give the private link to people without an account.", problems
        )
    rows = {
        row.user_id: row
        for row in session.scalars(
            select(Admission).where(
                Admission.competition_id == competition.id, Admission.user_id.in_(found.values())
            )
        )
    }
    new = []
    for name in wanted:
        row = rows.get(found[name])
        if row is not None and row.removed_at is None:
            continue
        if row is None:
            row = Admission(competition_id=competition.id, user_id=found[name])
            session.add(row)
        row.way, row.admitted_by, row.admitted_at, row.removed_at = Way.LIST.value, by, now, None
        new.append(name)
    session.flush()
    if new:
        events.log(session, by, "accounts admitted", competition.slug, now=now, users=new)
    return new


def remove(session: Session, competition: Competition, name: str, *, by: str, now: datetime) -> None:
    """Take an account off the list; refuse one that has joined, since its team stays."""
    found = session.execute(
        select(Admission, User.name)
        .join(User, User.id == Admission.user_id)
        .where(
            Admission.competition_id == competition.id,
            User.name == canonical(name),
            Admission.removed_at.is_(None),
        )
    ).one_or_none()
    if found is None:
        raise NotFound(f"{name} is not admitted to {competition.slug}.")
    row, name = found
    mine = Membership.competition_id == competition.id, Membership.user_id == row.user_id
    if session.scalar(select(Membership.user_id).where(*mine)) is not None:
        raise Conflict(
            f"{name} has joined {competition.slug} and so still sees it: take its team off the board instead."
        )
    row.removed_at = now
    session.flush()
    events.log(session, by, "admission removed", competition.slug, now=now, user=name)


# -- the private link --------------------------------------------------------------------------


def link(session: Session, competition: Competition) -> PrivateLink | None:
    """Return the live private link, without its secret."""
    return session.scalar(
        select(PrivateLink).where(
            PrivateLink.competition_id == competition.id, PrivateLink.revoked_at.is_(None)
        )
    )


def make_link(session: Session, competition: Competition, *, by: str, now: datetime) -> str:
    """Return the secret of a new private link, which is stored nowhere; the link before it is revoked."""
    competitions.lock(session, competition)
    if competition.visibility != Visibility.UNLISTED:
        raise Conflict(
            f"{competition.slug} is {competition.visibility}, and a private link admits accounts only to an "
            "unlisted competition. Change its visibility first."
        )
    before = link(session, competition)
    if before is not None:
        before.revoked_at = now
    secret = secrets.token_urlsafe(32)
    made = PrivateLink(
        competition_id=competition.id, secret_hash=_digest(secret), made_by=by, made_at=now, revoked_at=None
    )
    session.add(made)
    session.flush()
    replaced = {"replaces": before.id} if before is not None else {}
    events.log(session, by, "private link made", competition.slug, now=now, link=made.id, **replaced)
    return secret


def revoke_link(session: Session, competition: Competition, *, by: str, now: datetime) -> None:
    """Revoke the private link; accounts that it has admitted stay admitted."""
    competitions.lock(session, competition)
    live = link(session, competition)
    if live is None:
        raise NotFound(f"{competition.slug} has no private link.")
    live.revoked_at = now
    session.flush()
    events.log(session, by, "private link revoked", competition.slug, now=now, link=live.id)


def behind(session: Session, slug: str, viewer: Viewer, secret: str) -> Competition:
    """Return the competition that a private link leads to; NotFound for one that is not valid."""
    competition = session.scalar(
        select(Competition)
        .join(PrivateLink, PrivateLink.competition_id == Competition.id)
        .where(
            Competition.slug == slug,
            Competition.visibility == Visibility.UNLISTED,
            PrivateLink.secret_hash == _digest(secret),
            PrivateLink.revoked_at.is_(None),
        )
    )
    if competition is not None:
        row = session.get(Admission, (competition.id, viewer.id))
        is_removed = row is not None and row.removed_at is not None
        if not is_removed or visibility.may_see(session, competition, viewer):
            return competition
    raise NotFound(f"There is no competition {slug}.")


def enter(session: Session, slug: str, viewer: Viewer, secret: str, *, now: datetime) -> Competition:
    """Admit the viewer by a private link; one that may see the competition already stays as it is."""
    competition = behind(session, slug, viewer, secret)
    competitions.lock(session, competition)  # a second click, or a removal, at the same time
    competition = behind(session, slug, viewer, secret)
    if visibility.may_see(session, competition, viewer):
        return competition
    session.add(
        Admission(
            competition_id=competition.id,
            user_id=viewer.id,
            way=Way.LINK.value,
            admitted_by=viewer.name,
            admitted_at=now,
            removed_at=None,
        )
    )
    session.flush()
    events.log(session, viewer.name, "entered by private link", slug, now=now, user=viewer.name)
    return competition


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

"""Roles: the accounts that organise one competition beside the organisers of the installation.

A co-host may do on the pages and addresses of its competition what an organiser may, and nothing elsewhere:
no other competition, no page about the installation, no solution. An owner also adds and removes hosts. An
assistant sees teams, submissions and their problems, without private scores before the end, and answers
questions. A judge sees, after the end, the files that count in the final ranking. Neither changes anything
else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, exists, select
from sqlalchemy.orm import Session, aliased

from app.base import events
from app.base.errors import Conflict, Forbidden, NotFound, Refused
from app.base.models import Competition, Membership, User
from app.base.models_roles import Host, Role
from app.competing import competitions, evaluations, hosts, standings, teams
from app.people import accounts
from app.people.accounts import Viewer

_RANK = case({role.value: n for n, role in enumerate(Role)}, value=Host.role)
"""Owners come first, then the roles that may do less."""


@dataclass(frozen=True)
class Entry:
    """A host of a competition."""

    user_id: int
    name: str
    role: Role
    added_by: str
    added_at: datetime


def listed(session: Session, competition: Competition) -> list[Entry]:
    """Return the hosts of a competition, owners first."""
    found = session.execute(
        select(Host, User.name)
        .join(User, User.id == Host.user_id)
        .where(Host.competition_id == competition.id, Host.removed_at.is_(None))
        .order_by(_RANK, Host.added_at, Host.user_id)
    )
    return [Entry(host.user_id, name, Role(host.role), host.added_by, host.added_at) for host, name in found]


def refuse_unless_owner(session: Session, competition: Competition, viewer: Viewer) -> None:
    """Refuse to change the hosts of a competition, except for its owners and organisers."""
    host = session.get(Host, (competition.id, viewer.id))
    is_owner = host is not None and host.removed_at is None and host.role == Role.OWNER
    if not viewer.is_organiser and not (is_owner and viewer.organises(competition.id)):
        raise Forbidden(
            f"Only an owner of {competition.slug} or an organiser of the installation changes its hosts."
        )


def add(
    session: Session, competition: Competition, name: str, role: str = Role.COHOST, *, by: str, now: datetime
) -> Host:
    """Give an account a role in a competition, and log it.

    Its own files are unranked from then on, and its team leaves the board: a host sees exact and private
    scores. After the private scores are shown the team keeps its place, since it did not know them before.
    """
    if role not in set(Role):
        raise Refused(f"{role[:20]!r} is not a role: use {', '.join(Role)}.")
    user = accounts.by_name(session, name)
    host = session.get(Host, (competition.id, user.id))
    if host is not None and host.removed_at is None and host.role == role:
        raise Conflict(f"{user.name} is {role} of {competition.slug} already.")
    before = host.role if host is not None and host.removed_at is None else None
    if before == Role.OWNER:
        _refuse_last_owner(session, competition, user)
    if host is None:
        host = Host(competition_id=competition.id, user_id=user.id)
        session.add(host)
    host.role, host.added_by, host.added_at, host.removed_at = role, by, now, None
    session.flush()
    unranked = _unrank(session, competition, user, now=now)
    events.log(
        session,
        by,
        "host added",
        competition.slug,
        now=now,
        user=user.name,
        role=role,
        **({"before": before} if before else {}),
        **({"team_unranked": unranked} if unranked else {}),
    )
    return host


def remove(session: Session, competition: Competition, name: str, *, by: str, now: datetime) -> None:
    """Take an account's role in a competition away, and log it; its files stay unranked."""
    user = accounts.by_name(session, name)
    host = session.get(Host, (competition.id, user.id))
    if host is None or host.removed_at is not None:
        raise NotFound(f"{user.name} is no host of {competition.slug}.")
    if host.role == Role.OWNER:
        _refuse_last_owner(session, competition, user)
    host.removed_at = now
    session.flush()
    events.log(session, by, "host removed", competition.slug, now=now, user=user.name, role=host.role)


def only_owned(session: Session, user_id: int) -> list[str]:
    """Return the competitions that have this account as their only owner."""
    others = aliased(Host)
    is_another = exists().where(
        others.competition_id == Host.competition_id,
        others.user_id != Host.user_id,
        others.role == Role.OWNER,
        others.removed_at.is_(None),
    )
    mine = Host.user_id == user_id, Host.role == Role.OWNER, Host.removed_at.is_(None)
    found = select(Competition.slug).join(Host, Host.competition_id == Competition.id)
    return list(session.scalars(found.where(*mine, ~is_another).order_by(Competition.slug)))


def _refuse_last_owner(session: Session, competition: Competition, user: User) -> None:
    """Refuse to leave a competition without an owner; two that go at once wait for each other."""
    session.execute(select(Competition.id).where(Competition.id == competition.id).with_for_update())
    if competition.slug in only_owned(session, user.id):
        raise Conflict(
            f"{user.name} is the only owner of {competition.slug}, and only owners add and remove hosts. "
            f"Make another account an owner first: `heldout host add {competition.slug} NAME --role owner`."
        )


def _unrank(session: Session, competition: Competition, user: User, *, now: datetime) -> str | None:
    """Take the team of a new host off the board before the end; return the team's name.

    Refuse a team with participants: they would lose their place with it.
    """
    competitions.hold(session, competition.id)  # or the team could merge with one of participants meanwhile
    team = teams.of(session, competition, user.id)
    if team is None or team.is_host or competition.is_settled(now):
        return None
    evaluations.lock(session, competition.id, team.id)
    members = session.scalars(select(Membership.user_id).where(Membership.team_id == team.id)).all()
    if set(members) - hosts.hosts_among(session, competition, members):
        raise Conflict(
            f"{user.name} is in the team {team.name} with participants, whose files would lose their rank. "
            f"{user.name} must leave the team first."
        )
    team.is_host = True
    standings.refresh(session, team.id)
    return team.name

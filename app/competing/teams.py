"""Teams: joining a competition makes a team of one."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Closed, Conflict, NotFound, Refused
from app.base.models import Competition, Membership, Phase, Team, User
from app.people import names
from app.people.accounts import Viewer


def of(session: Session, competition: Competition, user_id: int) -> Team | None:
    """Return the user's team, or None before joining."""
    return session.scalar(
        select(Team)
        .join(Membership, Membership.team_id == Team.id)
        .where(Membership.competition_id == competition.id, Membership.user_id == user_id)
    )


def of_user(session: Session, user_id: int) -> set[int]:
    """Return the ids of the competitions that the user has joined."""
    return set(session.scalars(select(Membership.competition_id).where(Membership.user_id == user_id)))


def members(session: Session, team: Team) -> list[str]:
    """Return the names of a team's members, in the order of joining."""
    joined = select(User.name).join(Membership, Membership.user_id == User.id)
    mine = joined.where(Membership.team_id == team.id).order_by(Membership.joined_at, User.id)
    return list(session.scalars(mine))


def join(session: Session, competition: Competition, viewer: Viewer, *, now: datetime) -> Team:
    """Join as a team of one, named like the user.

    Joining twice has no further effect.
    """
    team = of(session, competition, viewer.id)
    if team is not None:
        return team
    if competition.phase(now) is Phase.CLOSED:
        raise Closed(f"{competition.title} is closed; it can no longer be joined.")
    try:
        with session.begin_nested():
            name = _free_name(session, competition, viewer)
            skeleton, look = names.stored(name)
            team = Team(
                competition_id=competition.id, name=name, skeleton=skeleton, look=look, created_at=now
            )
            session.add(team)
            session.flush()
            session.add(
                Membership(competition_id=competition.id, user_id=viewer.id, team_id=team.id, joined_at=now)
            )
    except IntegrityError:
        # The same user joined in another tab.
        team = of(session, competition, viewer.id)
        if team is None:
            raise Conflict("The team could not be made; please try again.") from None
    return team


def rename(
    session: Session,
    competition: Competition,
    team: Team,
    name: str,
    *,
    by: str,
    now: datetime,
    is_organiser: bool = False,
) -> None:
    """Rename a team; after the close only an organiser may, so that results keep their names."""
    name = " ".join(unicodedata.normalize("NFC", name[: names.MOST_CHARACTERS]).split())
    if not 1 <= len(name) <= 60 or not name.isprintable() or not names.is_visible(name):
        raise Refused("A team's name has 1 to 60 printable characters.")
    if name == team.name:
        return
    if not is_organiser and competition.phase(now) is Phase.CLOSED:
        raise Closed(f"{competition.title} is closed. Ask an organiser to rename your team.")
    names.refuse_reserved(name, is_organiser=is_organiser)
    members = session.scalars(select(Membership.user_id).where(Membership.team_id == team.id)).all()
    names.refuse_taken(session, name, own=members, team=team)
    before, (skeleton, look) = team.name, names.stored(name)
    try:
        with session.begin_nested():
            team.name, team.skeleton, team.look = name, skeleton, look
    except IntegrityError:
        raise Conflict(f"The name {name} is taken in this competition; choose another.") from None
    events.log(
        session, by, "team renamed", competition.slug, now=now, team=team.id, before=before, after=name
    )


def by_name(session: Session, competition: Competition, name: str) -> Team:
    found = select(Team).where(Team.competition_id == competition.id, Team.name == name)
    team = session.scalar(found)
    if team is None:
        raise NotFound(f"{competition.title} has no team {name[:60]!r}.")
    return team


def baseline(session: Session, competition: Competition, name: str, *, now: datetime) -> Team:
    """Return the team of a baseline, which has no members."""
    name = name[:48]
    # A participant may have taken the name first, or one that looks like it.
    named = Team.competition_id == competition.id, Team.name.in_([name, f"{name} (baseline)"])
    team = session.scalar(select(Team).where(*named, Team.is_baseline))
    if team is not None:
        return team
    is_named = session.scalar(select(Team.id).where(*named).limit(1)) is not None
    if is_named or not names.is_free(session, name, baseline=True):
        name = f"{name} (baseline)"
    skeleton, look = names.stored(name)
    team = Team(
        competition_id=competition.id,
        name=name,
        skeleton=skeleton,
        look=look,
        is_baseline=True,
        created_at=now,
    )
    session.add(team)
    session.flush()
    return team


def _free_name(session: Session, competition: Competition, viewer: Viewer) -> str:
    """Return the user's own name, with the first free number if a team here looks like it."""
    named = Team.competition_id == competition.id, Team.name == viewer.name
    own = [viewer.id]
    if session.scalar(select(Team.id).where(*named)) is None and names.is_free(session, viewer.name, own=own):
        return viewer.name
    numbered = (f"{viewer.name} {n}" for n in range(2, 1_000_000))
    return next(name for name in numbered if names.is_free(session, name, own=own))

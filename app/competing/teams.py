"""Teams: joining a competition makes a team of one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base.errors import Closed, Conflict, Refused
from app.base.models import Competition, Membership, Phase, Team
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
            team = Team(
                competition_id=competition.id,
                name=_free_name(session, competition, viewer.name),
                created_at=now,
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


def rename(session: Session, team: Team, name: str) -> None:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 60 or not name.isprintable():
        raise Refused("A team's name has 1 to 60 printable characters.")
    try:
        with session.begin_nested():
            team.name = name
    except IntegrityError:
        raise Conflict(f"The name {name} is taken in this competition; choose another.") from None


def baseline(session: Session, competition: Competition, name: str, *, now: datetime) -> Team:
    """Return the team of a baseline, which has no members."""
    name = name[:48]
    # A participant may have taken the name first.
    named = Team.competition_id == competition.id, Team.name.in_([name, f"{name} (baseline)"])
    team = session.scalar(select(Team).where(*named, Team.is_baseline))
    if team is not None:
        return team
    if session.scalar(select(Team.id).where(*named).limit(1)) is not None:
        name = f"{name} (baseline)"
    team = Team(competition_id=competition.id, name=name, is_baseline=True, created_at=now)
    session.add(team)
    session.flush()
    return team


def _free_name(session: Session, competition: Competition, wish: str) -> str:
    """Return the wished name, with the first free number if it is taken."""
    taken = set(
        session.scalars(
            select(Team.name).where(
                Team.competition_id == competition.id, Team.name.startswith(wish[:50], autoescape=True)
            )
        )
    )
    if wish not in taken:
        return wish
    return next(name for n in range(2, len(taken) + 3) if (name := f"{wish[:50]} {n}") not in taken)

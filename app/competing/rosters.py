"""What a member may see of the own team: members, invites, offers to merge, and what may still change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.base.errors import Closed
from app.base.models import Competition, Team
from app.base.models_teams import TeamInvite
from app.competing import invites, merges, teams
from app.competing.merges import Offer
from app.people.accounts import Viewer


@dataclass(frozen=True)
class Roster:
    """A team as its members see it."""

    members: Sequence[str]
    captain: str | None
    is_captain: bool
    """Whether the viewer is the captain. Only the captain invites, removes and merges."""
    places: int
    """Members that may still join."""
    has_files: bool
    """From the first submission on the members stay."""
    is_open: bool
    """Whether members may change: before the close and the deadline of teams."""
    invites: Sequence[TeamInvite]
    offers: Sequence[Offer]


def of(session: Session, competition: Competition, team: Team, viewer: Viewer, *, now: datetime) -> Roster:
    """Return a team as the viewer, one of its members, may see it."""
    members, head = teams.members(session, team), teams.captain(session, team)
    try:
        teams.refuse_late_change(competition, now)
        is_open = True
    except Closed:
        is_open = False
    return Roster(
        members=members,
        captain=head.name if head else None,
        is_captain=head is not None and head.id == viewer.id,
        places=max(0, competition.max_team_size - len(members)),
        has_files=teams.has_files(session, team),
        is_open=is_open,
        invites=invites.listed(session, team, now=now),
        offers=merges.listed(session, team),
    )

"""Invite links: with one, a participant joins a team.

The link holds a secret of 256 bits, of which the database has a hash, and is shown once. A link that is
unknown, revoked, expired or used up is refused in the same words, which name no team.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import Competition, Team
from app.base.models_teams import TeamInvite
from app.competing import competitions, merges, teams
from app.people.accounts import Viewer

MOST_DAYS = 30
MOST_LIVE = 10
"""Live invites of a team."""


def make(
    session: Session, competition: Competition, viewer: Viewer, *, days: int, uses: int, now: datetime
) -> tuple[TeamInvite, str]:
    """Make an invite of the captain's team; return it with the secret, which is stored nowhere."""
    competitions.lock(session, competition)
    team = _team_of(session, competition, viewer)
    teams.refuse_unless_captain(session, team, viewer, "invite members")
    teams.refuse_late_change(competition, now)
    places = competition.max_team_size - len(teams.accounts_of(session, team))
    wrong = []
    if not 1 <= days <= MOST_DAYS:
        wrong.append(f"a link is valid for 1 to {MOST_DAYS} days, not {days}")
    if places < 1:
        wrong.append(f"{team.name} has all the {competition.max_team_size} members that a team may have")
    elif not 1 <= uses <= places:
        wrong.append(f"{team.name} has {places} free places, so a link is for 1 to {places} uses, not {uses}")
    if len(listed(session, team, now=now)) >= MOST_LIVE:
        wrong.append(f"{team.name} has {MOST_LIVE} live invites; revoke one first")
    if wrong:
        raise Refused(f"No invite was made: {'; '.join(wrong)}.")
    secret = secrets.token_urlsafe(32)
    invite = TeamInvite(
        team_id=team.id,
        secret_hash=_digest(secret),
        most_uses=uses,
        uses=0,
        made_by=viewer.name,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    session.add(invite)
    session.flush()
    events.log(
        session,
        viewer.name,
        "invite made",
        competition.slug,
        now=now,
        team=team.id,
        invite=invite.id,
        days=days,
        uses=uses,
    )
    return invite, secret


def listed(session: Session, team: Team, *, now: datetime) -> list[TeamInvite]:
    """Return a team's live invites, oldest first."""
    mine = select(TeamInvite).where(
        TeamInvite.team_id == team.id,
        TeamInvite.revoked_at.is_(None),
        TeamInvite.expires_at > now,
        TeamInvite.uses < TeamInvite.most_uses,
    )
    return list(session.scalars(mine.order_by(TeamInvite.id)))


def revoke(
    session: Session, competition: Competition, viewer: Viewer, invite_id: int, *, now: datetime
) -> None:
    """Revoke an invite of the captain's team; a second call changes nothing."""
    competitions.lock(session, competition)
    team = teams.of(session, competition, viewer.id)
    invite = session.get(TeamInvite, invite_id)
    if team is None or invite is None or invite.team_id != team.id:
        raise NotFound("There is no such invite of your team.")
    teams.refuse_unless_captain(session, team, viewer, "revoke invites")
    if invite.revoked_at is not None:
        return
    invite.revoked_at = now
    session.flush()
    events.log(
        session, viewer.name, "invite revoked", competition.slug, now=now, team=team.id, invite=invite_id
    )


def team_behind(session: Session, competition: Competition, secret: str, *, now: datetime) -> Team:
    """Return the team that a link leads to; NotFound for one that is not valid, whatever the reason."""
    return _live(session, competition, secret, now=now)[1]


def accept(session: Session, competition: Competition, viewer: Viewer, secret: str, *, now: datetime) -> Team:
    """Join the team of a link, and give up a team of one without submissions.

    Joining one's own team changes nothing and uses nothing up.
    """
    competitions.lock(session, competition)
    invite, team = _live(session, competition, secret, now=now)
    own = teams.of(session, competition, viewer.id)
    if own is not None and own.id == team.id:
        return team
    teams.refuse_late_change(competition, now)
    if team.disqualified_at is not None:
        raise Conflict(f"{team.name} takes no members: the organiser has disqualified it.")
    teams.refuse_mixed(session, competition, team, [viewer.id])
    teams.refuse_too_many(session, competition, team, 1)
    if own is None:
        teams.refuse_late_entry(competition, now)
        teams.add_member(session, team, viewer.id, now=now)
    else:
        _refuse_to_give_up(session, own, team)
        merges.end(session, competition, own, into=team, by=viewer.name, now=now)
    invite.uses += 1
    session.flush()
    events.log(
        session,
        viewer.name,
        "team joined",
        competition.slug,
        now=now,
        team=team.id,
        invite=invite.id,
        before=own.id if own is not None else None,
    )
    return team


def _refuse_to_give_up(session: Session, own: Team, team: Team) -> None:
    if own.disqualified_at is not None:
        raise Conflict("The organiser has disqualified your team, so you cannot change to another.")
    if teams.has_files(session, own):
        raise Conflict(
            f"Your team {own.name} has submissions. Its captain can offer {team.name} to merge, or accept "
            "an offer; a team with submissions cannot be left."
        )
    if len(teams.accounts_of(session, own)) > 1:
        raise Conflict(f"Leave your team {own.name} first, or let its captain merge it with {team.name}.")


def _live(
    session: Session, competition: Competition, secret: str, *, now: datetime
) -> tuple[TeamInvite, Team]:
    found = session.execute(
        select(TeamInvite, Team)
        .join(Team, Team.id == TeamInvite.team_id)
        .where(
            TeamInvite.secret_hash == _digest(secret),
            Team.competition_id == competition.id,
            Team.merged_into_id.is_(None),
            TeamInvite.revoked_at.is_(None),
            TeamInvite.expires_at > now,
            TeamInvite.uses < TeamInvite.most_uses,
        )
    ).one_or_none()
    if found is None:
        raise NotFound(
            "This invite link is not valid: it is incomplete, for another competition, revoked, expired or "
            "used up. Ask the captain of the team for a new one."
        )
    return found[0], found[1]


def _team_of(session: Session, competition: Competition, viewer: Viewer) -> Team:
    team = teams.of(session, competition, viewer.id)
    if team is None:
        raise NotFound(f"Join {competition.title} first.")
    return team


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

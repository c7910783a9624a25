"""The viewer's team: join, name, members, invites, merges, final picks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.base import db
from app.base.models import Competition, Team
from app.base.models_teams import TeamInvite
from app.competing import invites, merges, methods, picks, rosters, statuses, teams, visibility
from app.people.accounts import Viewer
from app.web.api import team_models
from app.web.api.access import entered, sender
from app.web.api.operations import operation, read_body, read_query
from app.web.context import bearer, parts
from app.web.json_answers import invite_link


@operation(
    "POST",
    "/competitions/<slug:slug>/join",
    name="join",
    says="Your team",
    answer=team_models.Joined,
    refuses=(403, 404, 409, 422),
    query=team_models.Joining,
)
def join(slug: str) -> team_models.Joined:
    """Join as a team of one, and accept the rules; joining twice changes nothing."""
    read = read_query(team_models.Joining).accept_rules
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        team = teams.join(session, competition, user, now=now, accepts_rules=read)
    return team_models.Joined(competition=slug, team=team.name)


@operation(
    "GET",
    "/competitions/<slug:slug>/team",
    name="team",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404),
)
def team_show(slug: str) -> team_models.Team:
    """Get your team: its name, members, invites, offers to merge and final picks."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition, team = entered(session, slug, user)
        return _team(session, competition, team, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/team",
    name="rename_team",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404, 409, 422),
    body=team_models.NewName,
)
def team_rename(slug: str) -> team_models.Team:
    """Rename your team, before the close."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition, team = entered(session, slug, user)
        name = read_body(team_models.NewName).name
        teams.rename(session, competition, team, name, by=user.name, now=now)
        return _team(session, competition, team, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/team/method",
    name="describe_method",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404, 422),
    body=team_models.Method,
)
def team_describe(slug: str) -> team_models.Team:
    """Describe your team's method, with a link to code or a paper; the board shows it after the close."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition, team = entered(session, slug, user)
        said = read_body(team_models.Method)
        methods.describe(session, competition, team, said.text, said.link, by=user.name, now=now)
        return _team(session, competition, team, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/team/leave",
    name="leave_team",
    says="Your new team",
    answer=team_models.Team,
    refuses=(403, 404, 409),
)
def team_leave(slug: str) -> team_models.Team:
    """Leave a team without submissions; you are a team of one again."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        team = teams.leave(session, competition, user, now=now)
        return _team(session, competition, team, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/team/remove",
    name="remove_member",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404, 409, 422),
    body=team_models.Member,
)
def team_remove(slug: str) -> team_models.Team:
    """Remove a member from your team without submissions, as its captain."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        team = teams.remove(session, competition, user, read_body(team_models.Member).member, now=now)
        return _team(session, competition, team, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/team/captain",
    name="hand_over_team",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404, 422),
    body=team_models.Member,
)
def team_hand_over(slug: str) -> team_models.Team:
    """Make another member the captain of your team."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        team = teams.hand_over(session, competition, user, read_body(team_models.Member).member, now=now)
        return _team(session, competition, team, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/team/invites",
    name="make_invite",
    says="The link",
    answer=team_models.MadeInvite,
    status=201,
    refuses=(403, 404, 422),
    body=team_models.NewInvite,
)
def invite_create(slug: str) -> team_models.MadeInvite:
    """Make an invite link for your team, as its captain; it is shown only once."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        wanted = read_body(team_models.NewInvite)
        made, secret = invites.make(session, competition, user, days=wanted.days, uses=wanted.uses, now=now)
        return team_models.MadeInvite(link=invite_link(slug, secret), invite=_invite(made))


@operation(
    "DELETE",
    "/competitions/<slug:slug>/team/invites/<id:invite_id>",
    name="revoke_invite",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404),
)
def invite_revoke(slug: str, invite_id: int) -> team_models.Team:
    """Revoke an invite link of your team, as its captain."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        invites.revoke(session, competition, user, invite_id, now=now)
        return _own(session, competition, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/team/join",
    name="join_team",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404, 409, 422),
    body=team_models.InviteLink,
)
def invite_accept(slug: str) -> team_models.Team:
    """Join the team of an invite link; a team of one without submissions ends."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        secret = read_body(team_models.InviteLink).link.strip().rstrip("/").rpartition("/")[2]
        team = invites.accept(session, competition, user, secret, now=now)
        return _team(session, competition, team, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/team/offers",
    name="offer_merge",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404, 409, 422),
    body=team_models.OtherTeam,
)
def offer_create(slug: str) -> team_models.Team:
    """Offer another team to merge into yours, as its captain."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        merges.offer(session, competition, user, read_body(team_models.OtherTeam).team, now=now)
        return _own(session, competition, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/team/offers/<id:offer_id>/accept",
    name="accept_merge",
    says="The merged team",
    answer=team_models.Merged,
    refuses=(403, 404, 409, 429),
)
def offer_accept(slug: str, offer_id: int) -> team_models.Merged:
    """Merge your team into the one that offered it, as the captain; it cannot be undone."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        merged = merges.accept(session, competition, user, offer_id, now=now)
        facts = _facts(session, competition, merged.team, user, now)
        return team_models.Merged(**facts, keeps_picks=merged.keeps_picks)


@operation(
    "DELETE",
    "/competitions/<slug:slug>/team/offers/<id:offer_id>",
    name="end_offer",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404, 409),
)
def offer_decline(slug: str, offer_id: int) -> team_models.Team:
    """Decline an offer to merge, or withdraw your own, as the captain."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        merges.decline(session, competition, user, offer_id, now=now)
        return _own(session, competition, user, now)


@operation(
    "POST",
    "/submissions/<id:submission_id>/pick",
    name="pick",
    says="Your team",
    answer=team_models.Team,
    refuses=(403, 404, 409, 422),
    body=team_models.Pick,
)
def pick(submission_id: int) -> team_models.Team:
    """Pick a scored submission for the private board, or take the pick back."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        submission, competition = statuses.visible(session, user, submission_id)
        team = teams.of_submission(session, submission, user, what="choose its final picks")
        picked = read_body(team_models.Pick).picked
        picks.pick_final(session, competition, team, submission_id, picked=picked, now=now)
        return _team(session, competition, team, user, now)


def _own(session: Session, competition: Competition, user: Viewer, now: datetime) -> team_models.Team:
    _, team = entered(session, competition.slug, user)
    return _team(session, competition, team, user, now)


def _team(
    session: Session, competition: Competition, team: Team, user: Viewer, now: datetime
) -> team_models.Team:
    return team_models.Team(**_facts(session, competition, team, user, now))


def _facts(
    session: Session, competition: Competition, team: Team, user: Viewer, now: datetime
) -> dict[str, Any]:
    roster = rosters.of(session, competition, team, user, now=now)
    return {
        "competition": competition.slug,
        "team": team.name,
        "members": list(roster.members),
        "captain": roster.captain or "",
        "places": roster.places,
        "is_open": roster.is_open,
        "has_files": roster.has_files,
        "invites": [_invite(invite) for invite in roster.invites],
        "offers": [
            team_models.Offer(
                id=offer.id,
                team=offer.team,
                other_team=offer.other_team,
                is_ours=offer.is_ours,
                members=list(offer.members),
                made_by=offer.made_by,
                created_at=offer.created_at.isoformat(),
            )
            for offer in roster.offers
        ],
        "final_picks": picks.of(session, team),
        "most_picks": competition.final_picks,
        "method": team.method,
        "method_link": team.method_link,
        "method_removed_why": team.method_removed_why,
    }


def _invite(invite: TeamInvite) -> team_models.Invite:
    return team_models.Invite(
        id=invite.id,
        uses=invite.uses,
        most_uses=invite.most_uses,
        made_by=invite.made_by,
        created_at=invite.created_at.isoformat(),
        expires_at=invite.expires_at.isoformat(),
    )

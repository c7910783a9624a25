"""The viewer's team: join, name, final picks."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import NotFound
from app.base.models import Competition, Team
from app.competing import competitions, picks, statuses, teams
from app.people.tokens import Scope
from app.web.api import models
from app.web.api.access import entered
from app.web.api.operations import operation, read_body
from app.web.context import bearer, parts


@operation(
    "POST",
    "/competitions/<slug:slug>/join",
    name="join",
    says="Your team",
    answer=models.Joined,
    refuses=(403, 404, 409),
)
def join(slug: str) -> models.Joined:
    """Join as a team of one; joining twice changes nothing."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = bearer(session, now, Scope.SUBMIT)
        competition = competitions.by_slug(session, slug)
        team = teams.join(session, competition, user, now=now)
    return models.Joined(competition=slug, team=team.name)


@operation(
    "GET",
    "/competitions/<slug:slug>/team",
    name="team",
    says="Your team",
    answer=models.Team,
    refuses=(403, 404),
)
def team_show(slug: str) -> models.Team:
    """Get your team: its name, members and final picks."""
    with parts().database.read() as session:
        competition, team = entered(session, slug, bearer(session, db.now(session)))
        return _team(session, competition, team)


@operation(
    "POST",
    "/competitions/<slug:slug>/team",
    name="rename_team",
    says="Your team",
    answer=models.Team,
    refuses=(403, 404, 409, 422),
    body=models.NewName,
)
def team_rename(slug: str) -> models.Team:
    """Rename your team, before the close."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = bearer(session, now, Scope.SUBMIT)
        competition, team = entered(session, slug, user)
        name = read_body(models.NewName).name
        teams.rename(session, competition, team, name, by=user.name, now=now)
        return _team(session, competition, team)


@operation(
    "POST",
    "/submissions/<id:submission_id>/pick",
    name="pick",
    says="Your team",
    answer=models.Team,
    refuses=(403, 404, 409, 422),
    body=models.Pick,
)
def pick(submission_id: int) -> models.Team:
    """Pick a scored submission for the private board, or take the pick back."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = bearer(session, now, Scope.SUBMIT)
        submission, competition = statuses.visible(session, user, submission_id)
        team = teams.of(session, competition, user.id)
        if team is None or team.id != submission.team_id:
            raise NotFound("Only the team itself can choose its final picks.")
        picked = read_body(models.Pick).picked
        picks.pick_final(session, competition, team, submission_id, picked=picked, now=now)
        return _team(session, competition, team)


def _team(session: Session, competition: Competition, team: Team) -> models.Team:
    return models.Team(
        competition=competition.slug,
        team=team.name,
        members=teams.members(session, team),
        final_picks=picks.of(session, team),
        most_picks=competition.final_picks,
    )

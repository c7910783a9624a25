"""Find the sender of an API request, and the sender's team."""

from __future__ import annotations

from datetime import datetime

from flask import g
from sqlalchemy.orm import Session

from app.base.errors import Forbidden, NotFound
from app.base.models import Competition, Team
from app.competing import teams, visibility
from app.people.accounts import Viewer
from app.people.tokens import Grant, Scope
from app.web.context import bearer, organised, reviewed


def sender(session: Session, now: datetime) -> Viewer:
    """Return the owner of a token that may send files."""
    return bearer(session, now, Scope.SUBMIT)


def organiser_of(session: Session, now: datetime, slug: str) -> tuple[Viewer, Competition]:
    """Return the owner of a token that may organise this competition, and the competition.

    To others the address does not exist, as a page of organisers does not.
    """
    viewer = bearer(session, now)
    grant: Grant = g.grant
    competition = organised(session, grant.owner, slug)
    grant.require(Scope.ORGANISE)
    return viewer, competition


def assistant_of(session: Session, now: datetime, slug: str) -> tuple[Viewer, Competition]:
    """Return as `organiser_of`, for assistants of the competition too."""
    viewer = bearer(session, now)
    grant: Grant = g.grant
    competition = organised(session, grant.owner, slug, Viewer.assists)
    grant.require(Scope.ORGANISE)
    return viewer, competition


def reviewer_of(session: Session, now: datetime, slug: str) -> tuple[Viewer, Competition]:
    """Return as `assistant_of`, after the end for judges of the competition too."""
    viewer = bearer(session, now)
    grant: Grant = g.grant
    competition = reviewed(session, grant.owner, slug, now)
    grant.require(Scope.ORGANISE)
    return viewer, competition


def organiser_token(session: Session, now: datetime) -> Viewer:
    """Return the owner of an organiser's token; to others the address does not exist."""
    viewer = bearer(session, now)
    grant: Grant = g.grant
    if not grant.owner.is_organiser:
        raise NotFound("There is no such page.")
    grant.require(Scope.ORGANISE)
    return viewer


def entered(session: Session, slug: str, user: Viewer) -> tuple[Competition, Team]:
    """Return the competition and the viewer's team in it."""
    competition = visibility.find(session, slug, user)
    team = teams.of(session, competition, user.id)
    if team is None:
        raise Forbidden(f"Join {competition.title} first.")
    return competition, team

"""Find the sender of an API request, and the sender's team."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.base.errors import Forbidden
from app.base.models import Competition, Team
from app.competing import competitions, teams
from app.people.accounts import Viewer
from app.people.tokens import Scope
from app.web.context import bearer


def sender(session: Session, now: datetime) -> Viewer:
    """Return the owner of a token that may send files."""
    return bearer(session, now, Scope.SUBMIT)


def entered(session: Session, slug: str, user: Viewer) -> tuple[Competition, Team]:
    """Return the competition and the viewer's team in it."""
    competition = competitions.by_slug(session, slug)
    team = teams.of(session, competition, user.id)
    if team is None:
        raise Forbidden(f"Join {competition.title} first.")
    return competition, team

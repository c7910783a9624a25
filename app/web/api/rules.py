"""The rules of a competition, and their acceptance."""

from __future__ import annotations

from pydantic import Field
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import NotFound
from app.base.models import Competition
from app.competing import rules, visibility
from app.people.accounts import Viewer
from app.web.api.access import sender
from app.web.api.models import Answer, Request, Time
from app.web.api.operations import operation, read_body
from app.web.context import bearer, parts
from app.web.json_answers import time_text


class Rules(Answer):
    """The newest rules of a competition."""

    competition: str
    version: int
    text: str = Field(description="Markdown.")
    made_at: Time
    accepted_at: Time | None = Field(description="When you accepted this version; null: not yet.")


class AcceptedRules(Request):
    """The version of the rules that you have read."""

    version: int = Field(ge=1, le=2**31 - 1)


@operation(
    "GET", "/competitions/<slug:slug>/rules", name="rules", says="The rules", answer=Rules, refuses=(404,)
)
def rules_show(slug: str) -> Rules:
    """Get the newest rules of a competition, and when you accepted them."""
    with parts().database.read() as session:
        user = bearer(session, db.now(session))
        return _rules(session, visibility.find(session, slug, user), user)


@operation(
    "POST",
    "/competitions/<slug:slug>/rules",
    name="accept_rules",
    says="The rules",
    answer=Rules,
    refuses=(403, 404, 409, 422),
    body=AcceptedRules,
)
def rules_accept(slug: str) -> Rules:
    """Accept the newest rules, named by their version; uploads need it."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        rules.accept(session, competition, user, read_body(AcceptedRules).version, now=now)
        return _rules(session, competition, user)


def _rules(session: Session, competition: Competition, user: Viewer) -> Rules:
    version = rules.current(session, competition)
    if version is None:
        raise NotFound(f"{competition.title} has no rules of its own.")
    acceptance = rules.accepted(session, competition, user.id, version)
    return Rules(
        competition=competition.slug,
        version=version.number,
        text=version.text,
        made_at=version.made_at.isoformat(),
        accepted_at=time_text(acceptance.accepted_at) if acceptance is not None else None,
    )

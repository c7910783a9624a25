"""Clone a competition for the next term."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from app.base import db
from app.competing import cloning, visibility
from app.people.tokens import Scope
from app.web.api.access import organiser_token
from app.web.api.models import Absent, Answer, Request, Time
from app.web.api.operations import operation, read_body, read_query
from app.web.context import parts
from app.web.json_answers import time_text


class NewClone(Request):
    """Name and opening of the clone; all other dates move by as much as the opening."""

    name: str = Field(pattern=f"^{cloning.NAME.pattern}$", description="In its address.")
    opens_at: AwareDatetime = Field(description="In the future.")
    title: Annotated[str, Field(min_length=1, max_length=cloning.LONGEST_TITLE)] | Absent = None


class CloneQuery(Request):
    """Whether to clone or only to show what the clone would be."""

    dry_run: bool = False


class CloneDate(Answer):
    """A date of the competition and of its clone."""

    name: str
    before: Time | None
    after: Time | None


class Clone(Answer):
    """A clone, or what it would be; it is hidden until its visibility is changed."""

    competition: str
    is_made: bool
    title: str
    dates: list[CloneDate]
    hosts: list[str]
    has_rules: bool
    canned_answers: int
    notes: list[str] = Field(description="What to know before.")


@operation(
    "POST",
    "/competitions/<slug:slug>/clone",
    name="clone",
    says="The clone, or what it would be",
    answer=Clone,
    refuses=(403, 404, 409, 422),
    query=CloneQuery,
    body=NewClone,
    scope=Scope.ORGANISE,
)
def competition_clone(slug: str) -> Clone:
    """Clone a competition for the next term, as an organiser of the installation: without teams and files."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser_token(session, now)
        competition = visibility.find(session, slug, me)
        asked, wanted = read_query(CloneQuery), read_body(NewClone)
        title = wanted.title or ""
        found = cloning.plan(
            session, competition, wanted.name, opens_at=wanted.opens_at, title=title, now=now
        )
        if not asked.dry_run:
            cloning.clone(
                session, competition, wanted.name, opens_at=wanted.opens_at, title=title, by=me.name, now=now
            )
    return Clone(
        competition=found.slug,
        is_made=not asked.dry_run,
        title=found.title,
        dates=[CloneDate(name=n, before=time_text(b), after=time_text(a)) for n, b, a in found.dates],
        hosts=list(found.hosts),
        has_rules=found.has_rules,
        canned_answers=found.canned_answers,
        notes=list(found.notes),
    )

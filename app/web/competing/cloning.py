"""The page on which an organiser clones a competition for the next term: form, preview, confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import Refused
from app.base.models import Competition
from app.competing import cloning, visibility
from app.competing.term_words import TERMS, when
from app.people.accounts import Viewer
from app.web.context import field, note_messages, organiser, parts
from scorer.report import Problem

blueprint = Blueprint("cloning", __name__)

LOCAL = "%Y-%m-%dT%H:%M"
A_YEAR = timedelta(weeks=52)
"""The same day of the week a year later, which the form proposes."""


@blueprint.get("/competitions/<slug:slug>/organise/clone")
def show(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        _, competition = _found(session, now, slug)
    opens_at = competition.opens_at.astimezone(competition.zone) + A_YEAR
    while opens_at <= now:
        opens_at += A_YEAR
    given = {
        "name": f"{competition.slug[:55]}-{opens_at.year}",
        "title": competition.title,
        "opens_at": f"{opens_at:{LOCAL}}",
    }
    return _form(competition, now, given)


@blueprint.post("/competitions/<slug:slug>/organise/clone")
def preview(slug: str) -> ResponseReturnValue:
    """Show what the clone would be; nothing is written."""
    given = _given()
    with parts().database.read() as session:
        now = db.now(session)
        me, competition = _found(session, now, slug)
        note_messages(session, me, slug, now)
        try:
            found = cloning.plan(
                session,
                competition,
                given["name"],
                opens_at=_opening(competition, given),
                title=given["title"],
                now=now,
            )
        except Refused as refusal:
            problems = refusal.problems or (Problem("BAD_VALUE", refusal.message.rstrip(".")),)
            return _form(competition, now, given, problems), refusal.status
    return _form(competition, now, given, preview=found)


@blueprint.post("/competitions/<slug:slug>/organise/clone/apply")
def make(slug: str) -> ResponseReturnValue:
    """Make the clone that the preview showed."""
    given = _given()
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = _found(session, now, slug)
        made = cloning.clone(
            session,
            competition,
            given["name"],
            opens_at=_opening(competition, given),
            title=given["title"],
            by=me.name,
            now=now,
            seen=field("seen"),
        )
    flash(f"{made.slug} is hidden. Confirm its dates here, then change its visibility.")
    return redirect(url_for("changes.show", slug=made.slug), 303)


def _found(session: Session, now: datetime, slug: str) -> tuple[Viewer, Competition]:
    me = organiser(session, now)
    return me, visibility.find(session, slug, me)


def _given() -> dict[str, str]:
    return {name: field(name) for name in ("name", "title", "opens_at")}


def _opening(competition: Competition, given: Mapping[str, str]) -> datetime:
    try:
        at = datetime.fromisoformat(given["opens_at"])
    except ValueError:
        raise Refused(f"Opens at: {given['opens_at'][:40]!r} is no time.") from None
    return at if at.tzinfo else at.replace(tzinfo=competition.zone)


def _form(
    competition: Competition,
    now: datetime,
    given: Mapping[str, str],
    problems: tuple[Problem, ...] = (),
    preview: cloning.Preview | None = None,
) -> str:
    return render_template(
        "competing/cloning/show.html",
        competition=competition,
        now=now,
        given=given,
        problems=problems,
        wrong={problem.column for problem in problems},
        preview=preview,
        words=TERMS,
        moment=lambda at: "none" if at is None else when(competition, at),
    )

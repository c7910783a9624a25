"""The page on which organisers change a competition: a form, its preview, and the confirmation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.errors import Conflict, Refused
from app.base.models import Competition
from app.competing import automatic_announcements, changes, competitions
from app.competing.changes import Preview
from app.competing.term_words import TERMS, when, word
from app.web.context import field, note_messages, organiser_of, parts, text_field
from scorer.report import Problem

blueprint = Blueprint("changes", __name__)

LOCAL = "%Y-%m-%dT%H:%M"
"""How a datetime-local field writes a time."""


@blueprint.get("/competitions/<slug:slug>/organise/change")
def show(slug: str) -> ResponseReturnValue:
    """Show the form with the terms of today."""
    with parts().database.read() as session:
        now = db.now(session)
        _, competition = organiser_of(session, now, slug)
    return _form(competition, now, _written(competition))


@blueprint.post("/competitions/<slug:slug>/organise/change")
def preview(slug: str) -> ResponseReturnValue:
    """Show what a filled form would change; nothing is written."""
    given = {name: field(name) for name in changes.CHANGEABLE if name in request.form}
    with parts().database.read() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        note_messages(session, me, slug, now)
        try:
            found = changes.plan(
                session,
                competition,
                _wished(competition, given),
                now=now,
                most_upload_mb=parts().settings.max_upload_mb,
                note=text_field("note"),
            )
        except Refused as refusal:
            problems = refusal.problems or (Problem("BAD_VALUE", refusal.message.rstrip("."), column="note"),)
            return _form(competition, now, _written(competition) | given, problems), refusal.status
    return _form(competition, now, _written(competition) | given, preview=found)


@blueprint.post("/competitions/<slug:slug>/organise/change/apply")
def apply(slug: str) -> ResponseReturnValue:
    """Change what the preview showed."""
    given = {name: field(name) for name in changes.CHANGEABLE if name in request.form}
    with parts().database.begin() as session:
        me, competition = organiser_of(session, db.now(session), slug)
        competitions.lock(session, competition)
        found = changes.apply(
            session,
            competition,
            _wished(competition, given),
            by=me.name,
            now=db.now(session),
            most_upload_mb=parts().settings.max_upload_mb,
            seen=field("seen"),
            note=text_field("note"),
        )
        if not found.changes:
            raise Conflict(f"Nothing changes in {slug}; it has these values already.")
    flash("; ".join(f"{TERMS[c.name]}: {word(c.after)}" for c in found.changes))
    return redirect(url_for("organise.show", slug=slug), 303)


def _form(
    competition: Competition,
    now: datetime,
    given: Mapping[str, str],
    problems: tuple[Problem, ...] = (),
    preview: Preview | None = None,
) -> str:
    return render_template(
        "competing/changes/show.html",
        competition=competition,
        now=now,
        given=given,
        problems=problems,
        wrong={problem.column for problem in problems},
        preview=preview,
        note=text_field("note"),
        longest_note=automatic_announcements.LONGEST_NOTE,
        shown={name: _shown(competition, name) for name in changes.CHANGEABLE},
        words=TERMS,
        word=word,
        ranges=changes.RANGES,
        rules=changes.STRICTNESS[changes.STRICTNESS.index(competition.public_score) :],
        longest=(changes.LONGEST_TITLE, changes.LONGEST_SUMMARY),
        most_upload_mb=parts().settings.max_upload_mb,
        is_settled=competition.is_settled(now),
        always=changes.ALWAYS,
    )


def _shown(competition: Competition, name: str) -> Callable[[Any], str]:
    """Return how the preview writes a value of a term."""
    if name.endswith("_at"):
        return lambda text: when(competition, datetime.fromisoformat(text)) if text else "none"
    return word


def _written(competition: Competition) -> dict[str, str]:
    """Return the terms as the fields of the form have them."""
    written = {}
    for name in changes.CHANGEABLE:
        value = changes.value(competition, name)
        if name.endswith("_at") and value is not None:
            value = f"{datetime.fromisoformat(value).astimezone(competition.zone):{LOCAL}}"
        elif isinstance(value, bool):
            value = "1" if value else "0"
        elif isinstance(value, float):
            value = f"{value:g}"
        written[name] = "" if value is None else str(value)
    return written


def _wished(competition: Competition, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that differ from the terms of today, read as their types."""
    written = _written(competition)
    wished: dict[str, Any] = {}
    wrong: list[Problem] = []
    for name, text in given.items():
        if text == written[name]:
            continue  # also a time, of which the form drops the seconds
        try:
            wished[name] = _read(competition, name, text)
        except ValueError:
            wrong.append(Problem("BAD_VALUE", f"{TERMS[name]}: {text[:40]!r} is no value", column=name))
    if wrong:
        words = "; ".join(problem.message for problem in wrong)
        raise Refused(f"Nothing was changed in {competition.slug}: {words}.", wrong)
    return wished


def _read(competition: Competition, name: str, text: str) -> Any:
    if not text and name in changes.MAY_BE_NONE:
        return None
    if name.endswith("_at"):
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else at.replace(tzinfo=competition.zone)
    if name in changes.RANGES:
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise ValueError(text)
        return int(text)
    if name == "max_upload_mb":
        return float(text)
    if name in ("mark_agents", "late_submissions", "paused", "archived"):
        return text == "1"
    return text

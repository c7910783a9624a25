"""Announcements of a competition, and at `/announcements` those of the installation.

Both have the same pages; they differ in the place, and in the accounts that write there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import Refused
from app.base.models import Competition
from app.competing import statuses, visibility
from app.messages import announcements, waiting
from app.messages.announcements import AnnouncementState, Entry, Words
from app.messages.waiting import Waiting
from app.people.accounts import Viewer
from app.web import formats
from app.web.context import (
    field,
    note_messages,
    note_position,
    organiser,
    organiser_of,
    parts,
    text_field,
    viewer,
)
from scorer.report import Problem

blueprint = Blueprint("announcements", __name__)
log = logging.getLogger(__name__)

MOST_NEWS = 5  # announcements, and results, that an open page may be new to
LOCAL = "%Y-%m-%dT%H:%M"
"""How a datetime-local field writes a time."""


def index(slug: str | None = None) -> ResponseReturnValue:
    """List the announcements; opening the page marks them as read.

    `?part=pulse` is what has come since, as JSON, for the script of an open page; with `results`, also the
    results of the viewer's own files, for notifications.
    """
    if request.args.get("part") == "pulse":
        return _pulse(slug)
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me) if slug is not None else None
        if competition is not None:
            note_position(session, competition, me, now)
        may_write = _may_write(me, competition)
        listed = announcements.listed(session, competition, me, now=now, for_organiser=may_write)
    made = render_template(
        "messages/announcements/index.html",
        competition=competition,
        listed=listed,
        may_write=may_write,
        now=now,
        timezone=_timezone(competition),
        **_form({"publish": "now"}),
    )
    if me is not None and any(entry.is_new for entry in listed):
        _note_reading(competition, me)
    return made


def create(slug: str | None = None) -> ResponseReturnValue:
    """Save a new announcement, or show how it will look."""
    if request.form.get("act") == "preview":
        return _preview(slug, None)
    with parts().database.begin() as session:
        me, competition, now = _writer(session, slug)
        words = announcements.read(field("title"), text_field("text"))
        at = _publish_at(competition, now)
        made = announcements.create(session, competition, words, publish_at=at, by=me.name, now=now)
        done = _done(made.publish_at, now, competition)
    return _back(slug, done)


def edit(announcement_id: int, slug: str | None = None) -> ResponseReturnValue:
    """Show the form with an announcement."""
    with parts().database.read() as session:
        _, competition, now = _writer(session, slug)
        entry = announcements.get(session, competition, announcement_id, now=now)
    return _edited(competition, now, entry, _written(competition, entry))


def change(announcement_id: int, slug: str | None = None) -> ResponseReturnValue:
    """Change an announcement, or show how it will look."""
    if request.form.get("act") == "preview":
        return _preview(slug, announcement_id)
    with parts().database.begin() as session:
        me, competition, now = _writer(session, slug)
        words = announcements.read(field("title"), text_field("text"))
        at = _publish_at(competition, now)
        made = announcements.edit(
            session, competition, announcement_id, words, publish_at=at, by=me.name, now=now
        )
        done = _done(made.publish_at, now, competition)
    return _back(slug, done)


def withdraw(announcement_id: int, slug: str | None = None) -> ResponseReturnValue:
    """Withdraw what was shown, delete what was not."""
    with parts().database.begin() as session:
        me, competition, now = _writer(session, slug)
        before = announcements.withdraw(session, competition, announcement_id, by=me.name, now=now)
    return _back(
        slug, f"The announcement is {'withdrawn' if before is AnnouncementState.PUBLISHED else 'deleted'}."
    )


for _view, _method, _rule in (
    (index, "GET", ""),
    (create, "POST", ""),
    (edit, "GET", "/<id:announcement_id>"),
    (change, "POST", "/<id:announcement_id>"),
    (withdraw, "POST", "/<id:announcement_id>/withdraw"),
):
    for _place, _prefix in (("/competitions/<slug:slug>", ""), ("", "site_")):
        blueprint.add_url_rule(
            f"{_place}/announcements{_rule}", f"{_prefix}{_view.__name__}", _view, methods=[_method]
        )


def _pulse(slug: str | None) -> ResponseReturnValue:
    """Return the number of unread messages, new announcements and the viewer's latest results, or 304."""
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me) if slug is not None else None
        found = Waiting()
        if me is not None:
            found = waiting.of(session, slug, me, seen=visibility.seen_by(me), now=now)
        done = []
        if competition is not None and me is not None and "results" in request.args:
            done = _results(session, competition, me, now)
    page = url_for("announcements.index", slug=slug) if slug is not None else ""
    listed = [(title, id_, page) for id_, title in found.announcements[:MOST_NEWS]]
    if found.notice is not None:
        listed.append((found.notice[1], found.notice[0], url_for("announcements.site_index")))
    news = [
        {"key": f"announcement-{id_}", "words": title, "address": address} for title, id_, address in listed
    ]
    answer = jsonify(unread=found.of_competition, news=news + done)
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.add_etag()
    return answer.make_conditional(request)


def _results(session: Session, competition: Competition, me: Viewer, now: datetime) -> list[dict[str, str]]:
    """Return the latest results of the viewer's own files, in the words of their page."""
    latest = statuses.statuses(session, competition, now=now, user_id=me.id, limit=MOST_NEWS)
    step = formats.public_step(competition)
    done = []
    for entry in latest:
        if entry.state.is_final:
            words = f"Submission {entry.id}: {entry.state}"
            if entry.public is not None:
                words += f", public score {formats.number(entry.public, step)}"
            address = url_for("submissions.show", submission_id=entry.id)
            done.append({"key": f"submission-{entry.id}-{entry.state}", "words": words, "address": address})
    return done


def _writer(session: Session, slug: str | None) -> tuple[Viewer, Competition | None, datetime]:
    now = db.now(session)
    if slug is None:
        return organiser(session, now), None, now
    return *organiser_of(session, now, slug), now


def _may_write(me: Viewer | None, competition: Competition | None) -> bool:
    if me is None or competition is None:
        return me is not None and me.is_organiser
    return me.organises(competition.id)


def _note_reading(competition: Competition | None, me: Viewer) -> None:
    """Mark what was shown as read; the page does not depend on it."""
    try:
        with parts().database.begin_soon() as session:
            announcements.mark_read(session, competition, me, now=db.now(session))
    except SQLAlchemyError as wrong:
        log.warning("announcements read by account %s were not noted: %s", me.id, type(wrong).__name__)


def _preview(slug: str | None, announcement_id: int | None) -> ResponseReturnValue:
    """Show the form again, and the announcement as participants will see it; nothing is written."""
    with parts().database.read() as session:
        me, competition, now = _writer(session, slug)
        note_messages(session, me, slug, now)
        entry = (
            announcements.get(session, competition, announcement_id, now=now)
            if announcement_id is not None
            else None
        )
    given = {"title": field("title"), "text": text_field("text")}
    given |= {"publish": field("publish"), "publish_at": field("publish_at")}
    try:
        words = announcements.read(given["title"], given["text"])
    except Refused as refusal:
        return _edited(competition, now, entry, given, problems=refusal.problems), refusal.status
    return _edited(competition, now, entry, given, preview=words)


def _edited(
    competition: Competition | None,
    now: datetime,
    entry: Entry | None,
    given: Mapping[str, str],
    *,
    problems: tuple[Problem, ...] = (),
    preview: Words | None = None,
) -> str:
    return render_template(
        "messages/announcements/edit.html",
        competition=competition,
        now=now,
        entry=entry,
        preview=preview,
        timezone=_timezone(competition),
        **_form(given, problems),
    )


def _form(given: Mapping[str, str], problems: tuple[Problem, ...] = ()) -> dict[str, Any]:
    """Return what the form of an announcement needs."""
    return {
        "given": {"title": "", "text": "", "publish": "now", "publish_at": "", **given},
        "problems": problems,
        "wrong": {problem.column for problem in problems},
        "longest": (announcements.LONGEST_TITLE, announcements.LONGEST_TEXT),
    }


def _written(competition: Competition | None, entry: Entry) -> dict[str, str]:
    """Return an announcement as the fields of the form have it."""
    at = entry.publish_at
    local = f"{at.astimezone(competition.zone if competition else UTC):{LOCAL}}" if at else ""
    publish = {AnnouncementState.DRAFT: "draft", AnnouncementState.SCHEDULED: "at"}.get(entry.state, "now")
    return {"title": entry.title, "text": entry.text, "publish": publish, "publish_at": local}


def _publish_at(competition: Competition | None, now: datetime) -> datetime | None:
    """Return from when on the form wants the announcement to be shown; None for a draft."""
    publish = field("publish")
    if publish == "draft":
        return None
    if publish != "at":
        return now
    text = field("publish_at")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text[:40]!r} is not a date and time. Write it like 2026-12-01T18:00.") from None
    return at if at.tzinfo else at.replace(tzinfo=competition.zone if competition else UTC)


def _timezone(competition: Competition | None) -> str:
    return competition.timezone if competition is not None else "UTC"


def _done(publish_at: datetime | None, now: datetime, competition: Competition | None) -> str:
    if publish_at is None:
        return "The draft is saved; only organisers see it."
    if publish_at <= now:
        return "The announcement is published."
    at = publish_at.astimezone(competition.zone if competition else UTC)
    return f"The announcement will be published on {at:%Y-%m-%d at %H:%M} {_timezone(competition)}."


def _back(slug: str | None, words: str) -> ResponseReturnValue:
    flash(words)
    if slug is None:
        return redirect(url_for("announcements.site_index"), 303)
    return redirect(url_for("announcements.index", slug=slug), 303)

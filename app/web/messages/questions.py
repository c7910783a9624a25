"""The questions of a competition and their answers, on one page for participants and organisers."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from app.base import db
from app.base.errors import Refused
from app.base.models import Competition
from app.competing import teams, visibility
from app.messages import questions
from app.messages.questions import Settings
from app.people.accounts import Viewer
from app.web.context import (
    assistant_of,
    field,
    note_messages,
    note_position,
    organiser_of,
    parts,
    signed_in,
    text_field,
    viewer,
)

blueprint = Blueprint("questions", __name__)
log = logging.getLogger(__name__)


@blueprint.get("/competitions/<slug:slug>/questions")
def index(slug: str) -> ResponseReturnValue:
    """List the questions that the viewer may see; opening the page marks own answers as read."""
    return _page(slug)


@blueprint.post("/competitions/<slug:slug>/questions")
def ask(slug: str) -> ResponseReturnValue:
    is_public = field("audience") == "all"
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        questions.ask(
            session, competition, me, field("title"), text_field("text"), is_public=is_public, now=now
        )
    return _back(slug, f"Your question is with {'all' if is_public else 'the organisers'}.")


@blueprint.post("/competitions/<slug:slug>/questions/<id:question_id>/edit")
def edit(slug: str, question_id: int) -> ResponseReturnValue:
    """Change the words of one's own question until it is answered."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        row = questions.own(session, competition, me, question_id)
        questions.edit(session, competition, me, row, field("title"), text_field("text"), now=now)
    return _back(slug, "Your question is changed.", question_id)


@blueprint.post("/competitions/<slug:slug>/questions/<id:question_id>/answer")
def answer(slug: str, question_id: int) -> ResponseReturnValue:
    """Answer a question, or show the form again with a canned answer in it."""
    insert = request.form.get("insert", type=int)
    if insert is not None:
        with parts().database.read() as session:
            _, competition = assistant_of(session, db.now(session), slug)
            text = questions.inserted(session, competition, insert, text_field("text"))
        given = {"id": question_id, "text": text, "shown_as": field("shown_as")}
        return _page(slug, given)
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        text, shown_as = text_field("text"), field("shown_as")
        questions.answer(session, competition, question_id, text, shown_as=shown_as, by=me.name, now=now)
    return _back(slug, "The question is answered.", question_id)


@blueprint.post("/competitions/<slug:slug>/questions/<id:question_id>/mark")
def mark(slug: str, question_id: int) -> ResponseReturnValue:
    """Mark as answered or open, pin or unpin, hide with a reason or show again."""
    act = field("act")
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        if act in ("answered", "reopen"):
            is_open = act == "reopen"
            questions.mark(session, competition, question_id, is_open=is_open, by=me.name, now=now)
        elif act in ("pin", "unpin"):
            is_pinned = act == "pin"
            questions.pin(session, competition, question_id, is_pinned=is_pinned, by=me.name, now=now)
        elif act == "hide":
            questions.hide(session, competition, question_id, field("reason"), by=me.name, now=now)
        elif act == "show":
            questions.show(session, competition, question_id, by=me.name, now=now)
        else:
            raise Refused("What to do is one of answered, reopen, pin, unpin, hide and show.")
    return _back(slug, "Done.", question_id)


@blueprint.post("/competitions/<slug:slug>/questions/canned")
def save_canned(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        questions.save_canned(session, competition, field("title"), text_field("text"), by=me.name, now=now)
    return _back(slug, f"The canned answer {field('title')} is saved.")


@blueprint.post("/competitions/<slug:slug>/questions/canned/<id:canned_id>/delete")
def delete_canned(slug: str, canned_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        questions.delete_canned(session, competition, canned_id, by=me.name, now=now)
    return _back(slug, "The canned answer is deleted.")


@blueprint.post("/competitions/<slug:slug>/questions/settings")
def change_settings(slug: str) -> ResponseReturnValue:
    wanted = Settings(
        allows_public=field("allows_public") == "1",
        ends_with_competition=field("ends_with_competition") == "1",
    )
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        questions.set_settings(session, competition, wanted, by=me.name, now=now)
    return _back(slug, "The settings are saved.")


def _page(slug: str, given: dict[str, Any] | None = None) -> str:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me)
        note_position(session, competition, me, now)
        if me is not None and request.method == "POST":
            note_messages(session, me, slug, now)
        organises = me is not None and me.assists(competition.id)
        listed = questions.listed(session, competition, me)
        taken = questions.settings(session, competition)
        team = teams.of(session, competition, me.id) if me else None
        canned = questions.canned(session, competition) if organises else []
    made = render_template(
        "messages/questions/index.html",
        competition=competition,
        now=now,
        listed=listed,
        taken=taken,
        organises=organises,
        may_set=me is not None and me.organises(competition.id),
        team=team,
        is_taken=taken.are_taken(competition, now),
        canned=canned,
        given=given or {},
        longest=questions,
    )
    if me is not None and any(one.is_new and one.is_own for one in listed):
        _note_reading(competition, me)
    return made


def _note_reading(competition: Competition, me: Viewer) -> None:
    """Mark the answers that were shown as read; the page does not depend on it."""
    try:
        with parts().database.begin_soon() as session:
            questions.mark_read(session, competition, me, now=db.now(session))
    except SQLAlchemyError as wrong:
        log.warning("answers read by account %s were not noted: %s", me.id, type(wrong).__name__)


def _back(slug: str, words: str, question_id: int | None = None) -> ResponseReturnValue:
    flash(words)
    anchor = f"question-{question_id}" if question_id is not None else None
    return redirect(url_for("questions.index", slug=slug, _anchor=anchor), 303)

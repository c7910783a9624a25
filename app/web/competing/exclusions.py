"""Take teams, files and descriptions of methods off the board, from the page of organisers."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.errors import Refused
from app.competing import exclusions, methods, teams
from app.web.context import field, organiser_of, parts

blueprint = Blueprint("exclusions", __name__)


@blueprint.post("/competitions/<slug:slug>/organise/board/team")
def move_team(slug: str) -> ResponseReturnValue:
    """Take a team off the board, or with `back` put it there again."""
    is_back = request.form.get("back") == "1"
    move = exclusions.put_back_team if is_back else exclusions.take_off_team
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        team = teams.by_name(session, competition, field("team"))
        move(session, competition, team, field("reason"), by=me.name, now=now)
    return _back(slug, f"{team.name} is {'on the board again' if is_back else 'off the board'}.")


@blueprint.post("/competitions/<slug:slug>/organise/board/file")
def move_file(slug: str) -> ResponseReturnValue:
    """Take one file off the board, or with `back` let it count again."""
    is_back = request.form.get("back") == "1"
    move = exclusions.put_back_file if is_back else exclusions.take_off_file
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        text = field("submission").strip().removeprefix("#")
        if not (text.isdecimal() and text.isascii() and len(text) < 19):
            raise Refused(f"{text[:40]!r} is no number of a submission; the list above shows them.")
        move(session, competition, int(text), field("reason"), by=me.name, now=now)
    return _back(slug, f"Submission {text} {'counts again' if is_back else 'is off the board'}.")


@blueprint.post("/competitions/<slug:slug>/organise/board/method")
def remove_method(slug: str) -> ResponseReturnValue:
    """Remove what a team says of its method."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        team = teams.by_name(session, competition, field("team"))
        methods.remove(session, competition, team, field("reason"), by=me.name, now=now)
    return _back(slug, f"The description of {team.name} is removed.")


def _back(slug: str, words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("organise.show", slug=slug), 303)

"""Join a competition and rename a team."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.errors import Forbidden
from app.competing import competitions, teams
from app.web.context import field, parts, safe_next, signed_in

blueprint = Blueprint("teams", __name__)


@blueprint.post("/competitions/<slug:slug>/join")
def join(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = competitions.by_slug(session, slug)
        team = teams.join(session, competition, me, now=now)
    flash(f"You have joined as {team.name}. Download the data, then submit your first predictions.")
    return redirect(safe_next(request.form.get("next"), url_for("competitions.data", slug=slug)), 303)


@blueprint.post("/competitions/<slug:slug>/team")
def rename(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = competitions.by_slug(session, slug)
        team = teams.of(session, competition, me.id)
        if team is None:
            raise Forbidden(f"Join {competition.title} first.")
        teams.rename(session, competition, team, field("name"), by=me.name, now=now)
    flash(f"Your team is now called {team.name}.")
    return redirect(url_for("submissions.index", slug=slug), 303)

"""Show the rules of a competition and accept them."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.competing import rules, teams, visibility
from app.web.context import note_position, parts, safe_next, signed_in, viewer

blueprint = Blueprint("rules", __name__)


@blueprint.get("/competitions/<slug:slug>/rules")
def show(slug: str) -> ResponseReturnValue:
    """Show the newest rules; without any, the overview. Kaggle clients send participants to this address."""
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me)
        version = rules.current(session, competition)
        team = teams.of(session, competition, me.id) if me else None
        note_position(session, competition, me, now)
        acceptance = rules.accepted(session, competition, me.id, version) if me and version else None
    if version is None:
        return redirect(url_for("competitions.show", slug=slug))
    return render_template(
        "competing/rules/show.html",
        competition=competition,
        version=version,
        acceptance=acceptance,
        team=team,
        now=now,
        next=request.args.get("next", ""),
    )


@blueprint.post("/competitions/<slug:slug>/rules")
def accept(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        version = rules.accept(session, competition, me, request.form.get("version", 0, type=int), now=now)
    flash(f"You have accepted version {version.number} of the rules.")
    otherwise = url_for("rules.show", slug=slug)
    return redirect(safe_next(request.form.get("next"), otherwise), 303)

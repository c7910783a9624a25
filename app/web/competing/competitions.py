"""Show the list of competitions, one competition, and its data."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.models import Phase
from app.competing import competitions, leaderboard, teams
from app.web import downloads
from app.web.context import note_position, parts, viewer

blueprint = Blueprint("competitions", __name__)


@blueprint.get("/competitions")
@blueprint.get("/")
def index() -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        viewer(session, now)
        listed = competitions.listed(session)
    # Open competitions come first; within a phase, the newest first.
    order = [Phase.OPEN, Phase.UPCOMING, Phase.CLOSED]
    listed.sort(key=lambda found: order.index(found[0].phase(now)))
    return render_template("competing/competitions/index.html", listed=listed, now=now)


@blueprint.get("/competitions/<slug:slug>/rules")  # the address to which Kaggle clients send participants
@blueprint.get("/competitions/<slug:slug>")
def show(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = competitions.by_slug(session, slug)
        team = teams.of(session, competition, me.id) if me else None
        note_position(session, competition, me, now)
        baselines = leaderboard.baselines(session, competition, now=now)
    return render_template(
        "competing/competitions/show.html", competition=competition, team=team, now=now, baselines=baselines
    )


@blueprint.get("/competitions/<slug:slug>/data")
def data(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = competitions.by_slug(session, slug)
        team = teams.of(session, competition, me.id) if me else None
        note_position(session, competition, me, now)
    return render_template(
        "competing/competitions/data.html",
        competition=competition,
        team=team,
        now=now,
        is_available=downloads.is_available(competition, me, now),
    )


@blueprint.get("/competitions/<slug:slug>/data/<path:name>")
def download(slug: str, name: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = competitions.by_slug(session, slug)
        downloads.refuse_before_opening(competition, me, now)
    return downloads.send_public(competition, name)


@blueprint.get("/competitions/<slug:slug>/folds.csv")
def folds(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = competitions.by_slug(session, slug)
        downloads.refuse_before_opening(competition, me, now)
    return downloads.send_folds(competition)


@blueprint.get("/competitions/<slug:slug>/data.zip")
def bundle(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = competitions.by_slug(session, slug)
        downloads.refuse_before_opening(competition, me, now)
    return downloads.send_bundle(competition)

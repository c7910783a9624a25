"""Show the list of competitions, one competition, and its data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db
from app.base.models import Competition, Phase
from app.competing import competitions, leaderboard, positions, rules, teams, visibility
from app.competing.positions import Position
from app.messages import waiting
from app.people.accounts import Viewer
from app.web import downloads
from app.web.context import note_position, parts, viewer

blueprint = Blueprint("competitions", __name__)

PHASES = (Phase.OPEN, Phase.UPCOMING, Phase.CLOSED)
MOST_OWN = 30  # own competitions whose position the first page shows


@blueprint.get("/competitions")
@blueprint.get("/")
def index() -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        listed = competitions.listed(session, visibility.seen_by(me))
        mine = _mine(session, listed, me, now) if me else []
        unread = waiting.by_competition(session, me, now=now) if me and mine else {}
    # Open competitions come first; within a phase, the newest first.
    listed.sort(key=lambda found: PHASES.index(found[0].phase(now)))
    return render_template(
        "competing/competitions/index.html",
        listed=[found for found in listed if not found[0].is_archived],
        past=[found for found in listed if found[0].is_archived],
        mine=mine,
        unread=unread,
        now=now,
    )


def _mine(
    session: Session, listed: Sequence[tuple[Competition, int]], me: Viewer, now: datetime
) -> list[tuple[Competition, Position]]:
    """Return the competitions that the viewer has joined, with the position: the next to close first."""
    joined = teams.of_user(session, me.id)
    own = [competition for competition, _ in listed if competition.id in joined][:MOST_OWN]
    ranked = ((one, positions.of(session, one, me.id, now=now)) for one in own)
    found = [(one, position) for one, position in ranked if position is not None]

    def order(one: Competition) -> tuple[int, float]:
        phase, closes = one.phase(now), one.closes_at.timestamp() if one.closes_at else float("inf")
        return PHASES.index(phase), -closes if phase is Phase.CLOSED else closes

    return sorted(found, key=lambda each: order(each[0]))


@blueprint.get("/competitions/<slug:slug>")
def show(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me)
        team = teams.of(session, competition, me.id) if me else None
        note_position(session, competition, me, now)
        baselines = leaderboard.baselines(session, competition, now=now)
        has_rules = rules.current(session, competition) is not None
    return render_template(
        "competing/competitions/show.html",
        competition=competition,
        team=team,
        now=now,
        baselines=baselines,
        has_rules=has_rules,
    )


@blueprint.get("/competitions/<slug:slug>/data")
def data(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me)
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
        competition = visibility.find(session, slug, me)
        downloads.refuse_before_opening(competition, me, now)
    return downloads.send_public(competition, name)


@blueprint.get("/competitions/<slug:slug>/folds.csv")
def folds(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me)
        downloads.refuse_before_opening(competition, me, now)
    return downloads.send_folds(competition)


@blueprint.get("/competitions/<slug:slug>/data.zip")
def bundle(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me)
        downloads.refuse_before_opening(competition, me, now)
    return downloads.send_bundle(competition)

"""Show the leaderboard."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import NotFound
from app.base.models import Competition, Visibility
from app.competing import competitions, freezing, leaderboard, positions, teams, visibility
from app.competing.leaderboard import BoardView, Shift, Sort
from app.integrity import inspections
from app.web import charts, compression
from app.web.context import note_position, number_argument, parts, viewer

blueprint = Blueprint("leaderboard", __name__)

PODIUM = 3


@dataclass(frozen=True)
class Wanted:
    """What the address asks of the board."""

    page: int
    search: str
    sort: Sort
    descending: bool
    scores: str | None
    """`public` asks for the public scores also after the close."""


@blueprint.get("/competitions/<slug:slug>/leaderboard")
def show(slug: str) -> ResponseReturnValue:
    """Show the board.

    `?part=live` is the board alone, without marks of the viewer, for pages that poll it. `?part=mine` is the
    strip with the viewer's own position.
    """
    wanted = _wanted()
    if request.args.get("part") == "live":
        return _live(slug, wanted)
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me)
        if request.args.get("part") == "mine":
            note_position(session, competition, me, now)
            return render_template("_strip.html", competition=competition, now=now)
        # The phase decides what may be shown, so a cached page of one phase is never used in the next.
        key = (
            competition.id,
            competition.phase(now),
            competition.is_settled(now),
            freezing.is_frozen(competition, now),
            wanted,
        )
        is_shared = me is None and not cookie.get("_flashes")
        if is_shared and (cached := parts().boards.get(key)):
            return _shared(cached)
        note_position(session, competition, me, now)
        board = _board(session, competition, wanted, now, viewer_id=me.id if me else None)
        has_report = competition.is_settled(now) and _has_report(session, competition, now)
    if wanted.page > 1 and not board.rows:  # an old link to a page that no longer exists
        return redirect(url_for("leaderboard.show", slug=slug, q=wanted.search or None, scores=wanted.scores))
    made = _render("show", competition, board, wanted, now, has_report=has_report)
    if not is_shared:
        return made
    parts().boards.put(key, made)
    return _shared(made)


@blueprint.get("/competitions/<slug:slug>/results")
def results(slug: str) -> ResponseReturnValue:
    """Show the final results: podium, changes of rank, and the viewer's own."""
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me)
        if not competition.is_settled(now):
            return redirect(url_for("leaderboard.show", slug=slug))
        note_position(session, competition, me, now)
        shifts = leaderboard.shake_up(session, competition, now=now)
        team = teams.of(session, competition, me.id) if me else None
        uncounted = positions.best_uncounted(session, competition, team.id, now=now) if team else None
        has_report = _has_report(session, competition, now)
    return render_template(
        "competing/leaderboard/results.html",
        competition=competition,
        now=now,
        podium=shifts[:PODIUM],
        teams=len(shifts),
        mine=next((one for one in shifts if team is not None and one.team_id == team.id), None),
        uncounted=uncounted,
        rose=max(shifts, key=lambda one: one.gained, default=None),
        fell=min(shifts, key=lambda one: one.gained, default=None),
        chart=charts.plot(_shake_up(shifts)),
        has_report=has_report,
    )


def _shake_up(shifts: Sequence[Shift]) -> dict[str, Any]:
    typical = sorted(abs(one.gained) for one in shifts)[len(shifts) // 2] if shifts else 0
    return {
        "kind": "points",
        "title": "Shake-up",
        "x_title": "final rank",
        "y_title": "places gained",
        "x": [one.rank for one in shifts],
        "y": [one.gained for one in shifts],
        "names": [one.team for one in shifts],
        "reference": "zero",
        "text": f"One point for each team: places gained from the public board to the final one. "
        f"Half of the teams moved by {typical} or less.",
    }


def _live(slug: str, wanted: Wanted) -> ResponseReturnValue:
    """Return the board for a page that polls it, or 304 while its rows are the same.

    It is made without a viewer, so one answer is right for all; each process makes it once a second at most.
    The tag is of the rows and not of the text, whose relative times change.
    """
    with parts().database.read() as session:
        now = db.now(session)
        competition = competitions.by_slug(session, slug)
        if competition.visibility != Visibility.PUBLIC:  # of the others no poll looks for a viewer
            competition = visibility.find(session, slug, viewer(session, now))
        key = (
            competition.id,
            competition.phase(now),
            competition.is_settled(now),
            freezing.is_frozen(competition, now),
            wanted,
        )
        made = parts().live_boards.get(key)
        if made is None:
            board = _board(session, competition, wanted, now)
            about = repr((key, competition.title, competition.version_id, board))
            tag = hashlib.sha256(about.encode()).hexdigest()[:20]
            made = tag, _render("_board", competition, board, wanted, now)
            parts().live_boards.put(key, made)
    tag, text = made
    answer = Response(text, content_type="text/html; charset=utf-8")
    answer.cache_control.no_cache = True
    answer.set_etag(tag)
    compression.allow()
    return answer.make_conditional(request)


def _shown(competition: Competition, wanted: Wanted, now: datetime) -> tuple[Any, ...]:
    """Return what decides which board is shown, as the key of its cached page."""
    is_frozen = freezing.is_frozen(competition, now)
    return competition.id, competition.phase(now), competition.is_settled(now), is_frozen, wanted


def _board(
    session: Session, competition: Competition, wanted: Wanted, now: datetime, *, viewer_id: int | None = None
) -> BoardView:
    return leaderboard.board(
        session,
        competition,
        now=now,
        viewer_id=viewer_id,
        page=wanted.page,
        search=wanted.search,
        sort=wanted.sort,
        descending=wanted.descending,
        shows_public=wanted.scores == "public",
    )


def _render(
    template: str, competition: Competition, board: BoardView, wanted: Wanted, now: datetime, **more: Any
) -> str:
    return render_template(
        f"competing/leaderboard/{template}.html",
        competition=competition,
        board=board,
        now=now,
        search=wanted.search,
        sort=wanted.sort,
        descending=wanted.descending,
        scores=wanted.scores,
        **more,
    )


def _shared(page: str) -> ResponseReturnValue:
    """Return a page that browsers may cache and must revalidate.

    The ETag is the page's own hash, because the relative times on it change.
    """
    answer = Response(page, content_type="text/html; charset=utf-8")
    answer.cache_control.no_cache = True
    answer.add_etag()
    return answer.make_conditional(request)


def _has_report(session: Session, competition: Competition, now: datetime) -> bool:
    try:
        inspections.report(session, competition, for_organiser=False, now=now)
    except NotFound:
        return False
    return True


def _wanted() -> Wanted:
    """Read the query string; `?sort=entries` or `?sort=-entries`, the default is the rank."""
    requested = request.args.get("sort", Sort.RANK)
    name = requested.removeprefix("-")
    sort, descending = (Sort(name), requested != name) if name in set(Sort) else (Sort.RANK, False)
    return Wanted(
        page=number_argument("page", 1, largest=1_000_000),
        search="".join(c for c in request.args.get("q", "") if c.isprintable())[:60],
        sort=sort,
        descending=descending,
        scores="public" if request.args.get("scores") == "public" else None,
    )

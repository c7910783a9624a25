"""The board's page."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import NotFound
from app.base.models import Competition
from app.competing import competitions, leaderboard
from app.competing.leaderboard import Sort
from app.integrity import inspections
from app.web.context import number_argument, parts, viewer

blueprint = Blueprint("leaderboard", __name__)


@blueprint.get("/competitions/<slug:slug>/leaderboard")
def show(slug: str) -> ResponseReturnValue:
    sort, descending = _order()
    search = "".join(c for c in request.args.get("q", "") if c.isprintable())[:60]
    page = number_argument("page", 1, largest=1_000_000)
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = competitions.by_slug(session, slug)
        # What may be seen depends on the moment, so a page of one phase is never kept for the next.
        moment = competition.id, competition.phase(now), competition.is_settled(now)
        key = (*moment, search, page, sort, descending)
        is_everybodys = me is None and not cookie.get("_flashes")
        if is_everybodys and (kept := parts().boards.get(key)):
            return _of_everybody(kept)
        board = leaderboard.board(
            session,
            competition,
            now=now,
            viewer_id=me.id if me else None,
            page=page,
            search=search,
            sort=sort,
            descending=descending,
        )
        has_report = board.is_private and _has_report(session, competition, now)
    if page > 1 and not board.rows:  # an old link to a page that is no longer there
        return redirect(url_for("leaderboard.show", slug=slug, q=search or None))
    made = render_template(
        "competing/leaderboard/show.html",
        competition=competition,
        board=board,
        has_report=has_report,
        now=now,
        search=search,
        sort=sort,
        descending=descending,
    )
    if not is_everybodys:
        return made
    parts().boards.put(key, made)
    return _of_everybody(made)


def _of_everybody(page: str) -> ResponseReturnValue:
    """Browsers may keep it and ask whether it is still the same; of the page itself, since times on it grow older."""
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


def _order() -> tuple[Sort, bool]:
    """`?sort=entries` or `?sort=-entries`; anything else is the ranking."""
    asked = request.args.get("sort", Sort.RANK)
    name = asked.removeprefix("-")
    return (Sort(name), asked != name) if name in set(Sort) else (Sort.RANK, False)

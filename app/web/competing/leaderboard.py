"""Show the leaderboard."""

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
        # The phase decides what may be shown, so a cached page of one phase is never used in the next.
        phase = competition.id, competition.phase(now), competition.is_settled(now)
        key = (*phase, search, page, sort, descending)
        is_shared = me is None and not cookie.get("_flashes")
        if is_shared and (cached := parts().boards.get(key)):
            return _shared(cached)
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
    if page > 1 and not board.rows:  # an old link to a page that no longer exists
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
    if not is_shared:
        return made
    parts().boards.put(key, made)
    return _shared(made)


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


def _order() -> tuple[Sort, bool]:
    """Read `?sort=entries` or `?sort=-entries`; the default is the rank."""
    requested = request.args.get("sort", Sort.RANK)
    name = requested.removeprefix("-")
    return (Sort(name), requested != name) if name in set(Sort) else (Sort.RANK, False)

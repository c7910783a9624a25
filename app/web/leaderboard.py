"""The board's page."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import competitions, db, leaderboard
from app.leaderboard import Sort
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
    if page > 1 and not board.rows:  # an old link to a page that is no longer there
        return redirect(url_for("leaderboard.show", slug=slug, q=search or None))
    return render_template(
        "leaderboard/show.html",
        competition=competition,
        board=board,
        now=now,
        search=search,
        sort=sort,
        descending=descending,
    )


def _order() -> tuple[Sort, bool]:
    """`?sort=entries` or `?sort=-entries`; anything else is the ranking."""
    asked = request.args.get("sort", Sort.RANK)
    name = asked.removeprefix("-")
    return (Sort(name), asked != name) if name in set(Sort) else (Sort.RANK, False)

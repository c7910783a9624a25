"""What other sites show: the board in a frame, badges, and the calendar of a competition.

All are without a viewer: they read no cookie and have no form, so a page that frames them gains nothing.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, g, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.errors import NotFound
from app.competing import leaderboard, positions, teams, visibility
from app.sharing import calendars
from app.web.context import number_argument, parts

blueprint = Blueprint("embeds", __name__)

ROWS, MOST_ROWS = 10, 50
BADGE_SECONDS = 60
CALENDAR_SECONDS = 3600
LONGEST = 40
"""Characters of a badge's part."""


@blueprint.get("/competitions/<slug:slug>/embed")
def board(slug: str) -> ResponseReturnValue:
    """Show the first rows of the board, for a frame of another site: `?rows=10&theme=light`."""
    rows = min(number_argument("rows", ROWS), MOST_ROWS)
    theme = request.args.get("theme")
    with parts().database.read() as session:
        now = db.now(session)
        competition = visibility.find(session, slug, None)
        view = leaderboard.board(session, competition, now=now, page_size=rows)
    page = render_template(
        "sharing/embeds/board.html",
        competition=competition,
        board=view,
        now=now,
        theme=theme if theme in ("light", "dark") else None,
    )
    return _for_other_sites(Response(page, content_type="text/html; charset=utf-8"))


@blueprint.get("/competitions/<slug:slug>/badge.svg")
def badge(slug: str) -> ResponseReturnValue:
    """Show how many teams are ranked, or with `?team=NAME` a team's rank on the board that all may see."""
    name = request.args.get("team")
    with parts().database.read() as session:
        now = db.now(session)
        competition = visibility.find(session, slug, None)
        if name is None:
            count = positions.ranked_teams(session, competition, now=now)
            left, right = (
                competition.title,
                f"{count} {'team' if count == 1 else 'teams'}, {competition.phase(now).value}",
            )
        else:
            team = teams.by_name(session, competition, name)
            place = positions.place(session, competition, team.id, now=now)
            if place is None:
                raise NotFound("The team has no rank on the board.")
            kind = "final rank" if competition.is_settled(now) else "rank"
            left, right = f"{team.name} · {competition.title}", f"{kind} {place.rank} of {place.teams}"
    left, right = (text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in (left, right))
    widths = [12 + 7 * len(text) for text in (left, right)]
    drawn = render_template("sharing/embeds/badge.svg", left=left, right=right, widths=widths)
    return _for_other_sites(Response(drawn, content_type="image/svg+xml; charset=utf-8"))


@blueprint.get("/competitions/<slug:slug>/calendar.ics")
def calendar(slug: str) -> ResponseReturnValue:
    """Return the dates of the competition for calendars, which ask again by themselves."""
    with parts().database.read() as session:
        now = db.now(session)
        competition = visibility.find(session, slug, None)
        address = url_for("competitions.show", slug=competition.slug, _external=True)
        changed = calendars.changes(session, competition)
        host = urlsplit(address).hostname or "heldout"
        content = calendars.calendar(competition, address=address, host=host, changed=changed, now=now)
    answer = Response(content, content_type="text/calendar; charset=utf-8")
    answer.headers["Content-Disposition"] = f'inline; filename="{competition.slug}.ics"'
    answer.cache_control.public = True
    answer.cache_control.max_age = CALENDAR_SECONDS
    answer.vary.add("Host")  # the entries name it
    return answer


def _for_other_sites(answer: Response) -> ResponseReturnValue:
    g.is_for_other_sites = True
    answer.cache_control.public = True
    answer.cache_control.max_age = BADGE_SECONDS
    answer.add_etag()
    return answer.make_conditional(request)

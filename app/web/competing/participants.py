"""The tables of teams and of all submissions; only organisers see these pages."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from flask import Blueprint, Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.errors import NotFound
from app.base.models import Competition, State
from app.competing import all_submissions, bulk_files, participants
from app.competing.all_submissions import Kind
from app.competing.participants import MOST_SEARCH, Order, TeamPlace
from app.people.accounts import Viewer
from app.web import streams
from app.web.context import assistant_of, field, number_argument, parts, reviewer_of

blueprint = Blueprint("participants", __name__)

PAGE_SIZE = 50

_Choice = TypeVar("_Choice", bound=StrEnum)


def _chosen(name: str, of: type[_Choice]) -> _Choice | None:
    """Return a choice from the query string; an unknown one is none, as a typo shows all."""
    given = request.args.get(name, "")
    return of(given) if given in set(of) else None


def _text(name: str) -> str:
    return "".join(c for c in request.args.get(name, "") if c.isprintable())[:MOST_SEARCH]


def teams_wanted() -> participants.Wanted:
    """Return which teams the query string asks for."""
    return participants.Wanted(
        search=_text("q"),
        place=_chosen("state", TeamPlace),
        is_extended=request.args.get("extended") == "1",
        order=_chosen("sort", Order) or Order.NAME,
    )


def submissions_wanted() -> all_submissions.Wanted:
    """Return which submissions the query string asks for."""
    return all_submissions.Wanted(
        search=_text("q"),
        state=_chosen("state", State),
        kind=_chosen("kind", Kind),
        code="".join(c for c in _text("code") if c.isalnum() or c == "_"),
        team_id=number_argument("team", 0, largest=2**63 - 1) or None,
        is_oldest_first=request.args.get("sort") == "oldest",
    )


def permitted(wanted: all_submissions.Wanted, me: Viewer, competition: Competition) -> all_submissions.Wanted:
    """Return what of the wanted submissions the viewer may see: a judge only those of the final ranking."""
    wanted = replace(wanted, shows_private=me.organises(competition.id))
    return wanted if me.assists(competition.id) else replace(wanted, kind=Kind.FINAL)


def refuse_files(me: Viewer, competition: Competition) -> None:
    """Refuse an assistant all files at once: these are for organisers and, after the end, for judges."""
    if me.assists(competition.id) and not me.organises(competition.id):
        raise NotFound("There is no such page.")


@blueprint.get("/competitions/<slug:slug>/organise/participants")
def index(slug: str) -> ResponseReturnValue:
    """Show a page of the teams."""
    wanted = teams_wanted()
    with parts().database.read() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        wanted = replace(wanted, shows_private=me.organises(competition.id) or competition.is_settled(now))
        page = participants.page(
            session, competition, wanted, limit=PAGE_SIZE, cursor=request.args.get("after")
        )
    arguments: dict[str, Any] = {
        "q": wanted.search or None,
        "state": wanted.place and wanted.place.value,
        "extended": "1" if wanted.is_extended else None,
        "sort": wanted.order.value if wanted.order is not Order.NAME else None,
    }
    following = page.following and url_for("participants.index", slug=slug, after=page.following, **arguments)
    return render_template(
        "competing/participants/index.html",
        competition=competition,
        now=now,
        wanted=wanted,
        rows=page.rows,
        following=following,
        is_first=not request.args.get("after"),
        places=list(TeamPlace),
        orders=list(Order),
        arguments=arguments,
    )


@blueprint.get("/competitions/<slug:slug>/organise/participants.csv")
def index_csv(slug: str) -> Response:
    """Send the teams as CSV."""
    wanted = teams_wanted()
    with parts().database.read() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
    shows_private = me.organises(competition.id) or competition.is_settled(now)
    return send_teams(slug, competition.id, replace(wanted, shows_private=shows_private))


@blueprint.get("/competitions/<slug:slug>/organise/submissions")
def submissions(slug: str) -> ResponseReturnValue:
    """Show a page of all submissions."""
    wanted = submissions_wanted()
    behind = number_argument("after", 0, largest=2**63 - 1) or None
    with parts().database.read() as session:
        now = db.now(session)
        me, competition = reviewer_of(session, now, slug)
        wanted = permitted(wanted, me, competition)
        found = all_submissions.page(
            session, competition, wanted, now=now, limit=PAGE_SIZE + 1, behind_id=behind
        )
    arguments: dict[str, Any] = {
        "q": wanted.search or None,
        "state": wanted.state and wanted.state.value,
        "kind": wanted.kind and wanted.kind.value,
        "code": wanted.code or None,
        "team": wanted.team_id,
        "sort": "oldest" if wanted.is_oldest_first else None,
    }
    following = None
    if len(found) > PAGE_SIZE:
        last = found[PAGE_SIZE - 1].id
        following = url_for("participants.submissions", slug=slug, after=last, **arguments)
    return render_template(
        "competing/participants/submissions.html",
        competition=competition,
        now=now,
        wanted=wanted,
        entries=found[:PAGE_SIZE],
        codes=all_submissions.codes,
        following=following,
        is_first=behind is None,
        states=list(State),
        kinds=list(Kind),
        arguments=arguments,
    )


@blueprint.get("/competitions/<slug:slug>/organise/submissions.csv")
def submissions_csv(slug: str) -> Response:
    """Send all submissions as CSV."""
    wanted = submissions_wanted()
    with parts().database.read() as session:
        me, competition = reviewer_of(session, db.now(session), slug)
    return send_submissions(slug, competition.id, permitted(wanted, me, competition))


@blueprint.post("/competitions/<slug:slug>/organise/files")
def files(slug: str) -> Response:
    """Send all files that match as one zip with an index, and log it."""
    wanted = all_submissions.Wanted(
        search="".join(c for c in field("q"))[:MOST_SEARCH],
        state=State(field("state")) if field("state") in set(State) else None,
        kind=Kind(field("kind")) if field("kind") in set(Kind) else None,
        code="".join(c for c in field("code") if c.isalnum() or c == "_"),
        team_id=int(field("team")) if field("team").isascii() and field("team").isdigit() else None,
    )
    with parts().database.read() as session:
        me, competition = reviewer_of(session, db.now(session), slug)
    refuse_files(me, competition)
    return send_files(slug, competition.id, permitted(wanted, me, competition), by=me.name)


def send_files(slug: str, competition_id: int, wanted: all_submissions.Wanted, *, by: str) -> Response:
    """Return the archive of files as an answer that is made while it is sent, and log it."""

    def begun() -> bulk_files.Archive:
        with parts().database.begin() as session:
            competition = session.get_one(Competition, competition_id)
            return bulk_files.begin(
                session,
                parts().storage,
                competition,
                wanted,
                read=parts().database.read,
                by=by,
                now=db.now(session),
            )

    return streams.attachment(
        parts().streams, begun, content_type="application/zip", name=f"{slug}-files.zip"
    )


def send_teams(slug: str, competition_id: int, wanted: participants.Wanted) -> Response:
    """Return the table of teams as an answer that is made while it is sent."""
    found = participants.walk(parts().database.read, competition_id, wanted)
    rows = map(participants.csv_row, found)
    return streams.attachment(
        parts().streams,
        lambda: streams.csv_pieces(participants.COLUMNS, rows),
        content_type="text/csv; charset=utf-8",
        name=f"{slug}-participants.csv",
    )


def send_submissions(slug: str, competition_id: int, wanted: all_submissions.Wanted) -> Response:
    """Return the table of submissions as an answer that is made while it is sent."""
    found = all_submissions.walk(parts().database.read, competition_id, wanted)
    rows = map(all_submissions.csv_row, found)
    return streams.attachment(
        parts().streams,
        lambda: streams.csv_pieces(all_submissions.COLUMNS, rows),
        content_type="text/csv; charset=utf-8",
        name=f"{slug}-submissions.csv",
    )

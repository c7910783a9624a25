"""The verbs of the Kaggle clients, for both families of calls.

Each takes plain values and returns what the client reads. The rules are those of pages and API: each verb
calls the same functions of the rooms below.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import zipfile
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Response, g, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from app.base import db
from app.base.csv_cells import csv_cell
from app.base.errors import Forbidden, NotFound, NotSignedIn, Refused
from app.base.models import Competition, Phase, Team
from app.competing import (
    charges,
    competitions,
    hosts,
    late,
    leaderboard,
    statuses,
    submissions,
    teams,
    upload_tickets,
    visibility,
)
from app.people import accounts, tokens
from app.people.accounts import Viewer
from app.people.names import canonical
from app.people.tokens import Scope
from app.web import downloads
from app.web.context import parts
from app.web.kaggle import wire

LISTED = 20
SUBMISSIONS = 200
SEND_CREDENTIALS = (
    "Send a token of your account page: set KAGGLE_API_TOKEN to it, or KAGGLE_USERNAME to your name and "
    "KAGGLE_KEY to the token."
)


def viewer(session: Session, scope: Scope = Scope.READ) -> Viewer:
    """Return the owner of the request's token, sent as Bearer or as the password of Basic.

    The token must have this scope; the owner is an organiser only with the scope organise.
    """
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    secret, name = value.strip(), None
    if kind.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(secret, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise NotSignedIn(SEND_CREDENTIALS) from None
    if kind.lower() not in ("bearer", "basic"):
        raise NotSignedIn(SEND_CREDENTIALS)
    grant = tokens.check(session, secret, now=db.now(session))
    if name is not None and canonical(name) != grant.viewer.name:
        raise NotSignedIn(SEND_CREDENTIALS)
    g.grant = grant
    g.user_id = grant.viewer.id
    grant.require(scope)
    return grant.viewer


def introspect(token: str) -> dict[str, Any]:
    with parts().database.read() as session:
        try:
            found = tokens.check(session, token, now=db.now(session)).viewer
        except NotSignedIn:
            return {"active": False}
    return {"active": True, "username": found.name, "userId": found.id}


def hello() -> dict[str, Any]:
    with parts().database.read() as session:
        return {"userName": viewer(session).name}


def competition_list(
    *, group: str, category: str, sort_by: str, search: str, page_token: str
) -> tuple[list[dict[str, Any]], str]:
    """Return a page of competitions and the token of the next page."""
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session)
        entered = teams.of_user(session, me.id)
        found = [
            (competition, count)
            for competition, count in competitions.listed(session, visibility.seen_by(me))
            if _is_in_group(competition, _plain(group), me, now, entered)
            and _plain(category) in ("", "unspecified", "all", "community")
            and search.casefold() in f"{competition.title} {competition.slug}".casefold()
        ]
        _sort(found, _plain(sort_by), now)
        page, following = wire.page_of(found, page_token, LISTED)
        listed = [
            wire.competition_json(
                competition,
                n_teams=count,
                has_entered=competition.id in entered,
                rank=_rank(session, competition, me, now) if competition.id in entered else None,
                now=now,
            )
            for competition, count in page
        ]
    return listed, following


def file_list(slug: str, *, page_token: str, page_size: int) -> tuple[list[dict[str, Any]], str]:
    with parts().database.read() as session:
        _, competition, _ = _available(session, slug)
        version = competition.version
    listed = [wire.file_json(file, version.created_at) for file in version.manifest.get("files", [])]
    return wire.page_of(listed, page_token, page_size)


def download_file(slug: str, name: str) -> BaseResponse:
    """Redirect to a signed address that ends in the file's name, which clients save it as."""
    with parts().database.read() as session:
        _, competition, _ = _available(session, slug)
    link = downloads.link_to_public(competition, name)
    return redirect(link)


def download_all(slug: str) -> BaseResponse:
    with parts().database.read() as session:
        _, competition, _ = _available(session, slug)
    return redirect(downloads.link_to_bundle(competition))


def start_upload(slug: str, *, filename: str, size_bytes: int) -> dict[str, Any]:
    """Return a ticket for one file, or refuse what would be refused at the end."""
    with parts().database.begin() as session:
        me = viewer(session, Scope.SUBMIT)
        secret = upload_tickets.issue(
            session,
            visibility.find(session, slug, me),
            me,
            filename=filename,
            size_bytes=size_bytes,
            most_bytes=parts().settings.team_bytes,
            now=db.now(session),
        )
    return {"token": secret, "createUrl": reachable(url_for("kaggle_transfers.upload", secret=secret))}


def create_submission(slug: str, *, token: str, message: str, sandbox: bool) -> dict[str, Any]:
    """Submit an uploaded file; only this charges it."""
    with parts().database.begin() as session:
        me = viewer(session, Scope.SUBMIT)
        competition = visibility.find(session, slug, me)
        receipt = upload_tickets.submit(
            session,
            competition,
            me,
            token,
            message=message,
            most_bytes=parts().settings.team_bytes,
            now=db.now(session),
            sandbox=sandbox,
        )
        parts().storage.refuse_unless_stored(receipt.blob)
    parts().hints.send(receipt.id)
    again = "; this file had arrived before and counts once" if receipt.is_replay else ""
    mark = late.NOT_RANKED if receipt.is_late else hosts.NOT_RANKED
    unranked = "" if receipt.is_ranked else f"; {mark}"
    return {"message": f"Successfully submitted to {competition.title}{unranked}{again}", "ref": receipt.id}


def submission_list(slug: str, *, page_token: str, page_size: int) -> tuple[list[dict[str, Any]], str]:
    with parts().database.read() as session:
        me, competition, team = _entered(session, slug)
        before = wire.number_of(page_token, 0)
        entries = statuses.statuses(
            session,
            competition,
            now=db.now(session),
            team_id=team.id,
            limit=page_size + 1,
            before_id=before or None,
        )
        names = accounts.names(session, {entry.user_id for entry in entries if entry.user_id is not None})
    listed = [wire.submission_json(e, names.get(e.user_id or 0, me.name)) for e in entries[:page_size]]
    following = str(entries[page_size - 1].id) if len(entries) > page_size else ""
    return listed, following


def submission(ref: int) -> dict[str, Any]:
    with parts().database.read() as session:
        me = viewer(session)
        _, competition = statuses.visible(session, me, ref)
        found = statuses.statuses(session, competition, now=db.now(session), submission_id=ref)
        if not found:
            raise NotFound(f"Submission {ref} has no result yet.")
        entry = found[0]
        names = accounts.names(session, {entry.user_id} if entry.user_id is not None else set())
    return wire.submission_json(entry, names.get(entry.user_id or 0, me.name))


def download_submission(ref: int) -> BaseResponse:
    with parts().database.read() as session:
        found, _ = statuses.visible(session, viewer(session), ref)
    return redirect(downloads.link_to_upload(found))


def limits(slug: str) -> dict[str, Any]:
    with parts().database.read() as session:
        _, competition, team = _entered(session, slug)
        allowance = submissions.allowance(session, competition, team, now=db.now(session))
        total = charges.count(session, team)
    by_total = allowance.total_limit is not None and allowance.total_limit - total <= allowance.remaining
    return {
        "numToday": allowance.used,
        "numTotal": total,
        "numAllowedNow": allowance.remaining,
        "limitedByTotal": by_total,
    }


def board(slug: str, *, page_token: str) -> tuple[list[dict[str, Any]], str]:
    """Return a page of ranked teams; baselines have no rank and are left out."""
    page = min(wire.number_of(page_token, 1), 1_000_000)
    with parts().database.read() as session:
        me = viewer(session)
        competition = visibility.find(session, slug, me)
        view = leaderboard.board(session, competition, now=db.now(session), page=page)
    following = str(page + 1) if page < view.pages else ""
    return [wire.row_json(row) for row in view.rows if not row.is_baseline], following


def download_board(slug: str) -> Response:
    """Return the whole board as a CSV inside a zip, as the clients expect without a redirect."""
    with parts().database.read() as session:
        me = viewer(session)
        competition = visibility.find(session, slug, me)
        now = db.now(session)
        rows, is_private = leaderboard.whole(session, competition, now=now)
    packed = io.BytesIO()
    kind = "private" if is_private else "public"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            f"{slug}-{kind}leaderboard.csv", _board_csv([row for row in rows if not row.is_baseline])
        )
    answer = Response(packed.getvalue(), content_type="application/zip")
    answer.last_modified = now
    return answer


def team_submissions(team_id: int) -> list[dict[str, Any]]:
    """Return a team's scored files, to the team and to organisers."""
    with parts().database.read() as session:
        me = viewer(session)
        team = session.get(Team, team_id)
        competition = session.get_one(Competition, team.competition_id) if team else None
        if competition is not None and not visibility.may_see(session, competition, me):
            competition = None
        mine = teams.of(session, competition, me.id) if competition else None
        is_mine = mine is not None and mine.id == team_id
        if competition is None or not (is_mine or me.organises(competition.id)):
            raise NotFound(f"There is no team {team_id} of yours.")
        entries = statuses.statuses(
            session, competition, now=db.now(session), team_id=team_id, limit=SUBMISSIONS
        )
    return [
        {"id": e.id, "dateSubmitted": wire.moment(e.received_at), "publicScore": wire.score(e.public)}
        for e in entries
        if e.public is not None
    ]


def _entered(session: Session, slug: str) -> tuple[Viewer, Competition, Team]:
    me = viewer(session)
    competition = visibility.find(session, slug, me)
    team = teams.of(session, competition, me.id)
    if team is None:
        raise Forbidden(f"Join {competition.title} first: open {wire.page(slug)} of this site in a browser.")
    return me, competition, team


def _available(session: Session, slug: str) -> tuple[Viewer, Competition, datetime]:
    now = db.now(session)
    me = viewer(session)
    competition = visibility.find(session, slug, me)
    downloads.refuse_before_opening(competition, me, now)
    return me, competition, now


def _rank(session: Session, competition: Competition, me: Viewer, now: datetime) -> int | None:
    view = leaderboard.board(session, competition, now=now, viewer_id=me.id, page_size=1)
    return view.mine.rank if view.mine else None


def _is_in_group(competition: Competition, group: str, me: Viewer, now: datetime, entered: set[int]) -> bool:
    if group == "entered":
        return competition.id in entered
    if group == "hosted":
        return me.organises(competition.id)
    if group.startswith("unlaunched"):
        return me.organises(competition.id) and competition.phase(now) is Phase.UPCOMING
    return True


def _sort(found: list[tuple[Competition, int]], sort_by: str, now: datetime) -> None:
    order = [Phase.OPEN, Phase.UPCOMING, Phase.CLOSED]
    if sort_by in ("earliestdeadline", "latestdeadline"):
        last = datetime.max.replace(tzinfo=now.tzinfo)
        found.sort(key=lambda c: c[0].closes_at or last, reverse=sort_by == "latestdeadline")
    elif sort_by == "numberofteams":
        found.sort(key=lambda c: -c[1])
    elif sort_by != "recentlycreated":  # the list comes in this order
        found.sort(key=lambda c: order.index(c[0].phase(now)))


def _plain(name: str) -> str:
    """Return an enum's value without the prefix that newer clients send."""
    for prefix in ("COMPETITION_LIST_TAB_", "HOST_SEGMENT_", "COMPETITION_SORT_BY_"):
        name = name.removeprefix(prefix)
    return name.replace("_", "").lower()


def reachable(path: str) -> str:
    """Return an address that the client reaches in the way of this request.

    A client that reaches us as its proxy sends everything for `http://localhost` to us, and nothing else.
    """
    scheme = "http" if request.host == "localhost" else request.scheme
    return f"{scheme}://{request.host}{path}"


def _board_csv(rows: Sequence[leaderboard.Row]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        [
            *("Rank", "TeamId", "TeamName", "LastSubmissionDate", "Score", "SubmissionCount"),
            "TeamMemberUserNames",
        ]
    )
    for row in rows:
        table.writerow(
            [
                row.rank,
                row.team_id,
                csv_cell(row.team),
                wire.moment(row.last_at),
                wire.score(row.score),
                row.entries,
                ",".join(row.members),
            ]
        )
    return text.getvalue()


def refuse_code_submission() -> Any:
    raise Refused("Heldout takes files of predictions, not notebooks: submit with -f FILE.")

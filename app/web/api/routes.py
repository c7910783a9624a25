"""The JSON API, version 1, with bearer tokens.

It offers what the pages offer. Refusals are problem+json.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Blueprint, g, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import Forbidden, NotFound, Refused
from app.base.models import Competition, Team
from app.competing import competitions, leaderboard, statuses, submissions, teams
from app.competing.leaderboard import PAGE_SIZE, Row, Sort
from app.competing.statuses import Status
from app.integrity import inspections, train_files
from app.people.accounts import Viewer
from app.people.tokens import Grant, Scope
from app.web import downloads, uploads
from app.web.api import openapi
from app.web.context import bearer, number_argument, parts
from app.web.formats import public_step, release_rule
from app.web.json_answers import links, receipt_json, signatures, time_text, train_file_json

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


@blueprint.get("/openapi.json")
def description() -> ResponseReturnValue:
    """Return the OpenAPI document; it needs no token."""
    return jsonify(openapi.DOCUMENT)


@blueprint.get("/me")
def me() -> ResponseReturnValue:
    """Return the account, an organiser's with any scope, and the token."""
    with parts().database.read() as session:
        user = bearer(session, db.now(session))
    grant: Grant = g.grant
    return jsonify(
        name=user.name,
        is_organiser=grant.is_organisers,
        token={
            "label": grant.label,
            "scope": grant.scope.value,
            "expires_at": time_text(grant.expires_at),
            "last_used_at": time_text(grant.last_used_at),
        },
    )


@blueprint.get("/competitions")
def competition_index() -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        bearer(session, now)
        listed = competitions.listed(session)
    return jsonify(competitions=[{**_competition(c, now), "teams": count} for c, count in listed])


@blueprint.get("/competitions/<slug:slug>")
def competition_show(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = competitions.by_slug(session, slug)
        team = teams.of(session, competition, user.id)
    manifest = competition.version.manifest
    return jsonify(
        **_competition(competition, now),
        description=manifest.get("description", ""),
        metric=manifest["metric"],
        submission=manifest.get("submission", {}),
        split=manifest.get("split", {}),
        baselines=manifest.get("baselines", []),
        version=competition.version.number,
        limits={
            "daily": competition.daily_limit,
            "total": competition.total_limit,
            "pending": competition.pending_limit,
            "final_picks": competition.final_picks,
            "team_size": competition.max_team_size,
            "upload_bytes": competition.upload_limit_bytes,
        },
        public_score={"shown": release_rule(competition).value, "step": public_step(competition) or None},
        passport=(competition.version.audit or {}).get("passport", []),
        folds=manifest.get("folds"),
        team=team.name if team else None,
    )


@blueprint.get("/competitions/<slug:slug>/files")
def file_index(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = competitions.by_slug(session, slug)
        downloads.refuse_before_opening(competition, user, now)
    files = [
        {
            "name": file["name"],
            "size": file["size"],
            "sha256": file["sha256"],
            "n_rows": file.get("n_rows"),
            "schema": file.get("schema"),
            "link": url_for("api.file_show", slug=slug, name=file["name"]),
        }
        for file in competition.version.manifest.get("files", [])
    ]
    return jsonify(files=files)


@blueprint.get("/competitions/<slug:slug>/files/<path:name>")
def file_show(slug: str, name: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = competitions.by_slug(session, slug)
        downloads.refuse_before_opening(competition, user, now)
    return downloads.send_public(competition, name)


@blueprint.get("/competitions/<slug:slug>/folds.csv")
def folds(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = competitions.by_slug(session, slug)
        downloads.refuse_before_opening(competition, user, now)
    return downloads.send_folds(competition)


@blueprint.post("/competitions/<slug:slug>/join")
def join(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        user = bearer(session, now, Scope.SUBMIT)
        competition = competitions.by_slug(session, slug)
        team = teams.join(session, competition, user, now=now)
    return jsonify(competition=slug, team=team.name)


@blueprint.get("/competitions/<slug:slug>/quota")
def quota(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        competition, team = _entered(session, slug, bearer(session, now))
        allowance = submissions.allowance(session, competition, team, now=now)
    return jsonify(
        limit=allowance.limit,
        used=allowance.used,
        remaining=allowance.remaining,
        pending=allowance.pending,
        total_limit=allowance.total_limit,
        total_used=allowance.total_used if allowance.total_limit is not None else None,
        pending_limit=allowance.pending_limit,
        rejected=allowance.rejected.count,
        rejected_limit=allowance.rejected.limit,
        next_at=time_text(allowance.rejected.next_at),
        resets_at=time_text(allowance.resets_at),
        timezone=allowance.timezone,
    )


@blueprint.post("/competitions/<slug:slug>/submissions")
def submission_create(slug: str) -> ResponseReturnValue:
    receipt = uploads.take(slug, _sender)
    headers = {"Location": url_for("api.submission_show", submission_id=receipt.id)}
    return jsonify(receipt_json(receipt, slug)), 201, headers


@blueprint.get("/competitions/<slug:slug>/submissions")
def submission_index(slug: str) -> ResponseReturnValue:
    """List the team's submissions, newest first.

    `?limit=` up to 200 and `?before=ID` page through older ones.
    """
    with parts().database.read() as session:
        now = db.now(session)
        competition, team = _entered(session, slug, bearer(session, now))
        entries = statuses.statuses(
            session,
            competition,
            now=now,
            team_id=team.id,
            limit=number_argument("limit", 50, largest=200),
            before_id=number_argument("before", 0) or None,
        )
        places = {e.id: statuses.place_in_queue(session, e.id) for e in entries if not e.state.is_final}
        signed = signatures(session, *(entry.id for entry in entries))
    return jsonify(
        submissions=[_submission(e, competition, places.get(e.id), signed.get(e.id)) for e in entries]
    )


@blueprint.get("/submissions/<id:submission_id>")
def submission_show(submission_id: int) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        _, competition = statuses.visible(session, user, submission_id)
        found = statuses.statuses(
            session, competition, now=now, submission_id=submission_id, for_organiser=user.is_organiser
        )
        if not found:
            raise NotFound(f"Submission {submission_id} has no result yet.")
        place = statuses.place_in_queue(session, submission_id)
        signed = signatures(session, submission_id).get(submission_id)
    return jsonify(_submission(found[0], competition, place, signed))


@blueprint.get("/submissions/<id:submission_id>/file")
def submission_file(submission_id: int) -> ResponseReturnValue:
    with parts().database.read() as session:
        submission, _ = statuses.visible(session, bearer(session, db.now(session)), submission_id)
    return downloads.send_upload(submission)


@blueprint.get("/submissions/<id:submission_id>/train-files")
def train_file_index(submission_id: int) -> ResponseReturnValue:
    """List a submission's train files; organisers may see any team's."""
    with parts().database.read() as session:
        statuses.visible(session, bearer(session, db.now(session)), submission_id)
        files = train_files.of(session, submission_id)
    return jsonify(train_files=[train_file_json(files[kind]) for kind in sorted(files)])


@blueprint.post("/submissions/<id:submission_id>/train-files/<any(oof, train):kind>")
def train_file_create(submission_id: int, kind: str) -> ResponseReturnValue:
    file = uploads.take_train_file(submission_id, kind, _sender)
    headers = {"Location": url_for("api.train_file_index", submission_id=submission_id)}
    return jsonify(train_file_json(file)), 201, headers


@blueprint.get("/competitions/<slug:slug>/report")
def report(slug: str) -> ResponseReturnValue:
    """Return the public part of the close report."""
    with parts().database.read() as session:
        now = db.now(session)
        bearer(session, now)
        competition = competitions.by_slug(session, slug)
        inspection = inspections.report(session, competition, for_organiser=False, now=now)
    result = inspection.result or {}
    return jsonify(
        competition=slug,
        made_at=time_text(inspection.finished_at),
        metric=result.get("metric"),
        greater_is_better=competition.greater_is_better,
        rows=result.get("rows"),
        notes=result.get("notes", []),
        **result.get("public", {}),
    )


@blueprint.get("/competitions/<slug:slug>/leaderboard")
def board(slug: str) -> ResponseReturnValue:
    """Return a page of the board.

    `?page=`, `?page_size=` up to 200, `?search=`, `?sort=rank|team|entries|last`; `-` reverses the order.
    """
    sort, descending = _order()
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = competitions.by_slug(session, slug)
        view = leaderboard.board(
            session,
            competition,
            now=now,
            viewer_id=user.id,
            page=number_argument("page", 1, largest=1_000_000),
            page_size=number_argument("page_size", PAGE_SIZE, largest=leaderboard.MAX_PAGE_SIZE),
            search="".join(c for c in request.args.get("search", "") if c.isprintable())[:60],
            sort=sort,
            descending=descending,
        )
    return jsonify(
        competition=slug,
        scores="private" if view.is_private else "public",
        page=view.page,
        pages=view.pages,
        total=view.total,
        rows=[_row(row) for row in view.rows],
        mine=_row(view.mine) if view.mine else None,
    )


def _sender(session: Session, now: datetime) -> Viewer:
    return bearer(session, now, Scope.SUBMIT)


def _entered(session: Session, slug: str, user: Viewer) -> tuple[Competition, Team]:
    competition = competitions.by_slug(session, slug)
    team = teams.of(session, competition, user.id)
    if team is None:
        raise Forbidden(f"Join {competition.title} first.")
    return competition, team


def _order() -> tuple[Sort, bool]:
    requested = request.args.get("sort", Sort.RANK)
    name = requested.removeprefix("-")
    if name not in set(Sort):
        raise Refused(f"The board cannot be sorted by {name[:40]!r}; use one of {', '.join(Sort)}.")
    return Sort(name), requested != name


def _competition(competition: Competition, now: datetime) -> dict[str, Any]:
    manifest = competition.version.manifest
    return {
        "slug": competition.slug,
        "title": competition.title,
        "summary": manifest.get("summary", ""),
        "phase": competition.phase(now).value,
        "is_paused": competition.is_paused,
        "opens_at": time_text(competition.opens_at),
        "closes_at": time_text(competition.closes_at),
        "settles_at": time_text(competition.settles_at),
        "timezone": competition.timezone,
        "metric_name": manifest["metric"]["name"],
        "greater_is_better": competition.greater_is_better,
    }


def _submission(
    entry: Status, competition: Competition, place: int | None, receipt: str | None
) -> dict[str, Any]:
    return {
        "id": entry.id,
        "competition": competition.slug,
        "team": entry.team,
        "state": entry.state.value,
        "place_in_queue": place,
        "received_at": time_text(entry.received_at),
        "started_at": time_text(entry.started_at),
        "finished_at": time_text(entry.finished_at),
        "filename": entry.filename,
        "message": entry.message,
        "sha256": entry.sha256,
        "size_bytes": entry.size_bytes,
        "public": entry.public,
        "private": entry.private,
        "also": {"public": dict(entry.public_also), "private": dict(entry.private_also) or None},
        "problems": list(entry.problems),
        "problem_count": entry.problem_count,
        "notices": list(entry.notices),
        "fault": entry.fault,
        "is_picked": entry.is_picked,
        "receipt": receipt,
        "links": links(entry.id),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "team": row.team,
        "is_baseline": row.is_baseline,
        "is_mine": row.is_mine,
        "score": row.score,
        "also": dict(row.also),
        "entries": row.entries,
        "last_at": time_text(row.last_at),
        "moved": row.moved,
    }

"""Upload submissions and show their results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import (
    Blueprint,
    current_app,
    flash,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import NotFound
from app.base.models import Competition, Phase, State, Team
from app.competing import (
    cancellations,
    extensions,
    late,
    leaderboard,
    picks,
    positions,
    rules,
    statuses,
    submissions,
    teams,
    visibility,
    withdrawals,
)
from app.competing.statuses import Status
from app.integrity import train_files
from app.people.accounts import Viewer
from app.web import charts, compression, uploads
from app.web.competing import results
from app.web.context import note_messages, note_position, number_argument, parts, signed_in
from app.web.downloads import refuse_before_opening, send_upload
from app.web.errors import wants_json
from app.web.integrity.train_scores import beside
from app.web.json_answers import receipt_json, schema_json, signatures

blueprint = Blueprint("submissions", __name__)

PAGE_SIZE = 50
HISTORY = 500  # points that a chart can show
FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "scored": {"state": State.SCORED},
    "rejected": {"state": State.REJECTED},
    "picked": {"is_picked": True},
}


@blueprint.get("/competitions/<slug:slug>/submit")
def new(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        team = teams.of(session, competition, me.id)
        note_position(session, competition, me, now)
        if team is not None and rules.due(session, competition, me.id) is not None:
            return redirect(url_for("rules.show", slug=slug, next=request.path))
        allowance = submissions.allowance(session, competition, team, now=now) if team else None
        own_phase = extensions.limits(session, competition, team).phase(competition, now)
        is_over = competition.phase(now) is Phase.CLOSED
        late_words = late.words(session, competition, now=now) if is_over else ""
    return render_template(
        "competing/submissions/new.html",
        late_words=late_words,
        competition=competition,
        team=team,
        allowance=allowance,
        own_phase=own_phase,
        now=now,
    )


@blueprint.get("/competitions/<slug:slug>/submit/schema")
def schema(slug: str) -> ResponseReturnValue:
    """Return what the page needs to check a file in the browser: the schema and the team's earlier files."""
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        refuse_before_opening(competition, me, now)
        team = teams.of(session, competition, me.id)
        sent = statuses.files_sent(session, team, most=HISTORY) if team else []
    described = schema_json(competition)
    files = {file["name"]: file for file in competition.version.manifest.get("files") or []}

    def public(name: str | None) -> dict[str, Any] | None:
        if name not in files:
            return None
        address = url_for("competitions.download", slug=slug, name=name)
        return {"address": address, "size_bytes": files[name]["size"]}

    return jsonify(
        schema=described,
        sample=public("sample_submission.csv"),
        ids=public((described["ids"] or {}).get("file")),
        earlier=[{"id": id_, "sha256": sha256, "size_bytes": size} for id_, sha256, size in sent],
    )


@blueprint.post("/competitions/<slug:slug>/submissions")
def create(slug: str) -> ResponseReturnValue:
    receipt = uploads.take(slug, signed_in, check_form=current_app.extensions["csrf"].protect)
    page = url_for("submissions.show", submission_id=receipt.id)
    if wants_json():
        return jsonify(receipt_json(receipt, slug)), 201, {"Location": page}
    return redirect(page, 303)


@blueprint.get("/competitions/<slug:slug>/submissions")
def index(slug: str) -> ResponseReturnValue:
    before_id = number_argument("before", 0)
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        team = teams.of(session, competition, me.id)
        if team is None:
            return render_template(
                "competing/submissions/index.html", competition=competition, team=None, now=now
            )
        note_position(session, competition, me, now)
        page = _summary(session, competition, team, now)
        if request.args.get("part") == "summary":
            return render_template("competing/submissions/_summary.html", places={}, **page)
        shown = request.args.get("show", "all")
        shown = shown if shown in FILTERS else "all"
        entries = statuses.statuses(
            session,
            competition,
            now=now,
            team_id=team.id,
            limit=PAGE_SIZE + 1,
            before_id=before_id or None,
            **FILTERS[shown],
        )
        places = {e.id: statuses.place_in_queue(session, e.id) for e in entries if not e.state.is_final}
        compared = [
            found
            for each in request.args.getlist("compare", type=int)[:2]
            if (found := _of_team(session, competition, team, each, now)) is not None
        ]
    older = entries[PAGE_SIZE - 1].id if len(entries) > PAGE_SIZE else None
    return render_template(
        "competing/submissions/index.html",
        entries=entries[:PAGE_SIZE],
        places=places,
        older=older,
        shown=shown,
        compared=compared if len(compared) == 2 else [],
        **page,
    )


def _of_team(
    session: Session, competition: Competition, team: Team, submission_id: int, now: datetime
) -> Status | None:
    """Return a submission of the team; another team's is as unknown as one that does not exist."""
    if not 0 < submission_id < 2**63:
        return None
    found = statuses.statuses(session, competition, now=now, team_id=team.id, submission_id=submission_id)
    return found[0] if found else None


@blueprint.get("/submissions/<id:submission_id>")
def show(submission_id: int) -> ResponseReturnValue:
    """Show one submission.

    `?part=entry` is only its row in the list, `?part=result` its result: both poll each second until it is
    final. `?part=beside` is the section with the scores of its train files.
    """
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition, entry = _visible(session, me, submission_id, now)
        note_messages(session, me, competition.slug, now)
        team = teams.of(session, competition, me.id)
        place = statuses.place_in_queue(session, submission_id)
        own = team is not None and team.id == entry.team_id
        files = train_files.of(session, submission_id) if own else {}
        own_phase = extensions.limits(session, competition, team).phase(competition, now)
        receipt = signatures(session, submission_id).get(submission_id)
        note_position(session, competition, me, now)
        past = statuses.statuses(session, competition, now=now, team_id=entry.team_id, limit=HISTORY)
        outcome = results.outcome(session, competition, entry, past, now=now)
        uncounted = positions.best_uncounted(session, competition, team.id, now=now) if own and team else None
    if me.organises(competition.id):
        compression.refuse()
    page: dict[str, Any] = {"outcome": outcome, "uncounted": uncounted, "best": _best(competition, past)}
    page["shows_private"] = competition.is_settled(now) or me.organises(competition.id)
    page |= {"competition": competition, "entry": entry, "team": team, "now": now, "place": place, "own": own}
    page["own_phase"], page["takes_late"] = own_phase, competition.takes_late(now)
    has_score_to_come = entry.state is not State.REJECTED
    page["beside"] = beside(competition, entry, files, now) if own and (files or has_score_to_come) else None
    if request.args.get("part") == "beside" and page["beside"]:
        return render_template("competing/submissions/_beside.html", **page)
    part = request.args.get("part")
    if part not in ("entry", "result"):
        page["receipt"] = receipt
        page["receipt_key"] = parts().signer.public_key
        return render_template("competing/submissions/show.html", **page)
    fragment = make_response(render_template(f"competing/submissions/_{part}.html", live=True, **page))
    if entry.state.is_final:
        fragment.headers["X-Announce"] = "submission-finished"
    return fragment


@blueprint.get("/submissions/<id:submission_id>/file")
def download(submission_id: int) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        submission, _ = statuses.visible(session, me, submission_id, now=now)
    return send_upload(submission)


@blueprint.post("/submissions/<id:submission_id>/pick")
def pick(submission_id: int) -> ResponseReturnValue:
    picked = request.form.get("picked") == "1"
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        submission, competition = statuses.visible(session, me, submission_id)
        team = teams.of_submission(session, submission, me, what="choose its final picks")
        picks.pick_final(session, competition, team, submission_id, picked=picked, now=now)
    flash(f"Submission {submission_id} is {'now' if picked else 'no longer'} a final pick.")
    return redirect(url_for("submissions.index", slug=competition.slug), 303)


@blueprint.post("/submissions/<id:submission_id>/cancel")
def cancel(submission_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        submission, competition = statuses.visible(session, me, submission_id)
        team = teams.of_submission(session, submission, me, what="cancel its submissions")
        cancellations.cancel(session, competition, team, submission_id, by=me.name, now=now)
    flash(f"Submission {submission_id} is cancelled, and its upload does not count.")
    return redirect(url_for("submissions.index", slug=competition.slug), 303)


@blueprint.post("/submissions/<id:submission_id>/withdraw")
def withdraw(submission_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        submission, competition = statuses.visible(session, me, submission_id)
        team = teams.of_submission(session, submission, me, what="withdraw its submissions")
        withdrawals.withdraw(session, competition, team, submission_id, by=me.name, now=now)
    flash(f"Submission {submission_id} is withdrawn. It counts for no board, and its upload stays used.")
    return redirect(url_for("submissions.show", submission_id=submission_id), 303)


def _visible(session: Session, me: Viewer, submission_id: int, now: datetime) -> tuple[Competition, Status]:
    _, competition = statuses.visible(session, me, submission_id, now=now)
    found = statuses.statuses(
        session, competition, now=now, submission_id=submission_id, for_organiser=me.organises(competition.id)
    )
    if not found:
        raise NotFound(f"Submission {submission_id} has no result yet.")
    return competition, found[0]


def _best(competition: Competition, past: Sequence[Status]) -> int | None:
    """Return the submission with the best public score, the first of equal ones."""
    sign = 1.0 if competition.greater_is_better else -1.0
    scored = [
        one
        for one in past
        if one.public is not None and not one.is_withdrawn and not one.is_late and one.excluded_why is None
    ]
    return max(scored, key=lambda one: (sign * (one.public or 0.0), -one.id)).id if scored else None


def _summary(session: Session, competition: Competition, team: Team, now: datetime) -> dict[str, object]:
    """Return what stands above the list: quota, picks, score history."""
    past = statuses.statuses(session, competition, now=now, team_id=team.id, limit=HISTORY)
    scored = [entry for entry in reversed(past) if entry.public is not None]
    baselines = leaderboard.baselines(session, competition, now=now)
    return {
        "competition": competition,
        "team": team,
        "now": now,
        "own_phase": extensions.limits(session, competition, team).phase(competition, now),
        "allowance": submissions.allowance(session, competition, team, now=now),
        "picked": sum(entry.is_picked for entry in past),
        "best": _best(competition, past),
        "shows_private": competition.is_settled(now),
        "filters": {
            "all": len(past),
            "scored": sum(entry.state is State.SCORED for entry in past),
            "rejected": sum(entry.state is State.REJECTED for entry in past),
            "picked": sum(entry.is_picked for entry in past),
        },
        "sent": len(past),
        "scored": scored,
        "chart": charts.history(
            [(entry.id, entry.public) for entry in scored if entry.public is not None],
            [] if competition.phase(now) == "closed" else baselines,
            greater_is_better=competition.greater_is_better,
        ),
    }

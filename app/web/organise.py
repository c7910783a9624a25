"""The organiser's page of a competition. For everybody else it does not exist."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import cases, competitions, db, events, heartbeats, submissions
from app.models import RoundState, State
from app.web.context import number_argument, organiser, parts

blueprint = Blueprint("organise", __name__)

PAGE_SIZE = 50


@blueprint.get("/competitions/<slug:slug>/organise")
def show(slug: str) -> ResponseReturnValue:
    """`?part=pulse` is only what changes by itself: the counts, the queue, the workers, the draft's progress."""
    asked = request.args.get("state", "")
    state = State(asked) if asked in set(State) else None
    before_id = number_argument("before", 0)
    with parts().database.read() as session:
        now = db.now(session)
        organiser(session, now)
        competition = competitions.by_slug(session, slug)
        draft = competitions.draft_round(session, competition)
        page = {
            "competition": competition,
            "now": now,
            "counts": submissions.state_counts(session, competition),
            "everywhere": submissions.state_counts(session),
            "alive": heartbeats.alive(session, now=now),
            "draft": draft,
            "draft_counts": submissions.state_counts(session, competition, RoundState.DRAFT) if draft else {},
            "hints": parts().hints.depth(),
            "open_cases": cases.open_count(session, competition),
            "isolation": submissions.latest_isolation(session, competition),
        }
        if request.args.get("part") == "pulse":
            return render_template("organise/_pulse.html", **page)
        entries = submissions.statuses(
            session,
            competition,
            now=now,
            state=state,
            for_organiser=True,
            limit=PAGE_SIZE + 1,
            before_id=before_id or None,
        )
        log = events.latest(session, competition.slug)
    older = entries[PAGE_SIZE - 1].id if len(entries) > PAGE_SIZE else None
    return render_template(
        "organise/show.html", entries=entries[:PAGE_SIZE], older=older, state=state, log=log, **page
    )


@blueprint.post("/competitions/<slug:slug>/organise/retry/<id:submission_id>")
def retry(slug: str, submission_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser(session, now)
        competition = competitions.by_slug(session, slug)
        submissions.retry(session, competition, submission_id, now=now)
        events.log(session, me.name, "retry", slug, now=now, submission=submission_id)
    parts().hints.send(submission_id)
    return _back(slug, f"Submission {submission_id} is queued again, with three new attempts.")


@blueprint.post("/competitions/<slug:slug>/organise/rescore")
def rescore(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser(session, now)
        competition = competitions.by_slug(session, slug)
        count = competitions.begin_rescore(
            session, competition, competition.version, reason=f"asked for by {me.name}", now=now
        )
        events.log(session, me.name, "rescore begun", slug, now=now, submissions=count)
    return _back(slug, f"{count} submissions are being scored anew; today's board stands until all are done.")


@blueprint.post("/competitions/<slug:slug>/organise/pause")
def pause(slug: str) -> ResponseReturnValue:
    paused = request.form.get("paused") == "1"
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser(session, now)
        competitions.by_slug(session, slug).is_paused = paused
        events.log(session, me.name, "uploads paused" if paused else "uploads resumed", slug, now=now)
    return _back(slug, "No more uploads are taken." if paused else "Uploads are taken again.")


@blueprint.post("/competitions/<slug:slug>/organise/close")
def close(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser(session, now)
        competitions.close(competitions.by_slug(session, slug), now=now)
        events.log(session, me.name, "competition closed", slug, now=now)
    return _back(slug, "The competition is closed, and its board shows the private scores.")


def _back(slug: str, words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("organise.show", slug=slug), 303)

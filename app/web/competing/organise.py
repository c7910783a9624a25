"""Manage a competition; only organisers see these pages."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db, events, heartbeats
from app.base.errors import Conflict, Refused
from app.base.models import Competition, RoundState, State
from app.competing import (
    changes,
    competitions,
    evaluations,
    exclusions,
    extensions,
    rescores,
    statuses,
    teams,
)
from app.integrity import cases
from app.web import compression
from app.web.context import field, number_argument, organiser_of, parts

blueprint = Blueprint("organise", __name__)

PAGE_SIZE = 40


@blueprint.get("/competitions/<slug:slug>/organise")
def show(slug: str) -> ResponseReturnValue:
    """Show the organiser's page; `?part=pulse` is the live part, `?scores=hidden` adds hidden scores.

    The live part is the counts, the queue, the workers and the progress of a rescore.
    """
    requested = request.args.get("state", "")
    state = State(requested) if requested in set(State) else None
    before_id = number_argument("before", 0)
    with parts().database.read() as session:
        now = db.now(session)
        _, competition = organiser_of(session, now, slug)
        draft = competitions.draft_round(session, competition)
        page = {
            "competition": competition,
            "now": now,
            "counts": statuses.state_counts(session, competition),
            "everywhere": statuses.state_counts(session),
            "alive": heartbeats.alive(session, now=now),
            "draft": draft,
            "draft_counts": statuses.state_counts(session, competition, RoundState.DRAFT) if draft else {},
            "hints": parts().hints.depth(),
            "open_cases": cases.open_count(session, competition),
            "isolation": statuses.latest_isolation(session, competition),
            "is_finished": draft is not None and draft.id in rescores.finished_drafts(session),
        }
        if request.args.get("part") == "pulse":
            return render_template("competing/organise/_pulse.html", **page)
        entries = statuses.statuses(
            session,
            competition,
            now=now,
            state=state,
            for_organiser=True,
            limit=PAGE_SIZE + 1,
            before_id=before_id or None,
        )
        is_asked = request.args.get("scores") == "hidden"
        if is_asked and not competition.is_settled(now):
            compression.refuse()
        log = events.latest(session, competition.slug)
        granted = extensions.listed(session, competition)
        later = extensions.later_closes(session, competition, now=now)
        off_teams, off_files = exclusions.listed(session, competition)
    older = entries[PAGE_SIZE - 1].id if len(entries) > PAGE_SIZE else None
    return render_template(
        "competing/organise/show.html",
        entries=entries[:PAGE_SIZE],
        older=older,
        state=state,
        shows_hidden=is_asked or competition.is_settled(now),
        log=log,
        granted=granted,
        later=later,
        off_teams=off_teams,
        off_files=off_files,
        **page,
    )


@blueprint.post("/competitions/<slug:slug>/organise/retry/<id:submission_id>")
def retry(slug: str, submission_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        evaluations.retry(session, competition, submission_id, now=now)
        events.log(session, me.name, "retry", slug, now=now, submission=submission_id)
    parts().hints.send(submission_id)
    return _back(slug, f"Submission {submission_id} is queued again, with three new attempts.")


@blueprint.post("/competitions/<slug:slug>/organise/rescore")
def rescore(slug: str) -> ResponseReturnValue:
    repeats = 1 if request.form.get("repeat") == "1" else 0
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        # Without the lock, another rescore could replace the version before this one begins.
        competitions.lock(session, competition)
        count = rescores.begin_rescore(
            session,
            competition,
            competition.version,
            reason=f"asked for by {me.name}",
            now=now,
            repeats=repeats,
        )
        events.log(session, me.name, "rescore begun", slug, now=now, submissions=count, repeats=repeats)
    return _back(
        slug,
        f"{count} submissions are being rescored. The board does not change until you apply the rescore.",
    )


@blueprint.get("/competitions/<slug:slug>/organise/rescore")
def rescore_show(slug: str) -> ResponseReturnValue:
    """Show what the draft rescore would change on the board."""
    with parts().database.read() as session:
        now = db.now(session)
        _, competition = organiser_of(session, now, slug)
        found = rescores.rescore_of(session, competition)
    if found is None:
        return _back(slug, "No rescore is running.")
    return render_template("competing/organise/rescore.html", competition=competition, rescore=found, now=now)


@blueprint.post("/competitions/<slug:slug>/organise/rescore/apply")
def rescore_apply(slug: str) -> ResponseReturnValue:
    """Apply the rescore that the page showed.

    Lost scores and differing repeats were shown there, so they are accepted.
    """
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        draft_id = _seen_draft(session, competition)
        if rescores.activate(session, draft_id, by=me.name, now=now, accept_losses=True) is None:
            raise Conflict(
                "The rescore is not finished. Reload the page and apply it when all submissions are scored."
            )
        events.log(session, me.name, "rescore applied", slug, now=now, round=draft_id)
    return _back(slug, "The board shows the new scores.")


@blueprint.post("/competitions/<slug:slug>/organise/rescore/discard")
def rescore_discard(slug: str) -> ResponseReturnValue:
    """Discard the rescore that the page showed.

    A finished one may hold hours of computing, so another one is not discarded in its place.
    """
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        draft_id = _seen_draft(session, competition, or_unfinished=True)
        rescores.discard_rescore(session, competition)
        events.log(session, me.name, "rescore discarded", slug, now=now, round=draft_id)
    return _back(slug, "The rescore is discarded. The board does not change.")


def _seen_draft(session: Session, competition: Competition, *, or_unfinished: bool = False) -> int:
    """Return the draft's id; refuse if the page showed another state."""
    return rescores.refuse_unless_seen(
        session, competition, draft=field("draft"), seen=field("seen"), or_unfinished=or_unfinished
    )


@blueprint.post("/competitions/<slug:slug>/organise/extensions")
def extension_grant(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        competitions.lock(
            session, competition
        )  # and read the clock after it: another organiser may just have closed it
        extensions.grant(
            session,
            competition,
            field("team"),
            reason=field("reason"),
            by=me.name,
            now=db.now(session),
            closes_at=_local_time(competition, field("closes_at")),
            daily_extra=_count("daily_extra"),
            total_extra=_count("total_extra"),
        )
    return _back(slug, f"The extension for {field('team')} is granted.")


@blueprint.post("/competitions/<slug:slug>/organise/extensions/<id:extension_id>/revoke")
def extension_revoke(slug: str, extension_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        extensions.revoke(session, competition, extension_id, by=me.name, now=now)
    return _back(slug, f"Extension {extension_id} is revoked.")


def _local_time(competition: Competition, text: str) -> datetime | None:
    """Return a datetime field's value in the competition's time zone."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=competition.zone)
    except ValueError:
        raise Refused(f"{text[:40]!r} is not a date and time. Write it like 2026-12-01T18:00.") from None


def _count(name: str) -> int:
    text = field(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise Refused(
            f"{text[:40]!r} is not a number of uploads. Write a number from 0 to {extensions.MOST_EXTRA}."
        )
    return int(text)


@blueprint.post("/competitions/<slug:slug>/organise/team")
def team_rename(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        team = teams.by_name(session, competition, field("team"))
        teams.rename(
            session, competition, team, field("name"), by=me.name, now=now, is_organiser=me.is_organiser
        )
    return _back(slug, f"The team {field('team')} is now called {team.name}.")


@blueprint.post("/competitions/<slug:slug>/organise/pause")
def pause(slug: str) -> ResponseReturnValue:
    paused = request.form.get("paused") == "1"
    with parts().database.begin() as session:
        me, competition = organiser_of(session, db.now(session), slug)
        competitions.lock(session, competition)
        changes.apply(
            session,
            competition,
            {"paused": paused},
            by=me.name,
            now=db.now(session),
            most_upload_mb=parts().settings.max_upload_mb,
        )
    return _back(slug, f"Uploads are {'paused' if paused else 'open again'}, and an announcement says so.")


@blueprint.post("/competitions/<slug:slug>/organise/close")
def close(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        competitions.lock(session, competition)
        now = db.now(session)
        ended = competitions.close(session, competition, by=me.name, now=now)
        events.log(session, me.name, "competition closed", slug, now=now, extensions_ended=ended)
    extensions_too = " Extensions with a later close have ended too." if ended else ""
    return _back(
        slug, f"The competition is closed for all teams, and the board shows private scores.{extensions_too}"
    )


def _back(slug: str, words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("organise.show", slug=slug), 303)

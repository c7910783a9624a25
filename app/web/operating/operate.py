"""Show the state of the installation, and its metrics."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from app.base import db, events
from app.base.errors import NotFound, NotSignedIn, Refused
from app.competing import evaluations, statuses
from app.operating import health, statistics
from app.people import accounts, rate_limits
from app.people.tokens import Grant, Scope
from app.web.context import bearer, field, organiser, parts
from app.web.metrics import Snapshot

blueprint = Blueprint("operate", __name__)


@blueprint.get("/operate")
def show() -> ResponseReturnValue:
    """Show the installation; `?part=pulse` is the live part."""
    ours = parts()
    with ours.database.read() as session:
        now = db.now(session)
        organiser(session, now)
        page = {
            "now": now,
            "figures": statistics.collect(session, now=now),
            "hints": ours.hints.depth(),
            "disks": health.disks(ours.settings),
            "floor": ours.settings.disk_floor_mb * 1_000_000,
            "uses_redis": ours.settings.uses_redis,
            "database": "SQLite" if ours.database.is_sqlite else "PostgreSQL",
        }
        if request.args.get("part") == "pulse":
            return render_template("operating/operate/_pulse.html", **page)
        failures = statistics.failures(session)
        held = rate_limits.held(session, now=now)
    return render_template("operating/operate/show.html", failures=failures, held=held, **page)


@blueprint.post("/operate/retry/<id:submission_id>")
def retry(submission_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser(session, now)
        _, competition = statuses.visible(session, me, submission_id)
        evaluations.retry(session, competition, submission_id, now=now)
        events.log(session, me.name, "retry", competition.slug, now=now, submission=submission_id)
    parts().hints.send(submission_id)
    flash(f"Submission {submission_id} is queued again, with three new attempts.")
    return redirect(url_for("operate.show"), 303)


@blueprint.post("/operate/sign-in-limits")
def lift_sign_in_limits() -> ResponseReturnValue:
    """Forget the failed sign-ins of an account, of an address, of both, or the count of all."""
    name, address, of_all = field("account"), field("address"), bool(field("of_all"))
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser(session, now)
        if not name and not address and not of_all:
            raise Refused("Name an account or an address.")
        account = accounts.by_name(session, name) if name else None
        rate_limits.lift(
            session, account=account, address=address or None, of_all=of_all, by=me.name, now=now
        )
    flash(f"{name or address or 'Everyone'} can sign in again.")
    return redirect(url_for("operate.show"), 303)


@blueprint.get("/metrics")
def metrics() -> ResponseReturnValue:
    ours = parts()
    knows_the_token = _knows_the_token(ours.settings.metrics_token)
    if not knows_the_token:
        _refuse_others()
    now_figures, totals, seconds = None, {}, []
    try:
        with ours.database.read() as session:
            now_figures = statistics.collect(session, now=db.now(session))
            totals = dict(ours.totals.take(session))
            seconds = statistics.seconds_to_outcome(session)
    except SQLAlchemyError:
        # The metrics must report that the database does not answer.
        now_figures = None
    snapshot = Snapshot(now_figures, totals, seconds, ours.hints.depth(), health.disks(ours.settings))
    text = snapshot.text() + generate_latest(ours.requests.registry)
    return Response(text, content_type=CONTENT_TYPE_LATEST)


def _bearer() -> str:
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


def _knows_the_token(token: str) -> bool:
    return bool(token) and hmac.compare_digest(_bearer().encode(), token.encode())


def _refuse_others() -> None:
    with parts().database.read() as session:
        if not _bearer():
            organiser(session, db.now(session))
            return
        try:
            bearer(session, db.now(session))
        except NotSignedIn:
            raise NotFound("There is no such page.") from None
        grant: Grant = g.grant
        if not grant.owner.is_organiser:
            raise NotFound("There is no such page.")
        grant.require(Scope.ORGANISE)

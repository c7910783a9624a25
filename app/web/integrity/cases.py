"""Show data audit, scans and cases; only organisers see these pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db, events
from app.base.errors import Refused
from app.base.models import Competition, InspectionState
from app.integrity import cases, inspections
from app.integrity.cases import Action
from app.integrity.inspections import Kind
from app.web import charts
from app.web.context import field, organiser_of, parts

blueprint = Blueprint("integrity", __name__)

CASES = 200  # of one page
CAN_BE_STARTED = {Kind.SCAN: "The scan", Kind.REPORT: "The report"}


@blueprint.get("/competitions/<slug:slug>/integrity")
def show(slug: str) -> ResponseReturnValue:
    """Show the integrity page; `?part=pulse` is scan and report.

    When both have ended, that part reloads the whole page.
    """
    with parts().database.read() as session:
        now = db.now(session)
        _, competition = organiser_of(session, now, slug)
        page = _pulse(session, competition, now)
        if request.args.get("part") == "pulse":
            return _part(page)
        queue = cases.listed(session, competition, limit=CASES)
        open_count = cases.open_count(session, competition)
    audit = competition.version.audit
    return render_template(
        "integrity/cases/show.html",
        queue=queue,
        open_count=open_count,
        is_full=len(queue) == CASES,
        audit=audit,
        pictures=[charts.plot(finding.get("picture")) for finding in (audit or {}).get("findings") or []],
        benchmark=competition.version.benchmark or {},
        **page,
    )


@blueprint.post("/competitions/<slug:slug>/integrity/inspect")
def inspect(slug: str) -> ResponseReturnValue:
    requested = request.form.get("kind", "")
    kind = next((kind for kind in CAN_BE_STARTED if kind == requested), None)
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        if kind is None:
            raise Refused(f"{requested[:40]!r} cannot be started here; choose {' or '.join(CAN_BE_STARTED)}.")
        inspection_id = inspections.ask(session, competition, kind, by=me.name, now=now).id
        events.log(session, me.name, f"{kind} asked for", slug, now=now)
    parts().hints.send_inspection(inspection_id)
    flash(f"{CAN_BE_STARTED[kind]} is queued. This page shows its progress.")
    return redirect(url_for("integrity.show", slug=slug), 303)


@blueprint.get("/competitions/<slug:slug>/integrity/cases/<id:case_id>")
def case(slug: str, case_id: int) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        _, competition = organiser_of(session, now, slug)
        view = cases.get(session, competition, case_id)
    detail = dict(view.case.detail)
    picture = charts.plot(detail.pop("picture", None))
    return render_template(
        "integrity/cases/case.html",
        competition=competition,
        now=now,
        view=view,
        teams=[team for team in (view.team, view.other) if team is not None],
        detail=list(_flat(detail)),
        picture=picture,
        can_coarsen=(competition.version.benchmark or {}).get("se_public") is not None,
        max_reason=cases.MAX_REASON,
        min_reason=cases.MIN_REASON,
    )


@blueprint.post("/competitions/<slug:slug>/integrity/cases/<id:case_id>")
def act(slug: str, case_id: int) -> ResponseReturnValue:
    requested = request.form.get("action", "")
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        if requested not in set(Action):
            raise Refused(
                f"{requested[:40]!r} is not an action for a case; choose one of {', '.join(Action)}."
            )
        words = cases.act(
            session,
            competition,
            case_id,
            Action(requested),
            team_id=_number(request.form.get("team", "")),
            reason=field("reason"),
            actor=me.name,
            now=now,
        )
    flash(words)
    return redirect(url_for("integrity.case", slug=slug, case_id=case_id), 303)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _pulse(session: Session, competition: Competition, now: datetime) -> dict[str, Any]:
    latest = [(kind, inspections.latest(session, competition, kind)) for kind in CAN_BE_STARTED]
    return {
        "competition": competition,
        "now": now,
        "latest": latest,
        "is_running": any(
            one is not None and one.state in (InspectionState.QUEUED, InspectionState.RUNNING)
            for _, one in latest
        ),
    }


def _part(page: dict[str, Any]) -> Response:
    part = make_response(render_template("integrity/cases/_pulse.html", **page))
    if not page["is_running"]:
        part.headers["X-Reload"] = "true"  # its findings are elsewhere on the page
    return part


def _flat(detail: Any, name: str = "") -> Any:
    """Flatten nested values to (name, values) rows of a table."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _flat(value, f"{name}, {key}" if name else str(key))
    elif isinstance(detail, (list, tuple)) and any(isinstance(one, (dict, list)) for one in detail):
        for i, value in enumerate(detail, start=1):
            yield from _flat(value, f"{name} {i}".strip())
    else:
        yield name, list(detail) if isinstance(detail, (list, tuple)) else [detail]

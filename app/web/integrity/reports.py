"""Show the close report: signal and noise of the final board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.base import db
from app.competing import visibility
from app.integrity import cases, inspections
from app.web import charts
from app.web.charts import Plot
from app.web.context import note_position, parts, viewer

blueprint = Blueprint("reports", __name__)

GAPS = 20  # largest gaps, for the organiser's table


@blueprint.get("/competitions/<slug:slug>/report")
def show(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me = viewer(session, now)
        competition = visibility.find(session, slug, me)
        note_position(session, competition, me, now)
        is_organiser = me is not None and me.organises(competition.id)
        inspection = inspections.report(session, competition, for_organiser=is_organiser, now=now)
        open_count = cases.open_count(session, competition) if is_organiser else 0
    result = inspection.result or {}
    public = result.get("public") or {}
    board = public.get("board") or []
    organisers = (result.get("organiser") or {}) if is_organiser else {}
    gaps = organisers.get("gaps") or {}
    return render_template(
        "integrity/reports/show.html",
        competition=competition,
        now=now,
        made_at=inspection.finished_at,
        result=result,
        public=public,
        board=board,
        diagnoses=[row for row in board if row.get("diagnosis")],
        scatter=_scatter(public, result.get("metric") or "score"),
        is_organiser=is_organiser,
        gaps=gaps,
        gap_rows=(gaps.get("teams") or [])[:GAPS],
        not_judged=organisers.get("not_judged") or [],
        open_count=open_count,
    )


def _scatter(public: Mapping[str, Any], metric: str) -> Plot | None:
    points = public.get("scatter") or []
    return charts.plot(
        {
            "kind": "points",
            "title": "Public against private",
            "x_title": f"public {metric}",
            "y_title": f"private {metric}",
            "x": [p["public"] for p in points],
            "y": [p["private"] for p in points],
            "names": [p["name"] for p in points],
            "text": ("One point for each team: the scores of the submission that made its public rank."),
        }
    )

"""The grades of a class: the rule, a preview with a histogram, and the platform's own file filled."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, flash, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import Conflict, Refused
from app.base.models import Competition
from app.base.models_classes import Classroom
from app.classes import classes, filling, grade_rules, grades, rosters
from app.classes.grade_rules import MOST_ANCHORS, Missing, Rule
from app.classes.grades import Grade
from app.classes.staff import Right
from app.web.classes import strips
from app.web.classes.taught import table_of_form, taught
from app.web.context import field, parts

blueprint = Blueprint("grading", __name__)

BINS = 10


@dataclass(frozen=True)
class Bar:
    """One bar of the histogram: grades from `begin` to below `end` percent, the last with 100."""

    begin: int
    end: int
    students: int


@blueprint.get("/classes/<slug:slug>/grades")
def show(slug: str) -> ResponseReturnValue:
    """Show the rule, and each student's grade with its reason; before the close by public scores."""
    section = request.args.get("section", "")
    with parts().database.read() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.GRADES)
        its = classes.competitions_of(session, classroom)
        competition = classes.competition_of(session, classroom, request.args.get("competition"))
        rule, grading, refusal = Rule(), None, ""
        if competition is not None:
            rule = grade_rules.of(session, classroom, competition)
            try:
                grading = grades.compute(
                    session, classroom, competition, rule=rule, now=now, may_preview=True
                )
            except Refused as refused:
                refusal = refused.message
        may = strips.rights_of(session, classroom, me)
    every = grading.grades if grading else []
    listed = [one for one in every if not section or one.enrolment.section == section]
    return render_template(
        "classes/grading/show.html",
        classroom=classroom,
        competitions=its,
        competition=competition,
        rule=rule,
        grading=grading,
        refusal=refusal,
        grades=listed,
        bars=histogram(listed),
        sections=sorted({one.enrolment.section for one in every if one.enrolment.section}),
        section=section,
        most_anchors=MOST_ANCHORS,
        may=may,
        now=now,
    )


def histogram(graded: Sequence[Grade]) -> list[Bar]:
    """Return how many students have a grade in each tenth."""
    counts = [0] * BINS
    for one in graded:
        if one.percent is not None:
            counts[min(int(one.percent * BINS / 100), BINS - 1)] += 1
    return [Bar(at * 100 // BINS, (at + 1) * 100 // BINS, count) for at, count in enumerate(counts)]


@blueprint.post("/classes/<slug:slug>/grades")
def set_rule(slug: str) -> ResponseReturnValue:
    """Keep anchors and what students without a score get; empty anchors are the default ones."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.GRADES)
        competition = needed(session, classroom, field("competition"))
        rule = Rule(_anchors(), grade_rules.missing(field("missing") or Missing.EMPTY))
        grades.try_rule(session, competition, rule, now=now)
        grade_rules.keep(session, classroom, competition, rule, by=me.name, now=now)
        name = competition.slug
    flash("The rule is kept.")
    return redirect(url_for("grading.show", slug=slug, competition=name), 303)


def needed(session: Session, classroom: Classroom, name: str) -> Competition:
    """Return the named competition of a class, or its latest; refuse where it has none."""
    found = classes.competition_of(session, classroom, name)
    if found is None:
        raise Refused("The class has no competition yet; add one in its settings.")
    return found


def _anchors() -> list[tuple[str, float]]:
    """Return the anchors of the form's rows; empty rows do not count."""
    found = []
    for score, percent in zip(request.form.getlist("score"), request.form.getlist("percent"), strict=False):
        if not score.strip() and not percent.strip():
            continue
        try:
            found.append((score.strip()[:80], float(percent.replace(",", "."))))
        except ValueError:
            raise Refused(f"{percent[:20]!r} is no percent; write a number from 0 to 100.") from None
    return found


@blueprint.post("/classes/<slug:slug>/grades/fill")
def fill(slug: str) -> ResponseReturnValue:
    """Return the platform's own export with one column filled, and every other byte as it was."""
    with parts().database.read() as session:
        taught(session, db.now(session), slug, Right.GRADES)
    content = table_of_form()
    if not content:
        raise Refused("Choose the file that the learning platform exports.")
    with parts().database.read() as session:
        now = db.now(session)
        _, classroom = taught(session, now, slug, Right.GRADES)
        competition = needed(session, classroom, field("competition"))
        filled = filled_file(session, classroom, competition, content, field("column"), now=now)
    return send_file(
        io.BytesIO(filled.content),
        mimetype="application/octet-stream",
        as_attachment=True,
        download_name=_name(request.files["file"].filename if "file" in request.files else ""),
        max_age=0,
    )


def filled_file(
    session: Session,
    classroom: Classroom,
    competition: Competition,
    content: bytes,
    column: str,
    *,
    now: datetime,
) -> filling.Filled:
    """Return a platform's export with the grades of a competition's final results."""
    if not competition.is_settled(now):
        raise Conflict(f"{competition.title} has no final results yet; grades are of private scores.")
    grading = grades.compute(session, classroom, competition, now=now)
    return filling.fill(
        content,
        {one.enrolment.id: one.percent for one in grading.grades},
        rosters.members(session, classroom),
        column=column or None,
        title=competition.title,
        chosen=classroom.columns,
    )


def _name(given: str | None) -> str:
    """Return a name for the filled file, after the one that was sent."""
    kept = "".join(c if c.isalnum() or c in "._- " else "_" for c in (given or "")).strip(" .")[-100:]
    stem, dot, ending = kept.rpartition(".")
    return f"{stem}-filled{dot}{ending}" if stem else "filled.csv"

"""The students of a class: how far each is, one added by hand, one set inactive or active."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.base import config, db
from app.classes import classes, codes, progress, rosters
from app.classes.progress import Stage
from app.classes.rosters import Student
from app.classes.staff import Right
from app.web.classes import strips
from app.web.classes.taught import taught
from app.web.context import field, parts

blueprint = Blueprint("students", __name__)

FIELDS = ("external_id", "login", "email", "section")


@blueprint.get("/classes/<slug:slug>/students")
def show(slug: str) -> ResponseReturnValue:
    """List the students with their state; `?section=` and `?state=` show a part of them.

    With `?live=1` the list, which `&part=list` answers alone, is renewed and has no forms.
    """
    section, state = request.args.get("section", ""), request.args.get("state", "")
    with parts().database.read() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.LOOK)
        its = classes.competitions_of(session, classroom)
        competition = classes.competition_of(session, classroom, request.args.get("competition"))
        every = progress.of(session, classroom, competition)
        may = strips.rights_of(session, classroom, me)
    of_section = [one for one in every if not section or one.enrolment.section == section]
    active = [one for one in of_section if one.stage is not Stage.INACTIVE]
    listed = [one for one in of_section if one.stage == state] if state else of_section
    template = "_list.html" if request.args.get("part") == "list" else "show.html"
    return render_template(
        f"classes/students/{template}",
        is_live=request.args.get("live") == "1",
        held=progress.by_refusal(of_section),
        classroom=classroom,
        competition=competition,
        competitions=its,
        listed=listed,
        total=len(active),
        counts=progress.by_stage(of_section),
        stages=Stage,
        sections=progress.sections_of(every),
        section=section,
        state=state,
        may=may,
        now=now,
    )


@blueprint.post("/classes/<slug:slug>/students")
def add(slug: str) -> ResponseReturnValue:
    """Add one student by hand and show the personal code, once."""
    given, family = rosters.divided(" ".join(field("student").split()))
    facts = {name: field(name).strip() or None for name in FIELDS}
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.HELP)
        classes.lock(session, classroom)
        added = rosters.add(session, classroom, Student(0, given, family, **facts), by=me.name, now=now)
        key = config.secret_key(parts().settings)
        only = [added.id]
        issued = codes.issue(session, classroom, key=key, by=me.name, now=now, only=only, again=True)
        return strips.page(session, classroom, me, issued, now)


@blueprint.post("/classes/<slug:slug>/students/<id:enrolment_id>")
def change(slug: str, enrolment_id: int) -> ResponseReturnValue:
    """Set a student inactive, or with `active` active again."""
    is_active = request.form.get("active") == "1"
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.HELP)
        classes.lock(session, classroom)
        one = rosters.set_active(session, classroom, enrolment_id, is_active=is_active, by=me.name, now=now)
        name = one.name or one.pseudonym
    flash(f"{name} is active again." if is_active else f"{name} is inactive; the files stay.")
    return redirect(url_for("students.show", slug=slug), 303)

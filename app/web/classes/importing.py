"""Bring a class to the state of a roster: preview, columns where they are unknown, confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import Refused
from app.base.models_classes import Classroom
from app.classes import classes, columns, rosters
from app.classes.columns import FIELDS, NotMapped
from app.classes.rosters import Plan
from app.classes.staff import Right
from app.people.accounts import Viewer
from app.web.classes import strips
from app.web.classes.taught import packed, table_of_form, taught
from app.web.context import parts

blueprint = Blueprint("importing", __name__)


@blueprint.get("/classes/<slug:slug>/import")
def show(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.ROSTER)
        may = strips.rights_of(session, classroom, me)
        members = sum(one.left_at is None for one in rosters.members(session, classroom))
    return render_template(
        "classes/importing/show.html", classroom=classroom, may=may, members=members, now=now
    )


@blueprint.post("/classes/<slug:slug>/import")
def take(slug: str) -> ResponseReturnValue:
    """Show what a roster would change; with `action=import` change it, if that is still the same."""
    with parts().database.read() as session:
        taught(session, db.now(session), slug, Right.ROSTER)
    content = table_of_form()
    if not content:
        raise Refused("Choose a file, or paste the list of students.")
    only_add = request.form.get("only_add") == "1"
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.ROSTER)
        classes.lock(session, classroom)
        mapping = _mapping(content)
        try:
            roster = rosters.read(content, mapping, remembered=classroom.columns)
        except NotMapped as refusal:
            return _columns(session, classroom, me, content, refusal, now)
        if request.form.get("action") == "columns":
            return _columns(session, classroom, me, content, None, now)
        plan = rosters.plan(roster, rosters.members(session, classroom), only_add=only_add)
        is_confirmed = request.form.get("action") == "import" and request.form.get("plan") == _facts(plan)
        if not is_confirmed or plan.problems:
            return _preview(session, classroom, me, content, plan, mapping, only_add=only_add, now=now)
        if mapping:
            classroom.columns = {**classroom.columns, **mapping}
        rosters.apply(session, classroom, plan, by=me.name, now=now)
    flash(
        f"Imported: {len(plan.new)} new, {len(plan.changed)} changed, {len(plan.gone)} set inactive, "
        f"{len(plan.same)} as before."
    )
    target = "strips.show" if plan.new else "students.show"
    return redirect(url_for(target, slug=slug), 303)


def _mapping(content: bytes) -> dict[str, str]:
    """Return header to field, as the page of columns sends it by positions."""
    chosen = {
        int(name[4:]): value
        for name, value in request.form.items()
        if name.startswith("map_") and name[4:].isdecimal() and len(name) < 9 and value in FIELDS
    }
    if not chosen:
        return {}
    listed = rosters.headers(content)
    return {listed[at][0]: value for at, value in chosen.items() if at < len(listed) and listed[at][0]}


def _columns(
    session: Session, classroom: Classroom, me: Viewer, content: bytes, refusal: Refused | None, now: datetime
) -> ResponseReturnValue:
    """Return the page on which a person says what the columns hold."""
    remembered = {columns.folded(header): name for header, name in classroom.columns.items()}
    page = render_template(
        "classes/importing/columns.html",
        classroom=classroom,
        headers=[
            (header, values, remembered.get(columns.folded(header), guess))
            for header, values, guess in rosters.headers(content)
        ],
        fields=FIELDS,
        carried=packed(content),
        only_add=request.form.get("only_add") == "1",
        is_unknown=refusal is not None,
        may=strips.rights_of(session, classroom, me),
        now=now,
    )
    return page, 200 if refusal is None else 422


def _preview(
    session: Session,
    classroom: Classroom,
    me: Viewer,
    content: bytes,
    plan: Plan,
    mapping: Mapping[str, str],
    *,
    only_add: bool,
    now: datetime,
) -> ResponseReturnValue:
    present = {one.id: one for one in rosters.members(session, classroom)}
    positions = {header: at for at, (header, _, _) in enumerate(rosters.headers(content))}
    page = render_template(
        "classes/importing/preview.html",
        classroom=classroom,
        plan=plan,
        gone=[present[one] for one in plan.gone],
        by_hand=[present[one] for one in plan.by_hand],
        facts=_facts(plan),
        fields=FIELDS,
        carried=packed(content),
        mapped={positions[header]: value for header, value in mapping.items()},
        only_add=only_add,
        is_stale=request.form.get("action") == "import" and not plan.problems,
        may=strips.rights_of(session, classroom, me),
        now=now,
    )
    return page, 422 if plan.problems else 200


def _facts(plan: Plan) -> str:
    """Return the counts of a plan: a confirmation of other ones is shown again."""
    return f"{len(plan.new)}-{len(plan.same)}-{len(plan.changed)}-{len(plan.gone)}"

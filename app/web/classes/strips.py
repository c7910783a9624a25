"""Personal codes: issued for all or for one student, shown once, as strips of paper to cut."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

import segno
from flask import Blueprint, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import config, db
from app.base.csv_cells import csv_cell
from app.base.models_classes import Classroom
from app.classes import classes, codes, progress, staff
from app.classes.codes import Issued
from app.classes.staff import RIGHTS, Right
from app.people.accounts import Viewer
from app.web.classes.taught import taught
from app.web.context import parts

blueprint = Blueprint("strips", __name__)


def rights_of(session: Session, classroom: Classroom, me: Viewer) -> frozenset[str]:
    """Return the names of the viewer's rights in a class, for its tabs and forms."""
    role = staff.role_of(session, classroom, me)
    return frozenset(right.name for right in RIGHTS[role]) if role is not None else frozenset()


@blueprint.get("/classes/<slug:slug>/codes")
def show(slug: str) -> ResponseReturnValue:
    """Show the class code with its QR code, and how many students have a personal code."""
    with parts().database.read() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.HELP)
        found = progress.of(session, classroom, None)
        may = rights_of(session, classroom, me)
    waiting = [one for one in found if one.stage is progress.Stage.NOT_JOINED]
    return render_template(
        "classes/strips/show.html",
        classroom=classroom,
        code=codes.shown(classroom.code),
        address=join_address(classroom.code),
        qr=qr(join_address(classroom.code)),
        joined=sum(one.account is not None and one.enrolment.left_at is None for one in found),
        coded=sum(one.has_code for one in waiting),
        without=sum(not one.has_code for one in waiting),
        sections=progress.sections_of(waiting),
        may=may,
        now=now,
    )


@blueprint.post("/classes/<slug:slug>/codes")
def issue(slug: str) -> ResponseReturnValue:
    """Issue codes for all, for a section or for one student; the answer is the only place that shows them."""
    wanted, section = request.form.get("student", type=int), request.form.get("section", "")
    again = request.form.get("again") == "1"
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.HELP)
        classes.lock(session, classroom)
        only = [wanted] if wanted is not None else of_section(session, classroom, section)
        key = config.secret_key(parts().settings)
        issued = codes.issue(
            session, classroom, key=key, by=me.name, now=now, only=only, again=again or wanted is not None
        )
        return page(session, classroom, me, issued, now)


def of_section(session: Session, classroom: Classroom, section: str) -> list[int] | None:
    """Return the students of a section that have not joined; None, which is all, without a section."""
    if not section:
        return None
    found = progress.of(session, classroom, None)
    return [
        one.enrolment.id
        for one in found
        if one.enrolment.section == section and one.stage is progress.Stage.NOT_JOINED
    ]


def page(
    session: Session, classroom: Classroom, me: Viewer, issued: Sequence[Issued], now: datetime
) -> ResponseReturnValue:
    """Return the page of new codes, which is not kept anywhere."""
    answer = make_response(
        render_template(
            "classes/strips/issued.html",
            classroom=classroom,
            code=codes.shown(classroom.code),
            address=url_for("classes.join", _external=True),
            strips=[
                (one.enrolment, codes.shown(one.code), qr(join_address(classroom.code, one.code)))
                for one in issued
            ],
            table=_as_csv(issued),
            may=rights_of(session, classroom, me),
            now=now,
        )
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def join_address(class_code: str, personal: str = "") -> str:
    """Return the address to join. A personal code is in its fragment, which no server and no log gets."""
    address = url_for("classes.join", _external=True, **{"class": class_code})
    return f"{address}#{personal}" if personal else address


def qr(address: str) -> str:
    """Return a QR code as the data address of an image."""
    made = segno.make(address, error="m", micro=False)
    return made.svg_data_uri(border=2, omitsize=True, dark="#000", light="#fff")


def _as_csv(issued: Sequence[Issued]) -> str:
    """Return the codes as the data address of a CSV file, so that no second request shows them."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["name", "id", "login", "email", "section", "code"])
    for one in issued:
        who = one.enrolment
        cells = (who.name, who.external_id or who.canvas_id, who.login, who.email, who.section)
        table.writerow([*(csv_cell(cell or "") for cell in cells), codes.shown(one.code)])
    return "data:text/csv;charset=utf-8," + quote("\ufeff" + out.getvalue())

"""The organisers' page of the invariants. For everybody else it does not exist."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.base import db
from app.operating import doctor
from app.web.context import organiser, parts

blueprint = Blueprint("doctor", __name__)


@blueprint.get("/doctor")
def show() -> ResponseReturnValue:
    """All that the database can tell; files and recomputed scores are the command's, which has the vault."""
    with parts().database.read() as session:
        now = db.now(session)
        organiser(session, now)
        checks = doctor.check_database(session, now=now)
    return render_template("operating/doctor/show.html", checks=checks, now=now)

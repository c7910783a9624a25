"""Show the invariants; only organisers see this page."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.base import db
from app.operating import doctor
from app.web.context import organiser, parts

blueprint = Blueprint("doctor", __name__)


@blueprint.get("/doctor")
def show() -> ResponseReturnValue:
    """Show checks that need only the database.

    The command `heldout doctor` has the vault: it also checks files and recomputes scores.
    """
    with parts().database.read() as session:
        now = db.now(session)
        organiser(session, now)
        checks = doctor.check_database(session, now=now)
    return render_template("operating/doctor/show.html", checks=checks, now=now)

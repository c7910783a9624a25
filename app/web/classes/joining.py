"""Join a class by code, and show a class to its members."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.base import config, db
from app.base.errors import NotFound, Refused
from app.base.models_classes import Role
from app.classes import classes, codes, joining
from app.competing import visibility
from app.people import accounts, rate_limits
from app.people.accounts import Viewer
from app.web.context import field, parts, signed_in, viewer
from app.web.errors import retry_after
from app.web.people import known_browsers, sign_ins

blueprint = Blueprint("classes", __name__)


@blueprint.route("/join", methods=["GET", "POST"])
def join() -> ResponseReturnValue:
    """Join a class with its code and a personal code, under a new account or the one that is signed in.

    `/join?class=CODE`, the address of the QR code, fills the class code in.
    """
    with parts().database.read() as session:
        me = viewer(session, db.now(session))
    if request.method == "GET":
        return _form()
    try:
        slug, user_id, name = _joined(me)
    except Refused as refusal:
        return _form(refusal)
    flash(f"Welcome, {name}. You are in the class.")
    if me is None:
        flash(f"Keep your name, {name}, and your password: you sign in with them.")
    answer = redirect(url_for("classes.show", slug=slug), 303)
    return answer if me is not None else known_browsers.remember(answer, user_id)


def _joined(me: Viewer | None) -> tuple[str, int, str]:
    """Use the form's codes up; return the class's name, and id and name of the account that joined."""
    key, code = config.secret_key(parts().settings), field("code")
    with parts().database.read() as session:
        classroom_id = classes.by_code(session, codes.typed(field("class"))).id
        enrolment_id = codes.enrolment_of(session, classroom_id, code, key=key)
    if enrolment_id is None:
        # Only codes that are not valid count for the room: guesses of one student delay no other.
        with parts().database.begin() as session:
            guesses = rate_limits.to_join(classroom_id, request.remote_addr)
            rate_limits.count(session, guesses, now=db.now(session))
        raise NotFound(codes.NOT_VALID)
    with sign_ins.attempt(rate_limits.to_use_code(enrolment_id)) as counted:
        password_hash = "" if me else accounts.hash_password(request.form.get("password", ""))
    with parts().database.begin() as session:
        now = db.now(session)
        classroom = classes.by_code(session, codes.typed(field("class")))
        classes.lock(session, classroom)
        rate_limits.forget(session, counted)
        if me is not None:
            joining.join_as(session, classroom, code, me, key=key, now=now)
            return classroom.slug, me.id, me.name
        user = joining.join(
            session, classroom, code, key=key, name=field("name"), password_hash=password_hash, now=now
        )
        sign_ins.begin_browser(session, user.id, now)
        return classroom.slug, user.id, user.name


@blueprint.get("/classes/<slug:slug>")
def show(slug: str) -> ResponseReturnValue:
    """Show a class to a student: its competitions; its staff go on to the students."""
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        classroom, mine = classes.seen_by(session, slug, me.id, is_organiser=me.is_organiser)
        if mine is None or mine.role != Role.STUDENT:
            return redirect(url_for("students.show", slug=slug), 303)
        its = [
            one for one in classes.competitions_of(session, classroom) if visibility.may_see(session, one, me)
        ]
    return render_template(
        "classes/joining/show.html", now=now, classroom=classroom, mine=mine, competitions=its
    )


def _form(refusal: Refused | None = None) -> ResponseReturnValue:
    page = render_template(
        "classes/joining/join.html",
        refusal=refusal,
        class_code=request.values.get("class", "")[:40],
        code=field("code")[:40],
        name=field("name"),
    )
    if refusal is None:
        return page
    return page, refusal.status, retry_after(refusal)

"""The list of classes, a new class, and its settings: competitions, staff, archive, copy."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.authoring import challenges
from app.base import db
from app.base.errors import Refused
from app.base.models import ChallengeVersion, Competition
from app.base.models_classes import BoardNames
from app.classes import classes, codes, opening, staff
from app.classes.staff import Right
from app.competing import visibility
from app.people.accounts import Viewer
from app.web.classes.taught import taught
from app.web.context import field, organiser, parts, signed_in

blueprint = Blueprint("managing", __name__)


@blueprint.get("/classes")
def index() -> ResponseReturnValue:
    """List the classes of which the viewer is a member; to an organiser all."""
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        found = [
            (
                one,
                staff.role_of(session, one.classroom, me),
                [
                    each
                    for each in classes.competitions_of(session, one.classroom)
                    if visibility.may_see(session, each, me)
                ],
            )
            for one in classes.listed(session, me)
        ]
    return render_template("classes/managing/index.html", listed=found, now=now, shown=codes.shown)


@blueprint.get("/classes/new")
def new() -> ResponseReturnValue:
    """Show the form for a class: name, challenge, close and names."""
    with parts().database.read() as session:
        now = db.now(session)
        me = organiser(session, now)
        versions = challenges.listed(session)
        own = [one for one in opening.organised_by(session, me) if not one.is_settled(now)]
    return render_template("classes/managing/new.html", now=now, versions=versions, competitions=own)


@blueprint.post("/classes/new")
def create() -> ResponseReturnValue:
    """Make a class, and open its competition."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser(session, now)
        version, competition = chosen(session, me, field("competition"))
        made = opening.begin(
            session,
            me,
            field("title"),
            names=field("names") or BoardNames.FREE,
            version=version,
            competition=competition,
            closes_at=_moment(field("closes_at")),
            max_upload_bytes=parts().settings.max_upload_mb * 1_000_000,
            now=now,
        )
        slug, title = made.slug, made.title
    flash(f"{title} is made. Next: its students.")
    return redirect(url_for("importing.show", slug=slug), 303)


def chosen(session: Session, me: Viewer, choice: str) -> tuple[ChallengeVersion | None, Competition | None]:
    """Return what `challenge:NAME` or `competition:NAME` names; nothing for an empty choice."""
    kind, _, name = choice.partition(":")
    if not choice:
        return None, None
    if kind == "challenge":
        return challenges.latest(session, name[:60]), None
    if kind == "competition":
        return None, visibility.find(session, name[:60], me)
    raise Refused("Choose a challenge or a competition of the list.")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise Refused(f"{text[:40]!r} is no date with a time, such as 2026-12-01T18:00.") from None


@blueprint.get("/classes/<slug:slug>/settings")
def settings(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        its = classes.competitions_of(session, classroom)
        known = {one.id for one in its}
        more = [one for one in opening.organised_by(session, me) if one.id not in known]
        listed = staff.listed(session, classroom)
    return render_template(
        "classes/managing/settings.html",
        classroom=classroom,
        competitions=its,
        more=more,
        staff=listed,
        roles=staff.ROLES,
        now=now,
    )


@blueprint.post("/classes/<slug:slug>/settings")
def change(slug: str) -> ResponseReturnValue:
    """Change title and names, or archive the class and take it back."""
    archived = request.form.get("archived")
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        classes.change(
            session,
            classroom,
            title=field("title") or None,
            names=field("names") or None,
            is_archived=None if archived is None else archived == "1",
            by=me.name,
            now=now,
        )
    return _back(slug, "Saved.")


@blueprint.post("/classes/<slug:slug>/competitions")
def add_competition(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        found = opening.named(session, me, field("name"))
        opening.add_competition(session, classroom, found, me, now=now)
    return _back(slug, f"{found.title} is a competition of this class.")


@blueprint.post("/classes/<slug:slug>/staff")
def appoint(slug: str) -> ResponseReturnValue:
    """Give an account the role of an instructor or an assistant."""
    name = field("name")
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        classes.lock(session, classroom)
        made = staff.appoint(session, classroom, name, field("role") or "assistant", by=me.name, now=now)
        role = made.role
    return _back(slug, f"{name} is an {role} of this class.")


@blueprint.post("/classes/<slug:slug>/staff/<id:enrolment_id>/end")
def dismiss(slug: str, enrolment_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        name = staff.dismiss(session, classroom, enrolment_id, by=me.name, now=now)
        still_may = me.is_organiser or name != me.name
    if not still_may:
        return redirect(url_for("managing.index"), 303)
    return _back(slug, f"{name} has no role in this class any more.")


@blueprint.post("/classes/<slug:slug>/copy")
def copy(slug: str) -> ResponseReturnValue:
    """Make a class for the next term with the same staff, without students."""
    title = field("title")
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        name = classes.free_slug(session, title or classroom.title)
        made = classes.copied(session, classroom, name, title=title, by=me.name, now=now)
        words, name = made.title, made.slug
    flash(f"{words} is made, without students and competitions.")
    return redirect(url_for("managing.settings", slug=name), 303)


def _back(slug: str, words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("managing.settings", slug=slug), 303)

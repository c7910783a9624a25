"""The page of a competition's hosts."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.errors import Forbidden
from app.base.models_roles import Role
from app.competing import competitions, roles
from app.web.context import field, organiser_of, parts

blueprint = Blueprint("hosts", __name__)


@blueprint.get("/competitions/<slug:slug>/organise/hosts")
def show(slug: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        listed = roles.listed(session, competition)
        try:
            roles.refuse_unless_owner(session, competition, me)
            may_change = True
        except Forbidden:
            may_change = False
    return render_template(
        "competing/hosts/show.html",
        competition=competition,
        now=now,
        listed=listed,
        may_change=may_change,
        choices=list(Role),
    )


@blueprint.post("/competitions/<slug:slug>/organise/hosts")
def add(slug: str) -> ResponseReturnValue:
    name = field("name")
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        roles.refuse_unless_owner(session, competition, me)
        competitions.lock(session, competition)
        roles.add(session, competition, name, field("role") or Role.COHOST, by=me.name, now=db.now(session))
    return _back(slug, f"{name} is a host of this competition.")


@blueprint.post("/competitions/<slug:slug>/organise/hosts/remove")
def remove(slug: str) -> ResponseReturnValue:
    name = field("name")
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        roles.refuse_unless_owner(session, competition, me)
        roles.remove(session, competition, name, by=me.name, now=now)
    return _back(slug, f"{name} is no host of this competition any more.")


def _back(slug: str, words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("hosts.show", slug=slug), 303)

"""The accounts that see a competition which is not public: its list, and its private link with its page."""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.competing import admissions
from app.web import compression
from app.web.context import field, organiser_of, parts, signed_in, text_field
from app.web.json_answers import private_link

blueprint = Blueprint("admissions", __name__)


@blueprint.get("/competitions/<slug:slug>/organise/access")
def show(slug: str) -> ResponseReturnValue:
    return _page(slug)


@blueprint.post("/competitions/<slug:slug>/organise/access/link")
def make_link(slug: str) -> ResponseReturnValue:
    """Make a private link and show it on this page only; the one before it is revoked."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        secret = admissions.make_link(session, competition, by=me.name, now=now)
    return _page(slug, link=private_link(slug, secret))


@blueprint.post("/competitions/<slug:slug>/organise/access/link/revoke")
def revoke_link(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        admissions.revoke_link(session, competition, by=me.name, now=now)
    return _back(slug, "The private link is revoked. Accounts that it admitted stay admitted.")


@blueprint.post("/competitions/<slug:slug>/organise/access/list")
def admit(slug: str) -> ResponseReturnValue:
    """Admit the accounts of a text, with blanks, commas or lines between their names."""
    names = text_field("names").replace(",", " ").replace(";", " ").split()
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        new = admissions.admit(session, competition, names, by=me.name, now=now)
    done = f"Admitted: {', '.join(new)}." if new else "All of them were admitted already."
    return _back(slug, done)


@blueprint.post("/competitions/<slug:slug>/organise/access/remove")
def remove(slug: str) -> ResponseReturnValue:
    name = field("name")
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        admissions.remove(session, competition, name, by=me.name, now=now)
    return _back(slug, f"{name} no longer sees this competition unless it is public.")


@blueprint.get("/competitions/<slug:slug>/enter/<secret>")
def entry(slug: str, secret: str) -> ResponseReturnValue:
    """Show what a private link leads to, and the button that admits the account."""
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = admissions.behind(session, slug, me, secret)
    g.holds_secret = True
    compression.refuse()
    return render_template("competing/admissions/entry.html", competition=competition, secret=secret, now=now)


@blueprint.post("/competitions/<slug:slug>/enter/<secret>")
def enter(slug: str, secret: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = admissions.enter(session, slug, me, secret, now=now)
    flash(f"You see {competition.title} from now on. It is in your list of competitions.")
    return redirect(url_for("competitions.show", slug=slug), 303)


def _page(slug: str, *, link: str | None = None) -> str:
    with parts().database.read() as session:
        now = db.now(session)
        _, competition = organiser_of(session, now, slug)
        listed = admissions.listed(session, competition)
        live = admissions.link(session, competition)
    return render_template(
        "competing/admissions/show.html",
        competition=competition,
        now=now,
        listed=listed,
        live=live,
        link=link,
    )


def _back(slug: str, words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("admissions.show", slug=slug), 303)

"""Sign up, in and out; manage sessions, password and tokens."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.base import config, db
from app.base.errors import NotFound, NotSignedIn, Refused
from app.competing import erasure, personal_data
from app.delivery import addresses
from app.people import accounts, first_organiser, rate_limits, tokens
from app.people.accounts import Viewer
from app.people.tokens import Scope
from app.web.context import field, parts, safe_next, signed_in, viewer
from app.web.errors import retry_after
from app.web.people import known_browsers, sign_ins

blueprint = Blueprint("accounts", __name__)

COMPACTED_BYTES = 200_000_000
"""A larger database file is compacted by the operator, not in a request."""


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    if request.method == "GET":
        return _form("people/accounts/sign_in.html")
    name = field("name")
    with parts().database.read() as session:
        candidate = accounts.candidate(session, name)
    browser = known_browsers.identify(candidate.id) if candidate else None
    try:
        with sign_ins.attempt(rate_limits.to_sign_in(name, request.remote_addr, browser)) as counted:
            user = accounts.verify(candidate, request.form.get("password", ""))
    except Refused as refusal:
        return _form("people/accounts/sign_in.html", refusal)
    with parts().database.begin() as session:
        rate_limits.forget(session, counted)
        sign_ins.begin_browser(session, user.id, db.now(session))
    return known_browsers.remember(redirect(_next(), 303), user.id)


@blueprint.route("/sign-up", methods=["GET", "POST"])
def sign_up() -> ResponseReturnValue:
    if parts().settings.registration != "open":
        raise NotFound("Only the organiser can make accounts here. Ask the organiser for one.")
    if request.method == "GET":
        return _form("people/accounts/sign_up.html")
    try:
        per_hour = parts().settings.sign_ups_per_hour
        with sign_ins.attempt(rate_limits.to_sign_up(request.remote_addr, per_hour)):
            password_hash = accounts.hash_password(request.form.get("password", ""))
        with parts().database.begin() as session:
            now = db.now(session)
            user = accounts.register(session, field("name"), password_hash, now=now)
            session.flush()
            sign_ins.begin_browser(session, user.id, now)
    except Refused as refusal:
        return _form("people/accounts/sign_up.html", refusal)
    flash(f"Welcome, {user.name}.")
    return known_browsers.remember(redirect(_next(), 303), user.id)


@blueprint.route("/setup", methods=["GET", "POST"])
def setup() -> ResponseReturnValue:
    """Create the first organiser with the token that the server printed.

    Once there is an organiser, this page does not exist.
    """
    given, key = request.values.get("token", ""), config.secret_key(parts().settings)
    with parts().database.read() as session:
        first_organiser.admit(session, given, key)
    if request.method == "GET":
        return _form("people/accounts/setup.html", token=given)
    try:
        with accounts.hashing_slot():
            password_hash = accounts.hash_password(request.form.get("password", ""))
        with parts().database.begin() as session:
            now = db.now(session)
            user = first_organiser.make(session, field("name"), password_hash, now=now)
            sign_ins.begin_browser(session, user.id, now)
    except NotFound:
        raise
    except Refused as refusal:
        return _form("people/accounts/setup.html", refusal, token=given)
    flash(f"Welcome, {user.name}. You are the organiser.")
    return known_browsers.remember(redirect(url_for("competitions.index"), 303), user.id)


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    with parts().database.begin() as session:
        if secret := cookie.get("sign_in"):
            accounts.sign_out(session, secret, now=db.now(session))
    cookie.clear()
    return redirect(url_for("competitions.index"), 303)


@blueprint.get("/account")
def show() -> ResponseReturnValue:
    with parts().database.read() as session:
        now = db.now(session)
        return _account(session, signed_in(session, now), now)


@blueprint.post("/account/password")
def change_password() -> ResponseReturnValue:
    with parts().database.read() as session:
        me = signed_in(session, db.now(session))
        candidate = accounts.candidate(session, me.name)
    with sign_ins.attempt(rate_limits.to_change_password(me.id)) as counted:
        try:
            accounts.verify(candidate, request.form.get("current", ""))
        except NotSignedIn:
            raise Refused("The current password is wrong. Nothing was changed.") from None
        password_hash = accounts.hash_password(request.form.get("password", ""))
    with parts().database.begin() as session:
        now = db.now(session)
        rate_limits.forget(session, counted)
        keep_tokens = "keep_tokens" in request.form
        accounts.set_password(session, me.id, password_hash, now=now, keep_tokens=keep_tokens)
        sign_ins.begin_browser(session, me.id, now)
    kept = "Your tokens are kept." if keep_tokens else "Your tokens are revoked."
    flash(f"Your password is changed, and all your other browsers are signed out. {kept}")
    return known_browsers.remember(redirect(url_for("accounts.show"), 303), me.id)


@blueprint.post("/account/browsers/<id:sign_in_id>/revoke")
def revoke_browser(sign_in_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        accounts.revoke_sign_in(session, signed_in(session, now).id, sign_in_id, now=now)
    flash("The browser is signed out.")
    return redirect(url_for("accounts.show"), 303)


@blueprint.get("/account/data.json")
def data() -> ResponseReturnValue:
    """Download everything that the server keeps of the account."""
    with parts().database.read() as session:
        now = db.now(session)
        found = personal_data.collect(session, signed_in(session, now), now=now)
    answer = jsonify(found)
    answer.headers["Content-Disposition"] = 'attachment; filename="heldout-account.json"'
    return answer


@blueprint.route("/account/erase", methods=["GET", "POST"])
def erase() -> ResponseReturnValue:
    """Show what erasing the account deletes and keeps; with the password, erase it."""
    with parts().database.read() as session:
        me = signed_in(session, db.now(session))
        candidate = accounts.candidate(session, me.name)
        planned = erasure.preview(session, accounts.by_name(session, me.name))
    if request.method == "GET":
        return render_template("people/accounts/erase.html", planned=planned, refusal=None)
    try:
        with sign_ins.attempt(rate_limits.to_change_password(me.id)) as counted:
            try:
                accounts.verify(candidate, request.form.get("password", ""))
            except NotSignedIn:
                raise Refused("The password is wrong. Nothing was erased.") from None
        with parts().database.begin() as session:
            now = db.now(session)
            rate_limits.forget(session, counted)
            erasure.erase(session, accounts.by_name(session, me.name), now=now)
    except Refused as refusal:
        page = render_template("people/accounts/erase.html", planned=planned, refusal=refusal)
        return page, refusal.status, retry_after(refusal)
    parts().database.compact(most_bytes=COMPACTED_BYTES)
    cookie.clear()
    flash("Your account is erased.")
    return redirect(url_for("competitions.index"), 303)


@blueprint.post("/account/tokens")
def create_token() -> ResponseReturnValue:
    """Create a token and show it on this page only.

    Its text is stored nowhere, not even in the session cookie.
    """
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        secret = tokens.issue(
            session,
            me.id,
            field("label"),
            now=now,
            scope=field("scope") or tokens.DEFAULT_SCOPE,
            days=request.form.get("days", tokens.DEFAULT_DAYS, type=int),
        )
        session.flush()
        return _account(session, me, now, new_token=secret)


@blueprint.post("/account/tokens/<id:token_id>/revoke")
def revoke_token(token_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        tokens.revoke(session, signed_in(session, now).id, token_id, now=now)
    flash("The token is revoked.")
    return redirect(url_for("accounts.show"), 303)


def _account(session: Session, me: Viewer, now: datetime, new_token: str | None = None) -> str:
    return render_template(
        "people/accounts/show.html",
        now=now,
        sign_ins=accounts.sign_ins(session, me.id, now=now),
        is_this_browser=lambda row: accounts.is_this_browser(row, cookie["sign_in"]),
        tokens=tokens.listed(session, me.id),
        scopes={
            Scope.READ: "read",
            Scope.SUBMIT: "read and submit",
            **({Scope.ORGANISE: "everything that you may do"} if _may_more(session, me) else {}),
        },
        most_tokens=tokens.MOST_TOKENS,
        sends_mail=parts().settings.sends_mail,
        mail=addresses.of(session, me.id),
        mail_kinds={
            addresses.Kind.ANNOUNCEMENT: "announcements of organisers",
            addresses.Kind.ANSWER: "answers to my questions",
            addresses.Kind.RESULTS: "final results of my competitions",
        },
        new_token=new_token,
    )


def _may_more(session: Session, me: Viewer) -> bool:
    """Return whether a token of the account may do more than take part."""
    return me.has_roles or accounts.teaches(session, me.id)


def _form(template: str, refusal: Refused | None = None, **more: str) -> ResponseReturnValue:
    with parts().database.read() as session:
        viewer(session, db.now(session))
    page = render_template(
        template, refusal=refusal, name=field("name"), next=request.values.get("next", ""), **more
    )
    if refusal is None:
        return page
    return page, refusal.status, retry_after(refusal)


def _next() -> str:
    return safe_next(request.values.get("next"), url_for("competitions.index"))

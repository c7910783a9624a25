"""The address of an account, and a new password by mail."""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.errors import NotFound, NotSignedIn, Refused
from app.delivery import addresses, passwords
from app.people import accounts, rate_limits
from app.web import compression
from app.web.context import field, parts, signed_in, viewer
from app.web.errors import retry_after
from app.web.people import sign_ins

blueprint = Blueprint("mail", __name__)


@blueprint.route("/forgot", methods=["GET", "POST"])
def forgot() -> ResponseReturnValue:
    """Ask for a link with which a new password is set; the answer tells nothing about accounts."""
    if request.method == "GET" or not parts().settings.sends_mail:
        return _page("people/mail/forgot.html", asked=False)
    address = field("address")
    limits = rate_limits.to_forget(address, request.remote_addr)
    with parts().database.begin() as session:
        now = db.now(session)
        rate_limits.refuse(session, limits, now=now)
        rate_limits.count(session, limits, now=now)
        passwords.ask(session, address, now=now)
    return _page("people/mail/forgot.html", asked=True)


@blueprint.route("/reset", methods=["GET", "POST"])
def reset() -> ResponseReturnValue:
    """Set a new password with the link of a letter."""
    _hide_address()
    secret = request.values.get("token", "")
    with parts().database.read() as session:
        name = passwords.account_of(session, secret, now=db.now(session)).name
    if request.method == "GET":
        return _page("people/mail/reset.html", token=secret, name=name, refusal=None)
    try:
        with accounts.hashing_slot():
            password_hash = accounts.hash_password(request.form.get("password", ""))
    except Refused as refusal:
        page = _page("people/mail/reset.html", token=secret, name=name, refusal=refusal)
        return page, refusal.status, retry_after(refusal)
    with parts().database.begin() as session:
        passwords.set_(session, secret, password_hash, now=db.now(session))
    flash("Your password is changed. All browsers are signed out and all tokens revoked; sign in again.")
    return redirect(url_for("accounts.sign_in"), 303)


@blueprint.post("/account/mail")
def set_address() -> ResponseReturnValue:
    """Set the address of the account; needs the password, since the address can set a new one."""
    with parts().database.read() as session:
        signed_in(session, db.now(session))
    _refuse_without_mail()
    wanted = addresses.valid(field("address"))
    name = _with_password()
    with parts().database.begin() as session:
        now = db.now(session)
        user = accounts.by_name(session, name)
        limits = rate_limits.to_set_address(user.id, wanted)
        rate_limits.refuse(session, limits, now=now)
        rate_limits.count(session, limits, now=now)
        address = addresses.set_(session, user, wanted, now=now)
    flash(f"A letter with a link is on its way to {address}. Open the link to confirm the address.")
    return redirect(url_for("accounts.show"), 303)


@blueprint.route("/account/mail/confirm", methods=["GET", "POST"])
def confirm() -> ResponseReturnValue:
    """Confirm an address with the link of a letter.

    The link shows a button: programs that open links of mails to look at them confirm nothing.
    """
    _hide_address()
    secret = request.values.get("token", "")
    if request.method == "GET":
        return _page("people/mail/confirm.html", token=secret)
    with parts().database.begin() as session:
        address = addresses.confirm(session, secret, now=db.now(session))
    flash(f"{address} is confirmed.")
    return redirect(url_for("accounts.show"), 303)


@blueprint.post("/account/mail/kinds")
def choose() -> ResponseReturnValue:
    with parts().database.begin() as session:
        me = signed_in(session, db.now(session))
        addresses.choose(session, me.id, request.form.getlist("kind"))
    flash("Your choice of mail is saved.")
    return redirect(url_for("accounts.show"), 303)


@blueprint.post("/account/mail/remove")
def remove() -> ResponseReturnValue:
    """Remove the address; needs the password, since it may be the only way back into the account."""
    name = _with_password()
    with parts().database.begin() as session:
        addresses.remove(session, accounts.by_name(session, name), now=db.now(session))
    flash("Your address is removed.")
    return redirect(url_for("accounts.show"), 303)


def _with_password() -> str:
    """Return the name of the account, whose password the form has to hold."""
    with parts().database.read() as session:
        me = signed_in(session, db.now(session))
        candidate = accounts.candidate(session, me.name)
    with sign_ins.attempt(rate_limits.to_change_password(me.id)) as counted:
        try:
            accounts.verify(candidate, request.form.get("current", ""))
        except NotSignedIn:
            raise Refused("The password is wrong. Nothing was changed.") from None
    with parts().database.begin() as session:
        rate_limits.forget(session, counted)
    return me.name


def _hide_address() -> None:
    """Keep the secret in the address of this page from other pages, proxies and the length of the answer."""
    g.holds_secret = True
    compression.refuse()


def _refuse_without_mail() -> None:
    if not parts().settings.sends_mail:
        raise NotFound("This server sends no mail.")


def _page(template: str, **more: object) -> str:
    with parts().database.read() as session:
        viewer(session, db.now(session))
    return render_template(template, sends_mail=parts().settings.sends_mail, **more)

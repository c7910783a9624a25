"""Serve the participants' client: its wheel, and the page with the exact lines for this installation."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.errors import NotFound
from app.web import client_wheel
from app.web.context import new_token, parts, viewer

blueprint = Blueprint("client", __name__, url_prefix="/client")

LABEL = "Heldout client"
PLACEHOLDER = "hld_..."


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """Show how to install the client; `pip --find-links` reads the link to the wheel from this page."""
    with parts().database.read() as session:
        viewer(session, db.now(session))
    return _page(PLACEHOLDER)


@blueprint.post("/")
def create_token() -> ResponseReturnValue:
    """Show the lines with a new token, which is shown only now."""
    return _page(new_token(LABEL))


@blueprint.get("/<wheel>")
def wheel(wheel: str) -> ResponseReturnValue:
    if wheel != client_wheel.NAME:
        raise NotFound(f"This installation has the client {client_wheel.NAME}; its address is on /client/.")
    made = client_wheel.wheel()
    response = Response(made.data, mimetype="application/octet-stream")
    response.set_etag(made.sha256)
    response.headers["Cache-Control"] = "no-cache"  # another version of the server may keep the number
    return response.make_conditional(request)


def _page(token: str) -> ResponseReturnValue:
    return render_template(
        "client/show.html",
        token=token,
        is_new=token != PLACEHOLDER,
        address=f"{request.scheme}://{request.host}",
        wheel=client_wheel.NAME,
        sha256=client_wheel.wheel().sha256,
    )

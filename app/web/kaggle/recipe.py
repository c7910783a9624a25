"""The page "Use your Kaggle client": the exact lines for this installation, with a fresh token."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from app.base import db
from app.web.context import new_token, parts, signed_in

blueprint = Blueprint("kaggle_recipe", __name__)

LABEL = "Kaggle client"
PLACEHOLDER = "hld_..."


@blueprint.get("/kaggle-client")
def show() -> ResponseReturnValue:
    with parts().database.read() as session:
        signed_in(session, db.now(session))
    return _page(PLACEHOLDER)


@blueprint.post("/kaggle-client")
def create_token() -> ResponseReturnValue:
    """Show the lines with a new token, which is shown only now."""
    return _page(new_token(LABEL))


def _page(token: str) -> ResponseReturnValue:
    return render_template(
        "kaggle/recipe/show.html",
        token=token,
        is_new=token != PLACEHOLDER,
        address=f"{request.scheme}://{request.host}",
    )

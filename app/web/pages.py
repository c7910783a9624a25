"""Serve health checks, the page of the API and the licences page."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint, jsonify, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.base import db
from app.base.models import Competition
from app.operating import health
from app.people import names
from app.web.api import browsing, openapi
from app.web.context import parts, viewer

blueprint = Blueprint("pages", __name__)

VENDOR = Path(__file__).parent / "static" / "vendor"


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Answer 200 if this process can read our tables."""
    try:
        with parts().database.read() as session:
            session.execute(select(Competition.id).limit(1))
    except SQLAlchemyError:
        return jsonify(status="the database does not answer"), 503
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Answer 200 if uploads can be accepted, else name the part."""
    ours = parts()
    wrong = health.unready(ours.settings, ours.database, ours.storage)
    states = {part: wrong.get(part, "ok") for part in ("database", "storage", "disk")}
    return jsonify(status="not ready" if wrong else "ready", **states), 503 if wrong else 200


@blueprint.get("/licences")
def licences() -> ResponseReturnValue:
    with parts().database.read() as session:
        viewer(session, db.now(session))
    return render_template("pages/licences.html", packages=_packages())


@blueprint.get("/help")
def guide() -> ResponseReturnValue:
    with parts().database.read() as session:
        viewer(session, db.now(session))
    return render_template("pages/help.html")


@blueprint.get("/api")
def api() -> ResponseReturnValue:
    """Show the API's document; the page loads nothing from other sites."""
    with parts().database.read() as session:
        viewer(session, db.now(session))
    return render_template(
        "pages/api.html",
        document=openapi.document(),
        type_of=browsing.type_of,
        content_of=browsing.content_of,
        scope_of=browsing.scope_of,
    )


@lru_cache(maxsize=1)
def _packages() -> list[dict[str, Any]]:
    packages = tomllib.loads((VENDOR / "vendor.toml").read_text(encoding="utf-8"))["package"]
    for package in packages:
        name = next(n for n in package["files"] if n.startswith("LICENSE"))
        package["licence_text"] = (VENDOR / package["folder"] / name).read_text(encoding="utf-8")
    unicode_data = {
        "npm": "Unicode",
        "version": "16.0",
        "purpose": "The table of characters that look alike, by which names are compared.",
        "licence": "Unicode-3.0",
        "files": {},
        "licence_text": names.TABLE.with_name("confusables.LICENSE.txt").read_text(encoding="utf-8"),
    }
    return [*packages, unicode_data]

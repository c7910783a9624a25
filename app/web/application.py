"""Build the Flask application of one installation."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request
from flask_wtf.csrf import CSRFProtect
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, IntegerConverter, Map

from app.base import config, db, queue, storage
from app.base.config import Settings
from app.base.db import Database
from app.competing.receipts import Signer
from app.operating.statistics import Totals
from app.web import errors, formats, markdown, pages, request_checks, request_log, uploads
from app.web.api import routes
from app.web.competing import competitions, leaderboard, organise, submissions, teams
from app.web.context import Parts
from app.web.integrity import cases, reports, train_files
from app.web.metrics import Requests
from app.web.operating import doctor, operate
from app.web.page_cache import Kept
from app.web.people import accounts
from app.web.upload_slots import UnderWay

A_YEAR_SECONDS = 365 * 86400

POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data:",  # the marks inside Pico's form controls are data: pictures
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def create_app(settings: Settings, *, database: Database | None = None) -> Flask:
    """The web of one installation. It opens no connection yet; the first request does."""
    app = Flask("app.web")  # finds templates and static files beside this module
    app.request_class = uploads.StreamingRequest
    app.config.update(
        SECRET_KEY=config.secret_key(settings),
        SESSION_COOKIE_NAME="heldout",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.cookie_secure,
        PERMANENT_SESSION_LIFETIME=timedelta(days=settings.session_days),
        SESSION_REFRESH_EACH_REQUEST=False,
        MAX_CONTENT_LENGTH=uploads.FORM_LIMIT_BYTES,
        WTF_CSRF_TIME_LIMIT=None,  # a page may stay open overnight; the token dies with the sign-in
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it
    app.extensions["heldout"] = Parts(
        settings=settings,
        database=database or db.open_(settings),
        storage=storage.open_(settings),
        hints=queue.open_(settings),
        under_way=UnderWay(settings.web_threads),
        requests=Requests(),
        totals=Totals(),
        signer=Signer(config.secret_key(settings)),
        boards=Kept(settings.board_seconds),
    )
    if settings.proxies:
        n = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=n, x_proto=n, x_host=n)  # type: ignore[method-assign]

    request_log.register(app)
    request_checks.register(app)
    csrf = CSRFProtect(app)
    csrf.exempt(routes.blueprint)  # tokens in a header, never cookies
    for receives_a_file in (submissions.create, train_files.create):
        csrf.exempt(receives_a_file)  # checks by itself, after the file has gone to storage
    app.url_map.converters.update(slug=SlugConverter, id=IdConverter)
    for module in (
        pages, accounts, competitions, teams, submissions, train_files, leaderboard, reports, organise, cases, doctor, routes, operate,
    ):  # fmt: skip
        app.register_blueprint(module.blueprint)
    errors.register(app)
    app.after_request(_secure)
    app.after_request(_cache)
    app.url_defaults(_version_static)
    _prepare_templates(app)
    return app


class SlugConverter(BaseConverter):
    """Only what a slug can be reaches the database; PostgreSQL faults on a NUL in a text."""

    regex = "[A-Za-z0-9][A-Za-z0-9._-]{0,59}"


class IdConverter(IntegerConverter):
    """Only what fits the database's column is an id; SQLite's driver faults on more."""

    regex = r"\d{1,19}"

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=2**63 - 1)


def _prepare_templates(app: Flask) -> None:
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        number=formats.number,
        brief=formats.brief,
        count=formats.count,
        size=formats.size,
        moment=formats.moment,
        exact=formats.exact,
        clock=formats.clock,
        relative=formats.relative,
        markdown=markdown.render,
    )
    app.jinja_env.globals.update(
        plural=formats.plural,
        public_step=formats.public_step,
        release=formats.release,
        settings=app.extensions["heldout"].settings,
    )
    app.context_processor(lambda: {"viewer": g.get("viewer")})


def _secure(response: Response) -> Response:
    headers = response.headers
    headers["Content-Security-Policy"] = "; ".join(f"{what} {whence}" for what, whence in POLICY.items())
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _cache(response: Response) -> Response:
    """Static files are named by their content and kept for a year; everything else is asked for again."""
    if request.endpoint == "static" and response.status_code in (200, 304):
        if request.args.get("v") or request.path.startswith("/static/vendor/"):
            response.headers["Cache-Control"] = f"public, max-age={A_YEAR_SECONDS}, immutable"
    elif "Cache-Control" not in response.headers:
        # Not stored at all: the back button after signing out must not show what was someone's.
        response.headers["Cache-Control"] = "no-store"
    return response


def _version_static(endpoint: str, values: dict[str, Any]) -> None:
    if endpoint == "static" and "filename" in values and not values["filename"].startswith("vendor/"):
        values["v"] = _fingerprint(values["filename"])


@lru_cache(maxsize=256)
def _fingerprint(filename: str) -> str:
    return hashlib.sha256((Path(__file__).parent / "static" / filename).read_bytes()).hexdigest()[:12]

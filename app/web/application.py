"""Build the Flask application of one installation."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, IntegerConverter, Map

from app.base import config, db, queue, storage
from app.base.config import Settings
from app.base.db import Database
from app.competing.receipts import Signer
from app.operating.statistics import Totals
from app.web import (
    client,
    compression,
    context,
    errors,
    formats,
    markdown,
    pages,
    request_checks,
    request_log,
    uploads,
)
from app.web.api import openapi
from app.web.authoring import drafts
from app.web.classes import grading, importing, managing, strips, students
from app.web.classes import joining as classes
from app.web.competing import (
    admissions,
    changes,
    cloning,
    competitions,
    exclusions,
    hosts,
    leaderboard,
    organise,
    participants,
    rules,
    submissions,
    teams,
)
from app.web.context import Parts
from app.web.form_tokens import MaskedTokens
from app.web.integrity import cases, reports, train_files
from app.web.kaggle import recipe as kaggle_recipe
from app.web.kaggle import rest as kaggle_rest
from app.web.kaggle import rpc as kaggle_rpc
from app.web.kaggle import transfers as kaggle_transfers
from app.web.mcp import endpoint as mcp_endpoint
from app.web.mcp import tools as mcp_tools
from app.web.messages import announcements, questions
from app.web.metrics import Requests
from app.web.operating import doctor, operate
from app.web.page_cache import PageCache
from app.web.people import accounts, mail
from app.web.sharing import certificates, embeds
from app.web.streams import StreamSlots
from app.web.upload_slots import UploadSlots

A_YEAR_SECONDS = 365 * 86400

VIEWS = (
    pages,
    accounts,
    mail,
    competitions,
    teams,
    rules,
    submissions,
    leaderboard,
    organise,
    participants,
    exclusions,
    changes,
    hosts,
    admissions,
    cloning,
    announcements,
    questions,
    drafts,
    classes,
    managing,
    students,
    importing,
    strips,
    grading,
    embeds,
    certificates,
    train_files,
    reports,
    cases,
    doctor,
    operate,
    openapi,
    client,
    kaggle_recipe,
    kaggle_rpc,
    kaggle_rest,
    kaggle_transfers,
    mcp_endpoint,
)

NOTED = ("viewer", "position", "refused", "waiting")
"""What views keep in `g` for the frame of each page."""
CONTENT_POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data:",  # icons inside Pico's form controls are data: images
    "worker-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def create_app(settings: Settings, *, database: Database | None = None) -> Flask:
    """Return the application; the first request opens its connections."""
    app = Flask("app.web")  # finds templates and static files beside this module
    app.request_class = uploads.StreamingRequest
    app.config.update(
        SECRET_KEY=config.secret_key(settings),
        # A browser takes a cookie of this prefix only over TLS, for the whole host and from no subdomain.
        SESSION_COOKIE_NAME="__Host-heldout" if settings.cookie_secure else "heldout",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.cookie_secure,
        PERMANENT_SESSION_LIFETIME=timedelta(days=settings.session_days),
        SESSION_REFRESH_EACH_REQUEST=False,
        MAX_CONTENT_LENGTH=uploads.FORM_LIMIT_BYTES,
        WTF_CSRF_TIME_LIMIT=None,  # a page may stay open overnight; the token ends with the sign-in
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it
    app.extensions["heldout"] = Parts(
        settings=settings,
        database=database or db.open_(settings),
        storage=storage.open_(settings),
        hints=queue.open_(settings),
        upload_slots=UploadSlots(settings.web_threads),
        streams=StreamSlots(settings.web_threads),
        requests=Requests(),
        totals=Totals(),
        signer=Signer(config.secret_key(settings)),
        boards=PageCache(settings.board_seconds),
        live_boards=PageCache(settings.board_seconds),
    )
    app.extensions[mcp_tools.WAITING] = mcp_tools.places(settings.web_threads)
    if settings.proxies:
        n = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=n, x_proto=n, x_host=n)  # type: ignore[method-assign]

    request_log.register(app)
    request_checks.register(app)
    csrf = MaskedTokens(app)
    for takes_tokens in (openapi, kaggle_rpc, kaggle_rest, kaggle_transfers, mcp_endpoint):
        csrf.exempt(takes_tokens.blueprint)  # in a header or the address, never cookies
    for takes_a_file in (
        *(submissions.create, train_files.create, drafts.create, drafts.upload),
        *(importing.take, grading.fill),
    ):
        csrf.exempt(takes_a_file)  # checks the token itself, after the file has gone to storage
    app.url_map.converters.update(slug=SlugConverter, id=IdConverter, service=ServiceConverter)
    for module in VIEWS:
        app.register_blueprint(module.blueprint)
    errors.register(app)
    compression.register(app)
    app.after_request(context.note_token_use)
    app.after_request(_secure)
    app.after_request(_cache)
    app.after_request(_close_unsent)
    app.url_defaults(_version_static)
    _prepare_templates(app)
    return app


class SlugConverter(BaseConverter):
    """Accept only valid slugs.

    PostgreSQL fails on a NUL in a text.
    """

    regex = "[A-Za-z0-9][A-Za-z0-9._-]{0,59}"


class IdConverter(IntegerConverter):
    """Accept only ids of 64 bits: SQLite's driver fails on more."""

    regex = r"\d{1,19}"

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=2**63 - 1)


class ServiceConverter(BaseConverter):
    """Accept only names of services of Kaggle clients, such as `security.OAuthService`."""

    regex = r"[a-z][a-z0-9.]{0,60}\.[A-Za-z]{1,60}Service"


def _prepare_templates(app: Flask) -> None:
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        number=formats.number,
        metric_name=formats.metric_name,
        brief=formats.brief,
        count=formats.count,
        size=formats.size,
        moment=formats.moment,
        exact=formats.exact,
        clock=formats.clock,
        relative=formats.relative,
        markdown=markdown.render,
        plain=markdown.plain,
    )
    app.jinja_env.globals.update(
        plural=formats.plural,
        changes_in=formats.changes_in,
        public_limit=formats.public_limit,
        public_step=formats.public_step,
        release_rule=formats.release_rule,
        settings=app.extensions["heldout"].settings,
    )
    app.context_processor(lambda: {name: g.get(name) for name in NOTED})


def _secure(response: Response) -> Response:
    headers = response.headers
    policy = dict(CONTENT_POLICY)
    if g.get("is_for_other_sites"):  # a page without viewer, cookie and form
        policy["frame-ancestors"] = "*"
    else:
        headers["X-Frame-Options"] = "DENY"
    headers["Content-Security-Policy"] = "; ".join(f"{name} {sources}" for name, sources in policy.items())
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer" if g.get("holds_secret") else "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "cross-origin" if g.get("is_for_other_sites") else "same-origin"
    return response


def _cache(response: Response) -> Response:
    """Let browsers keep static files for a year, and no pages.

    The address of a static file names its content.
    """
    if request.endpoint == "static" and response.status_code in (200, 304):
        if request.args.get("v") or request.path.startswith("/static/vendor/"):
            response.headers["Cache-Control"] = f"public, max-age={A_YEAR_SECONDS}, immutable"
    elif "Cache-Control" not in response.headers:
        # Not stored at all: after signing out, the back button must not show private pages.
        response.headers["Cache-Control"] = "no-store"
    return response


def _close_unsent(response: Response) -> Response:
    """Close the file of an answer without a body, which nothing else closes."""
    if response.status_code == 304 or request.method == "HEAD":
        response.close()
    return response


def _version_static(endpoint: str, values: dict[str, Any]) -> None:
    if endpoint == "static" and "filename" in values and not values["filename"].startswith("vendor/"):
        values["v"] = _fingerprint(values["filename"])


@lru_cache(maxsize=256)
def _fingerprint(filename: str) -> str:
    return hashlib.sha256((Path(__file__).parent / "static" / filename).read_bytes()).hexdigest()[:12]

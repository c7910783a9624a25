"""Turn refusals and faults into pages or problem+json."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import cast
from urllib.parse import urlsplit

from flask import (
    Flask,
    Response,
    current_app,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadHost, HTTPException

from app.base import db
from app.base.errors import InsufficientScope, NotSignedIn, Refused, StorageFull, Unavailable
from app.base.storage import FULL
from app.web.context import parts, safe_next, viewer
from app.web.request_log import request_id
from scorer.report import Problem

log = logging.getLogger(__name__)

TITLES = {
    400: "Bad request",
    401: "Please sign in",
    403: "Forbidden",
    404: "Page not found",
    405: "Method not allowed",
    409: "Conflict",
    411: "Length required",
    413: "Content too large",
    422: "Request refused",
    429: "Too many requests",
    500: "Server error",
    503: "Service unavailable",
    507: "Storage full",
}
WORDS = {
    404: "This page does not exist, or you may not see it.",
    405: "This address does not accept this method.",
    413: "The request is larger than this address accepts.",
    500: (
        "The server failed. The error is in the log for the organiser; "
        "nothing that you sent counts against you."
    ),
}

BESIDE_THE_FORM = frozenset({403, 409, 413, 422})
"""Refusals of a form that are shown on its own page."""

BRIEFLY = timedelta(seconds=5)
OTHER_TITLE = "Request refused"
FOREIGN_FORM = (
    "This form was not sent from our own page, or the page is older than your sign-in. Reload and try again."
)
DATABASE_AWAY = (
    "The database does not answer. Try again in a moment; an upload sent again with the same "
    "Idempotency-Key counts once."
)
BAD_CHUNKS = "The chunked body is malformed. Nothing was stored; send it again."


def register(app: Flask) -> None:
    app.register_error_handler(ParseException, bad_chunks)
    app.register_error_handler(Refused, refused)
    app.register_error_handler(CSRFError, foreign_form)
    app.register_error_handler(BadHost, bad_host)
    app.register_error_handler(HTTPException, http)
    app.register_error_handler(Exception, fault)


def refused(refusal: Refused) -> ResponseReturnValue:
    if isinstance(refusal, NotSignedIn) and not wants_json():
        if "X-Part" in request.headers:
            # A part that polls: reload the page, or the sign-in form would appear inside it.
            return "", 401, {"X-Reload": "true"}
        here = request.full_path.rstrip("?") if request.method == "GET" else None
        return redirect(url_for("accounts.sign_in", next=here), 303)
    answered = make_response(answer(refusal.status, refusal.message, refusal.problems))
    answered.headers.update(retry_after(refusal))
    if isinstance(refusal, InsufficientScope):
        words = f'Bearer error="insufficient_scope", scope="{refusal.scope}"'
        answered.headers["WWW-Authenticate"] = words
    return answered


def retry_after(refusal: Refused) -> dict[str, str]:
    wait = refusal.retry_after or (BRIEFLY if refusal.status == 503 else None)
    return {"Retry-After": str(max(1, math.ceil(wait.total_seconds())))} if wait is not None else {}


def bad_chunks(_error: ParseException) -> ResponseReturnValue:
    return answer(400, BAD_CHUNKS)


def foreign_form(_error: CSRFError) -> ResponseReturnValue:
    return answer(400, FOREIGN_FORM)


def http(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if status < 400:
        return error.get_response()
    answered = make_response(answer(status, WORDS.get(status, error.description or error.name)))
    if status == 405 and error.response is None:
        for name, value in error.get_headers():
            if name == "Allow":
                answered.headers[name] = value
    return answered


def bad_host(_error: BadHost) -> ResponseReturnValue:
    """Refuse in plain text: pages need a valid Host for links."""
    return Response("The Host header is not a valid host name.\n", 400, content_type="text/plain")


def fault(error: Exception) -> ResponseReturnValue:
    if db.is_full(error):
        log.error("DISK FULL: the database cannot be written")
        return refused(StorageFull(FULL))
    if db.is_unavailable(error):
        log.warning(
            "%s %s: the database does not answer: %s", request.method, request.path, type(error).__name__
        )
        return refused(Unavailable(DATABASE_AWAY))
    log.exception("%s %s", request.method, request.path, exc_info=error)
    return answer(500, WORDS[500])


def answer(status: int, message: str, problems: Sequence[Problem] = ()) -> ResponseReturnValue:
    """Return a refusal as a page, a part of one, or JSON; `g.refusal_form` may hold another form."""
    if form := g.get("refusal_form"):
        return cast("Response", form(status, message, problems))
    if wants_json():
        return problem_json(status, message, problems), status
    if "X-Part" in request.headers:
        return render_template("errors/_message.html", message=message, problems=problems), status
    back = _came_from()
    if back and status in BESIDE_THE_FORM and (shown := _page_again(back, message, problems)):
        return shown, status
    _find_viewer()
    page = render_template(
        "errors/show.html",
        status=status,
        title=TITLES.get(status, OTHER_TITLE),
        message=message,
        problems=problems,
        back=back,
        request_id=request_id() if status == 500 else None,
    )
    return page, status


def _page_again(path: str, message: str, problems: Sequence[Problem]) -> str | None:
    """Return the page that sent a refused form, with the refusal on top; None if it cannot be shown."""
    app = current_app
    # A form with a file is read as it arrives, and not a second time.
    sent = request.form if request.mimetype == "application/x-www-form-urlencoded" else MultiDict()
    headers = {"Cookie": request.headers.get("Cookie", "")}
    with app.test_request_context(path, base_url=request.host_url, headers=headers):
        g.refused = {"message": message, "problems": problems, "form": sent}
        try:
            if request.endpoint is None or request.endpoint == "static":
                return None
            page = app.view_functions[request.endpoint](**(request.view_args or {}))
        except (Refused, HTTPException):
            return None
        finally:
            g.pop("refused", None)
        if isinstance(page, Response):  # a redirect, or a file that was opened
            page.close()
    return page if isinstance(page, str) else None


def wants_json() -> bool:
    if request.path.startswith("/api/") or request.endpoint == "mcp.call":
        return True
    accepted = request.accept_mimetypes
    return accepted.best_match(["text/html", "application/json"]) == "application/json"


def problem_json(status: int, message: str, problems: Sequence[Problem]) -> Response:
    """Return a problem document of RFC 9457."""
    more = {"request_id": request_id()} if status == 500 else {}
    listed = [problem.as_dict() for problem in problems]  # `problems` is its name of before
    response = jsonify(
        type="about:blank",
        title=TITLES.get(status, OTHER_TITLE),
        status=status,
        detail=message,
        problems=listed,
        errors=listed,
        **more,
    )
    response.mimetype = "application/problem+json"
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _find_viewer() -> None:
    """Find the viewer for an error page's header, if still unknown."""
    if "viewer" in g:
        return
    try:
        with parts().database.read() as session:
            viewer(session, db.now(session))
    except SQLAlchemyError:
        g.viewer = None


def _came_from() -> str | None:
    """Return the page of ours that sent a refused form."""
    try:
        referrer = urlsplit(request.referrer or "")
    except ValueError:  # the header is untrusted
        return None
    if request.method == "GET" or referrer.netloc != request.host:
        return None
    return safe_next(referrer.path + (f"?{referrer.query}" if referrer.query else ""), "") or None

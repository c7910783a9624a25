"""Refusals and faults in words: a page for browsers, problem+json for programs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import Flask, Response, g, jsonify, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import BadHost, HTTPException

from app.base import db
from app.base.errors import NotSignedIn, Refused, StorageFull, Unavailable
from app.base.storage import FULL
from app.web.context import parts, safe_next, viewer
from app.web.request_log import request_id
from scorer.report import Problem

log = logging.getLogger(__name__)

TITLES = {
    400: "That request did not fit",
    401: "Please sign in",
    403: "Not now",
    404: "Nothing here",
    405: "Not like that",
    409: "That does not go together",
    413: "Too large",
    422: "That did not work",
    429: "Enough for now",
    500: "Our fault",
    503: "Just a moment",
    507: "No room",
}
WORDS = {
    404: "There is no such page, or it is not yours to see.",
    405: "This address does not take that kind of request.",
    413: "What was sent is larger than this address takes.",
    500: "Something broke on our side. It has been written down for the organiser; nothing you sent counts against you.",
}

FOREIGN = (
    "This form was not sent from our own page, or the page is older than your sign-in. Reload and try again."
)
AWAY = (
    "The database is away for a moment. Try again; what was sent with an Idempotency-Key may be sent again "
    "with the same key and counts once."
)


BROKEN = "The request is broken: its chunks are not as they say. Nothing was kept; send it again."


def register(app: Flask) -> None:
    app.register_error_handler(ParseException, broken)
    app.register_error_handler(Refused, refused)
    app.register_error_handler(CSRFError, forged)
    app.register_error_handler(BadHost, lost)
    app.register_error_handler(HTTPException, http)
    app.register_error_handler(Exception, fault)


def refused(refusal: Refused) -> ResponseReturnValue:
    if isinstance(refusal, NotSignedIn) and not wants_json():
        if "HX-Request" in request.headers:
            # A part that asks again by itself: the whole page must go, or it would show the form inside itself.
            return "", 401, {"HX-Refresh": "true"}
        here = request.full_path.rstrip("?") if request.method == "GET" else None
        return redirect(url_for("accounts.sign_in", next=here), 303)
    answered = make_response(answer(refusal.status, refusal.message, refusal.problems))
    if refusal.status == 503:
        answered.headers["Retry-After"] = "5"
    return answered


def broken(_error: ParseException) -> ResponseReturnValue:
    return answer(400, BROKEN)


def forged(_error: CSRFError) -> ResponseReturnValue:
    return answer(400, FOREIGN)


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


def lost(_error: BadHost) -> ResponseReturnValue:
    """A Host header that is no name: without one not even a page's links can be made."""
    return Response("The request's Host header is not a host's name.\n", 400, content_type="text/plain")


def fault(error: Exception) -> ResponseReturnValue:
    if db.is_full(error):
        log.error("DISK FULL: the database cannot be written")
        return refused(StorageFull(FULL))
    if db.is_unavailable(error):
        log.warning("%s %s: the database is away: %s", request.method, request.path, type(error).__name__)
        return refused(Unavailable(AWAY))
    log.exception("%s %s", request.method, request.path, exc_info=error)
    return answer(500, WORDS[500])


def answer(status: int, message: str, problems: Sequence[Problem] = ()) -> ResponseReturnValue:
    if wants_json():
        return problem_json(status, message, problems), status
    if "HX-Request" in request.headers:
        return render_template("errors/_message.html", message=message, problems=problems), status
    _find_viewer()
    page = render_template(
        "errors/show.html",
        status=status,
        title=TITLES.get(status, "That did not work"),
        message=message,
        problems=problems,
        back=_came_from(),
        request_id=request_id() if status == 500 else None,
    )
    return page, status


def wants_json() -> bool:
    if request.path.startswith("/api/"):
        return True
    accepted = request.accept_mimetypes
    return accepted.best_match(["text/html", "application/json"]) == "application/json"


def problem_json(status: int, message: str, problems: Sequence[Problem]) -> Response:
    """RFC 9457."""
    more = {"request_id": request_id()} if status == 500 else {}
    response = jsonify(
        type="about:blank",
        title=TITLES.get(status, "That did not work"),
        status=status,
        detail=message,
        problems=[problem.as_dict() for problem in problems],
        **more,
    )
    response.mimetype = "application/problem+json"
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _find_viewer() -> None:
    """An error's page has the same frame as the others, even if the error came before the viewer was known."""
    if "viewer" in g:
        return
    try:
        with parts().database.read() as session:
            viewer(session, db.now(session))
    except SQLAlchemyError:
        g.viewer = None


def _came_from() -> str | None:
    """The page a refused form was sent from, if it is one of ours."""
    try:
        referrer = urlsplit(request.referrer or "")
    except ValueError:  # anybody may send anything
        return None
    if request.method == "GET" or referrer.netloc != request.host:
        return None
    return safe_next(referrer.path + (f"?{referrer.query}" if referrer.query else ""), "") or None

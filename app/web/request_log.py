"""Give each request an id; log and count it."""

from __future__ import annotations

import logging
import re
import secrets
import time

from flask import Flask, Response, g, request

from app.base import logs
from app.web.context import parts

log = logging.getLogger("app.web.access")

HEADER = "X-Request-ID"
VALID_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def register(app: Flask) -> None:
    """Install the hooks, before all others: the clock covers them."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def request_id() -> str:
    """Return the request's id: a trusted proxy's, or a new one.

    Without a configured proxy the header is ignored, because any client can send it.
    """
    if "request_id" not in g:
        given = request.headers.get(HEADER, "") if parts().settings.proxies else ""
        g.request_id = given if VALID_ID.fullmatch(given) else secrets.token_hex(8)
    name: str = g.request_id
    return name


def _begin() -> None:
    g.began = time.perf_counter()
    logs.set_subject(request=request_id())


def _end(response: Response) -> Response:
    response.headers[HEADER] = request_id()
    seconds = time.perf_counter() - g.get("began", time.perf_counter())
    # The endpoint instead of the URL, which may contain private data.
    endpoint = request.endpoint or "none"
    facts = {
        "method": request.method,
        "endpoint": endpoint,
        "status": response.status_code,
        "ms": round(seconds * 1000, 1),
        "user": g.get("user_id"),
    }
    log.info("request", extra={"facts": facts})
    parts().requests.count(endpoint, response.status_code, seconds)
    return response


def _forget(_error: BaseException | None) -> None:
    logs.set_subject()

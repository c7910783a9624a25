"""Requests of the API that a tool makes within the process.

A tool has no rules of its own: the API checks the token, the scope, the limits and the file, and the tool
passes on what it answers.
"""

from __future__ import annotations

import contextvars
import io
import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Flask, current_app, request
from werkzeug.wrappers import Response

from app.web.api.operations import PREFIX
from app.web.uploads import BODY_ARRIVED, BY_AGENT, HEAD_AT

Json = dict[str, Any]

POLL_SECONDS = 1.0
_KEPT = ("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "HTTP_HOST", "HTTP_AUTHORIZATION")
_KEPT_OF_SERVER = ("wsgi.version", "wsgi.url_scheme", "wsgi.errors", "wsgi.multithread", "wsgi.multiprocess")


class RefusedByApi(Exception):
    """The API refused the request of a tool, with this problem document."""

    def __init__(self, document: Json) -> None:
        super().__init__(document.get("detail", ""))
        self.document = document


def get(path: str, **query: Any) -> Json:
    """Return the JSON of an address of the API."""
    return _read(_send("GET", path, query={k: v for k, v in query.items() if v is not None}))


def get_part(path: str, *, offset: int, most_bytes: int) -> tuple[bytes, int]:
    """Return bytes of a file from an offset on, and the size of the whole file."""
    answer = _send("GET", path, headers={"Range": f"bytes={offset}-{offset + most_bytes - 1}"})
    if answer.status_code == 416:
        raise RefusedByApi({"status": 416, "detail": f"The file ends before byte {offset}.", "errors": []})
    if answer.status_code != 206:
        _read(answer)
    content = answer.get_data()
    return content, answer.content_range.length or len(content)


def post(path: str, body: Json | None = None, *, query: Mapping[str, str] | None = None) -> Json:
    """Send JSON to the API and return its answer."""
    return _read(_send("POST", path, query=query, body=json.dumps(body or {}).encode()))


def delete(path: str) -> Json:
    """Remove what an address of the API names, and return the answer."""
    return _read(_send("DELETE", path))


def post_file(
    path: str, content: bytes, *, filename: str, message: str = "", key: str | None = None, **query: Any
) -> Json:
    """Send a file to the API and return its answer."""
    query |= {"filename": filename, **({"message": message} if message else {})}
    headers = {"Content-Type": "application/octet-stream", **({"Idempotency-Key": key} if key else {})}
    return _read(_send("POST", path, query=query, body=content, headers=headers))


def wait_for(path: str, *, seconds: float, final: tuple[str, ...]) -> Json:
    """Return a submission or a check, at its end or after this time."""
    until = time.monotonic() + seconds
    while True:
        found = get(path)
        left = until - time.monotonic()
        if found["state"] in final or left <= 0:
            return found
        time.sleep(min(left, POLL_SECONDS))


def _send(
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Response:
    outer = request.environ
    environ = {key: outer[key] for key in (*_KEPT, *_KEPT_OF_SERVER, HEAD_AT) if key in outer}
    environ |= {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": outer.get("SCRIPT_NAME", ""),
        "PATH_INFO": (PREFIX + path).encode().decode("latin-1"),
        "QUERY_STRING": urlencode(query or {}),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(body),
        "wsgi.run_once": False,
        BODY_ARRIVED: True,
        BY_AGENT: True,
    }
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    # Not `app.wsgi_app`, which would count the proxies twice. The new context keeps the request of the
    # endpoint and its `g` apart from this one.
    ask = partial(Response.from_app, partial(Flask.wsgi_app, app), environ, buffered=True)
    return contextvars.Context().run(ask)


def _read(answer: Response) -> Json:
    try:
        found = json.loads(answer.get_data())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        found = {"status": answer.status_code, "detail": "The server gave no answer to this.", "errors": []}
        raise RefusedByApi(found)
    if answer.status_code >= 400:
        if wait := answer.headers.get("Retry-After"):
            found["retry_after_seconds"] = int(wait)
        raise RefusedByApi(found)
    return found

"""Compress static files and the pages that hold no secret.

These are the pages of a browser without cookies, and the parts of a page that are the same for all viewers.
Other pages are sent as they are. They have the form token of their viewer beside text that another site can
put into the address, and the compressed length would tell how alike the two are (the BREACH attack).
"""

from __future__ import annotations

import gzip
from functools import lru_cache

from flask import Flask, Response, g, request

SMALLEST_BYTES = 500  # below, the header costs more than is saved
STATIC_TEXTS = ("text/", "image/svg+xml")


def register(app: Flask) -> None:
    app.after_request(compress)


def allow() -> None:
    """Let this answer be compressed: it is the same for all viewers."""
    g.may_compress = True


def compress(response: Response) -> Response:
    """Compress an answer if it may be and the browser takes gzip."""
    is_static = request.endpoint == "static"
    if response.status_code not in (200, 304) or not (is_static or _is_without_secrets(response)):
        return response
    if is_static and not str(response.content_type).startswith(STATIC_TEXTS):
        return response
    response.vary.add("Accept-Encoding")
    # A range is of the plain bytes.
    if request.accept_encodings["gzip"] == 0 or "Range" in request.headers:
        return response
    tag, _ = response.get_etag()
    if tag:  # a weak one names both forms
        response.set_etag(tag, weak=True)
    if response.status_code == 304 or request.method == "HEAD":
        return response
    response.direct_passthrough = False
    plain = response.get_data()
    if len(plain) < SMALLEST_BYTES:
        return response
    response.set_data(_static(plain) if is_static else gzip.compress(plain, 5, mtime=0))
    response.headers["Content-Encoding"] = "gzip"
    return response


def _is_without_secrets(response: Response) -> bool:
    if response.mimetype != "text/html" or response.direct_passthrough:
        return False
    has_viewer = request.cookies or "Authorization" in request.headers
    return g.get("may_compress", False) or not has_viewer


@lru_cache(maxsize=64)
def _static(plain: bytes) -> bytes:
    return gzip.compress(plain, 9, mtime=0)

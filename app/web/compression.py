"""Compress static files, and pages whose length tells nothing that is secret.

The length of a compressed page tells how alike its parts are. If one part is a secret and an attacker chooses
another and sees the length on the way, repeated pages reveal the secret (the BREACH attack). So these are
compressed: pages of a browser without cookies, parts that are the same for all viewers, and of the pages of a
viewer those of OF_VIEWERS, which `docs/decisions/0023-compressed-pages.md` looks at one by one:

- their form token has another mask in each answer (`app/web/form_tokens.py`), and they have no other secret;
- the address has no free text that the page could repeat, only ARGUMENTS: numbers or words of a list;
- a random number of bytes is added to each, which makes each measurement many.

A new page of a viewer is sent as it is until it is looked at and listed.
"""

from __future__ import annotations

import gzip
import io
import secrets
from functools import lru_cache

from flask import Flask, Response, g, request

SMALLEST_BYTES = 500  # below, the header costs more than is saved
STATIC_TEXTS = ("text/", "image/svg+xml")
MOST_PADDING_BYTES = 100

OF_VIEWERS = frozenset(
    {
        "accounts.show",
        "announcements.index",
        "announcements.site_index",
        "changes.show",
        "client.show",
        "competitions.data",
        "competitions.index",
        "competitions.show",
        "drafts.index",
        "hosts.show",
        "kaggle_recipe.show",
        "leaderboard.results",
        "leaderboard.show",
        "operate.show",
        "organise.show",
        "pages.api",
        "pages.guide",
        "pages.licences",
        "rules.show",
        "submissions.index",
        "submissions.new",
        "submissions.show",
        "teams.show",
    }
)
ARGUMENTS = frozenset({"before", "compare", "page", "part", "show", "sort", "state"})


def register(app: Flask) -> None:
    app.after_request(compress)


def allow() -> None:
    """Let this answer be compressed: it is the same for all viewers."""
    g.may_compress = True


def refuse() -> None:
    """Send this answer as it is: it holds scores that are hidden from the authors of its texts."""
    g.may_compress = False


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
    response.set_data(_static(plain) if is_static else padded(plain))
    response.headers["Content-Encoding"] = "gzip"
    return response


def _is_without_secrets(response: Response) -> bool:
    if response.mimetype != "text/html" or response.direct_passthrough:
        return False
    if "may_compress" in g:
        return bool(g.may_compress)
    if not (request.cookies or "Authorization" in request.headers):
        return True
    is_listed = request.endpoint in OF_VIEWERS and ARGUMENTS.issuperset(request.args)
    return is_listed and request.method in ("GET", "HEAD") and "Authorization" not in request.headers


def padded(plain: bytes) -> bytes:
    """Compress a page; its header has a file name of random length, which browsers ignore."""
    packed = io.BytesIO()
    name = secrets.token_hex(MOST_PADDING_BYTES)[: secrets.randbelow(MOST_PADDING_BYTES + 1)]
    with gzip.GzipFile(name, "wb", 6, packed, mtime=0) as file:
        file.write(plain)
    return packed.getvalue()


@lru_cache(maxsize=64)
def _static(plain: bytes) -> bytes:
    return gzip.compress(plain, 9, mtime=0)

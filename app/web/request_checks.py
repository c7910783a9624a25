"""Check host, proxy, origin and body of every request first."""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlsplit

from flask import Flask, Response, request, session
from flask.typing import ResponseReturnValue

from app.base.startup_checks import is_loopback
from app.web import errors
from app.web.context import parts
from app.web.uploads import LARGE_FORM_BYTES, LARGE_FORMS

PROBES = ("/healthz", "/readyz", "/metrics")  # requested by IP address, past any proxy
PROXY_HEADERS = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
FILE_ENDPOINTS = (
    "submissions.create",
    "train_files.create",
    "api.submission_create",
    "api.train_file_create",
    "api.check_create",
    "drafts.create",
    "drafts.upload",
    "api.draft_file_create",
)

FOREIGN_AGENT = "Pages of other sites cannot use this address: the header Origin names another host."

log = logging.getLogger(__name__)
_warned = threading.Event()


def register(app: Flask) -> None:
    """Run these checks before the CSRF check."""
    for check in (check_host, check_proxy, check_origin, check_body, allow_large_form):
        app.before_request(check)


def check_host() -> ResponseReturnValue | None:
    """Refuse a Host that is not in HELDOUT_TRUSTED_HOSTS.

    Such a name belongs to another site that points it at this address to use a visitor's browser.
    """
    listed = parts().settings.trusted_hosts
    if not listed or request.path in PROBES:
        return None
    host = (urlsplit(f"//{request.host}").hostname or "").lower()
    trusted = {name.strip().lower() for name in listed.split(",") if name.strip()}
    if host in trusted or is_loopback(host):
        return None
    return _plain_text(
        "This host name is not served here. HELDOUT_TRUSTED_HOSTS lists the names that are.", 400
    )


def check_proxy() -> ResponseReturnValue | None:
    """Refuse or log proxy headers when HELDOUT_PROXIES is 0.

    All clients would seem to have the proxy's address, and links would have the wrong scheme.
    """
    settings = parts().settings
    if (
        settings.proxies
        or request.path in PROBES
        or not any(name in request.headers for name in PROXY_HEADERS)
    ):
        return None
    if settings.cookie_secure:
        return _plain_text(
            "A proxy stands in front of Heldout and HELDOUT_PROXIES is 0: set it to the number of proxies.",
            500,
        )
    if not _warned.is_set():
        _warned.set()
        log.warning("a proxy's headers are ignored; if one stands in front of Heldout, set HELDOUT_PROXIES")
    return None


def check_origin() -> ResponseReturnValue | None:
    """Refuse a form that the browser sends from another site.

    The form's CSRF token is checked as well. The API takes no cookies, so it needs no such check.
    """
    if request.method in SAFE_METHODS or request.path.startswith("/api/") or _is_same_origin():
        return None
    is_mcp = request.endpoint == "mcp.call"
    log.warning(
        "%s %s was sent from %r (Sec-Fetch-Site %r) to %r and is refused",
        request.method,
        request.path,
        request.headers.get("Origin"),
        request.headers.get("Sec-Fetch-Site"),
        request.host,
    )
    # The protocol of agents demands a check of the origin although a token is never sent by itself.
    return errors.answer(403, FOREIGN_AGENT) if is_mcp else errors.answer(400, errors.FOREIGN_FORM)


def check_body() -> ResponseReturnValue | None:
    """Refuse a chunked body, except for a file.

    A body of unknown length is read in a thread, however slowly it arrives.
    """
    if request.endpoint in FILE_ENDPOINTS or "Transfer-Encoding" not in request.headers:
        return None
    return errors.answer(411, "Send a Content-Length header; only file uploads may be chunked.")


def allow_large_form() -> None:
    """Let a signed-in sender fill in a draft's description, before the CSRF check reads the form."""
    if request.endpoint in LARGE_FORMS and ("sign_in" in session or "Authorization" in request.headers):
        request.max_content_length = request.max_form_memory_size = LARGE_FORM_BYTES


def _is_same_origin() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site in ("same-origin", "none"):  # none: typed into the address bar, or reloaded
        return True
    origin = request.headers.get("Origin")
    if site == "same-site":
        # Either a sibling host name, or this host over http: only the latter is allowed.
        return origin is not None and _is_this_host(origin)
    if site is not None:
        return False
    # Over plain http, browsers send no Sec-Fetch-Site. A script sends neither and has only its own cookies.
    return origin is None or _is_this_host(origin)


def _is_this_host(origin: str) -> bool:
    try:
        theirs, ours = urlsplit(origin), urlsplit(f"{request.scheme}://{request.host}")
        ports = [u.port or {"http": 80, "https": 443}.get(u.scheme) for u in (theirs, ours)]
    except ValueError:  # the header is untrusted
        return False
    if theirs.hostname is None or theirs.hostname != ours.hostname:
        return False
    # Behind a TLS proxy that drops the port, the browser's port is 443 and ours 80.
    return ports[0] == ports[1] or (theirs.port is None and ours.port is None)


def _plain_text(words: str, status: int) -> Response:
    return Response(words + "\n", status, content_type="text/plain; charset=utf-8")

"""Asked of every request before anything else: is it for us, through the proxy we know, from a page of ours."""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue

from app.base.startup_checks import is_loopback
from app.web import errors
from app.web.context import parts

PROBES = ("/healthz", "/readyz", "/metrics")  # asked by address, past any proxy
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
TAKES_A_FILE = ("submissions.create", "train_files.create", "api.submission_create", "api.train_file_create")

log = logging.getLogger(__name__)
_warned = threading.Event()


def register(app: Flask) -> None:
    """Before the check of a form's token, which looks at none of this."""
    for gate in (of_the_host, of_the_proxy, of_the_origin, of_the_body):
        app.before_request(gate)


def of_the_host() -> ResponseReturnValue | None:
    """A name that is not ours is another site's, pointed at this address to borrow a visitor's browser."""
    listed = parts().settings.trusted_hosts
    if not listed or request.path in PROBES:
        return None
    host = (urlsplit(f"//{request.host}").hostname or "").lower()
    trusted = {name.strip().lower() for name in listed.split(",") if name.strip()}
    if host in trusted or is_loopback(host):
        return None
    return _plain("This installation does not answer to that name; HELDOUT_TRUSTED_HOSTS lists its own.", 400)


def of_the_proxy() -> ResponseReturnValue | None:
    """A proxy that nobody told us of: all people would have its one address, and links the wrong scheme."""
    settings = parts().settings
    if settings.proxies or request.path in PROBES or not any(name in request.headers for name in FORWARDED):
        return None
    if settings.cookie_secure:
        return _plain(
            "A proxy stands in front of Heldout and HELDOUT_PROXIES is 0: set it to the number of proxies.",
            500,
        )
    if not _warned.is_set():
        _warned.set()
        log.warning("a proxy's headers are ignored; if one stands in front of Heldout, set HELDOUT_PROXIES")
    return None


def of_the_origin() -> ResponseReturnValue | None:
    """A form comes from a page of this site, by what the browser itself says; the form's token is asked as well."""
    # The API takes no cookies, so there is nothing of a browser's to borrow.
    if request.method in SAFE or request.path.startswith("/api/") or _is_ours():
        return None
    log.warning(
        "%s %s was sent from %r (Sec-Fetch-Site %r) to %r and is refused",
        request.method,
        request.path,
        request.headers.get("Origin"),
        request.headers.get("Sec-Fetch-Site"),
        request.host,
    )
    return errors.answer(400, errors.FOREIGN)


def of_the_body() -> ResponseReturnValue | None:
    """A body of unknown length is read in a thread, however slowly it comes: only a file may come so."""
    if request.endpoint in TAKES_A_FILE or "Transfer-Encoding" not in request.headers:
        return None
    return errors.answer(
        411, "Say how long the body is, with a Content-Length; only files are taken without."
    )


def _is_ours() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site in ("same-origin", "none"):  # none: typed or reloaded by the person
        return True
    origin = request.headers.get("Origin")
    if site == "same-site":
        # Another name of the site, or this one over http: only the latter is us.
        return origin is not None and _is_this_host(origin)
    if site is not None:
        return False
    # Browsers say no site over plain http. A program says neither, and has no cookies but its own.
    return origin is None or _is_this_host(origin)


def _is_this_host(origin: str) -> bool:
    try:
        there, here = urlsplit(origin), urlsplit(f"{request.scheme}://{request.host}")
        ports = [u.port or {"http": 80, "https": 443}.get(u.scheme) for u in (there, here)]
    except ValueError:  # anybody may send anything
        return False
    if there.hostname is None or there.hostname != here.hostname:
        return False
    # A proxy with TLS that keeps no port: the browser's is 443 and ours 80.
    return ports[0] == ports[1] or (there.port is None and here.port is None)


def _plain(words: str, status: int) -> Response:
    return Response(words + "\n", status, content_type="text/plain; charset=utf-8")

"""Checks of the settings of mail."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parseaddr
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from app.base.config import Settings


def problems(settings: Settings) -> Iterator[str]:
    """Yield what is wrong with the settings of mail, one sentence each."""
    url = urlsplit(settings.public_url)
    if settings.public_url and (url.scheme not in ("http", "https") or not url.hostname or url.query):
        yield f"HELDOUT_PUBLIC_URL: {settings.public_url!r} is no address such as https://heldout.example.org"
    if settings.mail_security not in ("starttls", "tls", "none"):
        yield f"HELDOUT_MAIL_SECURITY: {settings.mail_security!r} is none of starttls, tls, none"
    if not 0 < settings.mail_port <= 65535:
        yield f"HELDOUT_MAIL_PORT: {settings.mail_port} is not a port (1 to 65535)"
    if not settings.mail_host:
        return
    if not settings.public_url:
        yield "HELDOUT_PUBLIC_URL: must be set with HELDOUT_MAIL_HOST, since mail holds links to this server"
    if "@" not in parseaddr(settings.mail_from)[1] or not settings.mail_from.isprintable():
        yield f"HELDOUT_MAIL_FROM: {settings.mail_from!r} is no sender such as Heldout <heldout@example.org>"
    if bool(settings.mail_user) != bool(settings.mail_password):
        yield "HELDOUT_MAIL_USER and HELDOUT_MAIL_PASSWORD: set both or neither"
    if settings.mail_user and settings.mail_security == "none" and not _is_this_machine(settings.mail_host):
        yield "HELDOUT_MAIL_SECURITY: none would send the password in clear; use starttls or tls"


def _is_this_machine(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")

"""The form token (CSRF), masked differently in each answer.

The token of a sign-in is the same for days. Where it is beside text that another site or participant chose,
the length of a compressed answer would tell how alike the two are (the BREACH attack). So each answer has a
random mask and the token under it; neither repeats in another answer.
"""

from __future__ import annotations

import base64
import binascii
import os

from flask import Flask, g
from flask_wtf.csrf import CSRFProtect, generate_csrf


class MaskedTokens(CSRFProtect):  # type: ignore[misc]  # flask-wtf has no types
    """The CSRF check, with masked tokens on pages and in forms."""

    def init_app(self, app: Flask) -> None:
        super().init_app(app)
        app.jinja_env.globals["csrf_token"] = token
        app.context_processor(lambda: {"csrf_token": token})

    def _get_csrf_token(self) -> str | None:
        sent = super()._get_csrf_token()
        return unmask(sent) if sent else None


def token() -> str:
    """Return the token of this browser under the mask of this answer."""
    masked: str | None = g.get("masked_token")
    if masked is None:
        masked = g.masked_token = mask(generate_csrf())
    return masked


def forget() -> None:
    """Let the next token be of a new session."""
    g.pop("csrf_token", None)
    g.pop("masked_token", None)


def mask(plain: str) -> str:
    """Return a random mask and the text under it."""
    content = plain.encode()
    random = os.urandom(len(content))
    return base64.urlsafe_b64encode(random + _xor(random, content)).decode()


def unmask(masked: str) -> str | None:
    """Return the text under a mask, or None for what is no masked text."""
    try:
        both = base64.urlsafe_b64decode(masked)
        half = len(both) // 2
        return _xor(both[:half], both[half:]).decode()
    except (binascii.Error, ValueError):  # it is what a browser sent
        return None


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))

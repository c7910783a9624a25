"""Remember in a cookie which accounts have signed in with this browser.

The cookie gives no access. A sign-in with it is limited by itself, not by the failed attempts of others: an
attacker who guesses at an account has no such cookie, and so cannot keep the owner out. It survives signing
out, and is signed, so that it can only come from an earlier sign-in.
"""

from __future__ import annotations

import secrets

from flask import current_app, request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Response

from app.web.context import parts

DAYS = 400  # browsers keep no cookie for longer
MOST_ACCOUNTS = 20  # of a browser in a lab, which a class shares


def identify(user_id: int) -> str | None:
    """Return the name under which this browser's attempts count; None if the account is new to it."""
    own = _accounts().get(str(user_id))
    return f"{user_id} {own}" if own else None


def remember(response: Response, user_id: int) -> Response:
    """Add the account to this browser's cookie."""
    known = _accounts()
    own = known.pop(str(user_id), None) or secrets.token_urlsafe(12)
    newest = dict([*known.items(), (str(user_id), own)][-MOST_ACCOUNTS:])
    response.set_cookie(
        _cookie_name(),
        str(_signer().dumps(newest)),
        max_age=DAYS * 86400,
        secure=parts().settings.cookie_secure,
        httponly=True,
        samesite="Lax",
    )
    return response


def _accounts() -> dict[str, str]:
    try:
        found: dict[str, str] = _signer().loads(request.cookies.get(_cookie_name(), ""), max_age=DAYS * 86400)
    except BadSignature:  # none, an old one, or one that was changed
        return {}
    return found


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.secret_key or "", salt="browsers that have signed in")


def _cookie_name() -> str:
    # Browsers take a __Host- cookie from no other host of the domain, and only over HTTPS.
    return "__Host-heldout-browser" if parts().settings.cookie_secure else "heldout-browser"

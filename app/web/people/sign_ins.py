"""Count attempts to sign in, and sign this browser in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from flask import request
from flask import session as cookie
from sqlalchemy.orm import Session

from app.base import db
from app.people import accounts, rate_limits
from app.people.rate_limits import Limit
from app.web import form_tokens
from app.web.context import parts


@contextmanager
def attempt(limits: Sequence[Limit]) -> Iterator[Sequence[int]]:
    """Count an attempt before the costly password hash.

    An attempt over the limit costs one read, so a flood takes no write lock and no hashing slot.
    """
    database = parts().database
    with database.read() as session:
        rate_limits.refuse(session, limits, now=db.now(session))
    with accounts.hashing_slot():
        with database.begin() as session:
            counted = rate_limits.count(session, limits, now=db.now(session))
        yield counted


def begin_browser(session: Session, user_id: int, now: datetime) -> None:
    """Sign this browser in with a new session.

    The old one is dropped, so that an attacker cannot plant the session (session fixation).
    """
    days = parts().settings.session_days
    if earlier := cookie.get("sign_in"):
        accounts.sign_out(session, earlier, now=now)
    cookie.clear()
    form_tokens.forget()
    cookie.permanent = True
    cookie["sign_in"] = accounts.sign_in(
        session, user_id, now=now, days=days, browser=request.user_agent.string
    )

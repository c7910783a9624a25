"""Return what views need: the installation's parts, viewer, form fields."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from flask import Response, current_app, g, request
from flask import session as cookie
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.base import db
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import NotFound, NotSignedIn
from app.base.models import Competition
from app.base.queue import Hints
from app.base.storage import Storage
from app.competing import positions, visibility
from app.competing.receipts import Signer
from app.messages import waiting
from app.operating.statistics import Totals
from app.people import accounts, tokens
from app.people.accounts import Viewer
from app.people.tokens import Grant, Scope
from app.web.metrics import Requests
from app.web.page_cache import PageCache
from app.web.streams import StreamSlots
from app.web.upload_slots import UploadSlots

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The parts of one installation that the web uses."""

    settings: Settings
    database: Database
    storage: Storage
    hints: Hints
    upload_slots: UploadSlots
    streams: StreamSlots
    requests: Requests
    totals: Totals
    signer: Signer
    boards: PageCache[str]
    live_boards: PageCache[tuple[str, str]]
    """The tag and the part of the page that open boards poll."""


def parts() -> Parts:
    found: Parts = current_app.extensions["heldout"]
    return found


def viewer(session: Session, now: datetime) -> Viewer | None:
    """Return the signed-in user, or None, in one query.

    Also keeps it in `g` for the page's header and the request log.
    """
    secret = cookie.get("sign_in")
    found = accounts.by_sign_in(session, secret, now=now) if secret else None
    g.viewer = found
    g.user_id = found.id if found else None
    # Not in the transaction of an upload, and not for a part of a page that is polled each second.
    if found is not None and request.method == "GET" and "part" not in request.args:
        note_messages(session, found, (request.view_args or {}).get("slug"), now)
    return found


def signed_in(session: Session, now: datetime) -> Viewer:
    found = viewer(session, now)
    if found is None:
        raise NotSignedIn("Please sign in first.")
    return found


def note_position(session: Session, competition: Competition, me: Viewer | None, now: datetime) -> None:
    """Keep the position of the viewer's team in `g`, for the strip of the page."""
    g.position = positions.of(session, competition, me.id, now=now) if me else None


def note_messages(session: Session, me: Viewer, slug: str | None, now: datetime) -> None:
    """Keep in `g` what waits for the viewer, of the installation and of a competition."""
    g.waiting = waiting.of(session, slug, me, seen=visibility.seen_by(me), now=now)


def organiser(session: Session, now: datetime) -> Viewer:
    """Return the signed-in organiser of the installation; answer 404 to all others."""
    found = viewer(session, now)
    if found is None or not found.is_organiser:
        raise NotFound("There is no such page.")
    return found


def organiser_of(session: Session, now: datetime, slug: str) -> tuple[Viewer, Competition]:
    """Return the signed-in organiser or host of a competition, and the competition; answer 404 to others."""
    found = viewer(session, now)
    return cast("Viewer", found), organised(session, found, slug)


def assistant_of(session: Session, now: datetime, slug: str) -> tuple[Viewer, Competition]:
    """Return as `organiser_of`, for assistants of the competition too."""
    found = viewer(session, now)
    return cast("Viewer", found), organised(session, found, slug, Viewer.assists)


def reviewer_of(session: Session, now: datetime, slug: str) -> tuple[Viewer, Competition]:
    """Return as `assistant_of`, after the end for judges of the competition too."""
    found = viewer(session, now)
    return cast("Viewer", found), reviewed(session, found, slug, now)


def organised(
    session: Session, account: Viewer | None, slug: str, may: Callable[[Viewer, int], bool] = Viewer.organises
) -> Competition:
    """Return a competition that the account organises; to others there is no such page.

    With `may` for accounts of narrower roles too.
    """
    if account is not None and account.has_roles:
        competition = visibility.find(session, slug, account)
        if may(account, competition.id):
            return competition
    raise NotFound("There is no such page.")


def reviewed(session: Session, account: Viewer | None, slug: str, now: datetime) -> Competition:
    """Return a competition that the account assists, or judges once it is over."""
    competition = organised(session, account, slug, Viewer.has_role)
    if account is not None and (account.assists(competition.id) or competition.is_settled(now)):
        return competition
    raise NotFound("There is no such page.")


def bearer(session: Session, now: datetime, scope: Scope = Scope.READ) -> Viewer:
    """Return the owner of the request's API token, which must have this scope.

    The owner is an organiser only if the token has the scope organise.
    Cookies are ignored here, so another site cannot use a visitor's browser to call the API.
    """
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise NotSignedIn(
            "Send a token in the header `Authorization: Bearer hld_...`; make one on your account page."
        )
    grant = tokens.check(session, secret.strip(), now=now)
    g.grant = grant
    g.user_id = grant.viewer.id
    grant.require(scope)
    return grant.viewer


def new_token(label: str) -> str:
    """Make a token for the signed-in visitor and return its text."""
    with parts().database.begin() as session:
        now = db.now(session)
        return tokens.issue(session, signed_in(session, now).id, label, now=now)


def note_token_use(response: Response) -> Response:
    """Note that the request's token was used; the answer does not depend on it."""
    grant: Grant | None = g.pop("grant", None)
    if grant is None:
        return response
    try:
        with parts().database.read() as session:
            is_due = grant.is_use_due(db.now(session))
        if is_due:
            with parts().database.begin_soon() as session:
                tokens.note_use(session, grant.token_id, now=db.now(session))
    except SQLAlchemyError as wrong:
        log.warning("the use of token %s was not noted: %s", grant.token_id, type(wrong).__name__)
    return response


def field(name: str) -> str:
    """Return a form field as one line without control characters.

    PostgreSQL fails on a NUL in a text, and the other control characters are never typed on purpose.
    """
    lines = request.form.get(name, "").splitlines()
    return " ".join("".join(c for c in line if c.isprintable()) for line in lines)


def text_field(name: str) -> str:
    """Return a form field of several lines without control characters."""
    lines = request.form.get(name, "").splitlines()
    return "\n".join("".join(c for c in line if c.isprintable() or c == "\t") for line in lines)


def number_argument(name: str, default: int, largest: int = 10**9) -> int:
    """Return a number from the query string, or the default.

    Invalid values are not refused: the pages' own links are right, and a typo shows the first page.
    """
    value = request.args.get(name, default, type=int)
    return value if 0 < value <= largest else default


def safe_next(target: str | None, otherwise: str) -> str:
    """Return the target if it is a path of this site.

    Browsers read `//host` and `/\\host` as another site.
    """
    if not target or not target.startswith("/") or target.startswith("//"):
        return otherwise
    # Browsers drop tabs and line ends from addresses, which would turn "/<tab>/host" into "//host".
    return otherwise if any(c < " " or c == "\\" for c in target) else target

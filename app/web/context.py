"""What every view needs: the parts of this installation, and who is looking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import current_app, g, request
from flask import session as cookie
from sqlalchemy.orm import Session

from app.base.config import Settings
from app.base.db import Database
from app.base.errors import NotFound, NotSignedIn
from app.base.queue import Hints
from app.base.storage import Storage
from app.competing.receipts import Signer
from app.operating.statistics import Totals
from app.people import accounts
from app.people.accounts import Viewer
from app.web.metrics import Requests
from app.web.page_cache import Kept
from app.web.upload_slots import UnderWay


@dataclass(frozen=True)
class Parts:
    """One installation, as the web sees it."""

    settings: Settings
    database: Database
    storage: Storage
    hints: Hints
    under_way: UnderWay
    requests: Requests
    totals: Totals
    signer: Signer
    boards: Kept


def parts() -> Parts:
    found: Parts = current_app.extensions["heldout"]
    return found


def viewer(session: Session, now: datetime) -> Viewer | None:
    """Who this browser belongs to, in one query; None without a sign-in. Kept for the page's frame."""
    secret = cookie.get("sign_in")
    found = accounts.by_sign_in(session, secret, now=now) if secret else None
    g.viewer = found
    g.user_id = found.id if found else None
    return found


def signed_in(session: Session, now: datetime) -> Viewer:
    found = viewer(session, now)
    if found is None:
        raise NotSignedIn("Please sign in first.")
    return found


def organiser(session: Session, now: datetime) -> Viewer:
    """The viewer, if an organiser; to everybody else such a page does not exist."""
    found = viewer(session, now)
    if found is None or not found.is_organiser:
        raise NotFound("There is no such page.")
    return found


def bearer(session: Session) -> Viewer:
    """Who the API's token belongs to. Cookies are not looked at, so no other site can borrow a browser."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    found = accounts.by_token(session, secret.strip()) if kind.lower() == "bearer" else None
    if found is None:
        raise NotSignedIn(
            "Send a token in the header `Authorization: Bearer hld_...`; your account page makes one."
        )
    g.user_id = found.id
    return found


def field(name: str) -> str:
    """A form's text on one line and without control characters: PostgreSQL faults on a NUL, nobody types the others."""
    lines = request.form.get(name, "").splitlines()
    return " ".join("".join(c for c in line if c.isprintable()) for line in lines)


def number_argument(name: str, default: int, largest: int = 10**9) -> int:
    """A number from the address, forgiving: a page's own links are right, and a typo shows the first page."""
    value = request.args.get(name, default, type=int)
    return value if 0 < value <= largest else default


def safe_next(target: str | None, otherwise: str) -> str:
    """A place on this site to go on to. Browsers read `//host` and `/\\host` as another site."""
    if not target or not target.startswith("/") or target.startswith("//"):
        return otherwise
    # Browsers drop tabs and line ends from addresses, which would turn "/<tab>/host" into "//host".
    return otherwise if any(c < " " or c == "\\" for c in target) else target

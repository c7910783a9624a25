"""What a team says of its method, and its link to code or a paper; the board shows both after the close."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Refused
from app.base.models import Competition, Team

LONGEST_TEXT = 500
LONGEST_LINK = 300


def describe(
    session: Session, competition: Competition, team: Team, text: str, link: str, *, by: str, now: datetime
) -> None:
    """Set a team's description and link, or remove them if they are empty; refuse with every problem."""
    text, link = " ".join(text.split()), link.strip()
    wrong = []
    if len(text) > LONGEST_TEXT or not text.isprintable():
        wrong.append(
            f"a description has at most {LONGEST_TEXT} printable characters; this one has {len(text)}"
        )
    if link and not _is_address(link):
        wrong.append(f"a link is an address such as https://host/path, of at most {LONGEST_LINK} characters")
    if wrong:
        raise Refused(f"Nothing was changed: {'; '.join(wrong)}.")
    team.method, team.method_link = text or None, link or None
    session.flush()
    events.log(
        session,
        by,
        "method described",
        competition.slug,
        now=now,
        team=team.id,
        text=team.method,
        link=team.method_link,
    )


def _is_address(link: str) -> bool:
    """Whether a link leads to a web page: no script, no blanks, no name and password in it."""
    try:
        found = urlsplit(link)
        host = found.hostname
    except ValueError:
        return False
    is_plain = link.isascii() and link.isprintable() and not set(link) & set(" <>\"'\\`")
    return (
        is_plain
        and len(link) <= LONGEST_LINK
        and found.scheme in ("http", "https")
        and bool(host)
        and "@" not in found.netloc
    )

"""What a team says of its method, and its link to code or a paper; the board shows both after the close."""

from __future__ import annotations

import hashlib
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, Refused
from app.base.models import Competition, Team
from app.competing.exclusions import read_reason

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
    if competition.is_archived:
        wrong.append(f"{competition.title} is archived")
    if wrong:
        raise Refused(f"Nothing was changed: {'; '.join(wrong)}.")
    team.method, team.method_link, team.method_removed_why = text or None, link or None, None
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


def remove(
    session: Session, competition: Competition, team: Team, reason: str, *, by: str, now: datetime
) -> None:
    """Remove what a team says of its method, as an organiser; the team reads the reason and may write anew.

    The log keeps a hash of what was removed: its words may be the reason.
    """
    reason = read_reason(reason)
    if team.method is None and team.method_link is None:
        raise Conflict(f"{team.name} has described no method.")
    removed = hashlib.sha256(f"{team.method or ''}\n{team.method_link or ''}".encode()).hexdigest()
    team.method = team.method_link = None
    team.method_removed_why = reason
    session.flush()
    detail = {"team": team.id, "reason": reason, "sha256": removed}
    events.log(session, by, "method removed", competition.slug, now=now, **detail)


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

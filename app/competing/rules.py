"""The rules of a competition: their versions, and the accounts that accepted each.

A competition without rules asks for nothing. With rules, joining accepts the newest version, and an upload
needs that the account has accepted the newest one, so changed rules are asked for again. Acceptances are kept
with their time, also those of earlier versions.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, Forbidden, NotFound, Refused
from app.base.models import Competition
from app.base.models_rules import RulesAcceptance, RulesVersion
from app.competing import automatic_announcements, competitions
from app.people.accounts import Viewer

LONGEST = 100_000


def current(session: Session, competition: Competition) -> RulesVersion | None:
    """Return the newest rules; None for a competition without."""
    found = select(RulesVersion).where(RulesVersion.competition_id == competition.id)
    return session.scalar(found.order_by(RulesVersion.number.desc()).limit(1))


def publish(session: Session, competition: Competition, text: str, *, by: str, now: datetime) -> RulesVersion:
    """Publish the rules; a new version is announced, and the same text again changes nothing."""
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    if not text or len(text) > LONGEST or "\0" in text:
        raise Refused(f"Rules are a text of 1 to {LONGEST} characters; this one has {len(text)}.")
    competitions.lock(session, competition)
    newest = current(session, competition)
    if newest is not None and newest.text == text:
        return newest
    made = RulesVersion(
        competition_id=competition.id,
        number=newest.number + 1 if newest is not None else 1,
        text=text,
        made_by=by,
        made_at=now,
    )
    session.add(made)
    session.flush()
    events.log(
        session, by, "rules published", competition.slug, now=now, version=made.number, sha256=_digest(made)
    )
    if newest is not None:
        words = automatic_announcements.of_rules(competition, made.number)
        automatic_announcements.publish(session, competition, words, by=by, now=now)
    return made


def accept(
    session: Session, competition: Competition, viewer: Viewer, number: int, *, now: datetime
) -> RulesVersion:
    """Accept the newest rules, named by their number; a second call changes nothing."""
    newest = current(session, competition)
    if newest is None:
        raise NotFound(f"{competition.title} has no rules of its own.")
    if number != newest.number:
        raise Conflict(
            f"The rules of {competition.title} are at version {newest.number}, not {number}: read them again."
        )
    if accepted(session, competition, viewer.id, newest) is not None:
        return newest
    try:
        with session.begin_nested():
            session.add(
                RulesAcceptance(
                    competition_id=competition.id, user_id=viewer.id, number=number, accepted_at=now
                )
            )
    except IntegrityError:  # accepted in another tab
        return newest
    events.log(
        session,
        viewer.name,
        "rules accepted",
        competition.slug,
        now=now,
        version=number,
        sha256=_digest(newest),
    )
    return newest


def accepted(
    session: Session, competition: Competition, user_id: int, version: RulesVersion
) -> RulesAcceptance | None:
    """Return the acceptance of a version by an account."""
    return session.get(RulesAcceptance, (competition.id, user_id, version.number))


def due(session: Session, competition: Competition, user_id: int) -> RulesVersion | None:
    """Return the rules that an account has yet to accept; None if there is nothing to accept."""
    newest = current(session, competition)
    if newest is None or accepted(session, competition, user_id, newest) is not None:
        return None
    return newest


def refuse_unaccepted(session: Session, competition: Competition, user_id: int) -> None:
    """Refuse an account that has not accepted the newest rules."""
    newest = due(session, competition, user_id)
    if newest is not None:
        raise Forbidden(
            f"Accept the rules of {competition.title} first, version {newest.number}: on its page "
            f"/competitions/{competition.slug}/rules, or by "
            f"`heldout rules {competition.slug} --accept {newest.number}`."
        )


def _digest(version: RulesVersion) -> str:
    return hashlib.sha256(version.text.encode()).hexdigest()

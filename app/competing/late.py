"""Whether an upload is in time, late or refused.

A late file is scored and never ranked; an organiser allows such files per competition. They begin only once
the competition is settled, which is never undone, so a late file can influence no ranking. It uses the daily
quota alone: the limit over the whole competition bounds what a ranked file has learnt from. Its scores are
those of a settled competition, public and private, and so answer questions about the hidden labels: while
another competition of the same challenge runs or is still to open, late files are refused.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.base.errors import Closed
from app.base.models import Competition, Phase, Visibility
from app.competing import competitions
from app.competing.extensions import Limits

NOT_RANKED = "late: scored and not ranked"


def refuse_out_of_time(
    session: Session, competition: Competition, limits: Limits, *, received_at: datetime, now: datetime
) -> bool:
    """Refuse a file before the opening, after the end or in a pause; return whether it is accepted as late.

    A pause ends with the close, so it refuses no late file.
    """
    phase = limits.phase(competition, received_at)
    if phase is Phase.UPCOMING:
        raise Closed(f"{competition.title} opens on {_words(competition, competition.opens_at)}.")
    if phase is Phase.CLOSED or _is_too_late(competition, limits, now):
        if is_accepted(session, competition, now=now):
            return True
        assert limits.closes_at is not None
        for_you = "" if limits.closes_at == competition.closes_at else " for your team"
        closed = f"{competition.title} closed{for_you} on {_words(competition, limits.closes_at)}."
        raise Closed(closed + words(session, competition, now=now))
    if competition.is_paused:
        raise Closed(f"{competition.title} takes no submissions at the moment: the organiser has paused it.")
    return False


def is_accepted(session: Session, competition: Competition, *, now: datetime) -> bool:
    """Return whether a file that arrives now is accepted as a late one."""
    return competition.takes_late(now) and _running(session, competition, now=now) is None


def limits(of_team: Limits) -> Limits:
    """Return the limits of a late file: of the team's own, only the daily one."""
    return replace(of_team, closes_at=None, total_limit=None)


def words(session: Session, competition: Competition, *, now: datetime) -> str:
    """Return when late files are accepted, to follow the words of a close; "" if they are not allowed."""
    if competition.is_archived:
        return " It is archived."
    if not competition.allows_late:
        return ""
    if not competition.is_settled(now):
        assert competition.settles_at is not None, "it has closed"
        at = _words(competition, competition.settles_at)
        return f" Late files are accepted from {at} on; they are scored and not ranked."
    running = _running(session, competition, now=now)
    if running is None:
        return ""
    is_public = running.visibility == Visibility.PUBLIC
    name, comma = (f"{running.slug}, ", ",") if is_public else ("", "")
    return (
        f" Late files are refused until {name}another competition of this challenge{comma} is over: "
        "their private scores would be of use there."
    )


def _running(session: Session, competition: Competition, *, now: datetime) -> Competition | None:
    """Return a competition with the same hidden labels whose private scores are not shown yet."""
    same = competitions.of_challenge(session, competition.version)
    return next((one for one in same if not one.is_settled(now)), None)


def _is_too_late(competition: Competition, limits: Limits, now: datetime) -> bool:
    """Whether an upload that began in time arrived after the grace period."""
    grace = timedelta(seconds=competition.grace_seconds)
    return limits.closes_at is not None and now >= limits.closes_at + grace


def _words(competition: Competition, moment: datetime) -> str:
    return f"{moment.astimezone(competition.zone):%Y-%m-%d at %H:%M} {competition.timezone}"

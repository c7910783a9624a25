"""Slow down a team whose files are rejected again and again.

Rejected files are refunded, so no quota limits them. A hard limit per day would also refuse the corrected
file. Instead, from the limit on, the files of a team are checked one at a time, a file with the bytes of a
rejected one is refused at once, and after each further rejection the next file has to wait, each time twice
as long: 119 rejected files of a team in a day at most, instead of 20, and no day is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.base.errors import Conflict, QuotaExhausted
from app.base.leases import CLOCK_SLACK
from app.base.models import Competition, Evaluation, Round, RoundState, State, Submission, Team

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(minutes=15)


@dataclass(frozen=True)
class Rejections:
    """A team's rejected files of one day, and what follows from them."""

    count: int
    limit: int
    next_at: datetime | None
    """When the next file can be sent; None: at once."""

    @property
    def is_slowed(self) -> bool:
        """Whether the team's files are checked one at a time."""
        return self.count >= self.limit


def wait(count: int, limit: int) -> timedelta:
    """Return the wait after the last of `count` rejected files.

    The first file after the limit may be sent at once: it may be the corrected one.
    """
    above = count - limit
    return min(FIRST_WAIT * 2 ** min(above - 1, 10), LONGEST_WAIT) if above > 0 else timedelta()


def today(
    session: Session, competition: Competition, team: Team, *, received_at: datetime, now: datetime
) -> Rejections:
    """Return the rejections of the day in which a file was received."""
    count, last = session.execute(
        _rejected(competition, team, received_at).with_only_columns(
            func.count(), func.max(Evaluation.finished_at)
        )
    ).one()
    limit = competition.rejected_limit
    # A rejection in the future was recorded before the clock was set back.
    next_at = now if last is None or last > now + CLOCK_SLACK else last + wait(count, limit)
    return Rejections(count, limit, next_at if next_at > now else None)


def refuse_too_early(competition: Competition, rejections: Rejections, *, now: datetime) -> None:
    """Refuse a file during the wait after a rejection."""
    if rejections.next_at is None:
        return
    at = rejections.next_at.astimezone(competition.zone)
    raise QuotaExhausted(
        f"{rejections.count} of your files were rejected today. Above {rejections.limit} in a day, the next "
        f"file waits after each rejected one: it can be sent at {at:%H:%M:%S} {competition.timezone}. "
        "Your submissions page lists every problem of each file.",
        retry_after=rejections.next_at - now,
    )


def refuse_repeated(
    session: Session, competition: Competition, team: Team, sha256: str, *, received_at: datetime
) -> None:
    """Refuse the bytes of a file that was rejected on the same day."""
    same = _rejected(competition, team, received_at).with_only_columns(func.max(Submission.id))
    known = session.scalar(same.where(Submission.sha256 == sha256))
    if known is not None:
        raise Conflict(
            f"This is the file of submission {known}, which was rejected today and would be rejected again: "
            f"submission {known} lists its problems. Correct the file, then send it."
        )


def _rejected(competition: Competition, team: Team, received_at: datetime) -> Select[int]:
    return (
        select(Submission.id)
        .join(Evaluation, Evaluation.submission_id == Submission.id)
        .join(Round, Round.id == Evaluation.round_id)
        .where(
            Submission.team_id == team.id,
            Submission.day == competition.day(received_at),
            Round.state == RoundState.ACTIVE,
            Evaluation.state == State.REJECTED,
        )
    )

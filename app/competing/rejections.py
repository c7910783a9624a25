"""Slow down a team whose files are rejected again and again.

Rejected files are refunded, so no quota limits them. A hard limit per day would also refuse the corrected
file, and the web process cannot check a file first: it opens no untrusted bytes and has no ids. Instead,
from the limit on, the files of a team are checked one at a time, a file with the bytes of a rejected one is
refused at once, and after each further rejection the next file has to wait: a minute, or ten times as long as
the check of the rejected file took. So a team holds at most a ninth of one worker, and a corrected file waits
a minute if files are checked quickly. Only after 40 such rejections the waits double: a team has at most 156
rejected files in a day. A file that is only checked (app/integrity/file_checks.py) counts like the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.base.errors import Conflict, QuotaExhausted
from app.base.leases import CLOCK_SLACK
from app.base.models import (
    Competition,
    Evaluation,
    FileCheck,
    Inspection,
    InspectionState,
    Round,
    RoundState,
    State,
    Submission,
    Team,
)

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(minutes=15)
FIRST_WAITS = 40
"""So many rejections above the limit are followed by the first wait, before the waits double."""
TIMES_THE_CHECK = 10


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


def wait(count: int, limit: int, check: timedelta = timedelta()) -> timedelta:
    """Return the wait after the last of `count` rejected files, whose check took `check`.

    The first file after the limit may be sent at once: it may be the corrected one.
    """
    above = count - limit
    if above <= 0:
        return timedelta()
    factor: int = 2 ** min(max(0, above - FIRST_WAITS), 10)
    return min(max(FIRST_WAIT * factor, TIMES_THE_CHECK * check), LONGEST_WAIT)


def today(
    session: Session, competition: Competition, team: Team, *, received_at: datetime, now: datetime
) -> Rejections:
    """Return the rejections of the day in which a file was received, those of checks included."""
    rejected = _rejected(competition, team, received_at)
    checked = _rejected_checks(competition, team, received_at)
    count = sum(session.scalar(of.with_only_columns(func.count())) or 0 for of in (rejected, checked))
    limit = competition.rejected_limit
    next_at = now
    if count > limit:
        times = rejected.with_only_columns(Evaluation.finished_at, Evaluation.started_at)
        latest = Evaluation.finished_at.desc().nulls_last(), Submission.id.desc()
        found = [
            (ended, ended - (began or ended))
            for ended, began in session.execute(times.order_by(*latest).limit(1))
            if ended is not None
        ]
        lengths = checked.with_only_columns(Inspection.finished_at, FileCheck.seconds)
        found += [
            (ended, timedelta(seconds=seconds or 0.0))
            for ended, seconds in session.execute(lengths.order_by(Inspection.finished_at.desc()).limit(1))
            if ended is not None
        ]
        # A rejection in the future was recorded before the clock was set back.
        past = [(ended, took) for ended, took in found if ended <= now + CLOCK_SLACK]
        waits = (ended + wait(count, limit, max(timedelta(), took)) for ended, took in past)
        next_at = max(waits, default=now)
    return Rejections(count, limit, next_at if next_at > now else None)


def waiting_checks(session: Session, team: Team) -> int:
    """Count the team's files that are being checked without being submitted."""
    waiting = (
        select(func.count())
        .select_from(FileCheck)
        .join(Inspection, Inspection.id == FileCheck.inspection_id)
        .where(
            FileCheck.team_id == team.id,
            Inspection.state.in_((InspectionState.QUEUED, InspectionState.RUNNING)),
        )
    )
    return session.scalar(waiting) or 0


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
    """Refuse the bytes of a file that was rejected on the same day, submitted or only checked.

    Not if a later version of the challenge may accept it.
    """
    since = competition.version.created_at
    same = _rejected(competition, team, received_at).with_only_columns(func.max(Submission.id))
    checked = _rejected_checks(competition, team, received_at).with_only_columns(
        func.max(FileCheck.inspection_id)
    )
    for noun, known in (
        (
            "submission",
            session.scalar(same.where(Submission.sha256 == sha256, Evaluation.finished_at >= since)),
        ),
        ("check", session.scalar(checked.where(FileCheck.sha256 == sha256, Inspection.finished_at >= since))),
    ):
        if known is not None:
            raise Conflict(
                f"This is the file of {noun} {known}, which was rejected today and would be rejected again: "
                f"{noun} {known} lists its problems. Correct the file, then send it."
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
            Submission.cancelled_at.is_(None),
        )
    )


def _rejected_checks(competition: Competition, team: Team, received_at: datetime) -> Select[int]:
    return (
        select(FileCheck.inspection_id)
        .join(Inspection, Inspection.id == FileCheck.inspection_id)
        .where(
            FileCheck.team_id == team.id,
            FileCheck.day == competition.day(received_at),
            FileCheck.is_rejected.is_(True),
        )
    )

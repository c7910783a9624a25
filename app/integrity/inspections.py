"""Long work about a competition, done by a worker under a lease: the nightly scan for cases, the report at
the close, the scoring of predictions for training rows.

The same idea as an evaluation: the row is the truth, the queue only a hint, a token names the one run
that may write, a dead worker's lease runs out, and three failures are told to the organiser.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from app.base import failpoints
from app.base.errors import NotFound
from app.base.models import (
    Competition,
    Evaluation,
    Inspection,
    Phase,
    Round,
    RoundState,
    Score,
    Standing,
    State,
    Submission,
    Team,
    TrainFile,
)
from app.competing.evaluations import CLOCK_SLACK

MAX_ATTEMPTS = 3
BACKOFF = timedelta(seconds=20)
SCAN_EVERY = timedelta(hours=24)
LOOK_BACK = timedelta(days=30)
"""What closed before is looked at only if an organiser asks: an upgrade makes no reports of old competitions."""


class Kind(StrEnum):
    SCAN = "scan"
    REPORT = "report"
    TRAIN_FILES = "train_files"


class Stage(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Work:
    """One inspection that this run, and no other, may finish."""

    id: int
    kind: Kind
    competition_id: int
    round_id: int
    submission_id: int | None
    attempt: int
    token: str


class Superseded(Exception):
    """The lease is gone: another run has taken this inspection over."""


def ask(
    session: Session,
    competition: Competition,
    kind: Kind,
    *,
    by: str,
    now: datetime,
    submission_id: int | None = None,
) -> Inspection:
    """Queue an inspection of the active round, or return the one that is already under way."""
    session.execute(select(Competition.id).where(Competition.id == competition.id).with_for_update())
    round_id = session.scalars(
        select(Round.id).where(Round.competition_id == competition.id, Round.state == RoundState.ACTIVE)
    ).one()
    # One that is only queued will see what has changed since; one that runs may have read it before.
    waiting = session.scalar(
        select(Inspection)
        .where(
            Inspection.competition_id == competition.id,
            Inspection.round_id == round_id,
            Inspection.kind == kind,
            Inspection.submission_id.is_(None)
            if submission_id is None
            else Inspection.submission_id == submission_id,
            Inspection.state == Stage.QUEUED,
        )
        # A worker that takes it just now would not see what the caller has not committed yet.
        .with_for_update()
    )
    if waiting is not None:
        waiting.created_at = now
        return waiting
    inspection = Inspection(
        competition_id=competition.id,
        round_id=round_id,
        kind=kind,
        submission_id=submission_id,
        state=Stage.QUEUED,
        asked_by=by,
        created_at=now,
        next_try_at=now,
        hinted_at=now,
    )
    session.add(inspection)
    session.flush()
    return inspection


def due(session: Session, *, now: datetime) -> list[tuple[Competition, Kind]]:
    """What is to be queued by itself: a scan of each open competition with new scores once a day, and of each
    that has settled a last scan and the report."""
    found: list[tuple[Competition, Kind]] = []
    recent = or_(Competition.closes_at.is_(None), Competition.closes_at > now - LOOK_BACK)
    for competition in session.scalars(select(Competition).where(Competition.opens_at <= now, recent)):
        if competition.is_settled(now):
            found += [
                (competition, kind)
                for kind in (Kind.SCAN, Kind.REPORT)
                if _is_due_at_close(session, competition, kind)
            ]
        elif competition.phase(now) is Phase.OPEN and _is_scan_due(session, competition, now):
            found.append((competition, Kind.SCAN))
    return found


def _is_due_at_close(session: Session, competition: Competition, kind: Kind) -> bool:
    """One for the round as it stands after the close; a rescore makes another round and so another one."""
    settled_at = competition.settles_at
    assert settled_at is not None, "it has settled"
    newest = latest(session, competition, kind)
    if (
        newest is not None
        and newest.round_id == _active_round_id(session, competition)
        and newest.created_at >= settled_at
        and not _has_scores(session, competition, since=newest.created_at)
    ):
        return False
    # Not while the last files are still being scored.
    return _has_scores(session, competition, since=None) and not _unfinished_evaluations(session, competition)


def _is_scan_due(session: Session, competition: Competition, now: datetime) -> bool:
    newest = latest(session, competition, Kind.SCAN)
    since = competition.opens_at if newest is None else newest.created_at
    return now - since >= SCAN_EVERY and _has_scores(session, competition, since=since)


def _active_round_id(session: Session, competition: Competition) -> int | None:
    return session.scalar(
        select(Round.id).where(Round.competition_id == competition.id, Round.state == RoundState.ACTIVE)
    )


def _has_scores(session: Session, competition: Competition, *, since: datetime | None) -> bool:
    scored = (
        select(Evaluation.submission_id)
        .join(Round, Round.id == Evaluation.round_id)
        .where(
            Round.competition_id == competition.id,
            Round.state == RoundState.ACTIVE,
            Evaluation.state == "scored",
        )
    )
    if since is not None:
        scored = scored.where(Evaluation.finished_at > since)
    return session.scalar(scored.limit(1)) is not None


def _unfinished_evaluations(session: Session, competition: Competition) -> bool:
    waiting = (
        select(Evaluation.submission_id)
        .join(Round, Round.id == Evaluation.round_id)
        .where(
            Round.competition_id == competition.id,
            Round.state == RoundState.ACTIVE,
            Evaluation.state.in_(("queued", "running")),
        )
    )
    return session.scalar(waiting.limit(1)) is not None


def latest(session: Session, competition: Competition, kind: Kind) -> Inspection | None:
    """The newest of its kind, whatever became of it."""
    return session.scalar(
        select(Inspection)
        .where(Inspection.competition_id == competition.id, Inspection.kind == kind)
        .order_by(Inspection.id.desc())
        .limit(1)
    )


# -- the worker's side -------------------------------------------------------------------------


def claim(
    session: Session, worker: str, *, lease: timedelta, now: datetime, inspection_id: int | None = None
) -> Work | None:
    """Take the given inspection, else the one that waits longest; None if nothing waits."""
    due = select(Inspection.id).where(_is_due(now))
    if inspection_id is not None:
        due = due.where(Inspection.id == inspection_id)
    found = session.scalar(
        due.order_by(Inspection.next_try_at, Inspection.id).limit(1).with_for_update(skip_locked=True)
    )
    if found is None:
        return None
    token = f"{worker}:{secrets.token_hex(8)}"
    row = session.execute(
        update(Inspection)
        .where(Inspection.id == found)
        .values(
            state=Stage.RUNNING, lease_token=token, lease_until=now + lease, attempt=Inspection.attempt + 1
        )
        .returning(
            Inspection.kind,
            Inspection.competition_id,
            Inspection.round_id,
            Inspection.submission_id,
            Inspection.attempt,
        )
    ).one()
    failpoints.reach("inspection.taken")
    return Work(
        found, Kind(row.kind), row.competition_id, row.round_id, row.submission_id, row.attempt, token
    )


def is_any_due(session: Session, *, now: datetime) -> bool:
    """Whether a worker that looks now would find one; for those who poll."""
    return session.scalar(select(Inspection.id).where(_is_due(now)).limit(1)) is not None


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(
        (Inspection.state == Stage.QUEUED) & (Inspection.next_try_at <= now),
        (Inspection.state == Stage.RUNNING)
        & (Inspection.lease_until < now)
        & (Inspection.attempt < MAX_ATTEMPTS),
    )


def renew(
    session: Session, work: Work, *, lease: timedelta, now: datetime, progress: float, doing: str
) -> None:
    """Say that the run still lives, and how far it is; Superseded if it has lost its inspection."""
    _guarded(
        session,
        work,
        {"lease_until": now + lease, "progress": min(max(progress, 0.0), 1.0), "doing": doing[:100]},
    )


def finish(session: Session, work: Work, result: Mapping[str, Any] | None, *, now: datetime) -> None:
    done = {
        "state": Stage.DONE,
        "progress": 1.0,
        "doing": "",
        "result": result,
        "fault": None,
        "finished_at": now,
    }
    _guarded(session, work, done | {"lease_token": None, "lease_until": None})
    failpoints.reach("inspection.finished")


def give_back(session: Session, work: Work, fault: str, *, now: datetime) -> Stage:
    """An attempt failed: try again soon, or after the third time leave it to the organiser."""
    again = work.attempt < MAX_ATTEMPTS
    stage = Stage.QUEUED if again else Stage.FAILED
    values = {
        "state": stage,
        "lease_token": None,
        "lease_until": None,
        "hinted_at": None,
        "fault": fault[-4000:],
        "next_try_at": now + BACKOFF * work.attempt,
        "finished_at": None if again else now,
    }
    _guarded(session, work, values)
    if stage is Stage.FAILED:
        _give_up_train_files(session, [work.submission_id])
    return stage


def _give_up_train_files(session: Session, submission_ids: Sequence[int | None]) -> None:
    """Files that waited for an inspection which failed for good may be sent again."""
    waiting = TrainFile.submission_id.in_([id_ for id_ in submission_ids if id_ is not None])
    session.execute(
        update(TrainFile).where(waiting, TrainFile.state == State.QUEUED).values(state=State.FAILED)
    )


def _guarded(session: Session, work: Work, values: Mapping[str, Any]) -> None:
    held = session.scalar(
        update(Inspection)
        .where(
            Inspection.id == work.id, Inspection.state == Stage.RUNNING, Inspection.lease_token == work.token
        )
        .values(**values)
        .returning(Inspection.id)
    )
    if held is None:
        raise Superseded(f"inspection {work.id}, attempt {work.attempt}")


def follow_clock(session: Session, *, lease: timedelta, now: datetime) -> int:
    """After the clock was set back: as `app.competing.evaluations.follow_clock`, of inspections; how many."""
    led = session.scalars(
        update(Inspection)
        .where(Inspection.state == Stage.RUNNING, Inspection.lease_until > now + lease + CLOCK_SLACK)
        .values(lease_until=now + max(lease, CLOCK_SLACK))
        .returning(Inspection.id)
    ).all()
    put_off = session.scalars(
        update(Inspection)
        .where(
            Inspection.state == Stage.QUEUED,
            Inspection.next_try_at > now + BACKOFF * MAX_ATTEMPTS + CLOCK_SLACK,
        )
        .values(next_try_at=now)
        .returning(Inspection.id)
    ).all()
    return len(led) + len(put_off)


def unfinished(session: Session, *, now: datetime, hint_after: timedelta, limit: int = 20) -> list[int]:
    """Inspections whose work is due and was not announced lately; marks them as announced."""
    quiet = or_(
        Inspection.hinted_at.is_(None),
        Inspection.hinted_at < now - hint_after,
        Inspection.hinted_at > now + CLOCK_SLACK,  # the clock was set back since
    )
    due = or_(
        (Inspection.state == Stage.QUEUED) & (Inspection.next_try_at <= now),
        (Inspection.state == Stage.RUNNING) & (Inspection.lease_until < now),
    )
    found = list(
        session.scalars(
            select(Inspection.id).where(due, quiet).limit(limit).with_for_update(skip_locked=True)
        )
    )
    if found:
        session.execute(update(Inspection).where(Inspection.id.in_(found)).values(hinted_at=now))
    return found


def fail_exhausted(session: Session, *, now: datetime) -> list[int]:
    """Inspections whose last attempt went silent."""
    failed = session.execute(
        update(Inspection)
        .where(
            Inspection.state == Stage.RUNNING,
            Inspection.lease_until < now,
            Inspection.attempt >= MAX_ATTEMPTS,
        )
        .values(
            state=Stage.FAILED,
            lease_token=None,
            lease_until=None,
            finished_at=now,
            fault=f"Its worker died or went silent {MAX_ATTEMPTS} times.",
        )
        .returning(Inspection.id, Inspection.submission_id)
    ).all()
    if failed:
        _give_up_train_files(session, [row.submission_id for row in failed])
    return [row.id for row in failed]


# -- reading -----------------------------------------------------------------------------------


def report(session: Session, competition: Competition, *, for_organiser: bool, now: datetime) -> Inspection:
    """The newest finished report of the active round; NotFound before there is one. For others than organisers
    it is one that was asked for after the close: an earlier one lacks the last files."""
    query = select(Inspection).where(
        Inspection.competition_id == competition.id,
        Inspection.kind == Kind.REPORT,
        Inspection.state == Stage.DONE,
        Inspection.round_id == _active_round_id(session, competition),
    )
    if not for_organiser and competition.settles_at is not None:
        query = query.where(Inspection.created_at >= competition.settles_at)
    found = session.scalar(query.order_by(Inspection.id.desc()).limit(1))
    if found is None or not (for_organiser or competition.is_settled(now)):
        raise NotFound(f"There is no report of {competition.title} yet; it is made after the close.")
    return found


# -- what a worker needs to look at ------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """One scored file of a team."""

    submission_id: int
    sha256: str
    public: float
    private: float


@dataclass(frozen=True)
class Entrant:
    """A team with its scored files under the inspected round, in order of time."""

    team_id: int
    name: str
    is_baseline: bool
    files: tuple[File, ...]
    public_id: int | None
    """The submission that its public row shows, and the one that counts in private; None off the board."""
    private_id: int | None
    shown: float | None
    """The public score on the board."""

    def file(self, submission_id: int) -> File:
        return next(file for file in self.files if file.submission_id == submission_id)


def entrants(session: Session, work: Work) -> list[Entrant]:
    """Every team and baseline with a scored file."""
    competition = session.get_one(Competition, work.competition_id)
    by_team: dict[int, list[File]] = {}
    scored = (
        select(Submission.team_id, Submission.id, Submission.sha256, Score.public, Score.private)
        .join(Score, Score.submission_id == Submission.id)
        .where(Submission.competition_id == work.competition_id, Score.round_id == work.round_id)
        .order_by(Submission.received_at, Submission.id)
    )
    for row in session.execute(scored):
        by_team.setdefault(row.team_id, []).append(File(row.id, row.sha256, row.public, row.private))
    standings = {
        row.team_id: row
        for row in session.scalars(select(Standing).where(Standing.competition_id == work.competition_id))
    }
    sign = -1.0 if competition.greater_is_better else 1.0
    found = []
    for team in session.scalars(select(Team).where(Team.id.in_(by_team)).order_by(Team.id)):
        standing = standings.get(team.id)
        found.append(
            Entrant(
                team.id,
                team.name,
                team.is_baseline,
                tuple(by_team[team.id]),
                standing.public_submission_id if standing else None,
                standing.private_submission_id if standing else None,
                sign * standing.public_key if standing else None,
            )
        )
    return found

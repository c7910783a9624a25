"""Inspections: long work about a competition under a lease.

A daily scan for cases, the close report, the scores of train files, checks of files. As with evaluations the
row is the truth and the queue only a hint; `app.base.leases` decides which run may write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.base import failpoints, leases
from app.base.errors import NotFound
from app.base.leases import MAX_ATTEMPTS, Leases
from app.base.models import (
    Competition,
    Evaluation,
    Inspection,
    InspectionState,
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

BACKOFF = timedelta(seconds=20)
SCAN_EVERY = timedelta(hours=24)
LOOK_BACK = timedelta(days=30)
"""Competitions closed before that are inspected only on request, so that an upgrade makes no old reports."""


class Kind(StrEnum):
    SCAN = "scan"
    REPORT = "report"
    TRAIN_FILES = "train_files"
    CHECK = "check"


LEASES = Leases(Inspection, longest_pause=BACKOFF * MAX_ATTEMPTS)


@dataclass(frozen=True, kw_only=True)
class Claim(leases.Claim):
    """One inspection that this run, and no other, may finish."""

    kind: Kind
    competition_id: int
    round_id: int
    submission_id: int | None

    @property
    def id(self) -> int:
        return self.key[0]


def ask(
    session: Session,
    competition: Competition,
    kind: Kind,
    *,
    by: str,
    now: datetime,
    submission_id: int | None = None,
) -> Inspection:
    """Queue an inspection of the active round, or return the queued one."""
    session.execute(select(Competition.id).where(Competition.id == competition.id).with_for_update())
    round_id = _active_round_id(session, competition)
    # A queued one will read what has changed since; a running one may have read it before.
    waiting = session.scalar(
        select(Inspection)
        .where(
            Inspection.competition_id == competition.id,
            Inspection.round_id == round_id,
            Inspection.kind == kind,
            Inspection.submission_id.is_(None)
            if submission_id is None
            else Inspection.submission_id == submission_id,
            Inspection.state == InspectionState.QUEUED,
        )
        # A worker that claims it now would not see what the caller has not committed yet.
        .with_for_update()
    )
    if waiting is not None:
        waiting.created_at = now
        return waiting
    return add(session, competition, kind, by=by, now=now, submission_id=submission_id)


def add(
    session: Session,
    competition: Competition,
    kind: Kind,
    *,
    by: str,
    now: datetime,
    submission_id: int | None = None,
) -> Inspection:
    """Queue an inspection of the active round, also if another is queued."""
    round_id = _active_round_id(session, competition)
    assert round_id is not None, "every competition has an active round"
    inspection = Inspection(
        competition_id=competition.id,
        round_id=round_id,
        kind=kind,
        submission_id=submission_id,
        state=InspectionState.QUEUED,
        asked_by=by,
        created_at=now,
        next_try_at=now,
        hinted_at=now,
    )
    session.add(inspection)
    session.flush()
    return inspection


def due(session: Session, *, now: datetime) -> list[tuple[Competition, Kind]]:
    """Return the inspections to queue without a request.

    A daily scan of each open competition with new scores; of each settled one a last scan and the close
    report.
    """
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
    """Return whether the settled round lacks its inspection.

    A rescore makes another round.
    """
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
        .join(Submission, Submission.id == Evaluation.submission_id)
        .where(
            Round.competition_id == competition.id,
            Round.state == RoundState.ACTIVE,
            Evaluation.state == State.SCORED,
            Submission.is_ranked,
        )
    )
    if since is not None:
        scored = scored.where(Evaluation.finished_at > since)
    return session.scalar(scored.limit(1)) is not None


def _unfinished_evaluations(session: Session, competition: Competition) -> bool:
    """Return whether a ranked file still waits; late files may arrive at any time and delay no report."""
    waiting = (
        select(Evaluation.submission_id)
        .join(Round, Round.id == Evaluation.round_id)
        .join(Submission, Submission.id == Evaluation.submission_id)
        .where(
            Round.competition_id == competition.id,
            Round.state == RoundState.ACTIVE,
            Submission.is_ranked,
            Evaluation.state.in_((State.QUEUED, State.RUNNING)),
        )
    )
    return session.scalar(waiting.limit(1)) is not None


def latest(
    session: Session, competition: Competition, kind: Kind, *, is_done: bool = False
) -> Inspection | None:
    """Return the newest inspection of a kind, in any state or of the finished ones.

    None if there is none.
    """
    found = select(Inspection).where(Inspection.competition_id == competition.id, Inspection.kind == kind)
    if is_done:
        found = found.where(Inspection.state == InspectionState.DONE)
    return session.scalar(found.order_by(Inspection.id.desc()).limit(1))


# -- the worker's side -------------------------------------------------------------------------


def claim(
    session: Session, worker: str, *, lease: timedelta, now: datetime, inspection_id: int | None = None
) -> Claim | None:
    """Claim the given inspection, else the one that waits longest.

    None if none is due.
    """
    due = select(Inspection).where(LEASES.is_due(now))
    if inspection_id is not None:
        due = due.where(Inspection.id == inspection_id)
    first = due.order_by(Inspection.next_try_at, Inspection.id).limit(1)
    row = session.scalar(first.with_for_update(skip_locked=True))
    if row is None:
        return None
    taken = LEASES.take(session, (row.id,), worker, lease=lease, now=now)
    failpoints.reach("inspection.taken")
    return Claim(
        key=taken.key,
        attempt=taken.attempt,
        token=taken.token,
        kind=Kind(row.kind),
        competition_id=row.competition_id,
        round_id=row.round_id,
        submission_id=row.submission_id,
    )


def is_any_due(session: Session, *, now: datetime) -> bool:
    """Return whether a worker could claim an inspection now."""
    return session.scalar(select(Inspection.id).where(LEASES.is_due(now)).limit(1)) is not None


def renew(
    session: Session, claim: Claim, *, lease: timedelta, now: datetime, progress: float, doing: str
) -> None:
    """Extend the lease and write the progress.

    LeaseLost if another run holds it.
    """
    share = min(max(progress, 0.0), 1.0)
    LEASES.renew(session, claim, lease=lease, now=now, progress=share, doing=doing[:100])


def finish(session: Session, claim: Claim, result: Mapping[str, Any] | None, *, now: datetime) -> None:
    """Write the result; LeaseLost if another run holds the lease."""
    LEASES.finish(session, claim, InspectionState.DONE, now=now, progress=1.0, doing="", result=result)
    failpoints.reach("inspection.finished")


def give_back(session: Session, claim: Claim, fault: str, *, now: datetime) -> InspectionState:
    """Queue a failed attempt again.

    After the third one leave it to the organiser.
    """
    state = InspectionState(LEASES.give_back(session, claim, fault, pause=BACKOFF, now=now))
    if state is InspectionState.FAILED:
        _give_up_train_files(session, claim.submission_id)
    return state


def _give_up_train_files(session: Session, submission_id: int | None) -> None:
    """Fail train files whose inspection has failed.

    The team may then send them again.
    """
    if submission_id is None:
        return
    waiting = TrainFile.submission_id == submission_id, TrainFile.state == State.QUEUED
    session.execute(update(TrainFile).where(*waiting).values(state=State.FAILED))


def follow_clock(session: Session, *, lease: timedelta, now: datetime) -> int:
    """Shorten waits that a clock set back has made too long."""
    return LEASES.follow_clock(session, lease=lease, now=now)


def unfinished(session: Session, *, now: datetime, hint_after: timedelta, limit: int = 20) -> list[int]:
    """Return inspections to send hints for, and mark them as announced."""
    return [id_ for (id_,) in LEASES.announce(session, now=now, hint_after=hint_after, limit=limit)]


def fail_exhausted(session: Session, *, now: datetime) -> list[int]:
    """Fail inspections whose last attempt expired; return their ids."""
    exhausted = select(Inspection.id, Inspection.submission_id).where(LEASES.is_exhausted(now))
    failed = [
        row
        for row in session.execute(exhausted.limit(100)).all()
        if LEASES.fail_exhausted(session, (row.id,), now=now)
    ]
    for row in failed:
        _give_up_train_files(session, row.submission_id)
    return [row.id for row in failed]


# -- reading -----------------------------------------------------------------------------------


def report(session: Session, competition: Competition, *, for_organiser: bool, now: datetime) -> Inspection:
    """Return the newest close report of the active round.

    NotFound before there is one.

    Participants get one requested after the close: an earlier one lacks the last files.
    """
    query = select(Inspection).where(
        Inspection.competition_id == competition.id,
        Inspection.kind == Kind.REPORT,
        Inspection.state == InspectionState.DONE,
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
    """A team with its scored files in the inspected round, oldest first."""

    team_id: int
    name: str
    is_baseline: bool
    files: tuple[File, ...]
    public_id: int | None
    """The submission on the public board, and the one that counts in private; None off the board."""
    private_id: int | None
    shown: float | None
    """The public score on the board."""

    def file(self, submission_id: int) -> File:
        return next(file for file in self.files if file.submission_id == submission_id)


def entrants(session: Session, claim: Claim) -> list[Entrant]:
    """Return every team and baseline with a scored file that is ranked."""
    competition = session.get_one(Competition, claim.competition_id)
    by_team: dict[int, list[File]] = {}
    scored = (
        select(Submission.team_id, Submission.id, Submission.sha256, Score.public, Score.private)
        .join(Score, Score.submission_id == Submission.id)
        .join(Team, Team.id == Submission.team_id)
        .where(
            Submission.competition_id == claim.competition_id,
            Submission.is_ranked,
            ~Team.is_host,
            Score.round_id == claim.round_id,
        )
        .order_by(Submission.received_at, Submission.id)
    )
    for row in session.execute(scored):
        by_team.setdefault(row.team_id, []).append(File(row.id, row.sha256, row.public, row.private))
    standings = {
        row.team_id: row
        for row in session.scalars(select(Standing).where(Standing.competition_id == claim.competition_id))
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

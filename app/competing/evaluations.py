"""Evaluations: submissions scored in a round, from queued to scored.

No other module moves their state.

       enqueue            claim                 record_scored
    ────────────►  queued  ────────►  running  ───────────────────►  scored
                    ▲  ▲               │ │ └─── record_rejected ──►  rejected  (the file is wrong; refunded)
     give_back ─────┘  └ lease expired ┘ └───── third failure ────►  failed    (another fault; refunded)
                    ▲                                                  │
                    └───────────────────── retry ──────────────────────┘

The row is the truth and the queue only a hint; `app.base.leases` decides which run may write.
Locks are taken in one order everywhere: competition, team, quota, submission, evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, or_, select, text, update
from sqlalchemy.orm import Session

from app.base import events, failpoints, leases
from app.base.errors import Conflict
from app.base.leases import CLOCK_SLACK, MAX_ATTEMPTS, Leases
from app.base.models import (
    ChallengeVersion,
    Competition,
    Evaluation,
    Round,
    RoundState,
    Score,
    State,
    Submission,
    Team,
)
from app.competing import charges, competitions, score_release, standings

if TYPE_CHECKING:
    from app.competing.score_release import ReleaseInputs
    from scorer.report import Problem, Report

BACKOFF = timedelta(seconds=5)
AWAY_BACKOFF = timedelta(seconds=30)
"""While storage, the vault or the machine does not answer: three attempts then span a restart of those."""
CLAIM_LOCK = 0x434C4149
"""Any fixed number. With a cap of workers per competition, claims are made one after the other: taken
before any other lock.
"""

LEASES = Leases(Evaluation, longest_pause=AWAY_BACKOFF * MAX_ATTEMPTS)


@dataclass(frozen=True, kw_only=True)
class Claim(leases.Claim):
    """One evaluation that this run, and no other, may finish."""

    digest: str
    """Of the challenge version to score under."""
    sha256: str

    @property
    def submission_id(self) -> int:
        return self.key[0]

    @property
    def round_id(self) -> int:
        return self.key[1]


def enqueue(session: Session, submission: Submission, *, place: datetime, now: datetime) -> None:
    """Queue a submission in the active round and a draft round.

    `place` orders it in the queue: a team's second waiting file stands behind other teams' first.
    """
    current = (
        Round.competition_id == submission.competition_id,
        Round.state.in_((RoundState.ACTIVE, RoundState.DRAFT)),
    )
    for round_id in session.scalars(select(Round.id).where(*current)):
        session.add(
            Evaluation(
                submission_id=submission.id,
                round_id=round_id,
                state=State.QUEUED,
                next_try_at=place,
                hinted_at=now,
            )
        )
    session.flush()


def take_turn(session: Session, *, most_workers: int) -> None:
    """Wait until no other worker claims, if there is a cap.

    Read the clock after it, then `claim`.
    """
    if most_workers and session.get_bind().dialect.name != "sqlite":  # SQLite has one writer at a time
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CLAIM_LOCK})


def claim(
    session: Session, worker: str, *, lease: timedelta, now: datetime, most_workers: int = 0
) -> Claim | None:
    """Claim the next due evaluation; None if none is due.

    Competitions take turns, and within one a team's first waiting file comes before another team's second. A
    competition that holds `most_workers` (0: no cap) is passed over, which needs `take_turn` before.
    """
    row = _next_due(session, now=now, full=_full(session, most_workers, now=now))
    if row is None:
        return None
    failpoints.reach("claim.found")
    taken = LEASES.take(session, row, worker, lease=lease, now=now, started_at=now)
    digest, sha256 = session.execute(
        select(ChallengeVersion.digest, Submission.sha256)
        .select_from(Submission)
        .join(Round, Round.id == row[1])
        .join(ChallengeVersion, ChallengeVersion.id == Round.version_id)
        .where(Submission.id == row[0])
    ).one()
    failpoints.reach("claim.taken")
    return Claim(key=row, attempt=taken.attempt, token=taken.token, digest=digest, sha256=sha256)


def _full(session: Session, most_workers: int, *, now: datetime) -> set[int]:
    """Return the competitions that hold as many workers as one may.

    Expired leases do not count, so that dead workers take no place. Only running evaluations are read, which
    are as many as there are workers.
    """
    if not most_workers:
        return set()
    held = (
        select(Round.competition_id)
        .join(Evaluation, Evaluation.round_id == Round.id)
        .where(Evaluation.state == State.RUNNING, Evaluation.lease_until >= now)
        .group_by(Round.competition_id)
        .having(func.count() >= most_workers)
    )
    return set(session.scalars(held))


def _next_due(session: Session, *, now: datetime, full: Set[int]) -> tuple[int, int] | None:
    """Return the next submission and round to score, locked.

    First what a dead worker left, then active rounds, the competition first that was served longest ago,
    then draft and repeat rounds. Each query follows an index: with one ORDER BY over all of them a rescore
    of 200,000 files took half a second for each claim.
    """
    queued, lost = LEASES.is_queued(now), LEASES.is_abandoned(now)
    rounds = session.execute(
        select(Round.id, Round.state, Round.served_at, Round.competition_id)
        .where(Round.state != RoundState.RETIRED)
        .order_by(Round.served_at.asc().nulls_first(), Round.id)
    ).all()
    open_ = [(row.id, row.state) for row in rounds if row.competition_id not in full]
    active = [id_ for id_, state in open_ if state == RoundState.ACTIVE]
    aside = [[id_] for id_, state in open_ if state in (RoundState.DRAFT, RoundState.REPEAT)]
    # After every other's turn, also at the same time: with a clock set back by an hour, one competition would
    # have been passed over for that hour.
    last = rounds[-1].served_at if rounds else None
    turn = now if last is None else max(now, last + timedelta(microseconds=1))
    waiting = (
        select(Round.id)
        .where(Round.state == RoundState.ACTIVE, Round.competition_id.not_in(full), _has(queued))
        .order_by(Round.served_at.asc().nulls_first(), Round.id)
    )
    looks: list[tuple[ColumnElement[bool], list[int]]] = [
        (lost, active),
        *((queued, [id_]) for id_ in session.scalars(waiting)),
        *((lost, rounds_) for rounds_ in aside),
        *((queued, rounds_) for rounds_ in aside),
    ]
    for condition, round_ids in looks:
        due = select(Evaluation.submission_id, Evaluation.round_id).where(
            Evaluation.round_id.in_(round_ids), condition
        )
        first = due.order_by(Evaluation.next_try_at, Evaluation.submission_id).limit(1)
        row = session.execute(first.with_for_update(skip_locked=True)).one_or_none()
        if row is not None:
            session.execute(update(Round).where(Round.id == row.round_id).values(served_at=turn))
            return row.submission_id, row.round_id
    return None


def _stands(full: Set[int]) -> ColumnElement[bool]:
    """Select evaluations that may be claimed: no retired round, no full competition."""
    return Evaluation.round_id.in_(
        select(Round.id).where(Round.state != RoundState.RETIRED, Round.competition_id.not_in(full))
    )


def _has(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Select rounds with such an evaluation.

    The first row of an index's range. As an EXISTS, PostgreSQL joined every round with the whole heap of
    another: 200 ms for each claim beside 200,000 waiting files.
    """
    first = (
        select(Evaluation.submission_id)
        .where(Evaluation.round_id == Round.id, condition)
        .order_by(Evaluation.next_try_at, Evaluation.submission_id)
        .limit(1)
    )
    return first.correlate(Round).scalar_subquery().is_not(None)


def is_any_due(session: Session, *, now: datetime, most_workers: int = 0) -> bool:
    """Return whether a worker could claim an evaluation now."""
    full = _full(session, most_workers, now=now)
    due = select(Round.id).where(
        Round.state != RoundState.RETIRED,
        Round.competition_id.not_in(full),
        or_(_has(LEASES.is_queued(now)), _has(LEASES.is_abandoned(now))),
    )
    return session.scalar(due.limit(1)) is not None


def renew(session: Session, claim: Claim, *, lease: timedelta, now: datetime) -> None:
    """Extend the lease.

    LeaseLost if it has expired or another run holds it.
    """
    # An expired lease no longer counts for the cap of workers, so it may not come back.
    LEASES.renew(session, claim, Evaluation.lease_until > now, lease=lease, now=now)
    failpoints.reach("renew.renewed")


def earlier_files(session: Session, claim: Claim, *, limit: int, most_seconds: float) -> list[str]:
    """Return the sha256 of the team's earlier files, newest first.

    Of those scored in the claim's round, without those that took more processor time to read.
    """
    seconds = func.coalesce(Score.provenance["reading_seconds"].as_float(), 0.0)
    team_id = select(Submission.team_id).where(Submission.id == claim.submission_id).scalar_subquery()
    found = (
        select(Submission.sha256)
        .join(Score, and_(Score.submission_id == Submission.id, Score.round_id == claim.round_id))
        .where(Submission.team_id == team_id, Submission.id < claim.submission_id, seconds <= most_seconds)
        .order_by(Submission.id.desc())
        .limit(limit)
    )
    return list(session.scalars(found))


def record_scored(
    session: Session,
    claim: Claim,
    report: Report,
    *,
    now: datetime,
    inputs: ReleaseInputs | None = None,
    se_difference: float | None = None,
) -> None:
    """Write the score, the state and the team's standing.

    LeaseLost if another run has it.

    `inputs` is what `score_release.release_inputs` returned before the ladder's comparison with the team's
    best file; RungMoved if another file has become the best since.
    """
    submission, counts = _lock_for(session, claim)
    failpoints.reach("record.locked")
    fresh = score_release.release_inputs(session, claim.submission_id, claim.round_id)
    if inputs is None:
        inputs = fresh
    elif (inputs.mode, inputs.leader_id, inputs.step) != (fresh.mode, fresh.leader_id, fresh.step):
        raise score_release.RungMoved
    shown = score_release.decide(inputs, report, se_difference=se_difference)
    score_release.climb(session, inputs, shown, submission=submission, round_id=claim.round_id)
    LEASES.finish(session, claim, State.SCORED, now=now)
    failpoints.reach("record.guarded")
    score = Score(
        submission_id=claim.submission_id,
        round_id=claim.round_id,
        public=report.public,
        private=report.private,
        also={name: dict(values) for name, values in report.also.items()},
        shown=shown.public,
        shown_also=shown.also,
        notices=[*(notice.as_dict() for notice in report.notices), *shown.notices],
        provenance=dict(report.provenance),
    )
    session.add(score)
    session.flush()
    _log_outcome(
        session,
        claim,
        submission,
        State.SCORED,
        now,
        public=report.public,
        private=report.private,
        shown=shown.public,
        digest=events.score_digest(score),
    )
    if counts:
        charges.charge_again(session, submission)
        standings.refresh(session, submission.team_id)
    failpoints.reach("record.ranked")


def record_rejected(
    session: Session, claim: Claim, problems: Sequence[Problem], total: int, *, now: datetime
) -> None:
    """Record the problems of a file and refund the upload.

    LeaseLost if another run has it.
    """
    submission, counts = _lock_for(session, claim)
    if counts:
        charges.refund(session, submission)
    failpoints.reach("reject.refunded")
    LEASES.finish(
        session,
        claim,
        State.REJECTED,
        now=now,
        problems=[problem.as_dict() for problem in problems],
        problem_count=total,
    )
    _log_outcome(session, claim, submission, State.REJECTED, now, problems=total)
    failpoints.reach("reject.guarded")


def give_back(session: Session, claim: Claim, fault: str, *, now: datetime, is_away: bool = False) -> State:
    """Queue a failed attempt again.

    After the third one fail, refund, and leave it to the organiser.
    """
    submission, counts = _lock_for(session, claim)
    if counts and claim.attempt >= MAX_ATTEMPTS:
        charges.refund(session, submission)
    failpoints.reach("give_back.refunded")
    pause = AWAY_BACKOFF if is_away else BACKOFF
    state = State(LEASES.give_back(session, claim, fault, pause=pause, now=now))
    if state is State.FAILED:
        _log_outcome(session, claim, submission, State.FAILED, now, fault=fault[-300:])
    failpoints.reach("give_back.guarded")
    return state


def _log_outcome(
    session: Session, claim: Claim, submission: Submission, state: State, now: datetime, **detail: Any
) -> None:
    """Log the outcome as an event.

    Only organisers read events, so they may hold scores.
    """
    events.log(
        session,
        claim.holder[:60],
        f"submission {state.value}",
        f"submission {submission.id}",
        now=now,
        submission=submission.id,
        round=claim.round_id,
        attempt=claim.attempt,
        **detail,
    )


def _lock_for(session: Session, claim: Claim) -> tuple[Submission, bool]:
    """Lock a submission; return it and whether its round is active.

    The competition's lock keeps a rescore from being applied meanwhile. Two files of one team may finish
    together: the team's lock lets the second see the first's score.
    """
    submission = session.get_one(Submission, claim.submission_id)
    _lock_team_of(session, submission)
    state = session.scalar(select(Round.state).where(Round.id == claim.round_id))
    return submission, state == RoundState.ACTIVE


def lock(session: Session, competition_id: int, team_id: int) -> None:
    competitions.hold(session, competition_id)
    session.execute(select(Team.id).where(Team.id == team_id).with_for_update())


def _lock_team_of(session: Session, submission: Submission) -> None:
    """Lock the team that has the submission now: a merge may have moved it since the row was read."""
    competitions.hold(session, submission.competition_id)
    session.refresh(submission)
    session.execute(select(Team.id).where(Team.id == submission.team_id).with_for_update())


def unfinished(
    session: Session, *, now: datetime, hint_after: timedelta, limit: int = 100, most_workers: int = 0
) -> list[int]:
    """Return submissions to send hints for, and mark them as announced.

    Not of a competition that is full: no worker could claim them.
    """
    stands = _stands(_full(session, most_workers, now=now))
    found = LEASES.announce(session, stands, now=now, hint_after=hint_after, limit=limit)
    return list(dict.fromkeys(submission_id for submission_id, _ in found))


def follow_clock(session: Session, *, lease: timedelta, now: datetime) -> int:
    """Shorten waits that a clock set back has made too long."""
    moved = LEASES.follow_clock(session, lease=lease, now=now)
    session.execute(
        update(Evaluation)
        .where(Evaluation.state == State.RUNNING, Evaluation.started_at > now + CLOCK_SLACK)
        .values(started_at=now)
    )
    return moved


def fail_exhausted(session: Session, *, now: datetime) -> list[int]:
    """Fail evaluations whose last attempt expired, and refund them.

    Return their submissions.
    """
    candidates = session.execute(
        select(Submission, Evaluation.round_id, Round.state)
        .join(Evaluation, Evaluation.submission_id == Submission.id)
        .join(Round, Round.id == Evaluation.round_id)
        .where(Round.state != RoundState.RETIRED, LEASES.is_exhausted(now))
        .limit(100)
    ).all()
    failed: list[int] = []
    for submission, round_id, round_state in candidates:
        _lock_team_of(session, submission)
        if not LEASES.fail_exhausted(session, (submission.id, round_id), now=now):
            continue
        failpoints.reach("fail.guarded")
        if round_state == RoundState.ACTIVE:
            charges.refund(session, submission)
        events.log(
            session,
            "sweeper",
            "submission failed",
            f"submission {submission.id}",
            now=now,
            submission=submission.id,
            round=round_id,
            attempt=MAX_ATTEMPTS,
            fault="silent",
        )
        failpoints.reach("fail.refunded")
        failed.append(submission.id)
    return failed


def expire(session: Session, holder: str, *, now: datetime) -> int:
    """End a dead worker's or work-horse's leases; return how many."""
    hit = LEASES.expire(session, holder, now=now)
    failpoints.reach("release.released")
    return hit


def retry(session: Session, competition: Competition, submission_id: int, *, now: datetime) -> None:
    """Queue a failed submission again with three new attempts.

    Its upload stays refunded until it is scored.
    """
    hit = session.scalars(
        update(Evaluation)
        .where(
            Evaluation.submission_id == submission_id,
            Evaluation.state == State.FAILED,
            Evaluation.submission_id.in_(
                select(Submission.id).where(Submission.competition_id == competition.id)
            ),
            Evaluation.round_id.in_(select(Round.id).where(Round.state != RoundState.RETIRED)),
        )
        .values(state=State.QUEUED, attempt=0, next_try_at=now, hinted_at=now, finished_at=None)
        .returning(Evaluation.submission_id)
    ).all()
    if not hit:
        raise Conflict("Only a failed submission can be tried again.")


def cancel(
    session: Session, submission: Submission, problems: Sequence[dict[str, Any]], *, now: datetime
) -> None:
    """Reject a submission that waits in every round; refuse one that a worker has claimed or finished."""
    rounds = select(Round.id).where(
        Round.competition_id == submission.competition_id, Round.state != RoundState.RETIRED
    )
    mine = Evaluation.submission_id == submission.id, Evaluation.round_id.in_(rounds)
    # One statement: an evaluation that a worker claims meanwhile is waited for, and is then no longer queued.
    cancelled = session.scalars(
        update(Evaluation)
        .where(*mine, Evaluation.state == State.QUEUED)
        .values(state=State.REJECTED, problems=list(problems), problem_count=len(problems), finished_at=now)
        .returning(Evaluation.round_id)
    ).all()
    if len(cancelled) < (session.scalar(select(func.count()).select_from(Evaluation).where(*mine)) or 0):
        raise Conflict(
            f"Submission {submission.id} is being scored or has its result; "
            "only one that waits can be cancelled."
        )

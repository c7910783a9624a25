"""An evaluation's life: one submission scored under one round. The only code that moves its state.

        enqueue                 claim                       record_scored
    ─────────────►  queued  ─────────────►  running  ─────────────────────►  scored
                     ▲  ▲                    │ │ └──── record_rejected ────►  rejected  (the file is wrong; refunded)
      give_back ─────┘  └── lease ran out ───┘ └────── third failure ──────►  failed    (our fault; refunded; `retry`)

The row is the truth and the queue only a hint. Whoever claims gets a token, and only the holder of
the token may record: a run that was slow, stopped or doubled finds its token gone and writes
nothing. `now` is always the database's clock, read inside the same transaction.
Locks are taken in one order everywhere: competition, team, quota, submission, evaluation.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from app.base import events, failpoints
from app.base.errors import Conflict
from app.base.models import (
    ChallengeVersion,
    Competition,
    Evaluation,
    Quota,
    Round,
    RoundState,
    Score,
    State,
    Submission,
    Team,
)
from app.competing import leaderboard, shown_scores

if TYPE_CHECKING:
    from app.competing.shown_scores import Terms
    from scorer.report import Problem, Report

MAX_ATTEMPTS = 3
BACKOFF = timedelta(seconds=5)
AWAY_BACKOFF = timedelta(seconds=30)
"""Where storage, the vault or the machine has no answer: three attempts then span what a restart of those takes."""
CLOCK_SLACK = timedelta(minutes=1)
"""What lies further ahead of now than the rules allow, and this, was written before the clock was set back."""
CLAIM_LOCK = 0x434C4149
"""Any fixed number. Where competitions have a cap, claims are made one after the other: taken before any other lock."""


@dataclass(frozen=True)
class Claim:
    """One evaluation that this run, and no other, may finish."""

    submission_id: int
    round_id: int
    attempt: int
    token: str
    digest: str
    """Of the challenge version to score under."""
    sha256: str


class Fenced(Exception):
    """The lease is gone: another run has taken this evaluation over, so nothing was written."""


# -- queueing and scoring ----------------------------------------------------------------------


def enqueue(session: Session, submission: Submission, *, place: datetime, now: datetime) -> None:
    """One evaluation for the active round and one for a draft, if one is at work; `place` orders them in the queue."""
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
    """Where competitions have a cap, wait until nobody else claims; then read the clock, and `claim`."""
    if most_workers and session.get_bind().dialect.name != "sqlite":  # where whoever writes is alone anyhow
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CLAIM_LOCK})


def claim(
    session: Session, worker: str, *, lease: timedelta, now: datetime, most_workers: int = 0
) -> Claim | None:
    """Take the next evaluation under a new lease; None if none waits.

    Competitions take turns, and within one a team with a single waiting file comes before others' second. One
    that holds `most_workers` already is passed over (0: none is), for which it must be this one's turn (`take_turn`).
    """
    row = _next_due(session, now=now, full=_full(session, most_workers, now=now))
    if row is None:
        return None
    failpoints.reach("claim.found")
    token = f"{worker}:{secrets.token_hex(8)}"
    attempt = session.scalar(
        update(Evaluation)
        .where(Evaluation.submission_id == row[0], Evaluation.round_id == row[1])
        .values(
            state=State.RUNNING,
            lease_token=token,
            lease_until=now + lease,
            attempt=Evaluation.attempt + 1,
            started_at=now,
        )
        .returning(Evaluation.attempt)
    )
    assert attempt is not None, "the row was locked by _next_due"
    digest, sha256 = session.execute(
        select(ChallengeVersion.digest, Submission.sha256)
        .select_from(Submission)
        .join(Round, Round.id == row[1])
        .join(ChallengeVersion, ChallengeVersion.id == Round.version_id)
        .where(Submission.id == row[0])
    ).one()
    failpoints.reach("claim.taken")
    return Claim(row[0], row[1], attempt, token, digest, sha256)


def _full(session: Session, most_workers: int, *, now: datetime) -> set[int]:
    """The competitions that hold as many workers as one may. What is not renewed counts no longer, so that dead
    workers fill no place. One look at what runs, which is as much as there are workers."""
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
    """The next submission and round to score, locked; of no competition that is full.

    First what a dead worker left, then what people wait for, the competition first that was served longest
    ago, then what is scored anew aside. Each look follows an index: with one ORDER BY over all of them a
    rescore of 200,000 files took half a second for every single claim.
    """
    queued, lost = _is_due(now), _is_lost(now)
    rounds = session.execute(
        select(Round.id, Round.state, Round.served_at, Round.competition_id)
        .where(Round.state != RoundState.RETIRED)
        .order_by(Round.served_at.asc().nulls_first(), Round.id)
    ).all()
    open_ = [(row.id, row.state) for row in rounds if row.competition_id not in full]
    active = [id_ for id_, state in open_ if state == RoundState.ACTIVE]
    aside = [[id_] for id_, state in open_ if state in (RoundState.DRAFT, RoundState.REPEAT)]
    # After every other's turn, even at one moment: after a clock that was set back by an hour, one
    # competition would have been passed over for that hour.
    last = rounds[-1].served_at if rounds else None
    turn = now if last is None else max(now, last + timedelta(microseconds=1))
    waiting = (
        select(Round.id)
        .where(Round.state == RoundState.ACTIVE, Round.competition_id.not_in(full), _has(*queued))
        .order_by(Round.served_at.asc().nulls_first(), Round.id)
    )
    looks: list[tuple[tuple[Any, ...], list[int]]] = [
        (lost, active),
        *((queued, [id_]) for id_ in session.scalars(waiting)),
        *((lost, rounds_) for rounds_ in aside),
        *((queued, rounds_) for rounds_ in aside),
    ]
    for conditions, round_ids in looks:
        due = select(Evaluation.submission_id, Evaluation.round_id).where(
            Evaluation.round_id.in_(round_ids), *conditions
        )
        first = due.order_by(Evaluation.next_try_at, Evaluation.submission_id).limit(1)
        row = session.execute(first.with_for_update(skip_locked=True)).one_or_none()
        if row is not None:
            session.execute(update(Round).where(Round.id == row.round_id).values(served_at=turn))
            return row.submission_id, row.round_id
    return None


def _is_due(now: datetime) -> tuple[Any, ...]:
    """Waits, and may be taken: at once, or once the pause after a failed attempt is over."""
    return (Evaluation.state == State.QUEUED, or_(Evaluation.attempt == 0, Evaluation.next_try_at <= now))


def _is_lost(now: datetime) -> tuple[Any, ...]:
    """Its worker went silent, and it may be tried again."""
    return (
        Evaluation.state == State.RUNNING,
        Evaluation.lease_until < now,
        Evaluation.attempt < MAX_ATTEMPTS,
    )


def _stands(full: Set[int]) -> ColumnElement[bool]:
    """Of a round that counts or may come to, and not of a competition that is full. Retired ones of older versions
    hold rows that nobody will ever finish."""
    return Evaluation.round_id.in_(
        select(Round.id).where(Round.state != RoundState.RETIRED, Round.competition_id.not_in(full))
    )


def _has(*conditions: Any) -> ColumnElement[bool]:
    """Whether the round at hand has such an evaluation: the first of an index's range. As an EXISTS, PostgreSQL joined
    every round with the whole heap of another, 200 ms for each claim beside 200,000 waiting files."""
    first = (
        select(Evaluation.submission_id)
        .where(Evaluation.round_id == Round.id, *conditions)
        .order_by(Evaluation.next_try_at, Evaluation.submission_id)
        .limit(1)
    )
    return first.correlate(Round).scalar_subquery().is_not(None)


def is_any_due(session: Session, *, now: datetime, most_workers: int = 0) -> bool:
    """Whether a worker that looks now would find something; for those who poll."""
    full = _full(session, most_workers, now=now)
    due = select(Round.id).where(
        Round.state != RoundState.RETIRED,
        Round.competition_id.not_in(full),
        or_(_has(*_is_due(now)), _has(*_is_lost(now))),
    )
    return session.scalar(due.limit(1)) is not None


def renew(session: Session, claim: Claim, *, lease: timedelta, now: datetime) -> None:
    """Say that the run still lives; Fenced if it has lost its evaluation."""
    _guarded(session, claim, {"lease_until": now + lease}, Evaluation.lease_until > now)
    failpoints.reach("renew.renewed")


def earlier_files(session: Session, claim: Claim, *, limit: int) -> list[str]:
    """The sha256 of the team's latest files that were scored under the claim's round before this one, newest first."""
    team_id = select(Submission.team_id).where(Submission.id == claim.submission_id).scalar_subquery()
    found = (
        select(Submission.sha256)
        .join(Score, and_(Score.submission_id == Submission.id, Score.round_id == claim.round_id))
        .where(Submission.team_id == team_id, Submission.id < claim.submission_id)
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
    terms: Terms | None = None,
    se_difference: float | None = None,
) -> None:
    """The score, the state and the team's standing, all or nothing; Fenced if the lease is gone.

    `terms` are what `releases.terms` said before, where the ladder needed a comparison with the team's
    best file so far; RungMoved if another file has become that since.
    """
    submission, counts = _lock_for(session, claim)
    failpoints.reach("record.locked")
    fresh = shown_scores.terms(session, claim.submission_id, claim.round_id)
    if terms is None:
        terms = fresh
    elif (terms.mode, terms.leader_id, terms.step) != (fresh.mode, fresh.leader_id, fresh.step):
        raise shown_scores.RungMoved
    shown = shown_scores.decide(terms, report, se_difference=se_difference)
    shown_scores.climb(session, terms, shown, submission=submission, round_id=claim.round_id)
    done = {
        "state": State.SCORED,
        "lease_token": None,
        "lease_until": None,
        "finished_at": now,
        "fault": None,
    }
    _guarded(session, claim, done)
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
        leaderboard.refresh(session, submission.team_id)
    failpoints.reach("record.ranked")


def record_rejected(
    session: Session, claim: Claim, problems: Sequence[Problem], total: int, *, now: datetime
) -> None:
    """The file is wrong: every problem is kept for the participant and the upload is given back."""
    submission, counts = _lock_for(session, claim)
    if counts:
        refund(session, submission)
    failpoints.reach("reject.refunded")
    done = {
        "state": State.REJECTED,
        "problems": [problem.as_dict() for problem in problems],
        "problem_count": total,
        "lease_token": None,
        "lease_until": None,
        "finished_at": now,
        "fault": None,
    }
    _guarded(session, claim, done)
    _log_outcome(session, claim, submission, State.REJECTED, now, problems=total)
    failpoints.reach("reject.guarded")


def give_back(session: Session, claim: Claim, fault: str, *, now: datetime, is_away: bool = False) -> State:
    """An attempt failed for a reason of ours: try again soon, or after the third time tell the organiser."""
    submission, counts = _lock_for(session, claim)
    again = claim.attempt < MAX_ATTEMPTS
    if counts and not again:
        refund(session, submission)
    failpoints.reach("give_back.refunded")
    _guarded(
        session,
        claim,
        {
            "state": State.QUEUED if again else State.FAILED,
            "next_try_at": now + (AWAY_BACKOFF if is_away else BACKOFF) * claim.attempt,
            "hinted_at": None,
            "lease_token": None,
            "lease_until": None,
            "finished_at": None if again else now,
            "fault": fault[:4000],
        },
    )
    if not again:
        _log_outcome(session, claim, submission, State.FAILED, now, fault=fault[-300:])
    failpoints.reach("give_back.guarded")
    return State.QUEUED if again else State.FAILED


def _log_outcome(
    session: Session, claim: Claim, submission: Submission, state: State, now: datetime, **detail: Any
) -> None:
    """Into the sealed log; organisers only ever see it, so numbers may stand in it."""
    events.log(
        session,
        claim.token.rsplit(":", 1)[0][:60],
        f"submission {state.value}",
        f"submission {submission.id}",
        now=now,
        submission=submission.id,
        round=claim.round_id,
        attempt=claim.attempt,
        **detail,
    )


def _lock_for(session: Session, claim: Claim) -> tuple[Submission, bool]:
    """The submission, and whether its round is the one that counts; both hold until the transaction ends.

    The competition's lock keeps a rescore from taking over meanwhile. Two files of one team may finish
    together: the team's lock lets the second see the first's score.
    """
    submission = session.get_one(Submission, claim.submission_id)
    lock(session, submission.competition_id, submission.team_id)
    state = session.scalar(select(Round.state).where(Round.id == claim.round_id))
    return submission, state == RoundState.ACTIVE


def lock(session: Session, competition_id: int, team_id: int) -> None:
    session.execute(select(Competition.id).where(Competition.id == competition_id).with_for_update(read=True))
    session.execute(select(Team.id).where(Team.id == team_id).with_for_update())


def _guarded(session: Session, claim: Claim, values: Mapping[str, Any], *more: Any) -> None:
    held = session.execute(
        update(Evaluation)
        .where(
            Evaluation.submission_id == claim.submission_id,
            Evaluation.round_id == claim.round_id,
            Evaluation.state == State.RUNNING,
            Evaluation.lease_token == claim.token,
            *more,
        )
        .values(**values)
        .returning(Evaluation.submission_id)
    ).one_or_none()
    if held is None:
        raise Fenced(f"submission {claim.submission_id}, attempt {claim.attempt}")


def refund(session: Session, submission: Submission) -> None:
    """Give the upload back to its team's day, once."""
    charged = session.execute(
        update(Submission)
        .where(Submission.id == submission.id, Submission.is_charged)
        .values(is_charged=False)
        .returning(Submission.team_id, Submission.day)
    ).one_or_none()
    if charged is not None:
        session.execute(
            update(Quota)
            .where(Quota.team_id == charged.team_id, Quota.day == charged.day)
            .values(used=Quota.used - 1)
        )


# -- sweeping ----------------------------------------------------------------------------------


def unfinished(
    session: Session, *, now: datetime, hint_after: timedelta, limit: int = 100, most_workers: int = 0
) -> list[int]:
    """Submissions whose work is due and was not announced lately; marks them as announced. Not of a competition
    that is full: nobody would find them.

    One hint for each in `hint_after`: a sweeper that announced everything each time was measured to
    flood the queue with jobs that find nothing to do.
    """
    unannounced = or_(
        Evaluation.hinted_at.is_(None),
        Evaluation.hinted_at < now - hint_after,
        Evaluation.hinted_at > now + CLOCK_SLACK,
    )
    stands = _stands(_full(session, most_workers, now=now))
    found: list[tuple[int, int]] = []
    for due in ((Evaluation.state == State.RUNNING, Evaluation.lease_until < now), _is_due(now)):
        rows = session.execute(
            select(Evaluation.submission_id, Evaluation.round_id)
            .where(stands, *due, unannounced)
            .order_by(Evaluation.next_try_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        found += [(row.submission_id, row.round_id) for row in rows]
    if found:
        session.execute(
            update(Evaluation), [{"submission_id": s, "round_id": r, "hinted_at": now} for s, r in found]
        )
    return list(dict.fromkeys(submission_id for submission_id, _ in found))


def follow_clock(session: Session, *, lease: timedelta, now: datetime) -> int:
    """After the clock was set back: what was begun or put off in a future that has yet to come; how many.

    A dead run's lease and a pause after a failure would otherwise last until the clock is there again. A run
    that lives renews the lease that it is given here.
    """
    begun = session.scalars(
        update(Evaluation)
        .where(Evaluation.state == State.RUNNING, Evaluation.started_at > now + CLOCK_SLACK)
        .values(started_at=now, lease_until=now + max(lease, CLOCK_SLACK))
        .returning(Evaluation.submission_id)
    ).all()
    put_off = session.scalars(
        update(Evaluation)
        .where(
            Evaluation.state == State.QUEUED,
            Evaluation.next_try_at > now + AWAY_BACKOFF * MAX_ATTEMPTS + CLOCK_SLACK,
            Evaluation.attempt > 0,
        )
        .values(next_try_at=now)
        .returning(Evaluation.submission_id)
    ).all()
    return len(begun) + len(put_off)


def fail_exhausted(session: Session, *, now: datetime) -> list[int]:
    """Evaluations whose last attempt went silent: visible to the organiser, given back to the team."""
    lost = Evaluation.state == State.RUNNING, Evaluation.lease_until < now, Evaluation.attempt >= MAX_ATTEMPTS
    candidates = session.execute(
        select(Submission, Evaluation.round_id, Round.state)
        .join(Evaluation, Evaluation.submission_id == Submission.id)
        .join(Round, Round.id == Evaluation.round_id)
        .where(Round.state != RoundState.RETIRED, *lost)
        .limit(100)
    ).all()
    failed: list[int] = []
    for submission, round_id, round_state in candidates:
        lock(session, submission.competition_id, submission.team_id)
        hit = session.scalar(
            update(Evaluation)
            .where(Evaluation.submission_id == submission.id, Evaluation.round_id == round_id, *lost)
            .values(
                state=State.FAILED,
                lease_token=None,
                lease_until=None,
                finished_at=now,
                fault=f"Its worker died or went silent {MAX_ATTEMPTS} times.",
            )
            .returning(Evaluation.submission_id)
        )
        if hit is not None:
            failpoints.reach("fail.guarded")
            if round_state == RoundState.ACTIVE:
                refund(session, submission)
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


def release(session: Session, holder: str, *, now: datetime) -> int:
    """A holder of leases is known to be dead: end them at once instead of waiting for them to run out.

    `holder` is a worker's HOST/PID or one work-horse's HOST/PID/PID. The last attempt is left to
    `fail_exhausted`, which the ended lease makes due.
    """
    prefix = Evaluation.lease_token.startswith
    hit = session.scalars(
        update(Evaluation)
        .where(
            Evaluation.state == State.RUNNING,
            or_(prefix(f"{holder}:", autoescape=True), prefix(f"{holder}/", autoescape=True)),
        )
        .values(lease_until=now - timedelta(milliseconds=1), hinted_at=None)
        .returning(Evaluation.submission_id)
    ).all()
    failpoints.reach("release.released")
    return len(hit)


def holders(session: Session, prefix: str) -> set[str]:
    """The work-horses, HOST/PID/PID, that hold a lease and whose name begins with the prefix."""
    tokens = session.scalars(
        select(Evaluation.lease_token).where(
            Evaluation.state == State.RUNNING, Evaluation.lease_token.startswith(prefix, autoescape=True)
        )
    )
    return {token.rsplit(":", 1)[0] for token in tokens if token is not None}


# -- people ------------------------------------------------------------------------------------


def retry(session: Session, competition: Competition, submission_id: int, *, now: datetime) -> None:
    """An organiser sends a failed submission round again, with three new attempts."""
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


def place_in_queue(session: Session, submission_id: int) -> int | None:
    """1 for the next to be scored; None if it is not waiting."""
    mine = session.execute(
        select(Evaluation.next_try_at)
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state == RoundState.ACTIVE))
        .where(Evaluation.submission_id == submission_id, Evaluation.state == State.QUEUED)
    ).scalar_one_or_none()
    if mine is None:
        return None
    other = aliased(Evaluation)
    ahead = session.scalar(
        select(func.count())
        .select_from(other)
        .join(Round, and_(Round.id == other.round_id, Round.state == RoundState.ACTIVE))
        .where(
            other.state == State.QUEUED,
            or_(
                other.next_try_at < mine, and_(other.next_try_at == mine, other.submission_id < submission_id)
            ),
        )
    )
    return (ahead or 0) + 1


def state_counts(
    session: Session, competition: Competition | None = None, round_state: RoundState = RoundState.ACTIVE
) -> dict[State, int]:
    """How many evaluations of active rounds (or drafts) are in each state; of all competitions, or of one."""
    query = (
        select(Evaluation.state, func.count())
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state == round_state))
        .group_by(Evaluation.state)
    )
    if competition is not None:
        query = query.where(Round.competition_id == competition.id)
    counts = {State(state): count for state, count in session.execute(query)}
    return {state: counts.get(state, 0) for state in State}

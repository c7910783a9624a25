"""A submission's whole life. The only code that moves an evaluation's state.

        accept                  claim                       record_scored
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from app import events, extensions, leaderboard, points, releases, teams
from app.errors import Closed, Conflict, Forbidden, NotFound, QuotaExhausted, Refused
from app.models import (
    ChallengeVersion,
    Competition,
    Evaluation,
    FinalPick,
    Membership,
    Phase,
    Quota,
    Round,
    RoundState,
    Score,
    State,
    Submission,
    Team,
    TrainFile,
)
from app.storage import Blob

if TYPE_CHECKING:
    from app.accounts import Viewer
    from app.releases import Terms
    from scorer.report import Problem, Report

MAX_ATTEMPTS = 3
BACKOFF = timedelta(seconds=5)
BEHIND_OTHERS = timedelta(seconds=20)
"""A team's second waiting file stands in the queue as though it had come so much later, its third twice so."""
MAX_MESSAGE_LENGTH = 500
CLOCK_SLACK = timedelta(minutes=1)
"""What lies further ahead of now than the rules allow, and this, was written before the clock was set back."""


@dataclass(frozen=True)
class Receipt:
    """What the participant holds in hand: it is stored, it counts once, it will end with an answer."""

    id: int
    sha256: str
    size_bytes: int
    received_at: datetime
    team_id: int
    remaining_today: int
    is_replay: bool = False


@dataclass(frozen=True)
class Allowance:
    """What a team may still send today."""

    limit: int
    used: int
    pending: int
    pending_limit: int
    resets_at: datetime
    timezone: str
    total_limit: int | None
    """Over the whole competition; None for no cap."""
    total_used: int
    closes_at: datetime | None
    """For this team, which may have been granted more time than others."""

    @property
    def remaining(self) -> int:
        today = max(0, self.limit - self.used)
        return today if self.total_limit is None else max(0, min(today, self.total_limit - self.total_used))


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


# -- accepting ---------------------------------------------------------------------------------


def accept(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    blob: Blob,
    *,
    filename: str,
    message: str,
    received_at: datetime,
    now: datetime,
    idempotency_key: str | None = None,
    most_bytes: int = 0,
) -> Receipt:
    """Take one upload in, or refuse it with the reason; everything in the caller's one transaction.

    `received_at` is when the request began, before its body was read: that decides whether it was in
    time. A repeated `idempotency_key` gives the first receipt again and costs nothing. `most_bytes` is what
    all files of a team may take; 0 for no limit.
    """
    # The lock keeps a deadline or a new round from changing between this check and the commit.
    competition = session.scalars(
        select(Competition)
        .where(Competition.id == competition.id)
        .with_for_update(read=True, of=Competition)
        .execution_options(populate_existing=True)
    ).one()
    team = session.scalar(
        select(Team)
        .join(Membership, Membership.team_id == Team.id)
        .where(Membership.competition_id == competition.id, Membership.user_id == viewer.id)
        .with_for_update(of=Team)
    )
    if team is None:
        raise Forbidden(f"Join {competition.title} before submitting to it.")
    if idempotency_key is not None:
        earlier = _receipt_of(session, competition, team, viewer.id, idempotency_key, blob, now=now)
        if earlier is not None:
            return earlier
    _refuse_disqualified(team)
    terms = extensions.terms(session, competition, team)
    _refuse_out_of_time(competition, terms, received_at=received_at, now=now)
    if len(message) > MAX_MESSAGE_LENGTH:
        raise Refused(
            f"The message is {len(message)} characters long; at most {MAX_MESSAGE_LENGTH} are kept."
        )
    pending = _refuse_too_many_pending(session, competition, team)
    _refuse_too_many_rejected(session, competition, team, received_at)
    _refuse_beyond_total(session, terms, team)
    refuse_beyond_room(session, team.id, blob.size_bytes, most_bytes=most_bytes)
    remaining = _charge(session, competition, terms, team, received_at)
    points.reach("accept.charged")
    try:
        with session.begin_nested():
            submission = _insert(
                session,
                competition,
                team,
                blob,
                user_id=viewer.id,
                filename=filename,
                message=message,
                received_at=received_at,
                now=now,
                place=now + pending * BEHIND_OTHERS,
                is_charged=True,
                idempotency_key=idempotency_key,
            )
    except IntegrityError:
        # The same key in another competition, or at the same moment: the caller's rollback undoes the charge.
        raise Conflict("This Idempotency-Key was already used for another upload; use a new one.") from None
    events.log(
        session, viewer.name, "submission accepted", f"submission {submission.id}", now=now,
        submission=submission.id, competition=competition.slug, team=team.id, sha256=blob.sha256, received_at=received_at.isoformat(),
    )  # fmt: skip
    points.reach("accept.inserted")
    return Receipt(submission.id, blob.sha256, blob.size_bytes, received_at, team.id, remaining)


def admit(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    *,
    received_at: datetime,
    idempotency_key: str | None = None,
) -> str | None:
    """The refusals of `accept` that need no file, so that a hopeless upload is not read at all.

    It reserves nothing: `accept` decides, once the file is here. For an `idempotency_key` that is known
    it returns the sha256 of that upload: only the very same file can be a repetition worth keeping.
    """
    if idempotency_key is not None and (known := _known_upload(session, viewer.id, idempotency_key)):
        return known
    team = teams.of(session, competition, viewer.id)
    if team is None:
        raise Forbidden(f"Join {competition.title} before submitting to it.")
    _refuse_disqualified(team)
    terms = extensions.terms(session, competition, team)
    _refuse_out_of_time(competition, terms, received_at=received_at, now=received_at)
    _refuse_too_many_pending(session, competition, team)
    _refuse_too_many_rejected(session, competition, team, received_at)
    _refuse_beyond_total(session, terms, team)
    if allowance(session, competition, team, now=received_at).remaining == 0:
        raise _all_used(competition, terms, received_at)
    return None


def post_baseline(
    session: Session,
    competition: Competition,
    team: Team,
    blob: Blob,
    *,
    filename: str,
    message: str,
    now: datetime,
) -> int | None:
    """Queue an organiser's baseline like anybody's file, without quota; None if the team already sent this file."""
    same = Submission.team_id == team.id, Submission.sha256 == blob.sha256
    if session.scalar(select(Submission.id).where(*same).limit(1)) is not None:
        return None
    submission = _insert(
        session,
        competition,
        team,
        blob,
        user_id=None,
        filename=filename,
        message=message,
        received_at=now,
        now=now,
        place=now,
        is_charged=False,
        idempotency_key=None,
    )
    return submission.id


def allowance(session: Session, competition: Competition, team: Team, *, now: datetime) -> Allowance:
    day = competition.day(now)
    terms = extensions.terms(session, competition, team)
    used = session.scalar(select(Quota.used).where(Quota.team_id == team.id, Quota.day == day)) or 0
    return Allowance(
        limit=terms.daily_limit,
        used=used,
        pending=_pending_count(session, team),
        pending_limit=competition.pending_limit,
        resets_at=_midnight_after(competition, now),
        timezone=competition.timezone,
        total_limit=terms.total_limit,
        total_used=0 if terms.total_limit is None else _charged_count(session, team),
        closes_at=terms.closes_at,
    )


def _receipt_of(
    session: Session,
    competition: Competition,
    team: Team,
    user_id: int,
    key: str,
    blob: Blob,
    *,
    now: datetime,
) -> Receipt | None:
    found = session.scalar(
        select(Submission).where(Submission.user_id == user_id, Submission.idempotency_key == key)
    )
    if found is None:
        return None
    if (found.sha256, found.competition_id) != (blob.sha256, competition.id):
        raise Conflict("This Idempotency-Key was already used for another upload; use a new one.")
    remaining = allowance(session, competition, team, now=now).remaining
    return Receipt(
        found.id, found.sha256, found.size_bytes, found.received_at, found.team_id, remaining, is_replay=True
    )


def _known_upload(session: Session, user_id: int, key: str) -> str | None:
    """The sha256 of what this user sent with this key before."""
    known = select(Submission.sha256).where(Submission.user_id == user_id, Submission.idempotency_key == key)
    return session.scalar(known)


def _refuse_disqualified(team: Team) -> None:
    if team.disqualified_at is not None:
        raise Forbidden(f"The organiser has disqualified your team: {team.disqualified_why}")


def _refuse_out_of_time(
    competition: Competition, terms: extensions.Terms, *, received_at: datetime, now: datetime
) -> None:
    phase = terms.phase(competition, received_at)
    if phase is Phase.UPCOMING:
        raise Closed(f"{competition.title} opens on {_words(competition, competition.opens_at)}.")
    if phase is Phase.CLOSED or _is_too_late(competition, terms, now):
        assert terms.closes_at is not None
        for_you = "" if terms.closes_at == competition.closes_at else " for your team"
        raise Closed(f"{competition.title} closed{for_you} on {_words(competition, terms.closes_at)}.")
    if competition.is_paused:
        raise Closed(f"{competition.title} takes no submissions just now: the organiser has paused it.")


def _is_too_late(competition: Competition, terms: extensions.Terms, now: datetime) -> bool:
    """A body begun in time has the grace to arrive in, and no more."""
    grace = timedelta(seconds=competition.grace_seconds)
    return terms.closes_at is not None and now >= terms.closes_at + grace


def _refuse_too_many_pending(session: Session, competition: Competition, team: Team) -> int:
    """How many of the team's files wait, if one more may."""
    # Counting is safe here: the team's row is locked, so no second upload of theirs counts beside us.
    pending = _pending_count(session, team)
    if pending >= competition.pending_limit:
        raise QuotaExhausted(
            f"{pending} of your submissions are still waiting for a score, and {competition.pending_limit} may wait "
            "at a time. Please wait for one of them to finish."
        )
    return pending


def _pending_count(session: Session, team: Team) -> int:
    waiting = (
        select(func.count())
        .select_from(Evaluation)
        .join(Submission, Submission.id == Evaluation.submission_id)
        .join(Round, Round.id == Evaluation.round_id)
        .where(
            Submission.team_id == team.id,
            Round.state == RoundState.ACTIVE,
            Evaluation.state.in_((State.QUEUED, State.RUNNING)),
        )
    )
    return session.scalar(waiting) or 0


def _refuse_too_many_rejected(
    session: Session, competition: Competition, team: Team, received_at: datetime
) -> None:
    rejected = session.scalar(
        select(func.count())
        .select_from(Submission)
        .join(Evaluation, Evaluation.submission_id == Submission.id)
        .join(Round, Round.id == Evaluation.round_id)
        .where(
            Submission.team_id == team.id,
            Submission.day == competition.day(received_at),
            Round.state == RoundState.ACTIVE,
            Evaluation.state == State.REJECTED,
        )
    )
    if (rejected or 0) >= competition.rejected_limit:
        raise QuotaExhausted(
            f"{rejected} of your files were rejected today, which is the limit; your submissions page lists every "
            f"problem of each. The next can be sent {_reset_words(competition, received_at)}."
        )


def _refuse_beyond_total(session: Session, terms: extensions.Terms, team: Team) -> None:
    limit = terms.total_limit
    if limit is not None and (charged := _charged_count(session, team)) >= limit:
        raise QuotaExhausted(
            f"Your team has used all {limit} submissions that a team has for the whole competition"
            f"{f' ({charged} count)' if charged > limit else ''}."
        )


def refuse_beyond_room(session: Session, team_id: int, adding_bytes: int, *, most_bytes: int) -> None:
    """What a team has sent is kept whatever came of it, so it all takes room; a file sent twice counts twice.
    Safe to compare while the team's row is locked."""
    if not most_bytes:
        return
    sent = select(func.sum(Submission.size_bytes)).where(Submission.team_id == team_id)
    beside = (
        select(func.sum(TrainFile.size_bytes))
        .join(Submission, Submission.id == TrainFile.submission_id)
        .where(Submission.team_id == team_id)
    )
    taken = int(session.scalar(sent) or 0) + int(session.scalar(beside) or 0)
    if taken + adding_bytes > most_bytes:
        raise QuotaExhausted(
            f"Your team's files take {taken / 1e6:.1f} MB here, and a team may have {most_bytes / 1e6:g} MB in a "
            f"competition: this one of {adding_bytes / 1e6:.1f} MB has no room. Send it compressed (.csv.gz), or ask "
            "the organiser for more."
        )


def _charged_count(session: Session, team: Team) -> int:
    """Files of the team that count, over the whole run. Safe to compare while the team's row is locked."""
    charged = (
        select(func.count())
        .select_from(Submission)
        .where(Submission.team_id == team.id, Submission.is_charged)
    )
    return session.scalar(charged) or 0


def _charge(
    session: Session, competition: Competition, terms: extensions.Terms, team: Team, received_at: datetime
) -> int:
    """Take one of today's uploads in a single guarded UPDATE: counting first and inserting then lets
    two tabs both take the last one (measured: 12 accepted of a limit of 5)."""
    day = competition.day(received_at)
    limit = terms.daily_limit
    make = _insert_or_ignore(session, Quota).values(team_id=team.id, day=day, used=0, lim=limit)
    session.execute(make.on_conflict_do_nothing())
    mine = Quota.team_id == team.id, Quota.day == day
    # An organiser may have changed the limit since the row was made, but never below what is used.
    session.execute(update(Quota).where(*mine, Quota.lim != limit, Quota.used <= limit).values(lim=limit))
    used: int | None = session.scalar(
        update(Quota)
        .where(*mine, Quota.used < Quota.lim, Quota.used < limit)
        .values(used=Quota.used + 1)
        .returning(Quota.used)
    )
    if used is None:
        raise _all_used(competition, terms, received_at)
    if terms.total_limit is None:
        return limit - used
    return min(limit - used, terms.total_limit - _charged_count(session, team) - 1)


def _all_used(competition: Competition, terms: extensions.Terms, received_at: datetime) -> QuotaExhausted:
    return QuotaExhausted(
        f"All {terms.daily_limit} submissions of today are used. "
        f"The next can be sent {_reset_words(competition, received_at)}."
    )


def _insert(
    session: Session,
    competition: Competition,
    team: Team,
    blob: Blob,
    *,
    user_id: int | None,
    filename: str,
    message: str,
    received_at: datetime,
    now: datetime,
    place: datetime,
    is_charged: bool,
    idempotency_key: str | None,
) -> Submission:
    """The submission and one queued evaluation for the active round and for a draft, if one is at work."""
    submission = Submission(
        competition_id=competition.id,
        team_id=team.id,
        user_id=user_id,
        received_at=received_at,
        day=competition.day(received_at),
        filename=_safe_filename(filename),
        message=" ".join("".join(c if c.isprintable() else " " for c in message).split()),
        sha256=blob.sha256,
        size_bytes=blob.size_bytes,
        idempotency_key=idempotency_key,
        is_charged=is_charged,
    )
    session.add(submission)
    session.flush()
    current = Round.competition_id == competition.id, Round.state.in_((RoundState.ACTIVE, RoundState.DRAFT))
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
    return submission


# -- scoring -----------------------------------------------------------------------------------


def claim(session: Session, worker: str, *, lease: timedelta, now: datetime) -> Claim | None:
    """Take the next evaluation under a new lease; None if none waits.

    Competitions take turns, and within one a team with a single waiting file comes before others' second.
    """
    row = _next_due(session, now=now)
    if row is None:
        return None
    points.reach("claim.found")
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
    points.reach("claim.taken")
    return Claim(row[0], row[1], attempt, token, digest, sha256)


def _next_due(session: Session, *, now: datetime) -> tuple[int, int] | None:
    """The next submission and round to score, locked.

    First what a dead worker left, then what people wait for, the competition first that was served longest
    ago, then what is scored anew aside. Each look follows an index: with one ORDER BY over all of them a
    rescore of 200,000 files took half a second for every single claim.
    """
    queued = _is_due(now)
    lost = Evaluation.state == State.RUNNING, Evaluation.lease_until < now, Evaluation.attempt < MAX_ATTEMPTS
    rounds = session.execute(
        select(Round.id, Round.state, Round.served_at)
        .where(Round.state != RoundState.RETIRED)
        .order_by(Round.served_at.asc().nulls_first(), Round.id)
    ).all()
    active = [id_ for id_, state, _ in rounds if state == RoundState.ACTIVE]
    aside = [[id_] for id_, state, _ in rounds if state in (RoundState.DRAFT, RoundState.REPEAT)]
    # After every other's turn, even at one moment: after a clock that was set back by an hour, one
    # competition would have been passed over for that hour.
    last = rounds[-1].served_at if rounds else None
    turn = now if last is None else max(now, last + timedelta(microseconds=1))
    waiting = (
        select(Round.id)
        .where(Round.state == RoundState.ACTIVE, _some(Evaluation.round_id == Round.id, *queued))
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
    return (
        Evaluation.state == State.QUEUED,
        or_(Evaluation.attempt == 0, Evaluation.next_try_at <= now),
    )


def _stands() -> ColumnElement[bool]:
    """Of a round that counts or may come to. Retired ones of older versions hold rows that nobody will ever finish."""
    return Evaluation.round_id.in_(select(Round.id).where(Round.state != RoundState.RETIRED))


def _some(*conditions: Any) -> Any:
    return select(Evaluation.submission_id).where(*conditions).exists()


def is_any_due(session: Session, *, now: datetime) -> bool:
    """Whether a worker that looks now would find something; for those who poll."""
    lost = Evaluation.state == State.RUNNING, Evaluation.lease_until < now, Evaluation.attempt < MAX_ATTEMPTS
    looks = select(or_(_some(_stands(), *_is_due(now)), _some(_stands(), *lost)))
    return bool(session.scalar(looks))


def renew(session: Session, claim: Claim, *, lease: timedelta, now: datetime) -> None:
    """Say that the run still lives; Fenced if it has lost its evaluation."""
    _guarded(session, claim, {"lease_until": now + lease}, Evaluation.lease_until > now)
    points.reach("renew.renewed")


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
    points.reach("record.locked")
    fresh = releases.terms(session, claim.submission_id, claim.round_id)
    if terms is None:
        terms = fresh
    elif (terms.mode, terms.leader_id, terms.step) != (fresh.mode, fresh.leader_id, fresh.step):
        raise releases.RungMoved
    shown = releases.decide(terms, report, se_difference=se_difference)
    releases.climb(session, terms, shown, submission=submission, round_id=claim.round_id)
    done = {
        "state": State.SCORED,
        "lease_token": None,
        "lease_until": None,
        "finished_at": now,
        "fault": None,
    }
    _guarded(session, claim, done)
    points.reach("record.guarded")
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
        session, claim, submission, State.SCORED, now,
        public=report.public, private=report.private, shown=shown.public, digest=events.score_digest(score),
    )  # fmt: skip
    if counts:
        leaderboard.refresh(session, submission.team_id)
    points.reach("record.ranked")


def _log_outcome(
    session: Session, claim: Claim, submission: Submission, state: State, now: datetime, **detail: Any
) -> None:
    """Into the sealed log; organisers only ever see it, so numbers may stand in it."""
    events.log(
        session, claim.token.rsplit(":", 1)[0][:60], f"submission {state.value}", f"submission {submission.id}",
        now=now, submission=submission.id, round=claim.round_id, attempt=claim.attempt, **detail,
    )  # fmt: skip


def record_rejected(
    session: Session, claim: Claim, problems: Sequence[Problem], total: int, *, now: datetime
) -> None:
    """The file is wrong: every problem is kept for the participant and the upload is given back."""
    submission, counts = _lock_for(session, claim)
    if counts:
        refund(session, submission)
    points.reach("reject.refunded")
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
    points.reach("reject.guarded")


def give_back(session: Session, claim: Claim, fault: str, *, now: datetime) -> State:
    """An attempt failed for a reason of ours: try again soon, or after the third time tell the organiser."""
    submission, counts = _lock_for(session, claim)
    again = claim.attempt < MAX_ATTEMPTS
    if counts and not again:
        refund(session, submission)
    points.reach("give_back.refunded")
    _guarded(
        session,
        claim,
        {
            "state": State.QUEUED if again else State.FAILED,
            "next_try_at": now + BACKOFF * claim.attempt,
            "hinted_at": None,
            "lease_token": None,
            "lease_until": None,
            "finished_at": None if again else now,
            "fault": fault[:4000],
        },
    )
    if not again:
        _log_outcome(session, claim, submission, State.FAILED, now, fault=fault[-300:])
    points.reach("give_back.guarded")
    return State.QUEUED if again else State.FAILED


def _lock_for(session: Session, claim: Claim) -> tuple[Submission, bool]:
    """The submission, and whether its round is the one that counts; both hold until the transaction ends.

    The competition's lock keeps a rescore from taking over meanwhile. Two files of one team may finish
    together: the team's lock lets the second see the first's score.
    """
    submission = session.get_one(Submission, claim.submission_id)
    _lock(session, submission.competition_id, submission.team_id)
    state = session.scalar(select(Round.state).where(Round.id == claim.round_id))
    return submission, state == RoundState.ACTIVE


def _lock(session: Session, competition_id: int, team_id: int) -> None:
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


def unfinished(session: Session, *, now: datetime, hint_after: timedelta, limit: int = 100) -> list[int]:
    """Submissions whose work is due and was not announced lately; marks them as announced.

    One hint for each in `hint_after`: a sweeper that announced everything each time was measured to
    flood the queue with jobs that find nothing to do.
    """
    unannounced = or_(
        Evaluation.hinted_at.is_(None),
        Evaluation.hinted_at < now - hint_after,
        Evaluation.hinted_at > now + CLOCK_SLACK,
    )
    found: list[tuple[int, int]] = []
    for due in (
        (Evaluation.state == State.RUNNING, Evaluation.lease_until < now),
        _is_due(now),
    ):
        rows = session.execute(
            select(Evaluation.submission_id, Evaluation.round_id)
            .where(_stands(), *due, unannounced)
            .order_by(Evaluation.next_try_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        found += [(row.submission_id, row.round_id) for row in rows]
    if found:
        session.execute(
            update(Evaluation),
            [{"submission_id": s, "round_id": r, "hinted_at": now} for s, r in found],
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
            Evaluation.next_try_at > now + BACKOFF * MAX_ATTEMPTS + CLOCK_SLACK,
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
        _lock(session, submission.competition_id, submission.team_id)
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
            points.reach("fail.guarded")
            if round_state == RoundState.ACTIVE:
                refund(session, submission)
            events.log(
                session, "sweeper", "submission failed", f"submission {submission.id}", now=now,
                submission=submission.id, round=round_id, attempt=MAX_ATTEMPTS, fault="silent",
            )  # fmt: skip
            points.reach("fail.refunded")
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
    points.reach("release.released")
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


def pick_final(
    session: Session, competition: Competition, team: Team, submission_id: int, *, picked: bool, now: datetime
) -> None:
    """Choose or unchoose one of the team's scored files for the private board, before the close."""
    if extensions.terms(session, competition, team).phase(competition, now) is Phase.CLOSED:
        raise Closed("Final picks can be changed only until the competition closes.")
    _lock(session, competition.id, team.id)
    pick = session.get(FinalPick, (team.id, submission_id))
    if not picked:
        if pick is not None:
            session.delete(pick)
    elif pick is None:
        _refuse_pick(session, competition, team, submission_id)
        session.add(FinalPick(team_id=team.id, submission_id=submission_id, picked_at=now))
    session.flush()
    leaderboard.refresh(session, team.id)


def _refuse_pick(session: Session, competition: Competition, team: Team, submission_id: int) -> None:
    scored = session.scalar(
        select(Submission.id)
        .join(Score, Score.submission_id == Submission.id)
        .join(Round, and_(Round.id == Score.round_id, Round.state == RoundState.ACTIVE))
        .where(Submission.id == submission_id, Submission.team_id == team.id)
    )
    if scored is None:
        raise NotFound("Only a scored submission of your own team can be a final pick.")
    count = (
        session.scalar(select(func.count()).select_from(FinalPick).where(FinalPick.team_id == team.id)) or 0
    )
    if count >= competition.final_picks:
        raise Conflict(f"You have {count} final picks, which is the limit; take one back first.")


@dataclass(frozen=True)
class Status:
    """A submission as its team or an organiser may see it; `private` stays None until the close."""

    id: int
    team_id: int
    team: str
    is_baseline: bool
    user_id: int | None
    received_at: datetime
    filename: str
    message: str
    sha256: str
    size_bytes: int
    state: State
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    problems: Sequence[Mapping[str, Any]]
    problem_count: int
    fault: str | None
    public: float | None
    """As it was released, which is what the board ranks by."""
    public_exact: float | None
    """Before the close for organisers only."""
    private: float | None
    public_also: Mapping[str, float]
    private_also: Mapping[str, float]
    notices: Sequence[Mapping[str, Any]]
    provenance: Mapping[str, Any] | None
    is_picked: bool


def statuses(
    session: Session,
    competition: Competition,
    *,
    now: datetime,
    team_id: int | None = None,
    submission_id: int | None = None,
    state: State | None = None,
    for_organiser: bool = False,
    limit: int = 50,
    before_id: int | None = None,
) -> list[Status]:
    """Submissions under the active round, newest first. Private numbers and faults are filled in only
    for whom they are: private after the close, faults for organisers, who also see private always."""
    query = (
        select(Submission, Team, Evaluation, Score, FinalPick.submission_id)
        .join(Team, Team.id == Submission.team_id)
        .join(
            Round, and_(Round.competition_id == Submission.competition_id, Round.state == RoundState.ACTIVE)
        )
        .join(Evaluation, and_(Evaluation.submission_id == Submission.id, Evaluation.round_id == Round.id))
        .outerjoin(Score, and_(Score.submission_id == Submission.id, Score.round_id == Round.id))
        .outerjoin(
            FinalPick, and_(FinalPick.submission_id == Submission.id, FinalPick.team_id == Submission.team_id)
        )
        .where(Submission.competition_id == competition.id)
        .order_by(Submission.id.desc())
        .limit(limit)
    )
    if team_id is not None:
        query = query.where(Submission.team_id == team_id)
    if submission_id is not None:
        query = query.where(Submission.id == submission_id)
    if state is not None:
        query = query.where(Evaluation.state == state)
    if before_id is not None:
        query = query.where(Submission.id < before_id)
    shows_private = for_organiser or competition.is_settled(now)
    found = []
    for submission, team, evaluation, score, picked in session.execute(query):
        also = score.also if score else {}
        found.append(
            Status(
                id=submission.id,
                team_id=team.id,
                team=team.name,
                is_baseline=team.is_baseline,
                user_id=submission.user_id,
                received_at=submission.received_at,
                filename=submission.filename,
                message=submission.message,
                sha256=submission.sha256,
                size_bytes=submission.size_bytes,
                state=State(evaluation.state),
                attempt=evaluation.attempt,
                started_at=evaluation.started_at,
                finished_at=evaluation.finished_at,
                problems=evaluation.problems or [],
                problem_count=evaluation.problem_count,
                fault=evaluation.fault if for_organiser else None,
                public=score.shown if score else None,
                public_exact=score.public if score and shows_private else None,
                private=score.private if score and shows_private else None,
                public_also={name: values["public"] for name, values in also.items()}
                if shows_private
                else dict(score.shown_also)
                if score
                else {},
                private_also={name: values["private"] for name, values in also.items()}
                if shows_private
                else {},
                notices=score.notices if score else [],
                provenance=score.provenance if score and for_organiser else None,
                is_picked=picked is not None,
            )
        )
    return found


def visible(session: Session, viewer: Viewer, submission_id: int) -> tuple[Submission, Competition]:
    """The submission, if it is the viewer's team's or the viewer organises; else NotFound, never a hint that it exists."""
    submission = session.get(Submission, submission_id)
    if submission is not None:
        mine = select(Membership.user_id).where(
            Membership.team_id == submission.team_id, Membership.user_id == viewer.id
        )
        if viewer.is_organiser or session.scalar(mine) is not None:
            return submission, session.get_one(Competition, submission.competition_id)
    raise NotFound(f"There is no submission {submission_id} of yours.")


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
    session: Session,
    competition: Competition | None = None,
    round_state: RoundState = RoundState.ACTIVE,
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


# -- words -------------------------------------------------------------------------------------


def _safe_filename(name: str) -> str:
    """The name as a person gave it, without a path or control characters; only ever shown."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c for c in name if c.isprintable()).strip()
    return name[:200] or "submission.csv"


def _midnight_after(competition: Competition, moment: datetime) -> datetime:
    from_zone = moment.astimezone(competition.zone)
    tomorrow = (from_zone + timedelta(days=1)).date()
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=competition.zone)


def _reset_words(competition: Competition, moment: datetime) -> str:
    return f"from {_midnight_after(competition, moment):%Y-%m-%d %H:%M} {competition.timezone}"


def _words(competition: Competition, moment: datetime) -> str:
    return f"{moment.astimezone(competition.zone):%Y-%m-%d at %H:%M} {competition.timezone}"


def _insert_or_ignore(session: Session, table: type) -> Any:
    dialect = session.get_bind().dialect.name
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)


def latest_isolation(session: Session, competition: Competition) -> str | None:
    """How well the organiser's own metric was isolated when it last ran; None for every other metric."""
    latest = (
        select(Score.provenance)
        .join(Submission, Submission.id == Score.submission_id)
        .where(Submission.competition_id == competition.id)
        .order_by(Score.submission_id.desc())
        .limit(1)
    )
    found = session.scalar(latest) or {}
    return found.get("metric_isolation", found.get("isolation"))

"""Accept or refuse submissions: time, membership, quota, room.

`app/competing/evaluations.py` has what follows once one is queued. Locks are taken in one order everywhere:
competition, team, quota, submission, evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base import events, failpoints
from app.base.errors import Conflict, Forbidden, QuotaExhausted, Refused
from app.base.models import (
    Competition,
    Evaluation,
    Membership,
    Quota,
    Round,
    RoundState,
    State,
    Submission,
    Team,
)
from app.base.storage import Blob
from app.competing import charges, evaluations, extensions, hosts, late, rejections, rules, teams, upload_room
from app.competing.rejections import Rejections

if TYPE_CHECKING:
    from app.people.accounts import Viewer

BEHIND_OTHERS = timedelta(seconds=20)
"""Each waiting file of a team moves its next file back by this much in the queue."""
CHECKED_SOON = timedelta(seconds=5)
"""When to look again for a place: a waiting file is usually scored by then."""
MAX_MESSAGE_LENGTH = 500


@dataclass(frozen=True)
class Receipt:
    """Confirms that an upload is stored and queued, and counts once."""

    id: int
    sha256: str
    size_bytes: int
    received_at: datetime
    team_id: int
    remaining_today: int
    is_replay: bool = False
    is_ranked: bool = True
    is_late: bool = False

    @property
    def blob(self) -> Blob:
        return Blob(self.sha256, self.size_bytes)


@dataclass(frozen=True)
class Allowance:
    """What a team may still submit today."""

    limit: int
    used: int
    pending: int
    pending_limit: int
    resets_at: datetime
    timezone: str
    total_limit: int | None
    """Over the whole competition; None for no limit."""
    total_used: int
    closes_at: datetime | None
    """For this team, extensions included."""
    rejected: Rejections
    is_late: bool = False
    """The next file would be late: accepted after the end, scored and not ranked."""

    @property
    def remaining(self) -> int:
        today = max(0, self.limit - self.used)
        return today if self.total_limit is None else max(0, min(today, self.total_limit - self.total_used))


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
    sandbox: bool = False,
    is_by_agent: bool = False,
) -> Receipt:
    """Accept one upload and queue it, or refuse it, in the caller's transaction.

    `received_at` is when the request began, before its body was read; it decides whether the upload is in
    time or, where the organiser allows it, late. A repeated `idempotency_key` returns the first receipt and
    is not charged. `most_bytes` limits all
    files of a team together; 0 is no limit. `sandbox` asks for a score without a rank, which every file of an
    organiser gets and no other. `is_by_agent` records that it came through the MCP endpoint.
    """
    # The lock prevents a change of the deadline or the round between this check and the commit.
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
    is_charged = hosts.is_ranked(session, competition, viewer, sandbox=sandbox)
    _refuse_disqualified(team)
    rules.refuse_unaccepted(session, competition, viewer.id)
    limits = extensions.limits(session, competition, team)
    is_late = late.refuse_out_of_time(session, competition, limits, received_at=received_at, now=now)
    if is_late:
        limits = late.limits(limits)
    if len(message) > MAX_MESSAGE_LENGTH:
        raise Refused(
            f"The message is {len(message)} characters long; at most {MAX_MESSAGE_LENGTH} are kept."
        )
    rejected = rejections.today(session, competition, team, received_at=received_at, now=now)
    pending = refuse_too_many_pending(session, competition, team, rejected)
    if rejected.is_slowed:
        rejections.refuse_too_early(competition, rejected, now=now)
        rejections.refuse_repeated(session, competition, team, blob.sha256, received_at=received_at)
    upload_room.refuse_beyond_room(session, team.id, blob.size_bytes, most_bytes=most_bytes)
    if is_charged:
        _refuse_beyond_total(session, limits, team)
        remaining = _charge(session, competition, limits, team, received_at)
    else:
        remaining = allowance(session, competition, team, now=now).remaining
    failpoints.reach("accept.charged")
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
                is_charged=is_charged,
                is_ranked=is_charged and not is_late,
                is_late=is_charged and is_late,
                is_by_agent=is_by_agent,
                idempotency_key=idempotency_key,
            )
    except IntegrityError:
        # The key was used in another competition or a concurrent request; the rollback undoes the charge.
        raise Conflict("This Idempotency-Key was already used for another upload; use a new one.") from None
    events.log_upload(session, viewer.name, events.ACCEPTED, submission, competition.slug, now=now)
    failpoints.reach("accept.inserted")
    return _receipt(submission, remaining)


def admit(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    *,
    received_at: datetime,
    idempotency_key: str | None = None,
    sandbox: bool = False,
) -> str | None:
    """Refuse, before its body is read, an upload that `accept` would refuse.

    It reserves nothing: `accept` decides when the file has arrived. For a known `idempotency_key` it returns
    the sha256 of the earlier upload, because only the same file is a repetition.
    """
    if idempotency_key is not None and (known := _known_upload(session, viewer.id, idempotency_key)):
        return known
    team, limits = sender(session, competition, viewer, received_at=received_at)
    rejected = rejections.today(session, competition, team, received_at=received_at, now=received_at)
    refuse_too_many_pending(session, competition, team, rejected)
    rejections.refuse_too_early(competition, rejected, now=received_at)
    if not hosts.is_ranked(session, competition, viewer, sandbox=sandbox):
        return None
    _refuse_beyond_total(session, limits, team)
    if allowance(session, competition, team, now=received_at).remaining == 0:
        raise _all_used(competition, limits, received_at)
    return None


def sender(
    session: Session, competition: Competition, viewer: Viewer, *, received_at: datetime
) -> tuple[Team, extensions.Limits]:
    """Return the viewer's team and its limits; refuse if it may send no file now."""
    team = teams.of(session, competition, viewer.id)
    if team is None:
        raise Forbidden(f"Join {competition.title} before submitting to it.")
    _refuse_disqualified(team)
    rules.refuse_unaccepted(session, competition, viewer.id)
    limits = extensions.limits(session, competition, team)
    if late.refuse_out_of_time(session, competition, limits, received_at=received_at, now=received_at):
        limits = late.limits(limits)
    return team, limits


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
    """Queue a baseline's file without quota; None if it was posted before."""
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
        is_ranked=True,
        idempotency_key=None,
    )
    events.log_upload(session, "baselines", events.POSTED, submission, competition.slug, now=now)
    return submission.id


def allowance(session: Session, competition: Competition, team: Team, *, now: datetime) -> Allowance:
    day = competition.day(now)
    limits = extensions.limits(session, competition, team)
    if is_late := late.is_accepted(session, competition, now=now):
        limits = late.limits(limits)
    used = session.scalar(select(Quota.used).where(Quota.team_id == team.id, Quota.day == day)) or 0
    rejected = rejections.today(session, competition, team, received_at=now, now=now)
    return Allowance(
        limit=limits.daily_limit,
        used=used,
        pending=_pending_count(session, team),
        pending_limit=1 if rejected.is_slowed else competition.pending_limit,
        resets_at=_midnight_after(competition, now),
        timezone=competition.timezone,
        total_limit=limits.total_limit,
        total_used=0 if limits.total_limit is None else charges.count(session, team),
        closes_at=limits.closes_at,
        rejected=rejected,
        is_late=is_late,
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
    return _receipt(found, remaining, is_replay=True)


def _receipt(of: Submission, remaining: int, *, is_replay: bool = False) -> Receipt:
    return Receipt(
        of.id,
        of.sha256,
        of.size_bytes,
        of.received_at,
        of.sent_by_team_id,
        remaining,
        is_replay,
        of.is_ranked,
        of.is_late,
    )


def _known_upload(session: Session, user_id: int, key: str) -> str | None:
    """Return the sha256 of this user's earlier upload with this key."""
    known = select(Submission.sha256).where(Submission.user_id == user_id, Submission.idempotency_key == key)
    return session.scalar(known)


def _refuse_disqualified(team: Team) -> None:
    if team.disqualified_at is not None:
        raise Forbidden(f"The organiser has disqualified your team: {team.disqualified_why}")


def refuse_too_many_pending(
    session: Session, competition: Competition, team: Team, rejected: Rejections
) -> int:
    """Return how many of the team's files wait; refuse one above the limit."""
    # Counting is safe: the team's row is locked, so its uploads run one after the other.
    pending = _pending_count(session, team)
    if rejected.is_slowed and (pending or rejections.waiting_checks(session, team)):
        raise QuotaExhausted(
            f"{rejected.count} of your files were rejected today. From {rejected.limit} in a day on, files "
            "are checked one at a time: send the next when the waiting one has its result.",
            retry_after=CHECKED_SOON,
        )
    if pending >= competition.pending_limit:
        raise QuotaExhausted(
            f"{pending} of your submissions are still waiting for a score, and {competition.pending_limit} "
            "may wait at a time. Please wait for one of them to finish.",
            retry_after=CHECKED_SOON,
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


def _refuse_beyond_total(session: Session, limits: extensions.Limits, team: Team) -> None:
    limit = limits.total_limit
    if limit is not None and (charged := charges.count(session, team)) >= limit:
        raise QuotaExhausted(
            f"Your team has used all {limit} submissions that a team has for the whole competition"
            f"{f' ({charged} count)' if charged > limit else ''}."
        )


def _charge(
    session: Session, competition: Competition, limits: extensions.Limits, team: Team, received_at: datetime
) -> int:
    """Charge one of today's uploads in a single guarded UPDATE.

    Counting first and inserting then lets two tabs both take the last one (measured: 12 accepted of a limit
    of 5).
    """
    day = competition.day(received_at)
    limit = limits.daily_limit
    make = _insert_or_ignore(session, Quota).values(team_id=team.id, day=day, used=0, lim=limit)
    session.execute(make.on_conflict_do_nothing())
    mine = Quota.team_id == team.id, Quota.day == day
    # The organiser may have changed the limit since the row was inserted, but not below what is used.
    session.execute(update(Quota).where(*mine, Quota.lim != limit, Quota.used <= limit).values(lim=limit))
    used: int | None = session.scalar(
        update(Quota)
        .where(*mine, Quota.used < Quota.lim, Quota.used < limit)
        .values(used=Quota.used + 1)
        .returning(Quota.used)
    )
    if used is None:
        raise _all_used(competition, limits, received_at)
    if limits.total_limit is None:
        return limit - used
    return min(limit - used, limits.total_limit - charges.count(session, team) - 1)


def _all_used(competition: Competition, limits: extensions.Limits, received_at: datetime) -> QuotaExhausted:
    used = f"All {limits.daily_limit} submissions of today are used."
    reset_at = _midnight_after(competition, received_at)
    if limits.closes_at is not None and reset_at >= limits.closes_at:
        return QuotaExhausted(f"{used} The competition closes before the next day begins.")
    return QuotaExhausted(
        f"{used} The next can be sent from {reset_at:%Y-%m-%d %H:%M} {competition.timezone}.",
        retry_after=reset_at - received_at,
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
    is_ranked: bool,
    idempotency_key: str | None,
    is_by_agent: bool = False,
    is_late: bool = False,
) -> Submission:
    submission = Submission(
        competition_id=competition.id,
        team_id=team.id,
        user_id=user_id,
        received_at=received_at,
        day=competition.day(received_at),
        filename=safe_filename(filename),
        message=one_line(message),
        sha256=blob.sha256,
        size_bytes=blob.size_bytes,
        idempotency_key=idempotency_key,
        is_charged=is_charged,
        is_ranked=is_ranked,
        is_by_agent=is_by_agent,
        is_late=is_late,
    )
    session.add(submission)
    session.flush()
    evaluations.enqueue(session, submission, place=place, now=now)
    return submission


def one_line(message: str) -> str:
    """Return a message as it is stored: one line, single blanks, printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in message).split())


def safe_filename(name: str) -> str:
    """Return the given name without path and control characters, for display."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c for c in name if c.isprintable()).strip()
    return name[:200] or "submission.csv"


def _midnight_after(competition: Competition, moment: datetime) -> datetime:
    from_zone = moment.astimezone(competition.zone)
    tomorrow = (from_zone + timedelta(days=1)).date()
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=competition.zone)


def _insert_or_ignore(session: Session, table: type) -> Any:
    dialect = session.get_bind().dialect.name
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)

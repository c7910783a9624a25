"""The doctor: checks of invariants, each with advice.

`check_database` needs only the database, so an organisers' page shows it too. Files and recomputed scores
need the storage and the vault: `heldout doctor` adds them.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from app.base import heartbeats, startup_checks
from app.base.config import Settings
from app.base.errors import NotFound
from app.base.models import (
    ChallengeVersion,
    Competition,
    Evaluation,
    Event,
    Quota,
    Round,
    RoundState,
    Score,
    Standing,
    State,
    Submission,
    Team,
)
from app.base.models_frozen import FrozenStanding
from app.base.models_mail import Letter
from app.base.storage import Storage
from app.competing import hosts, standings
from app.operating import audit_log
from app.people import names

if TYPE_CHECKING:
    from app.base.vault import Vault

LEASE_GRACE = timedelta(minutes=2)
LONG_WAIT = timedelta(minutes=15)
CLOCK_JUMP_REPORTED_FOR = timedelta(days=1)
SHARE_RECOMPUTED = 0.01
MOST_SHOWN = 5


@dataclass(frozen=True)
class Check:
    """The result of checking one invariant, with advice."""

    name: str
    is_ok: bool
    words: str
    advice: str = ""


def check_database(session: Session, *, now: datetime) -> list[Check]:
    """Run all checks that need only the database."""
    every: Sequence[Callable[[Session, datetime], Check]] = (
        _nothing_stuck,
        _nothing_failed,
        _one_evaluation_each,
        _scores_fit_states,
        _quota_adds_up,
        _charges_follow_outcomes,
        _board_is_its_scores,
        _log_is_whole,
        _processes_run,
        _letters_are_sent,
        _clock_was_not_set,
        _names_differ,
        _names_are_not_reserved,
        _organisers_are_unranked,
    )
    return [check(session, now) for check in every]


def sample(session: Session, *, seed: int, share: float = SHARE_RECOMPUTED) -> list[int]:
    """Return a random sample of finished submissions from every competition."""
    chosen: list[int] = []
    draw = random.Random(seed)  # noqa: S311  a sample, not a secret
    for competition_id in session.scalars(select(Competition.id).order_by(Competition.id)):
        ids = session.scalars(
            select(Evaluation.submission_id)
            .join(Submission, Submission.id == Evaluation.submission_id)
            .join(Round, and_(Round.id == Evaluation.round_id, Round.state == RoundState.ACTIVE))
            .where(
                Round.competition_id == competition_id,
                Evaluation.state.in_((State.SCORED, State.REJECTED)),
                Submission.cancelled_at.is_(None),
            )
            .order_by(Evaluation.submission_id)
        ).all()
        if ids:
            chosen += draw.sample(ids, max(1, round(share * len(ids))))
    return chosen


def blobs(session: Session) -> Iterator[str]:
    """Return the sha256 of every submission's file."""
    yield from session.scalars(select(Submission.sha256).distinct())


def versions(session: Session) -> list[str]:
    """Return the digest of every published version."""
    return list(session.scalars(select(ChallengeVersion.digest).order_by(ChallengeVersion.id)))


def files(storage: Storage, names: Iterable[str]) -> Check:
    """Check that every submission's file is stored and undamaged."""
    wrong, count = [], 0
    for sha256 in names:
        count += 1
        try:
            if storage.check(sha256) is None:
                wrong.append(f"{sha256[:16]} is damaged")
        except NotFound:
            wrong.append(f"{sha256[:16]} is missing")
    return _check(
        "Every uploaded file is there and undamaged",
        wrong,
        f"{count} files read and hashed",
        "Restore it from a backup (`heldout restore`); scores that were computed from it stay as they are.",
    )


def modes(settings: Settings) -> Check:
    """Check that no other user of the machine may enter the folders of this installation."""
    return _check(
        "Only this user may enter the folders",
        startup_checks.wide_modes(settings),
        "data, vault and storage",
        "Run the commands named above.",
    )


def solutions(vault: Vault, digests: Iterable[str]) -> Check:
    """Check that all published versions are in the vault and undamaged."""
    found = [vault.check(digest) for digest in digests]
    return _check(
        "Every published version is in the vault and undamaged",
        [words for words in found if words],
        f"{len(found)} versions in {vault} read and hashed",
        "`heldout vault put FOLDER`, with the folder that was published, restores it; scores stay.",
    )


def forms(older: Sequence[str]) -> Check:
    """Check that pages and API show the limits and forms by which this program reads files."""
    return _check(
        "Limits and schemas of versions follow this program's rules",
        [f"{name} has those of an older program" for name in older],
        "of every published version",
        "`heldout challenge refresh` computes them from the stored files.",
    )


def scores(count: int, wrong: Sequence[str]) -> Check:
    return _check(
        "Recomputed scores are equal, bit for bit",
        wrong,
        f"{count} recomputed from the stored files",
        "If libraries changed since, `heldout rescore COMPETITION --repeat 1` shows the differences.",
    )


def _check(name: str, wrong: Sequence[str], fine: str, advice: str) -> Check:
    if not wrong:
        return Check(name, True, fine)
    more = f" and {len(wrong) - MOST_SHOWN} more" if len(wrong) > MOST_SHOWN else ""
    return Check(name, False, "; ".join(wrong[:MOST_SHOWN]) + more, advice)


def _nothing_stuck(session: Session, now: datetime) -> Check:
    stuck = session.execute(
        select(Evaluation.submission_id, Evaluation.state, Evaluation.next_try_at)
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state != RoundState.RETIRED))
        .where(
            or_(
                and_(Evaluation.state == State.RUNNING, Evaluation.lease_until < now - LEASE_GRACE),
                and_(Evaluation.state == State.QUEUED, Evaluation.next_try_at < now - LONG_WAIT),
            )
        )
        .limit(1000)
    ).all()
    return _check(
        "Nothing is stuck",
        [
            f"submission {row.submission_id} is {row.state} since {row.next_try_at:%Y-%m-%d %H:%M} UTC"
            for row in stuck
        ],
        "every submission is final or will be claimed soon",
        "Start a worker and a sweeper (`heldout worker`, `heldout sweep`), or more workers; nothing is lost.",
    )


def _nothing_failed(session: Session, _now: datetime) -> Check:
    failed = session.execute(
        select(Evaluation.submission_id, Competition.slug)
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state == RoundState.ACTIVE))
        .join(Competition, Competition.id == Round.competition_id)
        .where(Evaluation.state == State.FAILED)
        .limit(1000)
    )
    return _check(
        "No evaluation failed",
        [f"submission {id_} of {slug}" for id_, slug in failed],
        "no submission waits for an organiser",
        "Open Organise of that competition: it shows the reason and has a button to score again.",
    )


def _one_evaluation_each(session: Session, _now: datetime) -> Check:
    lost = session.scalars(
        select(Submission.id)
        .outerjoin(
            Round, and_(Round.competition_id == Submission.competition_id, Round.state == RoundState.ACTIVE)
        )
        .outerjoin(
            Evaluation, and_(Evaluation.submission_id == Submission.id, Evaluation.round_id == Round.id)
        )
        .where(Evaluation.submission_id.is_(None))
        .limit(1000)
    )
    return _check(
        "Every submission has an evaluation",
        [f"submission {id_} has no evaluation in the active round" for id_ in lost],
        "each has one evaluation in the active round",
        "This is a bug: `heldout rescore COMPETITION` makes new evaluations; please report it.",
    )


def _scores_fit_states(session: Session, _now: datetime) -> Check:
    wrong = session.execute(
        select(Evaluation.submission_id, Evaluation.state)
        .outerjoin(
            Score,
            and_(Score.submission_id == Evaluation.submission_id, Score.round_id == Evaluation.round_id),
        )
        .where((Evaluation.state == State.SCORED) != Score.submission_id.is_not(None))
        .limit(1000)
    )
    return _check(
        "Exactly the scored evaluations have a score",
        [f"submission {id_} is {state}" for id_, state in wrong],
        "states and scores agree",
        "The tables were changed by hand, or this is a bug; `heldout audit verify` shows more.",
    )


def _quota_adds_up(session: Session, _now: datetime) -> Check:
    charged = (
        select(Submission.team_id, Submission.day, func.count().label("n"), literal(0).label("used"))
        .where(Submission.is_charged)
        .group_by(Submission.team_id, Submission.day)
    )
    used = select(Quota.team_id, Quota.day, literal(0).label("n"), Quota.used.label("used"))
    both = union_all(charged, used).subquery()
    wrong = session.execute(
        select(Team.name, both.c.day, func.sum(both.c.n).label("n"), func.sum(both.c.used).label("used"))
        .join(Team, Team.id == both.c.team_id)
        .group_by(Team.id, Team.name, both.c.day)
        .having(func.sum(both.c.n) != func.sum(both.c.used))
        .limit(1000)
    )
    return _check(
        "Quotas equal the counted files",
        [f"{row.name} on {row.day}: {row.used} used, {row.n} files count" for row in wrong],
        "for every team and day",
        "The tables were changed by hand, or this is a bug; please report it.",
    )


def _charges_follow_outcomes(session: Session, _now: datetime) -> Check:
    """Compute from the events which files count, and compare.

    A participant's file counts from its upload on, unless its last outcome in the active round is rejected or
    failed. Files from before events were kept go by the state of their evaluation.
    """
    submission_of, round_of = Event.detail["submission"].as_integer(), Event.detail["round"].as_integer()
    outcomes = {f"submission {state}": state for state in State if state.is_final}
    last: dict[tuple[int, int], State] = {
        (submission_id, round_id): outcomes[action]
        for submission_id, round_id, action in session.execute(
            select(submission_of, round_of, Event.action).where(Event.action.in_(outcomes)).order_by(Event.id)
        )
    }
    rows = session.execute(
        select(Submission.id, Submission.is_charged, Evaluation.round_id, Evaluation.state, Team.name)
        .join(Team, Team.id == Submission.team_id)
        .join(Evaluation, Evaluation.submission_id == Submission.id)
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state == RoundState.ACTIVE))
        .where(Submission.user_id.is_not(None), or_(Submission.is_ranked, Submission.is_late))
        .order_by(Submission.id)
    )
    wrong = []
    for row in rows:
        outcome = last.get((row.id, row.round_id), State(row.state))
        if row.is_charged != (outcome not in (State.REJECTED, State.FAILED)):
            counts = "counts" if row.is_charged else "does not count"
            wrong.append(f"submission {row.id} of {row.name} {counts} and is {outcome}")
    return _check(
        "Uploads count by their outcomes",
        wrong,
        "recomputed from the events",
        "`heldout rescore COMPETITION`, applied, counts each file by its outcome. Earlier versions did not "
        "count a file that failed, was tried again and scored.",
    )


def _board_is_its_scores(session: Session, _now: datetime) -> Check:
    wrong = []
    for competition in session.scalars(select(Competition).order_by(Competition.id)):
        fresh = standings.compute(session, competition, greater_is_better=competition.greater_is_better)
        stored = session.scalars(select(Standing).where(Standing.competition_id == competition.id))
        if {_row(s) for s in fresh} != {_row(s) for s in stored}:
            wrong.append(f"the board of {competition.slug} differs from its scores")
        frozen = session.scalars(
            select(FrozenStanding).where(FrozenStanding.competition_id == competition.id)
        )
        if {_row(s) for s in standings.compute_frozen(session, competition)} != {_row(s) for s in frozen}:
            wrong.append(f"the frozen board of {competition.slug} differs from its scores")
    return _check(
        "Boards match their scores",
        wrong,
        "recomputed and compared row by row",
        "`heldout rescore COMPETITION` rewrites the board; `heldout audit verify` shows whether scores were "
        "changed.",
    )


def _row(s: Standing | FrozenStanding) -> tuple[object, ...]:
    return (
        s.team_id,
        s.entries,
        s.public_key,
        s.public_at,
        s.public_submission_id,
        s.private_key,
        s.private_at,
        s.private_submission_id,
    )


def _log_is_whole(session: Session, _now: datetime) -> Check:
    verdict = audit_log.verify(session)
    return _check(
        "The audit log is intact",
        [fault.words for fault in verdict.faults],
        f"{verdict.chained} events chained, newest hash {verdict.head[:16]}",
        "The database was changed by hand. Compare a backup; `heldout audit verify` lists all faults.",
    )


def _processes_run(session: Session, now: datetime) -> Check:
    kinds = [beat.kind for beat in heartbeats.alive(session, now=now)]
    missing = [f"no {kind} is alive" for kind in ("worker", "sweeper") if kind not in kinds]
    return _check(
        "Workers and sweepers run",
        missing,
        f"{kinds.count('worker')} workers, {kinds.count('sweeper')} sweepers",
        "`heldout serve` runs all processes; or start `heldout worker` and `heldout sweep` separately.",
    )


def _letters_are_sent(session: Session, now: datetime) -> Check:
    """Report letters that the mail server did not take."""
    hour_ago = now - timedelta(hours=1)
    late = Letter.ended_at.is_(None), Letter.attempts > 1, Letter.created_at < hour_ago
    given_up = Letter.ended_at > now - timedelta(days=1), Letter.fault.is_not(None), Letter.attempts > 1
    faults = session.execute(
        select(Letter.id, Letter.kind, Letter.fault).where(or_(and_(*late), and_(*given_up))).limit(20)
    )
    return _check(
        "mail",
        [f"letter {row.id} ({row.kind}): {row.fault}" for row in faults],
        "no letter is late or given up",
        "Compare the settings HELDOUT_MAIL_* with those of the mail server; `heldout mail test ADDRESS` "
        "tries them.",
    )


def _names_differ(session: Session, _now: datetime) -> Check:
    return _check(
        "Names of different people do not look alike",
        names.collisions(session),
        "no two accounts or teams of different people",
        "They were given before names were compared. Change one with `heldout user rename` or "
        "`heldout team rename`.",
    )


def _names_are_not_reserved(session: Session, _now: datetime) -> Check:
    return _check(
        "No participant has the name of an organiser or a part of Heldout",
        names.reserved(session),
        "no account or team",
        "It was given before the word was reserved. Change it with `heldout user rename` or "
        "`heldout team rename`.",
    )


def _organisers_are_unranked(session: Session, _now: datetime) -> Check:
    ranked = hosts.ranked_teams(session)
    slug, name = ranked[0] if ranked else ("COMPETITION", "TEAM")
    return _check(
        "No organiser is on a board",
        [f"{team} in {competition}" for competition, team in ranked],
        "no team of organisers alone",
        "Its files were sent before files of organisers were unranked. "
        f"`heldout team unrank {slug} {shlex.quote(name)} --reason 'organisers only'` takes it off.",
    )


def _clock_was_not_set(session: Session, now: datetime) -> Check:
    """Report a jump for one day on the database's clock."""
    jumps = session.scalars(
        select(Event)
        .where(Event.subject == "clock", Event.at > now - CLOCK_JUMP_REPORTED_FOR)
        .order_by(Event.id.desc())
        .limit(1000)
    )
    return _check(
        "The clock was not set",
        [f"set {jump.detail['seconds']:+d} s, to {jump.at:%Y-%m-%d %H:%M} UTC" for jump in jumps],
        "no jump of the database's clock",
        "Check whether uploads of that time counted as late or for another day, and set the clock of the "
        "database's machine by NTP.",
    )

"""Statistics of an installation, for the operators' page and metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from app.base import heartbeats
from app.base.models import (
    Competition,
    Evaluation,
    Heartbeat,
    Inspection,
    Round,
    RoundState,
    State,
    Submission,
    Team,
)
from app.competing import statuses

NEWEST = 1000
TOTALS_SECONDS = 60.0
UNSETTLED = (State.QUEUED, State.RUNNING, State.FAILED)


@dataclass(frozen=True)
class Load:
    """The unfinished evaluations of one competition, drafts and repeats included."""

    slug: str
    title: str
    queued: int
    running: int
    failed: int


@dataclass(frozen=True)
class Failure:
    submission_id: int
    slug: str
    title: str
    team: str
    is_rescore: bool
    finished_at: datetime | None
    fault: str


@dataclass(frozen=True)
class Statistics:
    loads: tuple[Load, ...]
    oldest_due: timedelta
    """The wait of the oldest due evaluation; 0 if none waits."""
    alive: tuple[Heartbeat, ...]
    inspections: Mapping[str, int]

    def count(self, state: str) -> int:
        return sum(getattr(load, state) for load in self.loads)

    def of_kind(self, kind: str) -> list[Heartbeat]:
        return [beat for beat in self.alive if beat.kind == kind]


def collect(session: Session, *, now: datetime) -> Statistics:
    """Collect what changes by the second.

    All of it is short ranges of an index, however many submissions were scored.
    """
    counts: dict[tuple[str, str], dict[str, int]] = {}
    found = session.execute(
        select(Competition.slug, Competition.title, Evaluation.state, func.count())
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state != RoundState.RETIRED))
        .join(Competition, Competition.id == Round.competition_id)
        .where(Evaluation.state.in_(UNSETTLED))
        .group_by(Competition.slug, Competition.title, Evaluation.state)
    )
    for slug, title, state, n in found:
        counts.setdefault((slug, title), {})[state] = n
    loads = (
        Load(slug, title, *(of.get(state, 0) for state in UNSETTLED)) for (slug, title), of in counts.items()
    )
    due_since = session.scalar(
        select(func.min(Evaluation.next_try_at))
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state != RoundState.RETIRED))
        .where(Evaluation.state == State.QUEUED, Evaluation.next_try_at <= now)
    )
    by_state = select(Inspection.state, func.count()).group_by(Inspection.state)
    inspections = dict(session.execute(by_state).all())
    return Statistics(
        loads=tuple(sorted(loads, key=lambda load: (-load.queued - load.running, -load.failed, load.slug))),
        oldest_due=now - due_since if due_since else timedelta(),
        alive=tuple(heartbeats.alive(session, now=now)),
        inspections=inspections,
    )


def failures(session: Session, *, limit: int = 20) -> list[Failure]:
    """Return the newest failed submissions."""
    found = session.execute(
        select(
            Submission.id,
            Competition.slug,
            Competition.title,
            Team.name,
            Round.state,
            Evaluation.finished_at,
            Evaluation.fault,
        )
        .select_from(Evaluation)
        .join(Submission, Submission.id == Evaluation.submission_id)
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state != RoundState.RETIRED))
        .join(Competition, Competition.id == Submission.competition_id)
        .join(Team, Team.id == Submission.team_id)
        .where(Evaluation.state == State.FAILED)
        .order_by(Submission.id.desc())
        .limit(limit)
    )
    return [
        Failure(id_, slug, title, team, state != RoundState.ACTIVE, at, fault or "")
        for id_, slug, title, team, state, at, fault in found
    ]


def seconds_to_outcome(session: Session) -> list[float]:
    """Return the newest submissions' times from upload to outcome."""
    newest = (
        select(Submission.id, Submission.received_at).order_by(Submission.id.desc()).limit(NEWEST).subquery()
    )
    found = session.execute(
        select(newest.c.received_at, func.min(Evaluation.finished_at))
        .join(Evaluation, Evaluation.submission_id == newest.c.id)
        .where(Evaluation.state.in_((State.SCORED, State.REJECTED)), Evaluation.finished_at.is_not(None))
        .group_by(newest.c.id, newest.c.received_at)
    )
    return [max(0.0, (finished - received).total_seconds()) for received, finished in found]


class Totals:
    """Counts of all evaluations by state, at most once a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Mapping[State, int] = {}
        self._until = 0.0

    def take(self, session: Session) -> Mapping[State, int]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._counts = statuses.state_counts(session)
                self._until = time.monotonic() + TOTALS_SECONDS
            return self._counts

"""How far each student of a class is: joined, uploading, stuck or scored.

Scores are those that the board shows. A student is stuck whose newest files were refused: the only ones, or
two and more since the last that was scored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from app.base.models import (
    Competition,
    Evaluation,
    Membership,
    Round,
    RoundState,
    Standing,
    State,
    Submission,
    Team,
    User,
)
from app.base.models_classes import Classroom, Enrolment, JoinCode, Role
from app.classes import rosters

MOST_REFUSED = 2_000
"""Refused files that are looked at, the newest."""
STUCK_FROM = 2


class Stage(StrEnum):
    NOT_JOINED = "not joined"
    NOT_SUBMITTED = "not submitted"
    STUCK = "stuck"
    WAITING = "waiting"
    """Files are sent, and none has a score yet."""
    SCORED = "scored"
    INACTIVE = "inactive"


@dataclass(frozen=True)
class Refusal:
    """Why newest files of a student were refused."""

    code: str
    words: str
    files: int


@dataclass(frozen=True)
class Progress:
    """One student's state in a competition of the class."""

    enrolment: Enrolment
    stage: Stage
    account: str | None
    has_code: bool
    """Has an unused personal code."""
    team: str | None = None
    files: int = 0
    last_at: datetime | None = None
    best: float | None = None
    refusals: Sequence[Refusal] = ()


@dataclass
class _Files:
    count: int = 0
    last_at: datetime | None = None
    last_scored: int = 0
    refused: list[Sequence[Mapping[str, Any]]] = field(default_factory=list)


def of(session: Session, classroom: Classroom, competition: Competition | None) -> list[Progress]:
    """Return the progress of all students by family name; of the staff none."""
    students = [one for one in rosters.members(session, classroom) if one.role == Role.STUDENT]
    own = Enrolment.classroom_id == classroom.id
    rows = session.execute(
        select(User.id, User.name).join(Enrolment, Enrolment.user_id == User.id).where(own)
    )
    accounts: dict[int, str] = {row.id: row.name for row in rows}
    coded = set(
        session.scalars(
            select(JoinCode.enrolment_id)
            .join(Enrolment, Enrolment.id == JoinCode.enrolment_id)
            .where(own, JoinCode.used_at.is_(None), JoinCode.revoked_at.is_(None))
        )
    )
    teams, files = _teams(session, classroom, competition) if competition is not None else ({}, {})
    sign = 1 if competition is not None and competition.greater_is_better else -1
    found = []
    for one in students:
        name = accounts.get(one.user_id or 0)
        team, key = teams.get(one.user_id or 0, (None, None))
        sent = files.get(team.id, _Files()) if team is not None else _Files()
        refusals = _refusals(sent.refused)
        found.append(
            Progress(
                enrolment=one,
                stage=_stage(one, sent),
                account=name,
                has_code=one.id in coded,
                team=team.name if team is not None else None,
                files=sent.count,
                last_at=sent.last_at,
                best=None if key is None else -sign * key,
                refusals=refusals,
            )
        )
    return found


def _stage(one: Enrolment, sent: _Files) -> Stage:
    if one.left_at is not None:
        return Stage.INACTIVE
    if one.user_id is None:
        return Stage.NOT_JOINED
    if not sent.count:
        return Stage.NOT_SUBMITTED
    if sent.refused and (not sent.last_scored or len(sent.refused) >= STUCK_FROM):
        return Stage.STUCK
    return Stage.SCORED if sent.last_scored else Stage.WAITING


def _teams(
    session: Session, classroom: Classroom, competition: Competition
) -> tuple[dict[int, tuple[Team, float | None]], dict[int, _Files]]:
    """Return the team and board key of each account, and the files of each team."""
    mine = select(Enrolment.user_id).where(
        Enrolment.classroom_id == classroom.id,
        Enrolment.role == Role.STUDENT.value,
        Enrolment.user_id.is_not(None),
    )
    rows = session.execute(
        select(Membership.user_id, Team, Standing.public_key)
        .join(Team, Team.id == Membership.team_id)
        .outerjoin(Standing, Standing.team_id == Team.id)
        .where(Membership.competition_id == competition.id, Membership.user_id.in_(mine))
    )
    teams: dict[int, tuple[Team, float | None]] = {user_id: (team, key) for user_id, team, key in rows}
    of_class = select(Membership.team_id).where(
        Membership.competition_id == competition.id, Membership.user_id.in_(mine)
    )
    active = and_(Round.competition_id == competition.id, Round.state == RoundState.ACTIVE)
    is_scored = case((Evaluation.state == State.SCORED, Submission.id))
    files: dict[int, _Files] = defaultdict(_Files)
    base = (
        select(Submission.team_id)
        .select_from(Submission)
        .join(Round, active)
        .join(Evaluation, and_(Evaluation.submission_id == Submission.id, Evaluation.round_id == Round.id))
        .where(Submission.competition_id == competition.id, Submission.team_id.in_(of_class))
    )
    for team_id, count, last_at, last_scored in session.execute(
        base.add_columns(
            func.count(Submission.id), func.max(Submission.received_at), func.max(is_scored)
        ).group_by(Submission.team_id)
    ):
        files[team_id] = _Files(count, last_at, last_scored or 0)
    refused = session.execute(
        base.add_columns(Submission.id, Evaluation.problems)
        .where(Evaluation.state == State.REJECTED)
        .order_by(Submission.id.desc())
        .limit(MOST_REFUSED)
    )
    for team_id, submission_id, problems in refused:
        if submission_id > files[team_id].last_scored:
            files[team_id].refused.append(problems or [])
    return teams, files


def _refusals(refused: Iterable[Sequence[Mapping[str, Any]]]) -> list[Refusal]:
    """Return each kind of refusal once, the most frequent first, with the words of the newest."""
    words: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for problems in refused:
        for code, message in {str(p.get("code", "")): str(p.get("message", "")) for p in problems}.items():
            words.setdefault(code, message)
            counts[code] += 1
    return [Refusal(code, words[code], files) for code, files in counts.most_common()]


def by_stage(found: Iterable[Progress]) -> dict[Stage, int]:
    """Return how many students are in each stage; all stages are named."""
    counts = Counter(one.stage for one in found)
    return {stage: counts[stage] for stage in Stage}


def by_refusal(found: Iterable[Progress]) -> list[tuple[str, int]]:
    """Return how many stuck students each kind of refusal holds up, the most frequent first."""
    counts = Counter(r.code for one in found if one.stage is Stage.STUCK for r in one.refusals)
    return counts.most_common()


def sections_of(found: Iterable[Progress]) -> list[str]:
    return sorted({one.enrolment.section for one in found if one.enrolment.section})

"""Cases: suspicions about teams, which only organisers decide.

Every action is logged under the case's subject with its actor and reason. Before the close participants see
nothing of a case: that a check fired, or which one, would reveal something about hidden rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from app.base import events
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import Case, Competition, Event, PublicScore, Team
from app.competing import score_release, standings
from app.integrity import inspections

MIN_REASON = 10
MAX_REASON = 500


class CaseState(StrEnum):
    OPEN = "open"
    DISMISSED = "dismissed"
    ACTED = "acted"


class Action(StrEnum):
    """An organiser's action on a case."""

    DISMISS = "dismiss"
    NOTE = "note"
    COARSEN = "coarsen"
    RESTORE = "restore"
    DISQUALIFY = "disqualify"
    REINSTATE = "reinstate"
    REOPEN = "reopen"


@dataclass(frozen=True)
class Suspicion:
    """A scan's report about one team or a pair."""

    code: str
    team_id: int
    evidence: str
    advice: str
    strength: float
    other_team_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseView:
    case: Case
    team: Team
    other: Team | None
    log: Sequence[Event] = ()


def record(
    session: Session, competition: Competition, suspicions: Sequence[Suspicion], *, now: datetime
) -> int:
    """Write a scan's suspicions to cases; return how many are new.

    A case that is reported again keeps its history. A dismissed one opens again only if it has become much
    stronger.
    """
    known = {
        (case.code, case.team_id, case.other_key): case
        for case in session.scalars(
            select(Case).where(Case.competition_id == competition.id).with_for_update()
        )
    }
    new = 0
    for one in suspicions:
        first, second = one.team_id, one.other_team_id
        if second is not None and second < first:
            first, second = second, first  # a pair is one case in either order
        case = known.get((one.code, first, second or 0))
        if case is None:
            case = Case(
                competition_id=competition.id,
                code=one.code,
                team_id=first,
                other_team_id=second,
                other_key=second or 0,
                state=CaseState.OPEN,
                strength=one.strength,
                evidence=one.evidence,
                advice=one.advice,
                detail=one.detail,
                first_seen_at=now,
                last_seen_at=now,
            )
            session.add(case)
            session.flush()
            known[one.code, first, second or 0] = case
            events.log(session, "scan", "seen", _subject(case.id), now=now, evidence=one.evidence)
            new += 1
            continue
        if case.state == CaseState.DISMISSED and one.strength > 1.5 * case.strength:
            case.state = CaseState.OPEN
            events.log(
                session, "scan", "reopened: much stronger", _subject(case.id), now=now, evidence=one.evidence
            )
            case.strength = one.strength
        if case.state != CaseState.DISMISSED:
            case.strength = one.strength
        case.evidence, case.advice, case.detail, case.last_seen_at = one.evidence, one.advice, one.detail, now
    session.flush()
    return new


def listed(session: Session, competition: Competition, *, limit: int = 100) -> list[CaseView]:
    """Return the cases: open ones first, then by strength."""
    other = aliased(Team)
    query = (
        select(Case, Team, other)
        .join(Team, Team.id == Case.team_id)
        .outerjoin(other, other.id == Case.other_team_id)
        .where(Case.competition_id == competition.id)
        .order_by((Case.state == CaseState.OPEN).desc(), Case.strength.desc(), Case.id)
        .limit(limit)
    )
    return [CaseView(case, team, second) for case, team, second in session.execute(query)]


def get(session: Session, competition: Competition, case_id: int) -> CaseView:
    other = aliased(Team)
    found = session.execute(
        select(Case, Team, other)
        .join(Team, Team.id == Case.team_id)
        .outerjoin(other, other.id == Case.other_team_id)
        .where(Case.competition_id == competition.id, Case.id == case_id)
    ).one_or_none()
    if found is None:
        raise NotFound(f"There is no case {case_id} in {competition.slug}.")
    return CaseView(found[0], found[1], found[2], events.latest(session, _subject(case_id), limit=100))


def open_count(session: Session, competition: Competition) -> int:
    count = (
        select(func.count())
        .select_from(Case)
        .where(Case.competition_id == competition.id, Case.state == CaseState.OPEN)
    )
    return session.scalar(count) or 0


def act(
    session: Session,
    competition: Competition,
    case_id: int,
    action: Action,
    *,
    team_id: int | None = None,
    reason: str,
    actor: str,
    now: datetime,
) -> str:
    """Apply an organiser's action and log it; return a confirmation.

    `team_id` chooses one team of a pair for an action on a single team; the default is the case's first.
    """
    reason = " ".join(reason.split())
    if not MIN_REASON <= len(reason) <= MAX_REASON:
        raise Refused(f"Write a reason of {MIN_REASON} to {MAX_REASON} characters; it stays in the log.")
    view = get(session, competition, case_id)
    case = view.case
    team = next(
        (t for t in (view.team, view.other) if t is not None and t.id == (team_id or view.team.id)), None
    )
    if team is None:
        raise Refused(f"Case {case_id} is not about that team.")
    session.execute(select(Competition.id).where(Competition.id == competition.id).with_for_update())
    session.refresh(team)
    if team.merged_into_id is not None:  # a merge is no way out of a case
        team = session.get_one(Team, team.merged_into_id)
    session.execute(select(Team.id).where(Team.id == team.id).with_for_update())
    session.refresh(team)
    match action:
        case Action.DISMISS:
            case.state, words = CaseState.DISMISSED, f"Case {case_id} is dismissed."
        case Action.REOPEN:
            case.state, words = CaseState.OPEN, f"Case {case_id} is open again."
        case Action.NOTE:
            words = f"The note is stored with case {case_id}."
        case Action.COARSEN:
            words = _coarsen(session, competition, team)
        case Action.RESTORE:
            team.has_coarse_feedback = False
            words = f"{team.name} sees its public scores as all teams do."
        case Action.DISQUALIFY:
            if team.disqualified_at is not None:
                raise Conflict(f"{team.name} is disqualified already.")
            team.disqualified_at, team.disqualified_why = now, reason
            words = f"{team.name} is off the board. This can be undone."
        case Action.REINSTATE:
            team.disqualified_at = team.disqualified_why = None
            words = f"{team.name} is on the board again."
    if action in (Action.COARSEN, Action.DISQUALIFY):
        case.state = CaseState.ACTED
    session.flush()
    if action in (Action.DISQUALIFY, Action.REINSTATE):
        standings.refresh(session, team.id)
        if competition.is_settled(now):
            inspections.ask(session, competition, inspections.Kind.REPORT, by=actor, now=now)
    events.log(session, actor, action, _subject(case_id), now=now, reason=reason, team=team.name)
    events.log(
        session, actor, f"case {case_id}: {action}", competition.slug, now=now, reason=reason, team=team.name
    )
    return words


def _coarsen(session: Session, competition: Competition, team: Team) -> str:
    """Put the team on the ladder, from its shown score of today.

    The team sees "no significant improvement", never the reason.
    """
    if (competition.version.benchmark or {}).get("se_public") is None:
        raise Refused(
            f"{competition.slug} has no benchmark to compare with, so its feedback cannot be coarsened."
        )
    team.has_coarse_feedback = True
    if competition.public_score != PublicScore.LADDER:  # else it has a place on the ladder already
        score_release.begin_ladder(session, competition, team)
    return f"{team.name} now sees a new public score only for a clear improvement. It does not see why."


def _subject(case_id: int) -> str:
    return f"case {case_id}"

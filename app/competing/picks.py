"""The submissions that a team picks as its final ones.

Without picks the best ones count: app/competing/standings.py.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from app.base import failpoints
from app.base.errors import Closed, Conflict, NotFound
from app.base.models import Competition, FinalPick, Phase, Round, RoundState, Score, Submission, Team
from app.competing import evaluations, extensions, hosts, standings


def pick_final(
    session: Session, competition: Competition, team: Team, submission_id: int, *, picked: bool, now: datetime
) -> None:
    """Pick or unpick a scored submission for the private board, before the close."""
    evaluations.lock(session, competition.id, team.id)
    session.refresh(competition)  # it may have been closed while this waited for the lock
    if extensions.limits(session, competition, team).phase(competition, now) is Phase.CLOSED:
        raise Closed("Final picks can be changed only until the competition closes.")
    pick = session.get(FinalPick, (team.id, submission_id))
    if not picked:
        if pick is not None:
            session.delete(pick)
    elif pick is None:
        _refuse_pick(session, competition, team, submission_id)
        session.add(FinalPick(team_id=team.id, submission_id=submission_id, picked_at=now))
    session.flush()
    failpoints.reach("pick.written")
    standings.refresh(session, team.id)


def of(session: Session, team: Team) -> list[int]:
    """Return the submissions that a team has picked, oldest first."""
    picked = select(FinalPick.submission_id).where(FinalPick.team_id == team.id)
    return list(session.scalars(picked.order_by(FinalPick.submission_id)))


def _refuse_pick(session: Session, competition: Competition, team: Team, submission_id: int) -> None:
    found = session.execute(
        select(Submission.is_ranked, Submission.withdrawn_at, Submission.excluded_at)
        .join(Score, Score.submission_id == Submission.id)
        .join(Round, and_(Round.id == Score.round_id, Round.state == RoundState.ACTIVE))
        .where(Submission.id == submission_id, Submission.team_id == team.id)
    ).one_or_none()
    if found is None:
        raise NotFound("Only a scored submission of your own team can be a final pick.")
    if found.withdrawn_at is not None:
        raise Conflict(f"Submission {submission_id} is withdrawn: it can be no final pick.")
    if found.excluded_at is not None:
        raise Conflict(
            f"The organiser has taken submission {submission_id} off the board: it can be no final pick."
        )
    if not found.is_ranked:
        raise Conflict(f"Submission {submission_id} is {hosts.NOT_RANKED}. It can be no final pick.")
    count = (
        session.scalar(select(func.count()).select_from(FinalPick).where(FinalPick.team_id == team.id)) or 0
    )
    if count >= competition.final_picks:
        raise Conflict(f"You have {count} final picks, which is the limit; take one back first.")

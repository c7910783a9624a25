"""Withdraw a scored submission: it counts neither for the board nor as a pick, and stays charged.

File, score and record stay, since the team has learnt from them, and organisers see them in cases. On a
ladder the last shown score stays too: one that began again would show a second score for one comparison.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, delete, select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Closed, Conflict
from app.base.models import Competition, FinalPick, Phase, Round, RoundState, Score, Submission, Team
from app.competing import evaluations, extensions, standings


def withdraw(
    session: Session, competition: Competition, team: Team, submission_id: int, *, by: str, now: datetime
) -> None:
    """Withdraw a scored submission of a team, before its close; it cannot be taken back.

    A second call changes nothing.
    """
    evaluations.lock(session, competition.id, team.id)
    session.refresh(competition)  # it may have been closed while this waited for the lock
    submission = session.get_one(Submission, submission_id, populate_existing=True)
    if submission.withdrawn_at is not None:
        return
    if extensions.limits(session, competition, team).phase(competition, now) is Phase.CLOSED:
        raise Closed("A submission can be withdrawn only until the competition closes.")
    scored = (
        select(Score.submission_id)
        .join(Round, and_(Round.id == Score.round_id, Round.state == RoundState.ACTIVE))
        .where(Score.submission_id == submission_id)
    )
    if session.scalar(scored) is None:
        raise Conflict(
            f"Submission {submission_id} has no score, so it counts for no board. One that waits can be "
            "cancelled."
        )
    session.execute(delete(FinalPick).where(FinalPick.submission_id == submission_id))
    submission.withdrawn_at = now
    session.flush()
    standings.refresh(session, team.id)
    events.log(
        session,
        by,
        "submission withdrawn",
        events.subject_of(submission_id),
        now=now,
        submission=submission_id,
    )

"""Cancel a submission that still waits; its upload is given back.

The file and the record stay. A cancelled submission is rejected in every round, also in those that a later
rescore begins, and does not count among the team's rejected files, since nothing was learnt from it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict
from app.base.models import Competition, Evaluation, Round, RoundState, State, Submission, Team
from app.competing import evaluations

CODE = "CANCELLED"
PROBLEMS: list[dict[str, Any]] = [
    {"code": CODE, "message": "The team cancelled this submission before it was scored.", "count": 1}
]
"""What stands in the place of a file's problems."""


def cancel(
    session: Session, competition: Competition, team: Team, submission_id: int, *, by: str, now: datetime
) -> None:
    """Cancel a queued submission of a team; refuse one that a worker has claimed or finished.

    A second call changes nothing.
    """
    evaluations.lock(session, competition.id, team.id)
    submission = session.get_one(Submission, submission_id, populate_existing=True)
    if submission.cancelled_at is not None:
        return
    evaluations.refund(session, submission)
    rounds = select(Round.id).where(Round.competition_id == competition.id, Round.state != RoundState.RETIRED)
    mine = Evaluation.submission_id == submission_id, Evaluation.round_id.in_(rounds)
    # One statement: an evaluation that a worker claims meanwhile is waited for, and is then no longer queued.
    cancelled = session.scalars(
        update(Evaluation)
        .where(*mine, Evaluation.state == State.QUEUED)
        .values(state=State.REJECTED, problems=PROBLEMS, problem_count=1, finished_at=now)
        .returning(Evaluation.round_id)
    ).all()
    if len(cancelled) < (session.scalar(select(func.count()).select_from(Evaluation).where(*mine)) or 0):
        raise Conflict(
            f"Submission {submission_id} is being scored or has its result; "
            "only one that waits can be cancelled."
        )
    submission.cancelled_at = now
    session.flush()
    subject = f"submission {submission_id}"
    events.log(session, by, "submission cancelled", subject, now=now, submission=submission_id)

"""Cancel a submission that still waits; its upload is given back.

The file and the record stay. A cancelled submission is rejected in every round, also in those that a later
rescore begins, and does not count among the team's rejected files, since nothing was learnt from it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.base import events
from app.base.models import Competition, Submission, Team
from app.competing import charges, evaluations

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
    charges.refund(session, submission)
    evaluations.cancel(session, submission, PROBLEMS, now=now)
    submission.cancelled_at = now
    session.flush()
    subject = f"submission {submission_id}"
    events.log(session, by, "submission cancelled", subject, now=now, submission=submission_id)

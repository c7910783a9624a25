"""Claims of a named submission.

Workers claim the next one; a test says which.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.base.models import Evaluation
from app.competing import evaluations
from app.competing.evaluations import Claim

LEASED = (
    Evaluation.state,
    Evaluation.attempt,
    Evaluation.lease_token,
    Evaluation.lease_until,
    Evaluation.started_at,
)


def claim_of(
    session: Session, submission_id: int, worker: str, *, lease: timedelta, now: datetime
) -> Claim | None:
    """Claim until this submission is next; undo the claims before it."""
    key = Evaluation.submission_id, Evaluation.round_id
    before = {tuple(row[:2]): row[2:] for row in session.execute(select(*key, *LEASED))}
    others = []
    while (claim := evaluations.claim(session, worker, lease=lease, now=now)) is not None:
        if claim.submission_id == submission_id:
            break
        others.append((claim.submission_id, claim.round_id))
    for other in others:
        values = dict(zip((column.key for column in LEASED), before[other], strict=True))
        session.execute(update(Evaluation).where(key[0] == other[0], key[1] == other[1]).values(values))
    return claim

"""Whether a submission counts against its team's daily quota."""

from __future__ import annotations

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.orm import Session

from app.base.models import Quota, Submission, Team


def count(session: Session, team: Team) -> int:
    """Count the team's charged submissions in the whole competition.

    Safe to compare while the team's row is locked.
    """
    charged = (
        select(func.count())
        .select_from(Submission)
        .where(Submission.team_id == team.id, Submission.is_charged)
    )
    return session.scalar(charged) or 0


def refund(session: Session, submission: Submission) -> None:
    """Refund the upload to its team's daily quota, once."""
    charged = session.execute(
        update(Submission)
        .where(Submission.id == submission.id, Submission.is_charged)
        .values(is_charged=False)
        .returning(Submission.team_id, Submission.day)
    ).one_or_none()
    if charged is not None:
        session.execute(
            update(Quota)
            .where(Quota.team_id == charged.team_id, Quota.day == charged.day)
            .values(used=Quota.used - 1)
        )


def charge_again(session: Session, submission: Submission) -> None:
    """Charge a participant's scored file whose upload was refunded before.

    It failed and was tried again, or a rescore accepts what was rejected. The team may have used the refund
    meanwhile: the day's limit then follows the count, and no upload of that day is left.
    """
    charged = session.execute(
        update(Submission)
        .where(
            Submission.id == submission.id,
            ~Submission.is_charged,
            Submission.user_id.is_not(None),
            or_(Submission.is_ranked, Submission.is_late),
        )
        .values(is_charged=True)
        .returning(Submission.team_id, Submission.day)
    ).one_or_none()
    if charged is not None:
        used = Quota.used + 1
        session.execute(
            update(Quota)
            .where(Quota.team_id == charged.team_id, Quota.day == charged.day)
            .values(used=used, lim=case((used > Quota.lim, used), else_=Quota.lim))
        )

"""How much room a file may take: by itself, and beside the other files of its team."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.base.errors import QuotaExhausted, TooLarge
from app.base.models import Competition, Submission, TrainFile


def refuse_too_large(competition: Competition, size_bytes: int) -> None:
    if size_bytes > competition.upload_limit_bytes:
        raise TooLarge.over(competition.upload_limit_bytes)


def refuse_beyond_room(session: Session, team_id: int, adding_bytes: int, *, most_bytes: int) -> None:
    """Refuse a file that would exceed the storage limit of a team.

    All its files are kept, so all count, also rejected ones; a file sent twice counts twice. The caller holds
    the lock of the team's row.
    """
    if not most_bytes:
        return
    sent = select(func.sum(Submission.size_bytes)).where(Submission.team_id == team_id)
    beside = (
        select(func.sum(TrainFile.size_bytes))
        .join(Submission, Submission.id == TrainFile.submission_id)
        .where(Submission.team_id == team_id)
    )
    taken = int(session.scalar(sent) or 0) + int(session.scalar(beside) or 0)
    if taken + adding_bytes > most_bytes:
        raise QuotaExhausted(
            f"Your team's files take {taken / 1e6:.1f} MB here, and a team may have {most_bytes / 1e6:g} MB "
            f"in a competition: this file of {adding_bytes / 1e6:.1f} MB has no room. Send it compressed "
            "(.csv.gz), or ask the organiser for more."
        )

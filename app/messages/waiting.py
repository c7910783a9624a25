"""What waits for a viewer: unread announcements and answers, and for organisers open questions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, literal, or_, select, union_all
from sqlalchemy.orm import Session

from app.base.models import Competition
from app.base.models_messages import Question
from app.messages import announcements, questions
from app.people.accounts import Viewer

MOST = 200
"""More is counted as this."""


@dataclass(frozen=True)
class Waiting:
    """What a viewer has not read or answered, for the frame of each page."""

    notice: tuple[int, str] | None = None
    """Id and title of the newest announcement of the installation."""
    announcements: tuple[tuple[int, str], ...] = ()
    """Id and title of each of the competition, newest first."""
    questions: int = 0

    @property
    def of_competition(self) -> int:
        return len(self.announcements) + self.questions


def of(session: Session, slug: str | None, viewer: Viewer, *, now: datetime) -> Waiting:
    """Return what waits, of the installation and of one competition, in one statement."""
    here = select(Competition.id).where(Competition.slug == slug).scalar_subquery()
    organised = or_(literal(viewer.is_organiser), Question.competition_id.in_(viewer.hosted))
    asked = or_(and_(*questions.unread_answers(viewer)), and_(organised, questions.is_waiting()))
    of_questions = select(
        literal("question").label("kind"),
        Question.id.label("id"),
        Question.title.label("title"),
        Question.asked_at.label("at"),
    ).where(Question.competition_id == here, asked)
    parts: list[Any] = [announcements.unread_rows("notice", viewer, now=now)]
    if slug is not None:
        parts += [announcements.unread_rows("announcement", viewer, now=now, competition=here), of_questions]
    both = union_all(*parts).subquery()
    rows = session.execute(select(both).order_by(both.c.at.desc(), both.c.id.desc()).limit(MOST)).all()
    return Waiting(
        next(((row.id, row.title) for row in rows if row.kind == "notice"), None),
        tuple((row.id, row.title) for row in rows if row.kind == "announcement"),
        sum(row.kind == "question" for row in rows),
    )

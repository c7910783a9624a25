"""What waits for a viewer: unread announcements and answers, and for organisers open questions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, union_all
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


def of(
    session: Session, slug: str | None, viewer: Viewer, *, seen: ColumnElement[bool], now: datetime
) -> Waiting:
    """Return what waits, of the installation and of one competition, in one statement.

    `seen` is the condition of the competitions that the viewer may see.
    """
    here = select(Competition.id).where(Competition.slug == slug, seen).scalar_subquery()
    of_questions = select(
        literal("question").label("kind"),
        Question.id.label("id"),
        Question.title.label("title"),
        Question.asked_at.label("at"),
    ).where(Question.competition_id == here, _waits(viewer))
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


def by_competition(session: Session, viewer: Viewer, *, now: datetime) -> dict[int, int]:
    """Return how many messages wait for a viewer in each competition where any does."""
    unread = announcements.unread_everywhere(viewer, now=now)
    asked = select(Question.competition_id).where(_waits(viewer))
    each = union_all(unread, asked).subquery()
    counted = select(each.c.competition_id, func.count()).group_by(each.c.competition_id)
    return {row[0]: row[1] for row in session.execute(counted)}


def _waits(viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition of questions that wait for a viewer: to be read, or to be answered."""
    organised = or_(
        literal(viewer.is_organiser), Question.competition_id.in_(viewer.hosted | viewer.assisted)
    )
    return or_(and_(*questions.unread_answers(viewer)), and_(organised, questions.is_waiting()))

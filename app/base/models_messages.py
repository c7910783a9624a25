"""The tables of announcements, of the accounts that have read them, and of questions.

Deleting a competition deletes its rows here. Of a person they hold, by the id of the account and never by
its name: which announcements it has read, and its questions, whose words are in `title` and `text`. Answers,
`shown_as` and `hidden_why` are words of organisers.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, false, true
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, UtcTime
from app.base.models import Competition, Id, User


class Announcement(Base):
    """Words of the organisers to all participants; without a competition, to all of the installation."""

    __tablename__ = "announcement"
    __table_args__ = (Index("ix_announcement_competition_id_publish_at", "competition_id", "publish_at"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    competition_id: Mapped[int | None] = mapped_column(ForeignKey(Competition.id, ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(120))
    text: Mapped[str] = mapped_column(Text)
    """Markdown."""
    is_automatic: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether a change of the competition has written it."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    publish_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """From when on it is shown; None: a draft."""
    edited_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the words last changed after they were shown."""
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcTime)


class AnnouncementReading(Base):
    """An account that has opened the page with an announcement."""

    __tablename__ = "announcement_reading"

    announcement_id: Mapped[int] = mapped_column(
        ForeignKey(Announcement.id, ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True, index=True)
    read_at: Mapped[datetime] = mapped_column(UtcTime)


class Question(Base):
    """A question of a participant, to all or to the organisers alone, with its answer."""

    __tablename__ = "question"
    __table_args__ = (Index("ix_question_competition_id_asked_at", "competition_id", "asked_at"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Random: numbers in a row would show how many private questions lie between two public ones."""
    competition_id: Mapped[int] = mapped_column(ForeignKey(Competition.id, ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    title: Mapped[str] = mapped_column(String(120))
    text: Mapped[str] = mapped_column(Text)
    is_public: Mapped[bool]
    asked_at: Mapped[datetime] = mapped_column(UtcTime)
    edited_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the asker last changed its words."""
    is_open: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Whether it waits for the organisers."""
    answer: Mapped[str | None] = mapped_column(Text)
    """Markdown."""
    answered_at: Mapped[datetime | None] = mapped_column(UtcTime)
    answer_read_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the asker opened the page with the answer."""
    shown_as: Mapped[str | None] = mapped_column(String(120))
    """A private question in the organisers' words, which all see above its answer."""
    hidden_at: Mapped[datetime | None] = mapped_column(UtcTime)
    hidden_why: Mapped[str | None] = mapped_column(String(300))
    pinned_at: Mapped[datetime | None] = mapped_column(UtcTime)


class CannedAnswer(Base):
    """A text that the organisers of a competition insert into answers."""

    __tablename__ = "canned_answer"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    competition_id: Mapped[int] = mapped_column(ForeignKey(Competition.id, ondelete="CASCADE"), index=True)
    title: Mapped[str] = mapped_column(String(80))
    text: Mapped[str] = mapped_column(Text)


class QuestionSettings(Base):
    """Which questions a competition takes; without a row all, also after its close."""

    __tablename__ = "question_settings"

    competition_id: Mapped[int] = mapped_column(
        ForeignKey(Competition.id, ondelete="CASCADE"), primary_key=True
    )
    allows_public: Mapped[bool]
    ends_with_competition: Mapped[bool]

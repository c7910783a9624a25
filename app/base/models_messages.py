"""The tables of announcements and of the accounts that have read them.

Deleting a competition deletes its rows here. Of a person they hold which announcements the account has read.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, false
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

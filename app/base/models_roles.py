"""The table of the accounts that organise one competition."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, UtcTime
from app.base.models import Competition, User


class Role(StrEnum):
    """What an account may do in one competition; see app.competing.roles."""

    OWNER = "owner"
    COHOST = "co-host"
    ASSISTANT = "assistant"
    JUDGE = "judge"


class Host(Base):
    """An account that organises one competition, or did."""

    __tablename__ = "competition_host"

    competition_id: Mapped[int] = mapped_column(ForeignKey(Competition.id), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(10))
    added_by: Mapped[str] = mapped_column(String(60))
    added_at: Mapped[datetime] = mapped_column(UtcTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """The row stays: an account that has seen private scores is never ranked again."""

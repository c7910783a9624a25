"""The tables of the rules of a competition, and of the accounts that accepted each version."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, UtcTime
from app.base.models import Competition, User


class RulesVersion(Base):
    """One version of a competition's rules; the newest holds."""

    __tablename__ = "rules_version"

    competition_id: Mapped[int] = mapped_column(ForeignKey(Competition.id), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(Text)
    """Markdown."""
    made_by: Mapped[str] = mapped_column(String(60))
    made_at: Mapped[datetime] = mapped_column(UtcTime)


class RulesAcceptance(Base):
    """An account that has accepted a version of the rules, and when."""

    __tablename__ = "rules_acceptance"

    competition_id: Mapped[int] = mapped_column(ForeignKey(Competition.id), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True, index=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    accepted_at: Mapped[datetime] = mapped_column(UtcTime)

"""The tables with which an account gets to see a competition that is not public."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, UtcTime
from app.base.models import Competition, Id, User


class Way(StrEnum):
    """How an account was admitted."""

    LIST = "list"
    LINK = "link"


class PrivateLink(Base):
    """A link that admits accounts to an unlisted competition; only a hash of its secret is stored."""

    __tablename__ = "private_link"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    competition_id: Mapped[int] = mapped_column(ForeignKey(Competition.id), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    made_by: Mapped[str] = mapped_column(String(60))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Admission(Base):
    """An account that may see a competition that is not public, or might."""

    __tablename__ = "admission"

    competition_id: Mapped[int] = mapped_column(ForeignKey(Competition.id), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True, index=True)
    way: Mapped[str] = mapped_column(String(10))
    admitted_by: Mapped[str] = mapped_column(String(60))
    admitted_at: Mapped[datetime] = mapped_column(UtcTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """The row stays: the private link does not admit an account again that an organiser removed."""

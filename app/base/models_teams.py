"""The tables with which teams change: invite links and offers to merge."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, UtcTime
from app.base.models import Id


class OfferState(StrEnum):
    """The states of an offer to merge; only app.competing.merges moves it."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class TeamInvite(Base):
    """A link with which a participant joins a team; only a hash of its secret is stored."""

    __tablename__ = "team_invite"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    most_uses: Mapped[int]
    uses: Mapped[int] = mapped_column(default=0)
    made_by: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


class MergeOffer(Base):
    """An offer of one team to another to become one team."""

    __tablename__ = "merge_offer"
    __table_args__ = (
        Index("ix_merge_offer_team", "team_id", "state"),
        Index("ix_merge_offer_other_team", "other_team_id", "state"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    """The team that offers it and continues."""
    other_team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    """The team that would end."""
    state: Mapped[str] = mapped_column(String(10))
    made_by: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcTime)

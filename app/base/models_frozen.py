"""The table of the frozen board: standings of the files that arrived before its freeze."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, UtcTime
from app.base.models import Competition, Submission, Team


class FrozenStanding(Base):
    """A team's row on the frozen board, with the columns of a standing; see app.competing.freezing."""

    __tablename__ = "frozen_standing"
    __table_args__ = (
        Index("ix_frozen_standing_public", "competition_id", "public_key", "public_at", "team_id"),
    )

    competition_id: Mapped[int] = mapped_column(ForeignKey(Competition.id), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey(Team.id), primary_key=True)
    is_baseline: Mapped[bool]
    entries: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcTime)
    public_key: Mapped[float]
    public_at: Mapped[datetime] = mapped_column(UtcTime)
    public_submission_id: Mapped[int] = mapped_column(ForeignKey(Submission.id))
    public_also: Mapped[dict[str, float]] = mapped_column(JSON)
    private_key: Mapped[float]
    private_at: Mapped[datetime] = mapped_column(UtcTime)
    private_submission_id: Mapped[int] = mapped_column(ForeignKey(Submission.id))
    private_also: Mapped[dict[str, float]] = mapped_column(JSON)

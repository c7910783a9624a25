"""What was done by whom; an append-only record for organisers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Event


def log(session: Session, actor: str, action: str, subject: str, *, now: datetime, **detail: Any) -> None:
    session.add(Event(at=now, actor=actor, action=action, subject=subject, detail=detail))


def latest(session: Session, subject: str, limit: int = 50) -> list[Event]:
    return list(
        session.scalars(select(Event).where(Event.subject == subject).order_by(Event.id.desc()).limit(limit))
    )

"""What was done by whom; an append-only record for organisers."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Event, Score


def log(session: Session, actor: str, action: str, subject: str, *, now: datetime, **detail: Any) -> None:
    session.add(Event(at=now, actor=actor, action=action, subject=subject, detail=detail))


def latest(session: Session, subject: str, limit: int = 50) -> list[Event]:
    return list(
        session.scalars(select(Event).where(Event.subject == subject).order_by(Event.id.desc()).limit(limit))
    )


def score_digest(score: Score) -> str:
    """Over every number of a score and where it came from: what was measured, what was shown, by whom."""
    # As the database gives them back: floats, and SQLite knows no -0.0.
    public, private, shown = (float(value) + 0.0 for value in (score.public, score.private, score.shown))
    facts = [public, private, score.also, shown, score.shown_also, score.provenance]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

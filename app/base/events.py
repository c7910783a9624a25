"""What was done by whom; an append-only record for organisers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base.models import Event, Score, Submission

ACCEPTED, POSTED = "submission accepted", "baseline posted"


def log(session: Session, actor: str, action: str, subject: str, *, now: datetime, **detail: Any) -> None:
    session.add(Event(at=now, actor=actor, action=action, subject=subject, detail=detail))


def latest(session: Session, subject: str, limit: int = 50) -> list[Event]:
    return list(
        session.scalars(select(Event).where(Event.subject == subject).order_by(Event.id.desc()).limit(limit))
    )


def subject_of(submission_id: int) -> str:
    return f"submission {submission_id}"


def log_upload(
    session: Session, actor: str, action: str, submission: Submission, slug: str, *, now: datetime
) -> None:
    """A file was taken in: what its row says of it stands here too, and is held against it ever after."""
    log(session, actor, action, subject_of(submission.id), now=now, **upload(submission, slug))


def upload(submission: Submission, slug: str) -> dict[str, Any]:
    """What never changes of an uploaded file, as its event says it."""
    return {
        "submission": submission.id,
        "competition": slug,
        "team": submission.team_id,
        "sha256": submission.sha256,
        "size": submission.size_bytes,
        "received_at": submission.received_at.astimezone(UTC).isoformat(),
    }


def is_upload(facts: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether an event speaks of just this upload. Those of the first days of the log hold no size."""
    return all(said.get(name) == fact for name, fact in facts.items() if name != "size" or name in said)


def score_digest(score: Score) -> str:
    """Over every number of a score and where it came from: what was measured, what was shown, by whom."""
    # As the database gives them back: floats, and SQLite knows no -0.0.
    public, private, shown = (float(value) + 0.0 for value in (score.public, score.private, score.shown))
    facts = [public, private, score.also, shown, score.shown_also, score.provenance]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

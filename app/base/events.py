"""Events: an append-only record of actions, with their actors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base.models import Event, Score, Submission

_USUAL = {"is_ranked": True, "is_by_agent": False, "is_late": False}
ACCEPTED, POSTED = "submission accepted", "baseline posted"
MERGED = "teams merged"


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
    """Record an accepted file with the facts of its row."""
    log(session, actor, action, subject_of(submission.id), now=now, **upload(submission, slug))


def upload(submission: Submission, slug: str) -> dict[str, Any]:
    """Return the immutable facts of an uploaded file, for its event."""
    return {
        "submission": submission.id,
        "competition": slug,
        "team": submission.sent_by_team_id,
        "sha256": submission.sha256,
        "size": submission.size_bytes,
        "received_at": submission.received_at.astimezone(UTC).isoformat(),
        # Only where they differ from the default: the digests of earlier rows cover none.
        **({} if submission.is_ranked else {"is_ranked": False}),
        **({"is_by_agent": True} if submission.is_by_agent else {}),
        **({"is_late": True} if submission.is_late else {}),
    }


def is_upload(facts: Mapping[str, Any], detail: Mapping[str, Any]) -> bool:
    """Whether an event describes this upload; early ones hold no size."""
    if any(detail.get(name, usual) != facts.get(name, usual) for name, usual in _USUAL.items()):
        return False
    return all(detail.get(name) == fact for name, fact in facts.items() if name != "size" or name in detail)


def score_digest(score: Score) -> str:
    """Return a hash of a score's numbers and provenance."""
    # As the database returns them: floats, and SQLite has no -0.0.
    public, private, shown = (float(value) + 0.0 for value in (score.public, score.private, score.shown))
    facts = [public, private, score.also, shown, score.shown_also, score.provenance]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

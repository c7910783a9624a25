"""Letters that wait: written with what they are about, claimed one at a time, ended with an outcome."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from app.base.models_mail import Letter

CLAIM = timedelta(minutes=3)
"""Longer than one attempt takes: after it another process sends the letter of a killed one."""
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720))
"""After each failed attempt; after the last the letter is given up."""
KEPT = timedelta(days=30)


def write(session: Session, user_id: int | None, kind: str, reference: str, *, now: datetime) -> None:
    """Write a letter, which is due at once."""
    session.add(Letter(user_id=user_id, kind=kind, reference=reference, created_at=now, next_try_at=now))
    session.flush()


def claim(session: Session, *, now: datetime) -> Letter | None:
    """Claim the letter that is due longest; None if none is. The claim ends by itself."""
    due = Letter.ended_at.is_(None), Letter.next_try_at <= now
    first = select(Letter.id).where(*due).order_by(Letter.next_try_at, Letter.id).limit(1)
    id_ = session.scalar(first.with_for_update(skip_locked=True))
    if id_ is None:
        return None
    # The condition again: on SQLite two processes may have read the same row.
    taken = (
        update(Letter)
        .where(Letter.id == id_, *due)
        .values(next_try_at=now + CLAIM, attempts=Letter.attempts + 1)
        .returning(Letter)
        .execution_options(populate_existing=True)
    )
    return session.scalar(taken)


def end(session: Session, letter_id: int, attempt: int, *, fault: str | None, now: datetime) -> None:
    """Note that a letter was sent, or with a fault that it never will be; only by its newest attempt."""
    values = {"ended_at": now, "fault": fault and fault[:300]}
    session.execute(update(Letter).where(*_is(letter_id, attempt)).values(**values))


def put_back(session: Session, letter_id: int, attempt: int, *, fault: str, now: datetime) -> bool:
    """Let a letter wait after a failed attempt; return False where it was the last one."""
    is_last = attempt > len(PAUSES)
    values: dict[str, Any] = {"fault": fault[:300]}
    values |= {"ended_at": now} if is_last else {"next_try_at": now + PAUSES[attempt - 1]}
    session.execute(update(Letter).where(*_is(letter_id, attempt)).values(**values))
    return not is_last


def _is(letter_id: int, attempt: int) -> tuple[ColumnElement[bool], ...]:
    return Letter.id == letter_id, Letter.attempts == attempt, Letter.ended_at.is_(None)


def counts(session: Session, *, now: datetime) -> tuple[int, int]:
    """Return how many letters wait, and how many were given up within a day."""
    waiting = session.scalar(select(func.count()).where(Letter.ended_at.is_(None))) or 0
    recent = Letter.ended_at > now - timedelta(days=1), Letter.fault.is_not(None)
    failed = session.scalar(select(func.count()).where(*recent, Letter.user_id.is_not(None))) or 0
    return waiting, failed


def listed(session: Session, *, limit: int = 50) -> list[Letter]:
    """Return the letters that wait or were given up, newest first."""
    shown = Letter.ended_at.is_(None) | Letter.fault.is_not(None)
    return list(session.scalars(select(Letter).where(shown).order_by(Letter.id.desc()).limit(limit)))


def forget(session: Session, *, now: datetime) -> None:
    """Delete letters that ended a month ago."""
    session.execute(delete(Letter).where(Letter.ended_at < now - KEPT))

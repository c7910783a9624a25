"""Heartbeats of workers and sweepers, in the database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.base.models import Heartbeat

ALIVE = timedelta(seconds=30)
FORGET = timedelta(hours=1)


def beat(
    session: Session, name: str, kind: str, *, now: datetime, detail: dict[str, Any] | None = None
) -> None:
    row = session.get(Heartbeat, name)
    if row is None:
        session.add(Heartbeat(name=name, kind=kind, started_at=now, seen_at=now, detail=detail))
        session.execute(delete(Heartbeat).where(Heartbeat.seen_at < now - FORGET))
    else:
        row.seen_at = now
        if detail is not None:
            row.detail = detail


def remove(session: Session, name: str) -> None:
    session.execute(delete(Heartbeat).where(Heartbeat.name == name))


def alive(session: Session, *, now: datetime) -> list[Heartbeat]:
    return list(
        session.scalars(
            select(Heartbeat)
            # Not far in the future either: after a clock was set back, dead processes would count as alive.
            .where(Heartbeat.seen_at > now - ALIVE, Heartbeat.seen_at < now + ALIVE)
            .order_by(Heartbeat.kind, Heartbeat.name)
        )
    )

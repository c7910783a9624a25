"""Which workers and sweepers live, as the database saw them last."""

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
            # Not long ahead either: beside a clock that was set back the dead would live on.
            .where(Heartbeat.seen_at > now - ALIVE, Heartbeat.seen_at < now + ALIVE)
            .order_by(Heartbeat.kind, Heartbeat.name)
        )
    )

"""Leases: for a limited time, one run may finish one row of work.

Every table of work has the columns of `Leased`. A run claims a row under a random token, renews the lease
while it works, and may write only while the row holds its token: a run that was slow, stopped or doubled
raises LeaseLost and writes nothing. `now` is always the database's clock, read inside the same transaction.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, String, Text, and_, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.base.db import UtcTime

MAX_ATTEMPTS = 3
CLOCK_SLACK = timedelta(minutes=1)
"""A time further ahead of `now` than the rules allow plus this was written before the clock was set back."""
MAX_FAULT = 4000

Key = tuple[int, ...]
"""A row's primary key."""


class WorkState(StrEnum):
    """The states that every table of work has.

    Each adds its own final ones.
    """

    QUEUED = "queued"
    RUNNING = "running"
    FAILED = "failed"


class Leased:
    """The columns of a table of work."""

    state: Mapped[str] = mapped_column(String(10))
    attempt: Mapped[int] = mapped_column(default=0)
    lease_token: Mapped[str | None] = mapped_column(String(200))
    """Names the one run that may write the outcome: host, worker pid and a random part."""
    lease_until: Mapped[datetime | None] = mapped_column(UtcTime)
    next_try_at: Mapped[datetime] = mapped_column(UtcTime)
    """The place in the queue; after a failed attempt the earliest time of the next."""
    hinted_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    fault: Mapped[str | None] = mapped_column(Text)
    """Why the last attempt failed, for organisers only."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right of one run to finish one row."""

    key: Key
    attempt: int
    token: str

    @property
    def holder(self) -> str:
        """The work-horse: HOST/PID/PID."""
        return self.token.rsplit(":", 1)[0]


class LeaseLost(Exception):
    """Another run has taken the row over, so nothing was written."""


class Leases:
    """The leases of one table of work."""

    def __init__(self, table: type[Leased], *, longest_pause: timedelta) -> None:
        """`longest_pause` is the longest wait between two attempts of one row."""
        self._table = table
        self._key = tuple(table.__table__.primary_key)  # type: ignore[attr-defined]  # every subclass is mapped
        self._longest_pause = longest_pause

    def is_queued(self, now: datetime) -> ColumnElement[bool]:
        """Select rows that wait for an attempt.

        The first at once, a later one after its pause.
        """
        table = self._table
        return and_(table.state == WorkState.QUEUED, or_(table.attempt == 0, table.next_try_at <= now))

    def is_abandoned(self, now: datetime) -> ColumnElement[bool]:
        """Select rows whose lease expired and that have an attempt left."""
        return and_(self._is_expired(now), self._table.attempt < MAX_ATTEMPTS)

    def is_due(self, now: datetime) -> ColumnElement[bool]:
        """Select rows that can be claimed."""
        return or_(self.is_queued(now), self.is_abandoned(now))

    def _is_expired(self, now: datetime) -> ColumnElement[bool]:
        return and_(self._table.state == WorkState.RUNNING, self._table.lease_until < now)

    def _is(self, key: Key) -> ColumnElement[bool]:
        return and_(*(column == value for column, value in zip(self._key, key, strict=True)))

    def take(
        self, session: Session, key: Key, worker: str, *, lease: timedelta, now: datetime, **values: Any
    ) -> Claim:
        """Claim a row that the caller has found due and locked."""
        token = f"{worker}:{secrets.token_hex(8)}"
        table = self._table
        attempt = session.scalar(
            update(table)
            .where(self._is(key))
            .values(
                state=WorkState.RUNNING,
                lease_token=token,
                lease_until=now + lease,
                attempt=table.attempt + 1,
                **values,
            )
            .returning(table.attempt)
        )
        assert attempt is not None, "the caller holds the row's lock"
        return Claim(key=key, attempt=attempt, token=token)

    def renew(
        self,
        session: Session,
        claim: Claim,
        *conditions: ColumnElement[bool],
        lease: timedelta,
        now: datetime,
        **values: Any,
    ) -> None:
        """Extend the lease, also an expired one that no other run has taken.

        LeaseLost if another run holds it, or a further condition does not hold.
        """
        self._write(session, claim, {"lease_until": now + lease, **values}, *conditions)

    def finish(self, session: Session, claim: Claim, state: StrEnum, *, now: datetime, **values: Any) -> None:
        """Write the outcome and end the lease.

        LeaseLost if another run holds it.
        """
        self._write(session, claim, _ended(state, finished_at=now, fault=None) | values)

    def give_back(
        self, session: Session, claim: Claim, fault: str, *, pause: timedelta, now: datetime
    ) -> WorkState:
        """Queue a failed attempt again after `pause` times its number.

        After the last one fail.
        """
        state = WorkState.QUEUED if claim.attempt < MAX_ATTEMPTS else WorkState.FAILED
        values = _ended(
            state, finished_at=None if state is WorkState.QUEUED else now, fault=fault[-MAX_FAULT:]
        )
        later = {"next_try_at": now + pause * claim.attempt, "hinted_at": None}
        self._write(session, claim, values | later)
        return state

    def _write(
        self, session: Session, claim: Claim, values: dict[str, Any], *conditions: ColumnElement[bool]
    ) -> None:
        table = self._table
        is_held = and_(
            self._is(claim.key),
            table.state == WorkState.RUNNING,
            table.lease_token == claim.token,
            *conditions,
        )
        held = session.execute(update(table).where(is_held).values(**values).returning(*self._key))
        if held.one_or_none() is None:
            row = " ".join(map(str, claim.key))
            raise LeaseLost(f"{table.__name__.lower()} {row}, attempt {claim.attempt}")

    def announce(
        self,
        session: Session,
        *conditions: ColumnElement[bool],
        now: datetime,
        hint_after: timedelta,
        limit: int,
    ) -> list[Key]:
        """Return the rows to send hints for, and mark them as announced.

        At most `limit` expired and `limit` queued ones.

        One hint for each row in `hint_after`: a sweeper that announced everything each time was measured to
        flood the queue with jobs that find nothing to do.
        """
        table = self._table
        is_unannounced = or_(
            table.hinted_at.is_(None), table.hinted_at < now - hint_after, table.hinted_at > now + CLOCK_SLACK
        )
        found: list[Key] = []
        for is_waiting in (self._is_expired(now), self.is_queued(now)):
            rows = session.execute(
                select(*self._key)
                .where(*conditions, is_waiting, is_unannounced)
                .order_by(table.next_try_at)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            found += [tuple(row) for row in rows]
        if found:
            names = [column.name for column in self._key]
            session.execute(
                update(table), [{**dict(zip(names, key, strict=True)), "hinted_at": now} for key in found]
            )
        return found

    def follow_clock(self, session: Session, *, lease: timedelta, now: datetime) -> int:
        """Shorten leases and pauses after the clock was set back; return how many.

        A dead run's lease and a pause after a failure would otherwise last until the clock is there again. A
        live run renews the lease that it is given here.
        """
        table = self._table
        leases = session.execute(
            update(table)
            .where(table.state == WorkState.RUNNING, table.lease_until > now + lease + CLOCK_SLACK)
            .values(lease_until=now + max(lease, CLOCK_SLACK))
            .returning(*self._key)
        ).all()
        pauses = session.execute(
            update(table)
            .where(
                table.state == WorkState.QUEUED,
                table.attempt > 0,
                table.next_try_at > now + self._longest_pause + CLOCK_SLACK,
            )
            .values(next_try_at=now)
            .returning(*self._key)
        ).all()
        return len(leases) + len(pauses)

    def fail_exhausted(self, session: Session, key: Key, *, now: datetime) -> bool:
        """Fail a row whose last attempt expired.

        False if it has an outcome meanwhile.
        """
        fault = f"Its worker died or stopped answering {MAX_ATTEMPTS} times."
        hit = session.execute(
            update(self._table)
            .where(self._is(key), self.is_exhausted(now))
            .values(**_ended(WorkState.FAILED, finished_at=now, fault=fault))
            .returning(*self._key)
        )
        return hit.one_or_none() is not None

    def is_exhausted(self, now: datetime) -> ColumnElement[bool]:
        """Select rows whose last attempt expired without an outcome."""
        return and_(self._is_expired(now), self._table.attempt >= MAX_ATTEMPTS)

    def expire(self, session: Session, holder: str, *, now: datetime) -> int:
        """End the leases of a dead holder at once.

        Return how many.

        `holder` is a worker's HOST/PID or one work-horse's HOST/PID/PID. The last attempt is left to
        `fail_exhausted`, which the expired lease makes due.
        """
        table = self._table
        starts_with = table.lease_token.startswith
        is_held = or_(starts_with(f"{holder}:", autoescape=True), starts_with(f"{holder}/", autoescape=True))
        hit = session.execute(
            update(table)
            .where(table.state == WorkState.RUNNING, is_held)
            .values(lease_until=now - timedelta(milliseconds=1), hinted_at=None)
            .returning(*self._key)
        )
        return len(hit.all())

    def holders(self, session: Session, prefix: str) -> set[str]:
        """Return the work-horses, HOST/PID/PID, with this prefix and a lease."""
        table = self._table
        tokens = session.scalars(
            select(table.lease_token).where(
                table.state == WorkState.RUNNING, table.lease_token.startswith(prefix, autoescape=True)
            )
        )
        return {token.rsplit(":", 1)[0] for token in tokens if token is not None}


def _ended(state: StrEnum, *, finished_at: datetime | None, fault: str | None) -> dict[str, Any]:
    return {
        "state": state,
        "lease_token": None,
        "lease_until": None,
        "finished_at": finished_at,
        "fault": fault,
    }

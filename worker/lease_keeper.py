"""Hold a lease while a run works, and write its outcome."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from contextvars import copy_context
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.authoring import draft_steps
from app.base import db
from app.base.db import Database
from app.base.leases import LeaseLost
from app.competing import evaluations
from app.integrity import inspections

MOST_SECONDS = 20.0
"""Between two renewals: a sweeper with a shorter lease cuts a longer one to a minute (`follow_clock`)."""
AWAY_SECONDS = 60.0
"""How long an outcome waits for a database that is away."""

log = logging.getLogger(__name__)


class Keeper:
    """Renews a lease from a thread while the block runs."""

    def __init__(
        self,
        database: Database,
        renew: Callable[[Session, datetime], None],
        *,
        lease: timedelta,
        name: str,
        at_least_every: float = MOST_SECONDS,
    ) -> None:
        """Renew in a third of the lease, or in `at_least_every` seconds; `name` is for the log."""
        self._database, self._renew, self._name = database, renew, name
        self._every = min(at_least_every, lease.total_seconds() / 3)
        self.is_writing = False
        """The outcome is being written, which ends the lease: losing it is then no news."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True)

    def _run(self) -> None:
        while not self._done.wait(self._every):
            try:
                with self._database.begin() as session:
                    self._renew(session, db.now(session))
            except LeaseLost:
                if not self.is_writing:
                    log.warning("lease lost: %s", self._name)
                return
            except Exception:
                # A database that is away for a moment may be back before the lease expires.
                log.exception("the lease of %s could not be renewed", self._name)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()


def holders(session: Session, prefix: str) -> set[str]:
    """Return the work-horses, HOST/PID/PID, with this prefix and a lease."""
    tables = (evaluations.LEASES, inspections.LEASES, draft_steps.LEASES)
    return set[str]().union(*(leases.holders(session, prefix) for leases in tables))


def expire(session: Session, holder: str, *, now: datetime) -> int:
    """End all leases of a dead worker or work-horse; return how many."""
    ended = inspections.LEASES.expire(session, holder, now=now)
    ended += draft_steps.LEASES.expire(session, holder, now=now)
    return ended + evaluations.expire(session, holder, now=now)


def write_outcome(write: Callable[[], None], *, seconds: float = AWAY_SECONDS) -> None:
    """Run one transaction, and repeat it while the database is away.

    Whether a commit arrived whose answer did not is unknown. The token decides: it is gone if this run has
    written, as it is gone if another has, and in neither case is anything written twice.
    """
    until = time.monotonic() + seconds
    pause = 0.25
    is_repeated = False
    while True:
        try:
            return write()
        except LeaseLost:
            if not is_repeated:
                raise
            log.warning("the outcome was written before the answer was lost, or by another run")
            return None
        except DBAPIError as away:
            if not db.is_unavailable(away) or time.monotonic() + pause > until:
                raise
            log.warning("the database is away; trying again: %s", type(away.orig).__name__)
        is_repeated = True
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def fault_text(fault: Exception) -> str:
    """Return the end of a traceback, storable."""
    return storable("".join(traceback.format_exception(fault, limit=-8)))


def storable(text: str) -> str:
    """Replace lone surrogates, which no database takes as text."""
    return text.encode("utf-8", "replace").decode()

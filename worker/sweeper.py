"""`python -m worker.sweeper`: periodic work, such as repeated hints.

Any number may run. Which rows are due, and what becomes of a dead worker's, is decided in app/base/leases.py.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from app import migrations
from app.authoring import draft_steps
from app.base import config, db, events, failpoints, heartbeats, logs, queue, startup_checks
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import Refused
from app.base.processes import this_host
from app.base.queue import Hints
from app.competing import evaluations, rescores
from app.integrity import inspections
from app.operating import audit_log, startup_wait
from worker import postman
from worker.stopping import Stop

ENOUGH_HINTS = 50
MOST_INSPECTIONS = 3  # queued in one sweep: each takes a worker from scoring for a while

log = logging.getLogger("worker.sweeper")


class Clock:
    """Compares the database's clock with CLOCK_BOOTTIME, which is never adjusted and includes sleep."""

    JUMP_SECONDS = 60.0

    def __init__(self) -> None:
        self._ahead: float | None = None

    def jumped(self, now: datetime) -> float | None:
        """Return by how many seconds the database's clock was set since the last call; None if it was not."""
        ahead = now.timestamp() - time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
        before, self._ahead = self._ahead, ahead
        jump = 0.0 if before is None else ahead - before
        return jump if abs(jump) > self.JUMP_SECONDS else None


def sweep(
    database: Database,
    hints: Hints,
    *,
    hint_after: timedelta,
    name: str = "sweeper",
    clock: Clock | None = None,
    lease: timedelta = timedelta(seconds=30),
    most_workers: int = 0,
) -> int:
    """Run each periodic step once.

    Return how many hints were sent.
    """
    # Each step has its own transaction: one that fails, or waits for a lock, delays no other.
    steps: list[Callable[[], int]] = [
        lambda: _follow_clock(database, clock or Clock(), lease),
        lambda: _announce(database, hints, hint_after, most_workers),
        lambda: _give_up(database),
        lambda: _finish_rescores(database),
        lambda: _inspect(database, hints, hint_after),
        lambda: _author(database, hints, hint_after),
        lambda: _seal(database),
        lambda: _beat(database, name),
    ]
    counts = []
    for step in steps:
        try:
            counts.append(step())
        except Exception:
            # The sweeper must survive a restart of the database and a fault in one competition.
            log.exception("a step of this sweep failed; the next sweep tries again")
            counts.append(0)
        failpoints.reach("sweep.stepped")
    return counts[1]


def _follow_clock(database: Database, clock: Clock, lease: timedelta) -> int:
    with database.begin() as session:
        now = db.now(session)
        jump = clock.jumped(now)
        if jump is not None:
            log.error("the database's clock was set %+.0f s; deadlines and daily limits went with it", jump)
            events.log(session, "sweeper", "clock jumped", "clock", now=now, seconds=round(jump))
        followed = evaluations.follow_clock(session, lease=lease, now=now)
        followed += inspections.follow_clock(session, lease=lease, now=now)
        followed += draft_steps.follow_clock(session, lease=lease, now=now)
    if followed:
        log.warning("the clock was set back; %s leases and pauses were shortened", followed)
    return followed


def _announce(database: Database, hints: Hints, hint_after: timedelta, most_workers: int) -> int:
    depth = hints.depth()
    if depth is None or depth > ENOUGH_HINTS:
        # One job scores many rows, so more hints than workers can take are useless.
        return 0
    with database.begin() as session:
        due = evaluations.unfinished(
            session, now=db.now(session), hint_after=hint_after, most_workers=most_workers
        )
    failpoints.reach("sweep.marked")
    return sum(hints.send(submission_id) for submission_id in due)


def _inspect(database: Database, hints: Hints, hint_after: timedelta) -> int:
    """Queue scans and reports that are due, and send hints for unclaimed ones."""
    depth = hints.depth()
    if depth is None or depth > ENOUGH_HINTS:
        return 0  # scoring comes first
    with database.read() as session:
        wanted = inspections.due(session, now=db.now(session))[:MOST_INSPECTIONS]
    asked = []
    for competition, kind in wanted:
        with database.begin() as session:
            asked.append(inspections.ask(session, competition, kind, by="sweeper", now=db.now(session)).id)
    with database.begin() as session:
        now = db.now(session)
        for inspection_id in inspections.fail_exhausted(session, now=now):
            log.error("inspection %s failed three times; its organiser must look at it", inspection_id)
        quiet = inspections.unfinished(session, now=now, hint_after=hint_after)
    return sum(hints.send_inspection(inspection_id) for inspection_id in dict.fromkeys([*asked, *quiet]))


def _author(database: Database, hints: Hints, hint_after: timedelta) -> int:
    """Fail exhausted steps of drafts, and send hints for unclaimed ones."""
    depth = hints.depth()
    if depth is None or depth > ENOUGH_HINTS:
        return 0  # scoring comes first
    with database.begin() as session:
        now = db.now(session)
        for step_id in draft_steps.fail_exhausted(session, now=now):
            log.error("step %s of a draft failed three times", step_id)
        quiet = draft_steps.unfinished(session, now=now, hint_after=hint_after)
    return sum(hints.send_step(step_id) for step_id in quiet)


def _give_up(database: Database) -> int:
    with database.begin() as session:
        failed = evaluations.fail_exhausted(session, now=db.now(session))
    for submission_id in failed:
        log.error("submission %s failed three times; its organiser must look at it", submission_id)
    return len(failed)


def _finish_rescores(database: Database) -> int:
    with database.read() as session:
        finished = rescores.due_to_apply(session)
    for draft_id in finished:
        with database.begin() as session:
            slug = rescores.activate(session, draft_id, by="sweeper", now=db.now(session))
        if slug is not None:
            log.warning("the rescore of %s is finished; its board shows the new scores", slug)
    return len(finished)


def _seal(database: Database) -> int:
    with database.read() as session:
        waiting = audit_log.is_any_unchained(session)
    if not waiting:
        return 0
    with database.begin() as session:
        return audit_log.chain(session, now=db.now(session))


def _beat(database: Database, name: str) -> int:
    with database.begin() as session:
        heartbeats.beat(session, name, "sweeper", now=db.now(session))
    return 1


def run(settings: Settings, database: Database, hints: Hints, stop: Stop) -> None:
    name = f"{this_host()}/{os.getpid()}"
    clock = Clock()
    while not stop.is_asked:
        sweep(
            database,
            hints,
            hint_after=timedelta(seconds=settings.hint_seconds),
            name=name,
            clock=clock,
            lease=timedelta(seconds=settings.lease_seconds),
            most_workers=settings.workers_per_competition,
        )
        stop.wait(settings.sweep_seconds)
    startup_wait.remove_heartbeat(database, name)


def main() -> int:
    try:
        settings = config.load()
        logs.configure(settings.log_level, settings.log_format)
        startup_checks.refuse_unsafe(settings)
        config.prepare_data_dir(settings)
        database = db.open_(settings)
        startup_wait.wait_for_database(lambda: migrations.check(database))
        hints = queue.open_(settings)
    except Refused as refusal:
        print(f"heldout sweep: {refusal.message}", file=sys.stderr)
        return refusal.exit_code
    stop = Stop()
    stop.listen()
    postman.start(settings, database, stop)
    run(settings, database, hints, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m worker.sweeper`: announces again what the database says is unfinished. Any number may run."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from datetime import timedelta

from sqlalchemy.exc import DBAPIError

from app import competitions, config, db, heartbeats, logs, migrations, queue, submissions
from app.config import Settings
from app.db import Database
from app.errors import Refused
from app.queue import Hints

log = logging.getLogger("worker.sweeper")


def sweep(database: Database, hints: Hints, *, hint_after: timedelta, name: str = "sweeper") -> int:
    """One look: give up what failed three times, finish rescores, send hints; how many hints were sent."""
    with database.begin() as session:
        now = db.now(session)
        failed = submissions.fail_exhausted(session, now=now)
        due = submissions.unfinished(session, now=now, hint_after=hint_after)
        moved = competitions.activate_finished_drafts(session)
        heartbeats.beat(session, name, "sweeper", now=now)
    for submission_id in failed:
        log.error("submission %s failed three times; its organiser must look at it", submission_id)
    for slug in moved:
        log.warning("the rescore of %s is finished; its board shows the new scores", slug)
    return sum(hints.send(submission_id) for submission_id in due)


def run(settings: Settings, database: Database, hints: Hints, stop: threading.Event) -> None:
    name = f"{socket.gethostname()}/{os.getpid()}"
    while not stop.is_set():
        try:
            sweep(database, hints, hint_after=timedelta(seconds=settings.hint_seconds), name=name)
        except DBAPIError:
            # A database that restarts must find its sweeper alive.
            log.exception("this sweep failed; the next one follows")
        stop.wait(settings.sweep_seconds)
    with database.begin() as session:
        heartbeats.gone(session, name)


def main() -> int:
    try:
        settings = config.load()
        logs.begin(settings.log_level)
        config.prepare_data_dir(settings)
        database = Database(settings.database)
        migrations.check(database)
        hints = Hints(
            queue.connect(settings.redis), config.secret_key(settings), job_seconds=settings.job_seconds
        )
    except Refused as refusal:
        print(f"heldout sweep: {refusal.message}", file=sys.stderr)
        return refusal.exit_code
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(settings, database, hints, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())

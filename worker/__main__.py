"""`python -m worker`: one scoring worker. It forks a work-horse for each hint and restarts nothing by itself."""

from __future__ import annotations

import gc
import logging
import os
import re
import secrets
import sys
import time
from typing import Any

from rq import Queue, Worker
from rq.job import Job
from sqlalchemy.exc import DBAPIError

from app import challenges, config, db, heartbeats, logs, migrations, queue, submissions
from app.errors import Refused
from scorer import sandbox
from worker import inspections, jobs  # noqa: F401  inspections is a job too: imported before the fork

HEARTBEAT_SECONDS = 5.0


class ScoringWorker(Worker):
    """RQ's forking worker, which also tells the database that it lives and when its work-horse died."""

    runner: jobs.Runner

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        super().heartbeat(timeout, pipeline)
        if time.monotonic() - getattr(self, "_seen", -HEARTBEAT_SECONDS) < HEARTBEAT_SECONDS:
            return
        self._seen = time.monotonic()
        try:
            with self.runner.database.begin() as session:
                heartbeats.beat(session, self.runner.name, "worker", now=db.now(session))
                own_metrics = challenges.any_with_own_metric(session)
        except DBAPIError:
            # Not seen for a while is what the page would say, and rightly so.
            self.log.exception("the heartbeat was not written")
            return
        if own_metrics:
            # Here and not in a work-horse: starting takes seconds, and every fork from here shares what was started.
            sandbox.isolation()

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: Any) -> None:
        """Do not wait for the lease to run out: the process that held it is known to be dead."""
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[no-untyped-call]  # RQ has no types here
        with self.runner.database.begin() as session:
            ended = submissions.release(session, self.runner.name, now=db.now(session))
        self.log.warning("a work-horse was killed; %s evaluations go back", ended)


def release_the_dead(runner: jobs.Runner) -> None:
    """End the leases that work-horses of this machine held when they were killed, their worker with them."""
    host = runner.name.split("/")[0]
    with runner.database.begin() as session:
        now = db.now(session)
        for holder in submissions.holders(session, f"{host}/"):
            horse_pid = int(holder.split("/")[2])
            if not os.path.exists(f"/proc/{horse_pid}") and os.path.isdir("/proc/self"):  # noqa: PTH110, PTH112
                submissions.release(session, holder, now=now)


def main() -> int:
    try:
        settings = config.load()
        logs.begin(settings.log_level)
        config.prepare_data_dir(settings)
        database = db.open_(settings, pooled=False)
        migrations.check(database)
        key = config.secret_key(settings)
    except Refused as refusal:
        print(f"heldout worker: {refusal.message}", file=sys.stderr)
        return refusal.exit_code
    runner = jobs.configure(settings, database)
    release_the_dead(runner)
    connection = queue.connect(settings.redis)
    serializer = queue.signed_json(key)
    ScoringWorker.runner = runner
    # One queue a worker: with two or more RQ pops without an intermediate list and a kill loses the job.
    worker = ScoringWorker(
        [Queue(queue.NAME, connection=connection, serializer=serializer)],
        # With a random end: a container that restarts has the same host and pid as the one that was killed.
        name=f"{re.sub('[^A-Za-z0-9_-]', '-', runner.name)}-{secrets.token_hex(4)}",
        job_class=queue.Hint,
        connection=connection,
        serializer=serializer,
        worker_ttl=20,  # how often an idle worker wakes to say that it lives: 15 seconds before this
        job_monitoring_interval=5,
        maintenance_interval=60,
    )
    # Without this every fork's first full collection walks, and thereby copies, all that was imported.
    gc.collect()
    gc.freeze()
    worker.log.setLevel(logging.WARNING if settings.log_level == "info" else settings.log_level.upper())
    worker.work(logging_level=None, with_scheduler=False)
    with database.begin() as session:
        heartbeats.gone(session, runner.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())

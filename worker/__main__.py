"""`python -m worker`: one scoring worker. It forks a work-horse for each hint and restarts nothing by itself."""

from __future__ import annotations

import gc
import logging
import os
import re
import secrets
import sys
import time
from types import FrameType
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.job import Job
from sqlalchemy.exc import DBAPIError

from app import challenges, config, db, heartbeats, logs, migrations, queue, safety, submissions
from app.config import Settings
from app.errors import Refused
from scorer import sandbox
from worker import inspections, jobs, patience  # noqa: F401  inspections is a job too: imported before the fork
from worker.poller import Poller

HEARTBEAT_SECONDS = 5.0
REDIS_PATIENCE_SECONDS = 2.0

log = logging.getLogger("worker")


class Pulse:
    """Tells the database that this worker lives, and how well its machine isolates organisers' own metrics."""

    def __init__(self, runner: jobs.Runner) -> None:
        self._runner = runner
        self._last = -HEARTBEAT_SECONDS
        self._detail: dict[str, Any] | None = None

    def __call__(self) -> None:
        if time.monotonic() - self._last < HEARTBEAT_SECONDS:
            return
        is_first = self._last < 0
        self._last = time.monotonic()
        own_metrics = self._beat()
        if self._detail is None and (own_metrics or not is_first):
            # Starting the sandbox takes seconds: before the first fork where organisers' metrics need it, as every
            # work-horse shares what was started; else once what waited at the start has been taken.
            self._detail = {"isolation": isolation()}
            self._beat()

    def _beat(self) -> bool:
        """Whether some competition has a metric of its organiser's."""
        name, detail = self._runner.name, self._detail
        try:
            with self._runner.database.begin() as session:
                heartbeats.beat(session, name, "worker", now=db.now(session), detail=detail)
                return challenges.any_with_own_metric(session)
        except DBAPIError:
            # Not seen for a while is what the page would say, and rightly so.
            log.exception("the heartbeat was not written")
            return False


class ScoringWorker(Worker):
    """RQ's forking worker, which also tells the database that it lives and when its work-horse died."""

    runner: jobs.Runner
    pulse: Pulse
    max_connection_wait_time = (
        1.0  # RQ's own minute was measured to leave workers asleep beside a Redis long back
    )
    was_told_to_stop = False
    _away_since: float | None = None

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        # RQ's own note of it is made only while a job runs.
        self.was_told_to_stop = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]  # RQ has no types here

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        self.pulse()
        try:
            super().heartbeat(timeout, pipeline)
        except (RedisConnectionError, RedisTimeoutError):
            self._away_since = self._away_since or time.monotonic()
            if not self.horse_pid and time.monotonic() - self._away_since > REDIS_PATIENCE_SECONDS:
                raise StopRequested from None  # `main` goes on by asking the database
            raise
        self._away_since = None

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


def isolation() -> str:
    """The sandbox's level on this machine; none if it does not even start."""
    try:
        return sandbox.isolation().level
    except sandbox.SandboxFailed:
        log.exception("the sandbox does not work here; organisers' own metrics will fail")
        return "none"


def main() -> int:
    try:
        settings = config.load()
        logs.begin(settings.log_level, settings.log_format)
        safety.refuse_unsafe(settings)
        config.prepare_data_dir(settings)
        database = db.open_(settings, pooled=False)
        key = config.secret_key(settings)
        runner = jobs.configure(settings, database)
        patience.until_there(lambda: _enter(runner))
    except Refused as refusal:
        print(f"heldout worker: {refusal.message}", file=sys.stderr)
        return refusal.exit_code
    pulse = Pulse(runner)
    poller = Poller(runner, pulse, job_seconds=settings.job_seconds)
    # Without this every fork's first full collection walks, and thereby copies, all that was imported.
    gc.collect()
    gc.freeze()
    if not settings.uses_redis:
        poller.run()
    else:
        _listen(settings, key, runner, pulse, poller)
    patience.say_goodbye(database, runner.name)
    return 0


def _enter(runner: jobs.Runner) -> None:
    migrations.check(runner.database)
    release_the_dead(runner)


def _listen(settings: Settings, key: str, runner: jobs.Runner, pulse: Pulse, poller: Poller) -> None:
    """Take hints from Redis; while it is away, ask the database instead. Ends when told to stop."""
    ScoringWorker.runner, ScoringWorker.pulse = runner, pulse
    connection = queue.connect(settings.redis)
    while _answers(connection) or poller.run(until=lambda: _answers(connection)):
        worker = _scoring_worker(settings, key, runner, connection)
        try:
            worker.work(logging_level=None, with_scheduler=False)
        except RedisError:
            log.exception("Redis went away; the database is asked until it is back")
        if worker.was_told_to_stop:
            return


def _answers(connection: Redis) -> bool:
    """That it takes a write: a full one still answers a ping, but carries no hints."""
    try:
        return bool(connection.set("heldout:worker:asks", 1, ex=60))
    except RedisError:
        return False


def _scoring_worker(settings: Settings, key: str, runner: jobs.Runner, connection: Redis) -> ScoringWorker:
    serializer = queue.signed_json(key)
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
    worker.log.setLevel(logging.WARNING if settings.log_level == "info" else settings.log_level.upper())
    return worker


if __name__ == "__main__":
    sys.exit(main())

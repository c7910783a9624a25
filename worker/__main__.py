"""`python -m worker`: one worker, which forks a work-horse for each hint."""

from __future__ import annotations

import gc
import logging
import os
import re
import secrets
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.job import Job
from sqlalchemy.exc import DBAPIError

import scorer
from app import migrations
from app.authoring import challenges
from app.base import config, db, heartbeats, logs, queue, startup_checks
from app.base.config import Settings
from app.base.errors import Refused
from app.operating import startup_wait
from scorer.sandbox import sandbox
from worker import inspections as inspecting  # noqa: F401  a job too: imported before the fork
from worker import jobs, lease_keeper
from worker.poller import Poller
from worker.stopping import Stop

HEARTBEAT_SECONDS = 5.0
REDIS_PATIENCE_SECONDS = 2.0

log = logging.getLogger("worker")


class Pulse:
    """Writes this worker's heartbeat and keeps its sandbox running."""

    def __init__(self, runner: jobs.Runner, isolation: str) -> None:
        self._runner = runner
        self._last = -HEARTBEAT_SECONDS
        self._detail = {"isolation": isolation}

    def __call__(self) -> None:
        if time.monotonic() - self._last < HEARTBEAT_SECONDS:
            return
        self._last = time.monotonic()
        try:
            sandbox.start("reader")  # again if it was killed: otherwise each work-horse would start its own
        except sandbox.SandboxFailed:
            log.exception("files cannot be read here")
        if self._beat():
            # It takes seconds, so it starts before the first fork that needs it: every work-horse shares it.
            try:
                sandbox.start("metric")
            except sandbox.SandboxFailed:
                log.exception("organisers' own metrics will fail here")

    def _beat(self) -> bool:
        """Write the heartbeat.

        Return whether a competition has an own metric.
        """
        name, detail = self._runner.name, self._detail
        try:
            with self._runner.database.begin() as session:
                heartbeats.beat(session, name, "worker", now=db.now(session), detail=detail)
                return challenges.any_with_own_metric(session)
        except DBAPIError:
            log.exception("the heartbeat was not written")
            return False


class ScoringWorker(Worker):
    """RQ's forking worker with heartbeats in the database.

    Expires leases of a killed work-horse.
    """

    runner: jobs.Runner
    pulse: Pulse
    max_connection_wait_time = 1.0
    """Seconds. RQ's own minute was measured to leave workers asleep long after Redis was back."""
    stop: Stop
    _away_since: float | None = None

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]  # RQ has no types here
        # A signal before RQ listened: RQ reads its own flag only.
        self._stop_requested = self.stop.is_asked

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stop.ask()
        # RQ sets the flag only while a job runs. Otherwise it raises StopRequested, which is lost when the
        # signal interrupts a callback of the garbage collector.
        self._stop_requested = True
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
        """Expire the lease at once.

        The process that held it is dead.
        """
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[no-untyped-call]  # RQ has no types here
        with self.runner.database.begin() as session:
            ended = lease_keeper.expire(session, self.runner.name, now=db.now(session))
        self.log.warning("a work-horse was killed; %s leases ended", ended)


def expire_dead_horses(runner: jobs.Runner) -> None:
    """Expire leases of work-horses killed together with their worker."""
    host = runner.name.split("/")[0]
    with runner.database.begin() as session:
        now = db.now(session)
        for holder in lease_keeper.holders(session, f"{host}/"):
            horse_pid = int(holder.split("/")[2])
            if not os.path.exists(f"/proc/{horse_pid}") and os.path.isdir("/proc/self"):  # noqa: PTH110, PTH112
                lease_keeper.expire(session, holder, now=now)


def main() -> int:
    try:
        settings = config.load()
        logs.configure(settings.log_level, settings.log_format)
        startup_checks.refuse_unsafe(settings)
        config.prepare_data_dir(settings)
        database = db.open_(settings, pooled=False)
        key = config.secret_key(settings)
        runner = jobs.configure(settings, database)
        startup_wait.wait_for_database(lambda: _enter(runner))
    except Refused as refusal:
        print(f"heldout worker: {refusal.message}", file=sys.stderr)
        return refusal.exit_code
    try:
        with scorer.locked_in() as isolation:
            _work(settings, key, runner, isolation)
    except sandbox.SandboxFailed as failure:
        print(f"heldout worker: {failure}", file=sys.stderr)
        return 1
    startup_wait.remove_heartbeat(database, runner.name)
    return 0


def _enter(runner: jobs.Runner) -> None:
    migrations.check(runner.database)
    expire_dead_horses(runner)


def _work(settings: Settings, key: str, runner: jobs.Runner, isolation: str) -> None:
    if isolation not in ("strong", "standard"):
        log.warning("files of participants are read with isolation %s here; see SECURITY.md", isolation)
    pulse = Pulse(runner, isolation)
    stop = Stop()
    stop.listen()
    poller = Poller(runner, pulse, stop, job_seconds=settings.job_seconds)
    # Without this, the first full collection in every fork copies the pages of all that was imported.
    gc.collect()
    gc.freeze()
    if not settings.uses_redis:
        poller.run()
    else:
        with suppress(StopRequested):  # RQ's handler, between its end and ours
            _listen(settings, key, runner, pulse, poller, stop)


def _listen(
    settings: Settings, key: str, runner: jobs.Runner, pulse: Pulse, poller: Poller, stop: Stop
) -> None:
    """Take hints from Redis, or poll the database, until `stop`.

    Both read the same `stop`, so that a signal between them is not lost.
    """
    ScoringWorker.runner, ScoringWorker.pulse, ScoringWorker.stop = runner, pulse, stop
    connection = queue.connect(settings.redis)
    runner.hints = queue.Hints(connection, key, job_seconds=settings.job_seconds)
    # RQ repeats commands itself. With the client's own ten repeats, the database was polled only after 20 s.
    connection.set_retry(Retry(NoBackoff(), 1))
    # A separate connection with short timeouts: a worker that waits for an answer cannot be stopped.
    probe = Redis.from_url(
        settings.redis, socket_connect_timeout=2, socket_timeout=2, retry=Retry(NoBackoff(), 0)
    )
    while poller.run(until=lambda: _takes_writes(probe)):
        worker = _scoring_worker(settings, key, runner, connection)
        try:
            worker.work(logging_level=None, with_scheduler=False)
        except RedisError:
            log.exception("Redis is away; the database is polled until it is back")
            poller.turn()  # at least once: Redis may take the probe and nothing else
        finally:
            stop.listen()  # RQ leaves its own handlers behind
            listening: Any = worker.pubsub_thread
            if listening is not None:
                listening.stop()  # the thread would otherwise try for ever to reach Redis


def _takes_writes(connection: Redis) -> bool:
    """Return whether Redis takes a write.

    A full one answers a ping but carries no hints.
    """
    try:
        return bool(connection.set("heldout:worker:asks", 1, ex=60))
    except RedisError:
        return False


def _scoring_worker(settings: Settings, key: str, runner: jobs.Runner, connection: Redis) -> ScoringWorker:
    serializer = queue.signed_json(key)
    # One queue per worker: with two or more, RQ pops without an intermediate list, and a kill loses the job.
    worker = ScoringWorker(
        [Queue(queue.NAME, connection=connection, serializer=serializer)],
        # A random suffix: a container that restarts has the same host and pid as the killed one.
        name=f"{re.sub('[^A-Za-z0-9_-]', '-', runner.name)}-{secrets.token_hex(4)}",
        job_class=queue.Hint,
        connection=connection,
        serializer=serializer,
        worker_ttl=20,  # an idle worker wakes for a heartbeat 15 s before this ends
        job_monitoring_interval=5,
        maintenance_interval=60,
    )
    worker.log.setLevel(logging.WARNING if settings.log_level == "info" else settings.log_level.upper())
    return worker


if __name__ == "__main__":
    sys.exit(main())

"""`python -m worker`: one scoring worker. It forks a work-horse for each hint and restarts nothing by itself."""

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
from app.competing import evaluations
from app.operating import startup_wait
from scorer.sandbox import sandbox
from worker import inspections, jobs  # noqa: F401  inspections is a job too: imported before the fork
from worker.poller import Poller
from worker.stopping import Stop

HEARTBEAT_SECONDS = 5.0
REDIS_PATIENCE_SECONDS = 2.0

log = logging.getLogger("worker")


class Pulse:
    """Tells the database that this worker lives, and how well its machine locks in what reads files and measures."""

    def __init__(self, runner: jobs.Runner, isolation: str) -> None:
        self._runner = runner
        self._last = -HEARTBEAT_SECONDS
        self._detail = {"isolation": isolation}

    def __call__(self) -> None:
        if time.monotonic() - self._last < HEARTBEAT_SECONDS:
            return
        self._last = time.monotonic()
        try:
            sandbox.start("reader")  # again, if it was killed: each work-horse would start one of its own
        except sandbox.SandboxFailed:
            log.exception("files cannot be read here")
        if self._beat():
            # It takes seconds, so before the first fork that wants it: every work-horse shares what was started.
            try:
                sandbox.start("metric")
            except sandbox.SandboxFailed:
                log.exception("organisers' own metrics will fail here")

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
    stop: Stop
    _away_since: float | None = None

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]  # RQ has no types here
        # What came before RQ listened: it looks at its own note only.
        self._stop_requested = self.stop.is_asked

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stop.ask()
        # RQ notes it only while a job runs. Else it raises StopRequested, which is lost where the signal meets a
        # callback of the garbage collector.
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
        """Do not wait for the lease to run out: the process that held it is known to be dead."""
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[no-untyped-call]  # RQ has no types here
        with self.runner.database.begin() as session:
            ended = evaluations.expire(session, self.runner.name, now=db.now(session))
        self.log.warning("a work-horse was killed; %s evaluations go back", ended)


def release_the_dead(runner: jobs.Runner) -> None:
    """End the leases that work-horses of this machine held when they were killed, their worker with them."""
    host = runner.name.split("/")[0]
    with runner.database.begin() as session:
        now = db.now(session)
        for holder in evaluations.LEASES.holders(session, f"{host}/"):
            horse_pid = int(holder.split("/")[2])
            if not os.path.exists(f"/proc/{horse_pid}") and os.path.isdir("/proc/self"):  # noqa: PTH110, PTH112
                evaluations.expire(session, holder, now=now)


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
    release_the_dead(runner)


def _work(settings: Settings, key: str, runner: jobs.Runner, isolation: str) -> None:
    if isolation not in ("strong", "standard"):
        log.warning("files of participants are read with isolation %s here; see SECURITY.md", isolation)
    pulse = Pulse(runner, isolation)
    stop = Stop()
    stop.listen()
    poller = Poller(runner, pulse, stop, job_seconds=settings.job_seconds)
    # Without this every fork's first full collection walks, and thereby copies, all that was imported.
    gc.collect()
    gc.freeze()
    if not settings.uses_redis:
        poller.run()
    else:
        with suppress(StopRequested):  # RQ's handler, in the moment between its end and ours
            _listen(settings, key, runner, pulse, poller, stop)


def _listen(
    settings: Settings, key: str, runner: jobs.Runner, pulse: Pulse, poller: Poller, stop: Stop
) -> None:
    """Take hints from Redis; while it is away, ask the database instead. Ends when told to stop.

    Both ways of working look at the same `stop`, so that a signal between them is not lost.
    """
    ScoringWorker.runner, ScoringWorker.pulse, ScoringWorker.stop = runner, pulse, stop
    connection = queue.connect(settings.redis)
    runner.hints = queue.Hints(connection, key, job_seconds=settings.job_seconds)
    # RQ tries again by itself. The client's own ten tries of each command made it 20 s until the database was asked.
    connection.set_retry(Retry(NoBackoff(), 1))
    # Of its own, and impatient: what does not answer soon is away, and nobody can stop a worker that waits for it.
    asking = Redis.from_url(
        settings.redis, socket_connect_timeout=2, socket_timeout=2, retry=Retry(NoBackoff(), 0)
    )
    while poller.run(until=lambda: _answers(asking)):
        worker = _scoring_worker(settings, key, runner, connection)
        try:
            worker.work(logging_level=None, with_scheduler=False)
        except RedisError:
            log.exception("Redis went away; the database is asked until it is back")
            poller.turn()  # at least once: it may take our question and nothing else
        finally:
            stop.listen()  # RQ leaves its own handlers behind
            listening: Any = worker.pubsub_thread
            if listening is not None:
                listening.stop()  # and where Redis went away, a thread that never gives up


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

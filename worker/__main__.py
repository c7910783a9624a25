"""`python -m worker`: one worker, which forks a work-horse for what is due."""

from __future__ import annotations

import logging
import os
import sys
import time

from sqlalchemy.exc import DBAPIError

import scorer
from app import migrations
from app.authoring import challenges
from app.base import config, db, heartbeats, inbox, logs, queue, startup_checks
from app.base.config import Settings
from app.base.errors import Refused
from app.operating import startup_wait
from scorer.sandbox import sandbox
from worker import jobs, lease_keeper
from worker.poller import Poller, freeze
from worker.stopping import Stop

HEARTBEAT_SECONDS = 5.0
SANDBOX_STARTS = 3

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
        except (DBAPIError, OSError):  # either would end the wait for a work-horse
            log.exception("the heartbeat was not written")
            return False


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
        runner = jobs.configure(settings, database)
        startup_wait.wait_for_database(lambda: _enter(runner))
    except Refused as refusal:
        print(f"heldout worker: {refusal.message}", file=sys.stderr)
        return refusal.exit_code
    try:
        _start_sandbox()
        with scorer.locked_in() as isolation:
            _work(settings, runner, isolation)
    except sandbox.SandboxFailed as failure:
        print(f"heldout worker: {failure}", file=sys.stderr)
        return 1
    startup_wait.remove_heartbeat(database, runner.name)
    return 0


def _enter(runner: jobs.Runner) -> None:
    migrations.check(runner.database)
    expire_dead_horses(runner)
    _make_inbox_key(runner)


def _make_inbox_key(runner: jobs.Runner) -> None:
    """Make the key that tables of drafts are encrypted with, where the vault can be written."""
    try:
        with runner.database.begin() as session:
            inbox.ensure_key(session, runner.vault, now=db.now(session))
    except (Refused, OSError) as wrong:
        log.warning("tables of drafts cannot be received: the vault cannot be written: %s", wrong)


def _start_sandbox() -> None:
    """Start the sandbox, again if it dies meanwhile: a new worker would pay for all its imports again."""
    for attempt in range(1, SANDBOX_STARTS + 1):
        try:
            sandbox.isolation()
        except sandbox.SandboxFailed:
            if attempt == SANDBOX_STARTS:
                raise
            log.exception("the sandbox did not start; attempt %s of %s follows", attempt + 1, SANDBOX_STARTS)
            time.sleep(attempt)
        else:
            return


def _work(settings: Settings, runner: jobs.Runner, isolation: str) -> None:
    if isolation not in ("strong", "standard"):
        log.warning("files of participants are read with isolation %s here; see SECURITY.md", isolation)
    stop = Stop()
    stop.listen()
    listener = queue.Listener(settings.redis) if settings.uses_redis else None
    poller = Poller(
        runner, Pulse(runner, isolation), stop, job_seconds=settings.job_seconds, listener=listener
    )
    freeze()
    poller.run()


if __name__ == "__main__":
    sys.exit(main())

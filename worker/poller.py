"""A worker without Redis: polls the database each second.

It runs where no Redis is configured and while Redis is away. Claims, leases and kills work as with hints.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from app.base import db
from app.competing import evaluations
from app.integrity import inspections
from worker import inspections as inspecting
from worker import lease_keeper
from worker.jobs import Runner
from worker.stopping import Stop

PAUSE_SECONDS = 1.0
LOOK_SECONDS = 0.05

log = logging.getLogger("worker.poller")


class Poller:
    """Runs what is due, one work-horse at a time.

    `beat` writes the heartbeat.
    """

    def __init__(self, runner: Runner, beat: Callable[[], None], stop: Stop, *, job_seconds: float) -> None:
        self._runner, self._beat, self._stop, self._job_seconds = runner, beat, stop, job_seconds

    def run(self, until: Callable[[], bool] = lambda: False) -> bool:
        """Work until a stop, then return False, or until the condition holds, then return True.

        A stop lets the work-horse finish.
        """
        while not self._stop.is_asked:
            if until():
                return not self._stop.is_asked
            self.turn()
        return False

    def turn(self) -> None:
        """Do what is due, or pause."""
        try:
            self._beat()
            # After a failed work-horse there is a pause: the cause may still be there.
            if (work := self.due()) is not None and self.work(work):
                return
        except DBAPIError:
            # The worker must survive a restart of the database.
            log.exception("the database does not answer; polled again after a pause")
        self._stop.wait(PAUSE_SECONDS)

    def due(self) -> Callable[[], object] | None:
        """Return the job of what is due, evaluations first.

        None if nothing is.
        """
        most = self._runner.settings.workers_per_competition
        with self._runner.database.read() as session:
            now = db.now(session)
            if evaluations.is_any_due(session, now=now, most_workers=most):
                return self._runner.run
            if inspections.is_any_due(session, now=now):
                return lambda: inspecting.inspect(None)
        return None

    def work(self, job: Callable[[], object]) -> bool:
        """Run the job in a fork.

        Return whether it exited with 0.
        """
        horse = os.fork()
        if horse == 0:
            code = 1
            try:
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_DFL)
                job()
                code = 0
            except Exception:
                log.exception("a work-horse failed")
            finally:
                os._exit(code)
        began = time.monotonic()
        while True:
            pid, status = os.waitpid(horse, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - began > self._job_seconds + evaluations.BACKOFF.total_seconds():
                os.kill(horse, signal.SIGKILL)
            self._beat()
            time.sleep(LOOK_SECONDS)
        if os.WIFSIGNALED(status):
            with self._runner.database.begin() as session:
                holder = f"{self._runner.name}/{horse}"
                ended = lease_keeper.expire(session, holder, now=db.now(session))
            log.warning("a work-horse was killed; %s leases ended", ended)
        return status == 0

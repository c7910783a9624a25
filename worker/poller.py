"""A scoring worker without Redis: it asks the database each second, and forks a work-horse when there is work.

The rows never needed the queue. Where no Redis is to be had, or none is wanted, this is all there is; a
claim, a lease and a killed work-horse mean what they mean with hints.
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
from worker.jobs import Runner
from worker.stopping import Stop

PAUSE_SECONDS = 1.0
LOOK_SECONDS = 0.05

log = logging.getLogger("worker.poller")


class Poller:
    """`beat` says that this worker lives, as often as it is called."""

    def __init__(self, runner: Runner, beat: Callable[[], None], stop: Stop, *, job_seconds: float) -> None:
        self._runner, self._beat, self._stop, self._job_seconds = runner, beat, stop, job_seconds

    def run(self, until: Callable[[], bool] = lambda: False) -> bool:
        """Until told to stop, after which the work-horse still finishes: False. Or until that is so: True."""
        while not self._stop.is_asked:
            if until():
                return not self._stop.is_asked
            self.turn()
        return False

    def turn(self) -> None:
        """One look at the database, and what it finds; a pause if that is nothing."""
        try:
            self._beat()
            # After a work-horse that failed a pause: what failed it may be there still.
            if (work := self.due()) is not None and self.work(work):
                return
        except DBAPIError:
            # A database that restarts must find its worker alive.
            log.exception("the database does not answer; asked again in a moment")
        self._stop.wait(PAUSE_SECONDS)

    def due(self) -> Callable[[], object] | None:
        """What a work-horse should begin with, if anything waits; scoring comes first."""
        most = self._runner.settings.workers_per_competition
        with self._runner.database.read() as session:
            now = db.now(session)
            if evaluations.is_any_due(session, now=now, most_workers=most):
                return self._runner.run
            if inspections.is_any_due(session, now=now):
                return lambda: inspecting.inspect(None)
        return None

    def work(self, job: Callable[[], object]) -> bool:
        """One fork, and whether it ended well; whatever a file does to it is gone with it."""
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
                ended = evaluations.expire(session, holder, now=db.now(session))
            log.warning("a work-horse was killed; %s evaluations go back", ended)
        return status == 0

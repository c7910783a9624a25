"""The worker's loop: asks the database for work, and runs it in a fork.

Between two looks it waits for a hint. Without a queue, and while it is away, it looks each second.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

from app.authoring import draft_steps
from app.base import db
from app.base.queue import Listener
from app.competing import evaluations
from app.integrity import inspections
from worker import lease_keeper
from worker.jobs import Runner
from worker.stopping import Stop

PAUSE_SECONDS = 1.0
LOOK_SECONDS = 0.05
"""Between two looks at a work-horse, and after a hint of work that is done."""
HINTED_SECONDS = 5.0
"""Between two looks while the queue answers: a lost hint delays a file no longer."""
HINT_SECONDS = 1
"""One wait for a hint, which a stop does not interrupt."""
SILENT_SECONDS = 5.0
"""How long a queue that failed is left alone."""
LIMIT_SECONDS = 3.0
"""The longest wait for an answer, whatever the queue sends."""

log = logging.getLogger("worker.poller")


class TookTooLong(Exception):
    """A job ran into its time limit."""


class NoAnswer(Exception):
    """The queue did not answer in time."""


class Work(NamedTuple):
    """What is due, and its time limit."""

    run: Callable[[], object]
    seconds: float


class Poller:
    """Runs what is due, one work-horse at a time.

    `beat` writes the heartbeat.
    """

    def __init__(
        self,
        runner: Runner,
        beat: Callable[[], None],
        stop: Stop,
        *,
        job_seconds: float,
        listener: Listener | None = None,
    ) -> None:
        """Without a listener there is no queue."""
        self._runner, self._beat, self._stop, self._job_seconds = runner, beat, stop, job_seconds
        self._listener = listener
        self._has_preloaded = False
        self._silent_until = 0.0
        """End of the time in which the queue is left alone; 0 if it answers."""
        self._is_hinted = False
        """A hint came, and its work is not found yet."""

    def run(self) -> None:
        """Work until a stop, which lets the work-horse finish."""
        while not self._stop.is_asked:
            self.turn()

    def turn(self) -> None:
        """Do what is due, or pause."""
        try:
            self._beat()
            work = self.due()
            if work is not None:
                self._is_hinted = False
                # After a failed work-horse there is a pause: the cause may still be there.
                if self.work(work):
                    return
            else:
                self._preload()
                if self._listener is not None:
                    if self._is_hinted:  # hints of work that is done, without end, must not make this spin
                        self._stop.wait(LOOK_SECONDS)
                    self._is_hinted = self._wait_for_hint(self._listener)
                    return
        except DBAPIError:
            # The worker must survive a restart of the database.
            log.exception("the database does not answer; polled again after a pause")
        except OSError:
            # As it must a time without processes, descriptors or memory.
            log.exception("the machine gave no process, descriptor or memory; tried again after a pause")
        self._stop.wait(PAUSE_SECONDS)

    def _preload(self) -> None:
        """Import what only inspections and drafts need, once there is nothing to score.

        It is a third of what a worker imports, and after kills a restarted worker has files to score first. A
        work-horse that inspects before this imports it for itself.
        """
        if not self._has_preloaded:
            self._has_preloaded = True
            import worker.authoring
            import worker.inspections  # noqa: F401

            freeze()

    def _wait_for_hint(self, listener: Listener) -> bool:
        """Wait until a hint, a stop, or the next look; return whether a hint came.

        The queue only shortens the wait: dead, hung, full or answering nonsense, it delays no look at the
        database by more than LIMIT_SECONDS.
        """
        until = time.monotonic() + HINTED_SECONDS
        while not self._stop.is_asked and time.monotonic() < until:
            if time.monotonic() < self._silent_until:
                self._stop.wait(PAUSE_SECONDS)
                return False
            asked = time.monotonic()
            try:
                with _time_limit(LIMIT_SECONDS, NoAnswer, again=1.0):
                    is_hinted = listener.take(HINT_SECONDS)
                waited = time.monotonic() - asked
                if not is_hinted and waited < HINT_SECONDS / 2:
                    raise NoAnswer(f"no hint after {waited:.3f} s of {HINT_SECONDS} s")
            except Exception as wrong:  # noqa: BLE001  a server that is no Redis may send what raises anything
                if not self._silent_until:
                    log.warning(
                        "the queue is away; the database is polled until it is back: %s: %s",
                        type(wrong).__name__,
                        str(wrong)[:200],
                    )
                self._silent_until = time.monotonic() + SILENT_SECONDS
                listener.close()
                continue
            if self._silent_until:
                log.warning("the queue is back")
                self._silent_until = 0.0
            if is_hinted:
                return True
        return False

    def due(self) -> Work | None:
        """Return what is due, evaluations first; None if nothing is."""
        most = self._runner.settings.workers_per_competition
        with self._runner.database.read() as session:
            now = db.now(session)
            if evaluations.is_any_due(session, now=now, most_workers=most):
                return Work(self._runner.run, self._job_seconds)
            if inspections.is_any_due(session, now=now):
                return Work(_inspect, 3 * self._job_seconds)
            if draft_steps.is_any_due(session, now=now):
                return Work(_author, 3 * self._job_seconds)
        return None

    def work(self, work: Work) -> bool:
        """Run the work in a fork.

        Return whether it exited with 0.
        """
        horse = os.fork()
        if horse == 0:
            code = 1
            try:
                os.setpgrp()  # Ctrl-C stops the worker, which waits for the work-horse
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                with _time_limit(work.seconds, TookTooLong):
                    work.run()
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
            if time.monotonic() - began > work.seconds + evaluations.BACKOFF.total_seconds():
                os.kill(horse, signal.SIGKILL)
            self._beat()
            time.sleep(LOOK_SECONDS)
        if os.WIFSIGNALED(status):
            with self._runner.database.begin() as session:
                holder = f"{self._runner.name}/{horse}"
                ended = lease_keeper.expire(session, holder, now=db.now(session))
            log.warning("a work-horse was killed; %s leases ended", ended)
        return status == 0


def _inspect() -> int:
    from worker import inspections

    return inspections.inspect(None)


def _author() -> int:
    from worker import authoring

    return authoring.work()


def freeze() -> None:
    """Keep the collector from what was imported: a full collection in a fork would copy its pages."""
    gc.collect()
    gc.freeze()


@contextmanager
def _time_limit(seconds: float, kind: type[Exception], *, again: float = 0.0) -> Iterator[None]:
    """Raise in the block after `seconds`, and `again` seconds later until it ends.

    Once may not be enough: an exception in a callback of the garbage collector is lost.
    """
    is_running = True

    def end(_number: int, _frame: FrameType | None) -> None:
        if is_running:
            raise kind(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, again)
    try:
        yield
    finally:
        is_running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

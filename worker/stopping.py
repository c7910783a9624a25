"""Being told to stop: one note of it for the whole life of a process, whoever is at work in it at the moment."""

from __future__ import annotations

import signal
import time

LOOK_SECONDS = 0.1


class Stop:
    """Asked for by SIGTERM or SIGINT, once and for all.

    No threading.Event: the signal may interrupt the very code that holds its lock, and would wait for itself.
    """

    is_asked = False

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask)

    def ask(self, *_: object) -> None:
        self.is_asked = True

    def wait(self, seconds: float) -> None:
        """Sleep so long, or until it is asked for."""
        until = time.monotonic() + seconds
        while not self.is_asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))

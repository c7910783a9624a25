"""One flag per process that SIGTERM or SIGINT was received."""

from __future__ import annotations

import signal
import time

LOOK_SECONDS = 0.1


class Stop:
    """Set by SIGTERM or SIGINT, never cleared.

    No threading.Event: the signal may interrupt the code that holds its lock, and would wait for itself.
    """

    is_asked = False

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask)

    def ask(self, *_: object) -> None:
        self.is_asked = True

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`, or until a stop."""
        until = time.monotonic() + seconds
        while not self.is_asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))

"""`python -m worker` that receives SIGTERM between polling the database and listening to Redis, or back."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from worker import __main__ as program


def stop_at(name: str) -> None:
    """Send SIGTERM to this process when it calls a method of RQ's worker."""
    method = getattr(program.ScoringWorker, name)

    def stopped(self: program.ScoringWorker, *words: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return method(self, *words, **named)

    setattr(program.ScoringWorker, name, stopped)


if __name__ == "__main__":
    stop_at(os.environ["STOP_AT"])
    sys.exit(program.main())

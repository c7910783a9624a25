"""Start-up waits for the database; shutdown does not."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from app.base import db, heartbeats
from app.base.db import Database
from app.base.errors import Misconfigured

LONGEST_PAUSE_SECONDS = 5.0
LOG_AGAIN_SECONDS = 60.0

T = TypeVar("T")

log = logging.getLogger(__name__)


def wait_for_database(begin: Callable[[], T]) -> T:
    """Call `begin` until the database accepts connections.

    SIGTERM ends the process meanwhile. Machines start in any order. What waiting does not help (a wrong
    password, another schema) is refused at once.
    """
    handlers = {number: signal.signal(number, _exit) for number in (signal.SIGTERM, signal.SIGINT)}
    pause, logged_at = 0.25, -LOG_AGAIN_SECONDS
    try:
        while True:
            try:
                return begin()
            except (Misconfigured, DBAPIError) as wrong:
                cause = wrong if isinstance(wrong, DBAPIError) else wrong.__cause__
                if not (isinstance(cause, DBAPIError) and db.is_transient(cause)):
                    raise
                if time.monotonic() - logged_at >= LOG_AGAIN_SECONDS:
                    logged_at = time.monotonic()
                    log.warning("waiting for the database: %s", str(cause.orig).strip().splitlines()[0])
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _exit(*_: object) -> None:
    sys.exit(0)


def remove_heartbeat(database: Database, name: str) -> None:
    """Delete the heartbeat; without a database it expires instead."""
    try:
        with database.begin() as session:
            heartbeats.remove(session, name)
    except DBAPIError as away:
        log.warning("stopped without the database: %s", type(away.orig).__name__)

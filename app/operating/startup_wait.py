"""Coming and going beside a database that is away: a start waits for it, an end does not."""

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
SAY_AGAIN_SECONDS = 60.0

T = TypeVar("T")

log = logging.getLogger(__name__)


def wait_for_database(begin: Callable[[], T]) -> T:
    """Begin, again and again while the database is not there yet or takes nobody in; SIGTERM ends it at once.

    Machines come up in any order. What waiting does not mend (a wrong password, another schema) is refused as ever.
    """
    kept = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGINT)}
    pause, said_at = 0.25, -SAY_AGAIN_SECONDS
    try:
        while True:
            try:
                return begin()
            except (Misconfigured, DBAPIError) as wrong:
                cause = wrong if isinstance(wrong, DBAPIError) else wrong.__cause__
                if not (isinstance(cause, DBAPIError) and db.is_transient(cause)):
                    raise
                if time.monotonic() - said_at >= SAY_AGAIN_SECONDS:
                    said_at = time.monotonic()
                    log.warning("waiting for the database: %s", str(cause.orig).strip().splitlines()[0])
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _leave(*_: object) -> None:
    sys.exit(0)


def remove_heartbeat(database: Database, name: str) -> None:
    """Take the heartbeat away; if the database is away itself, it grows old instead."""
    try:
        with database.begin() as session:
            heartbeats.remove(session, name)
    except DBAPIError as away:
        log.warning("stopped while the database is away: %s", type(away.orig).__name__)

"""Sends the letters that wait, in a thread of the sweeper beside its steps.

A mail server that hangs delays letters alone. No transaction is open while one is sent: a process that is
killed after the server took a letter sends it again, with the same Message-ID.
"""

from __future__ import annotations

import logging
import ssl
import threading
from enum import Enum, auto

from app.base import config, db
from app.base.config import Settings
from app.base.db import Database
from app.delivery import letters, outbox, smtp
from worker.stopping import Stop

PAUSE_SECONDS = 2.0

log = logging.getLogger("worker.postman")


class Outcome(Enum):
    """What became of the letter that was due longest."""

    NONE_DUE = auto()
    SENT = auto()
    DELAYED = auto()
    GIVEN_UP = auto()


def start(settings: Settings, database: Database, stop: Stop) -> threading.Thread | None:
    """Start the thread where a mail server is set; None otherwise."""
    if not settings.sends_mail:
        return None
    thread = threading.Thread(target=_run, args=(settings, database, stop), name="postman", daemon=True)
    thread.start()
    return thread


def _run(settings: Settings, database: Database, stop: Stop) -> None:
    while not stop.is_asked:
        try:
            post_all(settings, database, stop)
        except Exception:
            # As the sweeper, it must survive a restart of the database.
            log.exception("letters were not sent; tried again after a pause")
        stop.wait(PAUSE_SECONDS)


def post_all(
    settings: Settings, database: Database, stop: Stop | None = None, *, context: ssl.SSLContext | None = None
) -> int:
    """Write letters about news, then send every letter that is due; return how many were sent."""
    with database.begin() as session:
        now = db.now(session)
        letters.write_news(session, now=now)
        outbox.forget(session, now=now)
    sent = 0
    while stop is None or not stop.is_asked:
        outcome = post(settings, database, context=context)
        sent += outcome is Outcome.SENT
        if outcome in (
            Outcome.NONE_DUE,
            Outcome.DELAYED,
        ):  # a server that is away would delay each by as much
            break
    return sent


def post(settings: Settings, database: Database, *, context: ssl.SSLContext | None = None) -> Outcome:
    """Claim the letter that is due longest, and send it."""
    url, key = settings.public_url.rstrip("/"), config.secret_key(settings)
    with database.begin() as session:
        now = db.now(session)
        letter = outbox.claim(session, now=now)
        if letter is None:
            return Outcome.NONE_DUE
        id_, kind, attempt = letter.id, letter.kind, letter.attempts
        try:
            composed = letters.compose(session, letter, url=url, key=key, now=now)
        except letters.Dropped as reason:
            outbox.end(session, id_, attempt, fault=f"not sent: {reason}", now=now)
            return Outcome.GIVEN_UP
    try:
        smtp.send(settings, composed, key=f"{url} letter {id_}", context=context)
    except smtp.NotSent as fault:
        with database.begin() as session:
            now = db.now(session)
            if fault.is_final:
                outbox.end(session, id_, attempt, fault=str(fault), now=now)
            waits = not fault.is_final and outbox.put_back(session, id_, attempt, fault=str(fault), now=now)
        words = "tried again later" if waits else "given up"
        log.warning("letter %s (%s) was not sent and is %s: %s", id_, kind, words, fault)
        return Outcome.DELAYED if waits else Outcome.GIVEN_UP
    with database.begin() as session:
        outbox.end(session, id_, attempt, fault=None, now=db.now(session))
    return Outcome.SENT

"""Sends the letters that wait, in a thread of the sweeper beside its steps.

A mail server that hangs delays letters alone. No transaction is open while one is sent: a process that is
killed after the server took a letter sends it again, with the same Message-ID.
"""

from __future__ import annotations

import logging
import ssl
import threading

from app.base import db
from app.base.config import Settings
from app.base.db import Database
from app.delivery import letters, outbox, smtp
from worker.stopping import Stop

PAUSE_SECONDS = 2.0

log = logging.getLogger("worker.postman")


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
        taken = post(settings, database, context=context)
        if taken is None:
            break
        sent += taken
    return sent


def post(settings: Settings, database: Database, *, context: ssl.SSLContext | None = None) -> bool | None:
    """Claim one letter and send it; return whether it was sent, None if none is due."""
    with database.begin() as session:
        now = db.now(session)
        letter = outbox.claim(session, now=now)
        if letter is None:
            return None
        id_, kind = letter.id, letter.kind
        try:
            composed = letters.compose(session, letter, url=settings.public_url.rstrip("/"), now=now)
        except letters.Dropped as reason:
            outbox.end(session, id_, fault=f"not sent: {reason}", now=now)
            return False
    try:
        smtp.send(settings, composed, key=f"{settings.public_url} letter {id_}", context=context)
    except smtp.NotSent as fault:
        with database.begin() as session:
            now = db.now(session)
            if fault.is_final:
                outbox.end(session, id_, fault=str(fault), now=now)
                is_last = True
            else:
                is_last = not outbox.put_back(session, id_, fault=str(fault), now=now)
        words = "given up" if is_last else "tried again later"
        log.warning("letter %s (%s) was not sent and is %s: %s", id_, kind, words, fault)
        return False
    with database.begin() as session:
        outbox.end(session, id_, fault=None, now=db.now(session))
    return True

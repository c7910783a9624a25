"""The hint that there is work; the only module of the core that knows RQ.

A hint may be lost, doubled or late: the database row is the truth and the sweeper announces again
what is unfinished. The payload is a submission's id in signed JSON, because whoever can write to
Redis could otherwise make a worker run any function (with pickle or with plain JSON alike).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue
from rq.job import Job
from rq.serializers import Serializer

from app.base import config
from app.base.config import Settings

NAME = "scoring"
JOB = "worker.jobs.score_submission"
INSPECTION_JOB = "worker.inspections.inspect"
HINT_LIFE_SECONDS = 60

SILENT_SECONDS = 5.0
"""A Redis that did not answer in time is left alone for so long: each upload would wait for it, one after another."""
TURN_SECONDS = 0.5
"""A hint takes a thousandth of a second: whoever had no turn for so long stands behind one that waits in vain."""

T = TypeVar("T")

log = logging.getLogger(__name__)


def signed_json(key: str) -> Serializer:
    """RQ's serializer over JSON with an HMAC in front; a forged job never reaches a function.

    A class, made for this key, because RQ wants one that it can name.
    """
    secret = hashlib.sha256(b"heldout job " + key.encode()).digest()

    class SignedJson:
        @staticmethod
        def dumps(value: Any) -> bytes:
            body = json.dumps(value).encode()
            return hmac.digest(secret, body, "sha256") + body

        @staticmethod
        def loads(data: bytes) -> Any:
            mac, body = data[:32], data[32:]
            if not hmac.compare_digest(mac, hmac.digest(secret, body, "sha256")):
                raise ValueError("a job in the queue is not signed with this installation's key")
            return json.loads(body)

    return SignedJson


class Hint(Job):
    """A job of which only the signed part is believed: callbacks and webhooks lie unsigned beside it in Redis."""

    def restore(self, raw_data: Any) -> None:
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []


class Hints:
    """Announces submissions to the workers. Failing to is no loss, only a delay, so it never raises."""

    def __init__(self, redis: Redis | None, key: str, *, job_seconds: int) -> None:
        """Without a Redis nothing is announced: workers then ask the database by themselves."""
        self._queue = Queue(NAME, connection=redis, serializer=signed_json(key)) if redis else None
        self._timeout = job_seconds
        self._turn = threading.Lock()
        self._silent_until = 0.0
        """When it may be asked again, if its last answer did not come; 0 while it answers."""

    def send(self, submission_id: int) -> bool:
        """True if the hint reached Redis; call it after the commit, never before.

        Hints need no names to be bounded: the row's `hinted_at` says when the next one is due. (RQ's
        unique jobs would even be wrong: a killed job's name stays taken, and its successor unsent.)
        """
        return self._send(JOB, submission_id, self._timeout)

    def send_inspection(self, inspection_id: int) -> bool:
        """The same for an inspection, which may take as long as three files."""
        return self._send(INSPECTION_JOB, inspection_id, 3 * self._timeout)

    def _send(self, job: str, about: int, seconds: int) -> bool:
        if self._queue is None:
            return False
        enqueue = self._queue.enqueue
        try:
            sent = self._ask(
                lambda: enqueue(
                    job,
                    about,
                    job_timeout=seconds,
                    ttl=HINT_LIFE_SECONDS * 10,
                    result_ttl=0,
                    failure_ttl=HINT_LIFE_SECONDS,
                )
            )
        except RedisError as wrong:
            log.warning("no hint for %s %s, the sweeper will send one: %s", job, about, wrong)
            return False
        return sent is not None

    def depth(self) -> int | None:
        """Hints waiting in Redis, or None while it is away; 0 where there is none."""
        if self._queue is None:
            return 0
        waiting = self._queue
        try:
            return self._ask(lambda: len(waiting))
        except RedisError:
            return None

    def _ask(self, question: Callable[[], T]) -> T | None:
        """The answer, one question at a time; None if Redis is silent. Of all threads one at most waits for it to speak
        again, while the others go on without a hint."""
        if not self._turn.acquire(timeout=0 if self._silent_until else TURN_SECONDS):
            return None
        try:
            if time.monotonic() < self._silent_until:
                return None
            answer = question()
            self._silent_until = 0.0
        except RedisTimeoutError:
            self._silent_until = time.monotonic() + SILENT_SECONDS
            raise
        finally:
            self._turn.release()
        return answer


def open_(settings: Settings) -> Hints:
    """The hints of an installation."""
    redis = connect(settings.redis) if settings.uses_redis else None
    return Hints(redis, config.secret_key(settings), job_seconds=settings.job_seconds)


def connect(url: str) -> Redis:
    # A server that vanished without a word holds up an upload, or a sweep, no longer than this.
    return Redis.from_url(url, socket_connect_timeout=2, socket_timeout=5, health_check_interval=30)

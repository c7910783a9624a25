"""The queue: hints to workers through RQ and Redis.

The only module that imports RQ. A hint may be lost, doubled or late: the database is authoritative, and the
sweeper repeats hints for unfinished work. A worker only learns from a hint that there is work, and runs
nothing of it. Workers of before ran RQ's jobs, and run beside today's programs during an upgrade: for them
the payload is an id in signed JSON, because a client that can write to Redis could otherwise make them run
any function (with pickle or with unsigned JSON alike).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from rq import Queue
from rq.job import Job
from rq.serializers import Serializer

from app.base import config
from app.base.config import Settings

NAME = "scoring"
JOB = "worker.jobs.score_submission"  # names that workers of before know
INSPECTION_JOB = "worker.inspections.inspect"
STEP_JOB = "worker.authoring.work"
HINT_LIFE_SECONDS = 60

SILENT_SECONDS = 5.0
"""Pause after a request that Redis did not answer, for which every upload would wait."""
ANSWER_SECONDS = 2.0
"""Longest wait for an answer, however slowly it comes: a hint takes 1 ms."""
LOCK_SECONDS = 0.5
"""Longest wait for another thread's request."""

T = TypeVar("T")

log = logging.getLogger(__name__)


def signed_json(key: str) -> Serializer:
    """Return RQ's serializer: JSON with an HMAC in front.

    A forged job never reaches a function. A class made for this key, because RQ wants one that it can name.
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


class Hints:
    """Sends hints to the workers; never raises.

    A hint that is not sent delays the work until the sweeper repeats it.
    """

    def __init__(self, redis: Redis | None, key: str, *, job_seconds: int) -> None:
        """Without Redis no hints are sent; workers poll the database."""
        self._queue = Queue(NAME, connection=redis, serializer=signed_json(key)) if redis else None
        self._timeout = job_seconds
        self._lock = threading.Lock()
        self._silent_until = 0.0
        """End of the pause after a timeout; 0 if there is none."""

    def send(self, submission_id: int) -> bool:
        """Send a hint, after the commit; return whether it reached Redis.

        The row's `hinted_at` bounds the number of hints. RQ's unique job names would be wrong for that: the
        name of a killed job stays taken, and the next hint would not be sent.
        """
        return self._send(JOB, submission_id, self._timeout)

    def send_inspection(self, inspection_id: int) -> bool:
        """Send a hint for an inspection, with three times the time."""
        return self._send(INSPECTION_JOB, inspection_id, 3 * self._timeout)

    def send_step(self, step_id: int) -> bool:
        """Send a hint for a step of a draft, with three times the time."""
        return self._send(STEP_JOB, step_id, 3 * self._timeout)

    def _send(self, job: str, id_: int, seconds: int) -> bool:
        if self._queue is None:
            return False
        enqueue = self._queue.enqueue
        try:
            sent = self._call(
                lambda: enqueue(
                    job,
                    id_,
                    job_timeout=seconds,
                    ttl=HINT_LIFE_SECONDS * 10,
                    result_ttl=0,
                    failure_ttl=HINT_LIFE_SECONDS,
                )
            )
        except RedisError as wrong:
            log.warning("no hint for %s %s, the sweeper will send one: %s", job, id_, wrong)
            return False
        return sent is not None

    def depth(self) -> int | None:
        """Return the number of hints in Redis; None if it is silent."""
        if self._queue is None:
            return 0
        waiting = self._queue
        try:
            return self._call(lambda: len(waiting))
        except RedisError:
            return None

    def _call(self, request: Callable[[], T]) -> T | None:
        """Return the result of a request to Redis; None if it is silent.

        One thread at a time sends a request. While Redis is silent the others do not wait. A server that
        sends a byte now and then ends no timeout of a socket, so the request has a thread of its own, which
        is left alone after ANSWER_SECONDS and keeps the lock until it ends.
        """
        if time.monotonic() < self._silent_until:
            return None
        if not self._lock.acquire(timeout=0 if self._silent_until else LOCK_SECONDS):
            return None
        outcome: SimpleQueue[T | Exception] = SimpleQueue()
        try:
            threading.Thread(target=self._ask, args=(request, outcome), daemon=True).start()
        except (RuntimeError, MemoryError) as wrong:  # a limit of threads or memory; `_ask` never ran
            self._lock.release()
            raise RedisError(f"no thread for the request: {wrong}") from wrong
        try:
            answer = outcome.get(timeout=ANSWER_SECONDS)
        except Empty:
            answer = RedisTimeoutError(f"no answer within {ANSWER_SECONDS:g} s")
        self._silent_until = 0.0
        if isinstance(answer, RedisTimeoutError):
            self._silent_until = time.monotonic() + SILENT_SECONDS
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _ask(self, request: Callable[[], T], outcome: SimpleQueue[T | Exception]) -> None:
        try:
            outcome.put(request())
        except RedisError as wrong:
            outcome.put(wrong)
        except Exception as nonsense:  # noqa: BLE001  an answer that is no Redis protocol raises anything
            outcome.put(RedisError(f"{type(nonsense).__name__}: {nonsense}"))
        finally:
            self._lock.release()


class Listener:
    """Takes hints from Redis, for a worker that waits for work."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url,
            socket_connect_timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._queue = Queue(NAME, connection=self._redis)

    def take(self, seconds: int) -> bool:
        """Wait for a hint; return whether one came.

        Raises what the client raises when Redis is away, hangs, or answers nonsense.
        """
        popped: Any = self._redis.blpop([self._queue.key], timeout=seconds)
        if popped is None:
            return False
        self._redis.delete(Job.key_for(popped[1].decode()))
        return True

    def close(self) -> None:
        """Drop the connection, whose next answer may belong to an earlier question."""
        self._redis.connection_pool.disconnect()


def open_(settings: Settings) -> Hints:
    """Return the hints of an installation."""
    redis = connect(settings.redis) if settings.uses_redis else None
    return Hints(redis, config.secret_key(settings), job_seconds=settings.job_seconds)


def connect(url: str) -> Redis:
    # A server that vanished delays an upload or a sweep no longer than this.
    return Redis.from_url(
        url, socket_connect_timeout=2, socket_timeout=ANSWER_SECONDS, health_check_interval=30
    )

"""Brakes: on guessing passwords, taken before the costly hash, and on uploads that hold a thread each."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import Refused, Unavailable

WINDOW_SECONDS = 60.0
MAX_NAMES = 10_000
UPLOADS_AT_ONCE = 2
FREE_THREADS = 3


class TooManyTries(Refused):
    status = 429


class UnderWay:
    """Few uploads of one person at once: as many slow ones as there are threads would leave none for anybody else.

    Of everybody's together some threads stay free, so that pages and refusals are still answered. Like the
    throttle, each web process counts for itself.
    """

    def __init__(self, threads: int) -> None:
        self._in_all = max(1, threads - FREE_THREADS)
        self._uploads: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def upload(self, user_id: int) -> Iterator[None]:
        with self._lock:
            if self._uploads[user_id] >= UPLOADS_AT_ONCE:
                raise TooManyTries(
                    f"{UPLOADS_AT_ONCE} uploads of yours are still on their way. Please send the next when one is here."
                )
            if self._uploads.total() >= self._in_all:
                raise Unavailable(
                    "Many people are sending files just now. Please try again in a moment; nothing was charged."
                )
            self._uploads[user_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._uploads[user_id] -= 1
                self._uploads += Counter()  # drops who has none


class Throttle:
    """At most `per_name` tries a minute for one account and `in_all` for the whole process.

    It lives in this process only: with several web processes each counts for itself.
    """

    def __init__(
        self,
        *,
        per_name: int = 5,
        in_all: int = 600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_name, self._in_all, self._clock = per_name, in_all, clock
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, name: str | None = None) -> Iterator[None]:
        """Count a try and refuse one too many. A try that succeeds is forgotten."""
        name = name.strip().lower()[:64] if name is not None else None
        with self._lock:
            self._count(name)
        yield
        with self._lock:
            if name is not None:
                self._tries.pop(name, None)

    def _count(self, name: str | None) -> None:
        now = self._clock()
        self._refuse_more_than(self._in_all, self._all, now, "Too many people are signing in just now.")
        if name is not None:
            tries = self._tries.setdefault(name, deque())
            self._tries.move_to_end(name)
            self._refuse_more_than(self._per_name, tries, now, "Too many tries for this account.")
            tries.append(now)
            while len(self._tries) > MAX_NAMES:
                self._tries.popitem(last=False)
        self._all.append(now)

    @staticmethod
    def _refuse_more_than(limit: int, tries: deque[float], now: float, words: str) -> None:
        while tries and tries[0] <= now - WINDOW_SECONDS:
            tries.popleft()
        if len(tries) >= limit:
            wait = max(1, round(tries[0] + WINDOW_SECONDS - now))
            raise TooManyTries(f"{words} Please wait {wait} seconds.")

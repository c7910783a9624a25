"""A brake on uploads that are still on their way, which hold a thread each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.base.errors import RateLimited, Unavailable

UPLOADS_AT_ONCE = 2
FREE_THREADS = 3
"""For pages and refusals, whatever is uploaded."""


def shares(threads: int) -> tuple[int, int]:
    """How many of a web process's threads may read large uploads, and how many work on small ones that are here."""
    small = max(1, (threads - FREE_THREADS) // 2)
    return max(1, threads - FREE_THREADS - small), small


class UnderWay:
    """Few uploads of one person at once: as many slow ones as there are threads would leave none for anybody else.

    Of everybody's together some threads stay free, so that pages and refusals are still answered. Each web process counts for itself.
    """

    def __init__(self, threads: int) -> None:
        self._in_all, _ = shares(threads)
        self._uploads: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def upload(self, user_id: int) -> Iterator[None]:
        with self._lock:
            if self._uploads[user_id] >= UPLOADS_AT_ONCE:
                raise RateLimited(
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

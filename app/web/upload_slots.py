"""Limit the uploads that are read at the same time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from app.base.errors import RateLimited, Unavailable

SLOTS_PER_USER = 2
RESERVED_THREADS = 3
"""Threads that uploads never take: they render pages and refusals."""


def split_threads(threads: int) -> tuple[int, int]:
    """Return the threads for large uploads and for small ones.

    A large upload is read in its thread; a small one has arrived in full before it gets one.
    """
    small = max(1, (threads - RESERVED_THREADS) // 2)
    return max(1, threads - RESERVED_THREADS - small), small


class UploadSlots:
    """Slots for uploads that are still arriving, in one web process.

    Each holds a thread. Without a limit for each user, one user with slow uploads could hold all threads;
    without a limit for all, no thread would be left to answer pages and refusals.
    """

    def __init__(self, threads: int) -> None:
        self._slots, _ = split_threads(threads)
        self._uploads: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def take(self, user_id: int) -> Iterator[None]:
        with self._lock:
            if self._uploads[user_id] >= SLOTS_PER_USER:
                raise RateLimited(
                    f"{SLOTS_PER_USER} of your uploads are still arriving, which is the limit. "
                    "Send the next one when one of them is done.",
                    retry_after=timedelta(seconds=5),
                )
            if self._uploads.total() >= self._slots:
                raise Unavailable(
                    "The server is receiving as many uploads as it can. Try again in a moment; "
                    "this upload was not counted."
                )
            self._uploads[user_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._uploads[user_id] -= 1
                self._uploads += Counter()  # removes users at zero

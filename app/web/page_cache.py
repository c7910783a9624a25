"""Cache of pages that look the same to all visitors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

P = TypeVar("P")

MAX_PAGES = 100
STALE_SECONDS = 2.0


class PageCache(Generic[P]):
    """Rendered pages, each good for a given number of seconds.

    The first request after that gets None and renders the page anew; until it calls `put`, and for at most
    `STALE_SECONDS`, other requests get the old page.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._pages: dict[Hashable, tuple[float, float, P]] = {}  # made at, good until, the page
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> P | None:
        """Return the page, or None: the caller must `put` one."""
        now = self._clock()
        with self._lock:
            found = self._pages.pop(key, None)
            if found is None or now >= found[0] + self._seconds + STALE_SECONDS:
                return None
            made, until, page = found
            is_stale = now >= until
            # Moved to the end: the least recently used page is removed when there are too many.
            self._pages[key] = made, (now + STALE_SECONDS if is_stale else until), page
            return None if is_stale else page

    def put(self, key: Hashable, page: P) -> None:
        if not self._seconds:
            return
        now = self._clock()
        with self._lock:
            self._pages.pop(key, None)
            self._pages[key] = now, now + self._seconds, page
            if len(self._pages) > MAX_PAGES:
                del self._pages[next(iter(self._pages))]

"""Pages that are the same for all who are not signed in: made once a second, however many ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

PAGES = 100
LATE_SECONDS = 2.0


class Kept:
    """Whoever asks first for a page that is too old makes a new one; others get the old one until it is there."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._pages: dict[Hashable, tuple[float, float, str]] = {}  # made at, good until, the page
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> str | None:
        """The page, or None for whoever has to make it and `put` it here."""
        now = self._clock()
        with self._lock:
            found = self._pages.pop(key, None)
            if found is None or now >= found[0] + self._seconds + LATE_SECONDS:
                return None
            made, until, page = found
            is_late = now >= until
            # To the end: what nobody asks for is what goes when there are too many.
            self._pages[key] = made, (now + LATE_SECONDS if is_late else until), page
            return None if is_late else page

    def put(self, key: Hashable, page: str) -> None:
        if not self._seconds:
            return
        now = self._clock()
        with self._lock:
            self._pages.pop(key, None)
            self._pages[key] = now, now + self._seconds, page
            if len(self._pages) > PAGES:
                del self._pages[next(iter(self._pages))]

"""Send answers that are made while they are sent: tables as CSV, an archive of files.

Each holds a thread until the client has taken its last byte, so only some of a process's threads may do it.
The server ends an answer that its client takes too slowly (app/web/slow_clients.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from flask import Response

from app.base.csv_cells import csv_lines
from app.base.errors import RateLimited

ROWS_AT_A_TIME = 500


class StreamSlots:
    """Places for such answers in one web process."""

    def __init__(self, threads: int) -> None:
        self._free = threading.BoundedSemaphore(max(1, threads // 4))

    def take(self) -> Callable[[], None]:
        """Take a place and return what frees it; refuse if there is none."""
        if not self._free.acquire(blocking=False):
            raise RateLimited(
                "Other tables or archives are being downloaded. Try again when one of them is done.",
                retry_after=timedelta(seconds=20),
            )
        lock, is_taken = threading.Lock(), True

        def give_back() -> None:
            nonlocal is_taken
            with lock:
                if is_taken:
                    is_taken = False
                    self._free.release()

        return give_back


def attachment(
    slots: StreamSlots, make: Callable[[], Iterable[bytes]], *, content_type: str, name: str
) -> Response:
    """Return an answer of pieces that are made one by one while it is sent."""
    give_back = slots.take()
    try:
        answer = Response(make(), content_type=content_type)
    except BaseException:
        give_back()
        raise
    answer.call_on_close(give_back)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


def csv_pieces(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[bytes]:
    """Return a table as CSV, in pieces of some hundred rows."""
    yield csv_lines([columns]).encode()
    left = iter(rows)
    while some := list(islice(left, ROWS_AT_A_TIME)):
        yield csv_lines(some).encode()

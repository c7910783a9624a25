"""Progress on a terminal or in a notebook; silent elsewhere and in quiet mode."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_EVERY_SECONDS = 0.1
_WIDTH = 24


class Bar:
    """One line that is written again and again."""

    def __init__(self, label: str, total: int, *, shown: bool = True, stream: TextIO | None = None) -> None:
        self._label, self._total = label, total
        self._stream = stream or sys.stderr
        self._shown = shown and self._stream.isatty()
        self._done = 0
        self._at = 0.0
        self._width = 0

    def restart(self, done: int = 0) -> None:
        self._done = done

    def add(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if self._shown and now - self._at >= _EVERY_SECONDS:
            self._at = now
            self._draw()

    def words(self, text: str) -> None:
        """Write words in place of the bar."""
        if self._shown:
            self._write(f"{self._label}  {text}")

    def close(self) -> None:
        """Leave the finished line."""
        if self._shown and self._width:
            self._draw()
            self._stream.write("\n")
            self._stream.flush()
            self._width = 0

    def clear(self) -> None:
        """Take the line away."""
        if self._shown and self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()
            self._width = 0

    def _draw(self) -> None:
        share = min(1.0, self._done / self._total) if self._total else 1.0
        full = round(share * _WIDTH)
        amount = f"{self._done / 1e6:.1f} of {self._total / 1e6:.1f} MB"
        self._write(f"{self._label}  [{'#' * full}{'.' * (_WIDTH - full)}] {share:4.0%}  {amount}")

    def _write(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)

"""The bytes of a received file, and what makes them unreadable."""

from __future__ import annotations

import io
from typing import Literal, Protocol

from scorer.report import HeldoutError, Problem
from scorer.wording import megabytes

MAX_LINE_BYTES = 1_000_000


class UnreadableTable(HeldoutError):
    """The bytes are not a table.

    The caller decides whom that concerns.
    """

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(p.message for p in problems))


class Source(Protocol):
    """What a file's bytes come from, such as a path."""

    def open(self, mode: Literal["rb"], /) -> io.BufferedReader:
        """Open from the start, with a descriptor; as often as needed."""


def open_source(source: Source | bytes) -> io.BytesIO | io.BufferedReader:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def long_line(line: int, limit: int) -> Problem:
    return Problem("LINE_TOO_LONG", f"Line {line} is longer than {megabytes(limit)}.", line=line)


def damaged(packing: str) -> Problem:
    kind = "zip file or Excel workbook" if packing == "zip" else f"{packing} file"
    return Problem("NOT_CSV", f"The file is a damaged {kind}. Save the predictions as CSV and upload that.")

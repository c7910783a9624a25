"""What the walk through files yields, and its limits."""

from __future__ import annotations

import csv
import lzma
import math
import sqlite3
import struct
import tarfile
import time
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from scorer.leakage.frame import MISSING, Codes, Frame
from scorer.reading.columns import FloatArray

INSIDE = " > "
"""Between an archive and what is in it."""
HEAD_BYTES = 65_536
"""What is read of an image or a recording."""
MAX_COLUMNS = 20_000
"""Of one table."""
MIN_MAPPING = 8
"""From so many entries on a JSON object may be a list of rows by key."""
MEDIA = frozenset((
    ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".dcm", ".nii", ".svg", ".pdf",
    ".wav", ".mp3", ".flac", ".ogg", ".m4a", ".mp4", ".avi", ".mov", ".mkv",
))  # fmt: skip
"""Content to learn from: only names, sizes, dates and the head are read."""
PARSER_ERRORS = (
    ValueError, TypeError, LookupError, AttributeError, OSError, EOFError, RuntimeError, ArithmeticError,
    MemoryError, SyntaxError, AssertionError, SystemError, tokenize.TokenError, Warning,
    struct.error, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile,
    pa.ArrowException, sqlite3.Error, csv.Error,
)  # fmt: skip
"""Errors of parsers for a broken or hostile file."""


@dataclass(frozen=True, slots=True)
class Limits:
    depth: int = 3
    """Archives within archives."""
    members: int = 300_000
    """Entries in all."""
    unpacked_bytes: int = 1_000_000_000
    """Read or unpacked in all."""
    member_bytes: int = 256_000_000
    """Read of one file or member."""
    ratio: float = 1000.0
    """Unpacked to packed, of anything that unpacks to more than 10 MB."""
    cells: int = 60_000_000
    """Of one table."""
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a member of an archive."""

    path: str
    """Relative to the folder; "data.zip > images/7.png" for a member."""
    archive: str
    """The archive it is in; "" for a file of the folder."""
    position: int
    """Its place in the archive; of files the place by name."""
    size: int
    modified: float | None
    """Seconds since 1970."""
    pixels: tuple[int, int] | None = None
    """Width and height, where the head of an image has them."""

    @property
    def inner(self) -> PurePosixPath:
        """The path within its archive or the folder."""
        return PurePosixPath(self.path.rpartition(INSIDE)[2])


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table, as text or as numbers."""

    name: str
    values: FloatArray | pa.Array | Sequence[str]

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def numbers(self) -> FloatArray | None:
        """Return numbers, nan where missing, or None.

        None unless every cell that is not empty is a number or a time.
        """
        if isinstance(self.values, np.ndarray):
            return self.values
        if len(self) <= 64:
            return _few_numbers(self.texts)
        feature = self._frame.feature("")
        return feature.numbers if feature.is_numeric else None

    @cached_property
    def codes(self) -> Codes:
        """Equal values have equal codes; -1 where missing."""
        if isinstance(self.values, np.ndarray):
            _, codes = np.unique(self.values, return_inverse=True)
            return np.where(np.isnan(self.values), -1, codes.astype(np.int64))
        return self._frame.feature("").codes

    @cached_property
    def is_counter(self) -> bool:
        """Return whether values change by one step each row."""
        steps = np.diff(self.numbers) if self.numbers is not None else np.empty(0)
        return bool(
            len(steps) and not np.isnan(steps).any() and np.ptp(steps) <= 1e-9 * max(1.0, abs(steps[0]))
        )

    @property
    def texts(self) -> list[str]:
        if isinstance(self.values, np.ndarray):
            return [f"{v:.0f}" if v.is_integer() else repr(v) for v in self.values.tolist()]
        return list(self.values.to_pylist() if isinstance(self.values, pa.Array) else self.values)

    @cached_property
    def _frame(self) -> Frame:
        values = (
            self.values if isinstance(self.values, pa.Array) else pa.array(list(self.values), pa.string())
        )
        return Frame(pa.table({"": values}))


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of one length; the repr shows no values."""

    path: str
    """The file, and where in it: "labels.mat: y", "a.zip > b.sqlite: answers"."""
    columns: list[Column] = field(repr=False)

    @property
    def n_rows(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    @property
    def file(self) -> str:
        head, sep, last = self.path.rpartition(INSIDE)
        return head + sep + last.partition(": ")[0]


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """Raw content, for a search of bytes."""

    path: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that could not be read, with the reason."""

    path: str
    why: str


Thing = Entry | Table | Blob | Unread


class Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class WalkState:
    def __init__(self, limits: Limits, contents: bool) -> None:
        self.limits, self.contents = limits, contents
        self._until = time.monotonic() + limits.seconds
        self._bytes = self._members = 0
        self.stopped: Unread | None = None

    def goes_on(self, path: str) -> bool:
        self._members += 1
        if self.stopped is None and self._members > self.limits.members:
            self.stopped = Unread(
                path, f"and all that follows was not read: more than {self.limits.members:,} files"
            )
        if self.stopped is None and time.monotonic() > self._until:
            self.stopped = Unread(
                path,
                f"and all that follows was not read: the limit of {self.limits.seconds:g} seconds was "
                "reached",
            )
        return self.stopped is None

    def takes(self, size: int, path: str) -> bool:
        self._bytes += size
        if self.stopped is None and self._bytes > self.limits.unpacked_bytes:
            self.stopped = Unread(
                path,
                f"and all that follows was not read: more than {self.limits.unpacked_bytes / 1e6:,.0f} MB "
                "in all",
            )
        return self.stopped is None

    def stop(self) -> Iterator[Unread]:
        if self.stopped is not None:
            yield self.stopped

    def read(self, stream: Readable, packed: int | None, path: str) -> bytes | Unread:
        """Return all of a stream, or the reason why not.

        packed: the bytes it is unpacked from.
        """
        pieces, total = [], 0
        while piece := stream.read(1 << 20):
            total += len(piece)
            if total > self.limits.member_bytes:
                return Unread(path, f"unpacks to more than {self.limits.member_bytes / 1e6:,.0f} MB")
            if packed is not None and total > 10_000_000 and total > self.limits.ratio * max(1, packed):
                return Unread(path, f"unpacks to more than {self.limits.ratio:,.0f} times its size")
            if not self.takes(len(piece), path):
                return Unread(path, "was not read to its end")
            pieces.append(piece)
        return b"".join(pieces)


def guarded(path: str, parser: Iterator[Thing]) -> Iterator[Thing]:
    """Yield a parser's things, then its failure if it fails."""
    try:
        yield from parser
    except PARSER_ERRORS as error:
        words = " ".join(str(error).split())[:120]
        yield Unread(path, f"could not be read: {words or type(error).__name__}")


def table_of(path: str, columns: Mapping[str, Any], state: WalkState) -> Iterator[Thing]:
    kept: list[Column] = []
    for name, values in columns.items():
        if (len(kept) + 1) * len(values) > state.limits.cells:
            yield Unread(
                path, f"has more than {state.limits.cells:,} cells; only {len(kept)} columns were read"
            )
            break
        kept.append(Column(str(name), _plain(values)))
    if kept:
        yield Table(path, kept)


def _plain(values: Any) -> FloatArray | pa.Array | Sequence[str]:
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "S":
            return [text.decode("utf-8", "replace") for text in values.tolist()]
        if values.dtype.kind == "U":
            return list(values.tolist())
        if values.dtype.kind in "Mm":
            return np.asarray(values.astype(np.int64), dtype=np.float64)
        if values.dtype.kind == "c":
            return np.asarray(values.real, dtype=np.float64)
        numbers = np.asarray(values, dtype=np.float64)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    if isinstance(values, pa.Array):
        return values
    return [as_text(value) for value in values]


def as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _few_numbers(texts: Sequence[str]) -> FloatArray | None:
    """As frame.py does, without its overhead for a few texts."""
    found = []
    for text in texts:
        word = text.strip()
        if word.lower() in MISSING:
            found.append(math.nan)
            continue
        try:
            found.append(float(word))
        except ValueError:
            return None
    numbers = np.array(found)
    return None if np.isnan(numbers).all() else np.where(np.isfinite(numbers), numbers, np.nan)

"""Read a received file strictly, as records with line numbers.

A general CSV parser guesses: pandas turns the id "NA" into a missing value, takes a trailing comma as a
reason to shift all columns, and lets "0_5" become 5. So cells stay text here, a number must match one ASCII
grammar, and a file that is not exactly CSV is refused with the line where it stops being so. Parquet has
types, so its cells are written as text that reads back exactly.

A file is never held in memory: it is opened anew for every pass, and unpacked as it is read.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet

from scorer.reading.packing import BOM, UNPACKING_ERRORS, WHITE, only_member, packing_of, refuse_other_formats
from scorer.reading.parquet import ParquetFile
from scorer.reading.separators import separator_problem
from scorer.reading.source import MAX_LINE_BYTES, Source, UnreadableTable, damaged, long_line, open_source
from scorer.reading.unpacking import gunzipped, opened_zip, unzipped
from scorer.report import Notice, Problem
from scorer.wording import over_limit

MAX_SHOWN_PROBLEMS = 20

MIN_UNPACKED_BYTES = 10_000_000
"""A file of this size is read, even of a small challenge."""

BLOCK_BYTES = 1 << 22
"""Large enough that calls cost nothing, small enough for several at once."""

SPACES = " \t\r\n"
"""What may stand around a value. Not str.strip's idea of it: a no-break space in an id is a mistake."""

_HEAD_BYTES = 1 << 16

# The csv module stops at fields of 128 kB, with a process-wide setting only. Records are bounded
# here by their own limit, so its limit would merely turn a good message into a bad one.
csv.field_size_limit(2**31 - 1)


class Table:
    """One received file, read as often as needed; see `open_table`."""

    def __init__(self, source: Source | bytes, size_bytes: int, packing: str, max_bytes: int) -> None:
        self.size_bytes = size_bytes
        """Of the file as received, so packed if it was packed."""
        self.packing = packing
        """"", "gzip", "zip" or "parquet"."""
        self.notices: tuple[Notice, ...] = ()
        self._source = source
        self._max_bytes = max_bytes
        self._parquet: ParquetFile | None = None

    @cached_property
    def sha256(self) -> str:
        """The hash of the file as received, in hexadecimal.

        It takes a pass of its own, which threads can share.
        """
        with self._received() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def header(self) -> list[str]:
        """Return the fields of the first line, without reading further.

        Empty where only `records` can tell: a blank line, odd quoting, bytes that are not UTF-8.
        """
        if self._parquet is not None:
            return self._parquet.names
        header, _ = first_record(next(self.blocks(_HEAD_BYTES), b""))
        return header

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the unpacked bytes in pieces that end with a line.

        A byte order mark is left out. Only the last piece, and one with a line longer than MAX_LINE_BYTES,
        may end elsewhere. Raises UnreadableTable where unpacking fails or passes the limit of bytes.
        """
        n_read = 0
        try:
            with self._unpacked() as stream:
                while block := stream.read(block_bytes):
                    if len(block) == block_bytes:
                        block += stream.readline(MAX_LINE_BYTES + 1)
                    first = n_read == 0
                    n_read += len(block)
                    if n_read > self._max_bytes:
                        message = over_limit(self._max_bytes, unpacked=True)
                        raise UnreadableTable(Problem("TOO_LARGE", message))
                    yield block.removeprefix(BOM) if first else block
        # zipfile passes on what its inner readers raise on hostile bytes; these are all of them.
        except UNPACKING_ERRORS:
            if not self.packing:
                raise
            raise UnreadableTable(damaged(self.packing)) from None

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of a Parquet file, strings as dictionaries.

        The columns come in file order. Raises UnreadableTable where the file turns out to be damaged.
        """
        assert self._parquet is not None
        return self._parquet.batches(names)

    def records(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, list[str]]]:
        """Yield (physical line where the record starts, its fields).

        Blank lines give an empty list. Raises UnreadableTable at the first byte that is not UTF-8 text,
        before anything is yielded, and at the record where the quoting breaks or the limit of one line is
        passed. The rows of Parquet are counted as lines, its header being line 1; a missing value is an empty
        field.
        """
        if self._parquet is not None:
            yield from self._parquet.records(max_line_bytes)
            return
        self._refuse_other_encodings()
        lines = _Lines(self.blocks(), max_line_bytes)
        reader = csv.reader(lines, strict=True)
        while True:
            line = reader.line_num + 1
            lines.used = 0
            try:
                fields = next(reader)
            except StopIteration:
                return
            except _RecordTooLong:
                if reader.line_num >= line:
                    raise UnreadableTable(_unclosed_quote(line)) from None
                raise UnreadableTable(long_line(line, max_line_bytes)) from None
            except csv.Error as error:
                if line == 1 and (problem := separator_problem(next(self.blocks(_HEAD_BYTES), b""))):
                    raise UnreadableTable(problem) from None
                if "unexpected end of data" in str(error):
                    raise UnreadableTable(_unclosed_quote(line)) from None
                message = (
                    f'Line {line}: text follows a closing quote. Inside a quoted value write " as "", '
                    "and put nothing between the closing quote and the next comma."
                )
                raise UnreadableTable(Problem("BAD_QUOTE", message, line=line)) from None
            yield line, fields

    def _received(self) -> io.BytesIO | io.BufferedReader:
        return open_source(self._source)

    @contextmanager
    def _unpacked(self) -> Iterator[IO[bytes]]:
        with self._received() as received:
            if self.packing == "gzip":
                with gunzipped(received) as stream:
                    yield stream
            elif self.packing == "zip":
                with opened_zip(received) as archive, unzipped(archive) as stream:
                    yield stream
            else:
                yield received

    def _inspect(self, *, parquet: bool) -> None:
        """Check everything that the first bytes tell; raises UnreadableTable."""
        if self.packing == "zip":
            try:
                with self._received() as received, opened_zip(received) as archive:
                    words = only_member(archive)[1]
            except UNPACKING_ERRORS:
                raise UnreadableTable(damaged("zip")) from None
            self.notices = (Notice("NOTICE_DECOMPRESSED", words),)
        elif self.packing == "gzip":
            self.notices = (Notice("NOTICE_DECOMPRESSED", "The file was unpacked (gzip)."),)
        start = next((block for block in self.blocks(_HEAD_BYTES) if block.strip(WHITE)), b"")
        if not start:
            raise UnreadableTable(Problem("EMPTY_FILE", "The file is empty."))
        if self.packing and packing_of(start):
            raise UnreadableTable(
                Problem("NOT_CSV", "The archive holds another archive. Pack one CSV file, once.")
            )
        if parquet and not self.packing and start.startswith(b"PAR1"):
            self.packing = "parquet"
            self._parquet = ParquetFile(self._source, self._max_bytes)
            return
        refuse_other_formats(start, self.packing)

    def _refuse_other_encodings(self) -> None:
        """Read the whole file once: it must be UTF-8 without NUL."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        nul_at = -1
        n_before = 0
        try:
            for block in self.blocks():
                n_pending = len(decoder.getstate()[0])
                if n_pending or not block.isascii():
                    decoder.decode(block)
                if nul_at < 0 and (at := block.find(b"\x00")) >= 0:
                    nul_at = n_before + at
                n_before += len(block)
            n_pending = len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line = self._line_of(n_before - n_pending + error.start)
            byte = error.object[error.start]
            message = f"Line {line}: byte 0x{byte:02X} is not valid UTF-8. Save the file as UTF-8."
            raise UnreadableTable(Problem("ENCODING", message, line=line)) from None
        if nul_at >= 0:
            line = self._line_of(nul_at)
            message = (
                f"Line {line} holds a NUL byte; the file is damaged or not text. Write it again as UTF-8."
            )
            raise UnreadableTable(Problem("ENCODING", message, line=line))

    def _line_of(self, offset: int) -> int:
        line, last = 1, b""
        for block in self.blocks():
            before = block[: max(offset, 0)]
            line += before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
            if last == b"\r" and before[:1] == b"\n":
                line -= 1
            last = before[-1:]
            offset -= len(block)
            if offset < 0:
                break
        return line


def open_table(source: Source | bytes, *, max_bytes: int, parquet: bool = False) -> Table:
    """Open a CSV file: plain, gzip or a zip of one member.

    With `parquet` also a Parquet file. Reads the size and the first bytes only. Nothing is written to disk
    and member names are never used as paths. `max_bytes` bounds the file itself and, while it is read, what
    it unpacks to.

    Raises
    ------
    UnreadableTable
        The file is too large, empty, or visibly of a kind that is not a table.
    """
    if isinstance(source, bytes):
        size, start = len(source), source[:8]
    else:
        with source.open("rb") as stream:
            size, start = os.fstat(stream.fileno()).st_size, stream.read(8)
    if size > max_bytes:
        raise UnreadableTable(Problem("TOO_LARGE", over_limit(max_bytes, size_bytes=size)))
    packing = packing_of(start) or ""
    if packing not in ("", "gzip", "zip"):
        message = f"The file is packed with {packing}; upload a .csv, .csv.gz or .zip."
        raise UnreadableTable(Problem("NOT_CSV", message))
    table = Table(source, size, packing, max_bytes)
    table._inspect(parquet=parquet)
    return table


def first_record(block: bytes) -> tuple[list[str], int]:
    """Return the first line's fields and its length in bytes.

    The length includes the line end. No fields if that takes more than this line.
    """
    line, end, _ = block.partition(b"\n")
    length = len(line) + len(end)
    line = line.removesuffix(b"\r")
    if b"\r" in line or b"\x00" in line or length > MAX_LINE_BYTES:
        return [], length
    try:
        return next(csv.reader([line.decode()], strict=True)), length
    except (csv.Error, StopIteration, UnicodeDecodeError):
        return [], length


def is_blank(fields: Sequence[str]) -> bool:
    return not "".join(fields).strip(SPACES)


class _RecordTooLong(Exception):
    pass


class _Lines:
    """Physical lines (LF, CRLF or lone CR) with a bound per record.

    The bound is on the record, not the line: a quote that is never closed would otherwise collect the rest of
    the file in one field.
    """

    def __init__(self, blocks: Iterator[bytes], max_record: int) -> None:
        stream = io.BufferedReader(_BlockStream(blocks))
        self._lines = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        self._max_record = max_record
        self.used = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._lines.readline(self._max_record - self.used + 1)
        if not line:
            raise StopIteration
        self.used += len(line)
        if self.used > self._max_record:
            raise _RecordTooLong
        return line


class _BlockStream(io.RawIOBase):
    """Blocks as a file.

    Only a file's text layer cuts lines at a lone CR as well.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


def stream_of(table: Table) -> io.BufferedReader:
    """Return the unpacked content as a file, for other parsers."""
    return io.BufferedReader(_BlockStream(table.blocks()))


def _unclosed_quote(line: int) -> Problem:
    return Problem("UNCLOSED_QUOTE", f"Line {line}: a quoted value is never closed.", line=line)

"""Tables as text, strictly: a received file in, records with line numbers out, or every reason why not.

A general CSV parser is not a judge: pandas turns the id "NA" into a hole, takes a trailing comma as
a reason to shift all columns, and lets "0_5" become 5. So cells stay text here, a number must match
one ASCII grammar, and a file that is not exactly CSV is refused with the line where it stops being so.
Parquet has types, so there the cells are written as text that reads back exactly.

A file is never held in memory: it is opened anew for every pass, and unpacked as it is read.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet

from scorer.report import HeldoutError, Notice, Problem
from scorer.wording import show

MAX_LINE_BYTES = 1_000_000
MAX_SHOWN_PROBLEMS = 20

MIN_UNPACKED_BYTES = 10_000_000
"""A file of this size is read, even of a small challenge."""

BLOCK_BYTES = 1 << 22
"""Enough for the cost of a call to vanish, little enough for several to be under way."""

BATCH_ROWS = 1 << 16
"""Of Parquet, whose rows may be packed a millionfold: this many are unpacked at a time."""

BATCH_CELLS = 1 << 22

SPACES = " \t\r\n"
"""What may stand around a value. Not str.strip's idea of it: a no-break space in an id is a mistake."""

_BOM = codecs.BOM_UTF8
_HEAD_BYTES = 1 << 16

# The csv module stops at fields of 128 kB, with a process-wide setting only. Records are bounded
# here by their own limit, so its limit would merely turn a good message into a bad one.
csv.field_size_limit(2**31 - 1)


class UnreadableTable(HeldoutError):
    """The bytes are not a table; whoever asked for them says to whom that matters."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(p.message for p in problems))


class Source(Protocol):
    """What a file's bytes come from; a path, say."""

    def open(self, mode: Literal["rb"], /) -> io.BufferedReader:
        """From the start, with a descriptor; as often as needed."""


class Table:
    """One received file, which can be read as often as needed. Made by `open_table`."""

    def __init__(self, source: Source | bytes, size_bytes: int, packing: str, max_bytes: int) -> None:
        self.size_bytes = size_bytes
        """Of the file as received, so packed if it was packed."""
        self.packing = packing
        """"", "gzip", "zip" or "parquet"."""
        self.notices: tuple[Notice, ...] = ()
        self._source = source
        self._max_bytes = max_bytes
        self._parquet: _Parquet | None = None

    @cached_property
    def sha256(self) -> str:
        """Of the file as received, in hexadecimal; takes a pass of its own, which threads can share."""
        with self._received() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def header(self) -> list[str]:
        """The fields of the first line, without a look at the rest of the file.

        Empty where only `records` can tell: a blank line, odd quoting, bytes that are not UTF-8.
        """
        if self._parquet is not None:
            return self._parquet.names
        header, _ = first_record(next(self.blocks(_HEAD_BYTES), b""))
        return header

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
        """The unpacked bytes without a byte order mark, in pieces that end where a line ends.

        Only the last piece, and one with a line longer than MAX_LINE_BYTES, may end elsewhere.
        Raises UnreadableTable where unpacking fails or passes the limit of bytes.
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
                        message = f"The file unpacks to more than the limit of {megabytes(self._max_bytes)}."
                        raise UnreadableTable(Problem("TOO_LARGE", message))
                    yield block.removeprefix(_BOM) if first else block
        # zipfile lets through whatever its inner readers raise on hostile bytes; these are all of them.
        except _UNPACKING_ERRORS:
            if not self.packing:
                raise
            raise UnreadableTable(_damaged(self.packing)) from None

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Of a Parquet file: these columns in file order, strings as dictionaries.

        Raises UnreadableTable where the file turns out to be damaged.
        """
        assert self._parquet is not None
        return self._parquet.batches(names)

    def records(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, list[str]]]:
        """Yield (physical line where the record starts, its fields); blank lines give an empty list.

        Raises UnreadableTable at the first byte that is not UTF-8 text, before anything is yielded,
        and at the record where the quoting breaks or the limit of one line is passed. The rows of
        Parquet are counted as lines, its header being line 1; a hole is an empty field.
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
                raise UnreadableTable(_long_line(line, max_line_bytes)) from None
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise UnreadableTable(_unclosed_quote(line)) from None
                message = (
                    f'Line {line}: text follows a closing quote. Inside a quoted value write " as "", '
                    "and put nothing between the closing quote and the next comma."
                )
                raise UnreadableTable(Problem("BAD_QUOTE", message, line=line)) from None
            yield line, fields

    def _received(self) -> io.BytesIO | io.BufferedReader:
        return _open(self._source)

    @contextmanager
    def _unpacked(self) -> Iterator[IO[bytes]]:
        with self._received() as received:
            unpacked: AbstractContextManager[Any] = nullcontext(received)
            if self.packing == "gzip":
                unpacked = gzip.GzipFile(fileobj=received)
            elif self.packing == "zip":
                archive = zipfile.ZipFile(received)
                unpacked = archive.open(_only_member(archive)[0])
            with unpacked as stream:
                yield stream

    def _inspect(self, *, parquet: bool) -> None:
        """Everything that the first bytes tell; raises UnreadableTable."""
        if self.packing == "zip":
            try:
                with self._received() as received, zipfile.ZipFile(received) as archive:
                    words = _only_member(archive)[1]
            except _UNPACKING_ERRORS:
                raise UnreadableTable(_damaged("zip")) from None
            self.notices = (Notice("NOTICE_DECOMPRESSED", words),)
        elif self.packing == "gzip":
            self.notices = (Notice("NOTICE_DECOMPRESSED", "The file was unpacked (gzip)."),)
        start = next((block for block in self.blocks(_HEAD_BYTES) if block.strip(_WHITE)), b"")
        if not start:
            raise UnreadableTable(Problem("EMPTY_FILE", "The file is empty."))
        if self.packing and _packing(start):
            raise UnreadableTable(
                Problem("NOT_CSV", "The archive holds another archive. Pack one CSV file, once.")
            )
        if parquet and not self.packing and start.startswith(b"PAR1"):
            self.packing = "parquet"
            self._parquet = _Parquet(self._source, self._max_bytes)
            return
        _refuse_other_formats(start)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in start[:4]:
            message = 'The file is UTF-16 (Excel calls it "Unicode text"). Save it as "CSV UTF-8".'
            raise UnreadableTable(Problem("ENCODING", message))

    def _refuse_other_encodings(self) -> None:
        """A pass over the whole file: it must be UTF-8 text without NUL."""
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
    """A CSV file, plain, gzip or a zip of one member, or with `parquet` a Parquet file.

    Looks at the size and the first bytes only. Nothing is written to disk and member names are
    never used as paths. `max_bytes` bounds the file itself and, while it is read, what it unpacks to.

    Raises
    ------
    UnreadableTable
        The file is too large, empty, or of a kind that is plain to see and not a table.
    """
    if isinstance(source, bytes):
        size, start = len(source), source[:8]
    else:
        with source.open("rb") as stream:
            size, start = os.fstat(stream.fileno()).st_size, stream.read(8)
    if size > max_bytes:
        raise _too_large(f"The file has {megabytes(size)}", max_bytes)
    packing = _packing(start) or ""
    if packing not in ("", "gzip", "zip"):
        message = f"The file is packed with {packing}; upload a .csv, .csv.gz or .zip."
        raise UnreadableTable(Problem("NOT_CSV", message))
    table = Table(source, size, packing, max_bytes)
    table._inspect(parquet=parquet)
    return table


def _open(source: Source | bytes) -> io.BytesIO | io.BufferedReader:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def first_record(block: bytes) -> tuple[list[str], int]:
    """The fields of a file's first line and its length in bytes, line end included.

    No fields where it takes more than this line, or more than a look, to tell what they are.
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


def megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:.1f}".removesuffix(".0") + " MB"


def is_blank(fields: Sequence[str]) -> bool:
    return not "".join(fields).strip(SPACES)


class _RecordTooLong(Exception):
    pass


class _Lines:
    """Physical lines (LF, CRLF or lone CR), with a bound on what one record may use up.

    The bound is on the record, not the line: a quote that is never closed would otherwise gather
    the rest of the file into one field.
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
    """Blocks as a file, since only a file's text layer cuts lines at a lone CR as well."""

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
    """The unpacked content as a file, for parsers that want one."""
    return io.BufferedReader(_BlockStream(table.blocks()))


def _unclosed_quote(line: int) -> Problem:
    return Problem("UNCLOSED_QUOTE", f"Line {line}: a quoted value is never closed.", line=line)


def _long_line(line: int, limit: int) -> Problem:
    return Problem("LINE_TOO_LONG", f"Line {line} is longer than {megabytes(limit)}.", line=line)


def _too_large(what: str, limit: int) -> UnreadableTable:
    return UnreadableTable(Problem("TOO_LARGE", f"{what}; the limit is {megabytes(limit)}."))


# --- packing --------------------------------------------------------------------------------------

_PACKINGS = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)

_OTHER_FORMATS = (
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow/Feather"),
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"\x89HDF", "HDF5"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
)

_WHITE = b" \t\r\n" + _BOM

_JSON_START = re.compile(rb'(?:\[\s*)+[{"]|\[\s*\[|\{\s*["}]')

_UNPACKING_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def _packing(data: bytes) -> str | None:
    return next((name for magic, name in _PACKINGS if data.startswith(magic)), None)


def _damaged(packing: str) -> Problem:
    kind = "zip file or Excel workbook" if packing == "zip" else f"{packing} file"
    return Problem("NOT_CSV", f"The file is a damaged {kind}. Save the predictions as CSV and upload that.")


def _only_member(archive: zipfile.ZipFile) -> tuple[zipfile.ZipInfo, str]:
    """The file a zip is about, and what to say of it."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    names = {entry.filename for entry in entries}
    if "[Content_Types].xml" in names or "mimetype" in names:
        message = "The file is an Excel workbook or another office document, not CSV. Save it as CSV (UTF-8)."
        raise UnreadableTable(Problem("NOT_CSV", message))
    members = [entry for entry in entries if not _is_litter(entry.filename)]
    if not members:
        raise UnreadableTable(Problem("EMPTY_FILE", "The zip holds no file."))
    if len(members) > 1:
        listed = ", ".join(show(entry.filename) for entry in members[:5])
        message = f"The zip holds {len(members)} files ({listed}); pack exactly one CSV file."
        raise UnreadableTable(Problem("SEVERAL_FILES", message))
    member = members[0]
    # Only what every zip program writes: LZMA members may ask for gigabytes before the first byte.
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        message = "The zip is encrypted or uses an unusual compression; make an ordinary zip of one CSV file."
        raise UnreadableTable(Problem("NOT_CSV", message))
    words = f"The file was unpacked (zip, {show(member.filename)})."
    if len(members) < len(entries):
        words += " Ignored __MACOSX/ and .DS_Store."
    return member, words


def _is_litter(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or parts[-1] in {".DS_Store", "Thumbs.db", "desktop.ini"}


def _refuse_other_formats(start: bytes) -> None:
    for magic, name in _OTHER_FORMATS:
        if start.startswith(magic):
            raise UnreadableTable(Problem("NOT_CSV", f"The file is {name}, not CSV; upload CSV."))
    text = start[:1000].removeprefix(_BOM).lstrip().lower()
    if text.startswith((b"<!doctype", b"<!--", b"<html", b"<?xml", b"<head", b"<body", b"<table")):
        message = "The file is a web page (HTML or XML), not CSV. Was a login page saved instead of the file?"
        raise UnreadableTable(Problem("NOT_CSV", message))
    if _JSON_START.match(text):
        message = "The file is JSON, not CSV. In pandas: df.to_csv(path, index=False)."
        raise UnreadableTable(Problem("NOT_CSV", message))


# --- Parquet --------------------------------------------------------------------------------------

_MAX_PARQUET_COLUMNS = 10_000
_PARQUET_ERRORS = (pa.ArrowException, OSError, ValueError)


def is_out_of_memory(error: Exception) -> bool:
    """Arrow says it in one breath with what is wrong with a file; a thread without room for its stack is that too."""
    return isinstance(error, MemoryError) or "worker thread" in str(error)


def _parquet_fault(error: Exception) -> Exception:
    return MemoryError() if is_out_of_memory(error) else UnreadableTable(_damaged("Parquet"))


class _Parquet:
    """A Parquet file whose columns are numbers, booleans and strings, read a batch at a time.

    The sizes it claims are worthless: a dictionary of one long string, pointed at a million times,
    is a few bytes in the file. So strings stay dictionaries until each is needed.
    """

    def __init__(self, source: Source | bytes, max_bytes: int) -> None:
        self._source = source
        with self._open(()) as file:
            metadata, schema = file.metadata, file.schema_arrow
            self.names = [str(name) for name in schema.names]
            claimed = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if len(self.names) > _MAX_PARQUET_COLUMNS:
            message = f"The file has {len(self.names)} columns; at most {_MAX_PARQUET_COLUMNS} can be read."
            raise UnreadableTable(Problem("TOO_LARGE", message))
        if sum(map(len, self.names)) > MAX_LINE_BYTES:
            raise UnreadableTable(_long_line(1, MAX_LINE_BYTES))
        # A value of CSV takes two bytes at the least; here a million equal rows may take a few in all.
        if claimed > max_bytes or metadata.num_rows * 2 * len(self.names) > max_bytes:
            message = f"The file unpacks to more than the limit of {megabytes(max_bytes)}."
            raise UnreadableTable(Problem("TOO_LARGE", message))
        for name, kind in zip(self.names, schema.types, strict=True):
            if not _is_plain_type(kind):
                message = (
                    f"Column {show(name)} holds {show(str(kind))}; only numbers, strings and booleans are read. "
                    "Convert it, or save the predictions as CSV."
                )
                raise UnreadableTable(Problem("NOT_CSV", message, column=show(name)))
        self._max_rows = metadata.num_rows
        self._strings = [name for name, kind in zip(self.names, schema.types, strict=True) if _is_text(kind)]

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        rows_left = self._max_rows
        with self._open(self._strings) as file:
            # Of many columns fewer rows: a batch is some millions of cells, whatever its shape.
            rows = max(1024, min(BATCH_ROWS, BATCH_CELLS // len(names)))
            batches = file.iter_batches(rows, columns=list(names), use_threads=False)
            while True:
                try:
                    batch = next(batches, None)
                    if batch is not None:
                        batch.validate()
                        if sorted(batch.schema.names) != sorted(names):
                            raise UnreadableTable(_damaged("Parquet"))
                except _PARQUET_ERRORS as error:
                    raise _parquet_fault(error) from None
                if batch is None:
                    return
                rows_left -= batch.num_rows
                if rows_left < 0:  # more than the file said it had
                    raise UnreadableTable(_damaged("Parquet"))
                yield batch

    def records(self, max_line_bytes: int) -> Iterator[tuple[int, list[str]]]:
        yield 1, self.names
        line = 2
        for batch in self.batches(self.names):
            columns = [
                _as_texts(name, column) for name, column in zip(self.names, batch.columns, strict=True)
            ]
            for fields in zip(*columns, strict=True):
                if sum(map(len, fields)) > max_line_bytes:
                    raise UnreadableTable(_long_line(line, max_line_bytes))
                yield line, list(fields)
                line += 1

    @contextmanager
    def _open(self, dictionaries: Sequence[str]) -> Iterator[pyarrow.parquet.ParquetFile]:
        try:
            file = pyarrow.parquet.ParquetFile(
                # A path is read by threads of Arrow's own and without Python between.
                self._source if isinstance(self._source, Path) else _open(self._source),
                read_dictionary=list(dictionaries),
                buffer_size=1 << 20,
                thrift_string_size_limit=10_000_000,
                thrift_container_size_limit=100_000,
            )
        except _PARQUET_ERRORS as error:
            raise _parquet_fault(error) from None
        with file:
            yield file


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_plain_type(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain_type(kind.value_type)
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null, _is_text)
    return any(test(kind) for test in tests)


def as_text(value: object) -> str:
    """A cell of a typed column as a CSV file would hold it; reads back as exactly the same value.

    Whole floats are written as whole numbers: pandas makes floats of ids as soon as one is missing.
    """
    if value is None:
        return ""
    if isinstance(value, float):
        negative_zero = value == 0.0 and str(value)[0] == "-"
        whole = value.is_integer() and abs(value) < 2.0**63 and not negative_zero
        return str(int(value)) if whole else repr(value)
    return str(value)


def _as_texts(name: str, column: pa.Array) -> list[str]:
    try:
        if pa.types.is_dictionary(column.type):
            # Not decoded as a whole: each string would be copied as often as it is pointed at.
            used = column.indices.unique().drop_null()
            values = column.dictionary.take(used).to_pylist()
            texts = dict(zip(used.to_pylist(), map(as_text, values), strict=True)) | {None: ""}
            cells = [texts[index] for index in column.indices.to_pylist()]
        else:
            texts = {}
            cells = [as_text(value) for value in column.to_pylist()]
    except UnicodeDecodeError:
        message = f"Column {show(name)} holds bytes that are not valid UTF-8."
        raise UnreadableTable(Problem("ENCODING", message, column=show(name))) from None
    except pa.ArrowException as error:  # an index beyond the dictionary, which reading does not check
        raise _parquet_fault(error) from None
    if any("\x00" in text for text in texts.values()):
        message = f"Column {show(name)} holds a NUL byte; the file is damaged or not text."
        raise UnreadableTable(Problem("ENCODING", message, column=show(name)))
    return cells

"""CSV as text, strictly: bytes in, records with physical line numbers out, or every reason why not.

A general CSV parser is not a judge: pandas turns the id "NA" into a hole, takes a trailing comma as
a reason to shift all columns, and lets "0_5" become 5. So cells stay text here, a number must match
one ASCII grammar, and a file that is not exactly CSV is refused with the line where it stops being so.
"""

from __future__ import annotations

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
from dataclasses import dataclass
from pathlib import Path

from scorer.report import HeldoutError, Notice, Problem

MAX_LINE_BYTES = 1_000_000
MAX_SHOWN_PROBLEMS = 20

SPACES = " \t\r\n"
"""What may stand around a value. Not str.strip's idea of it: a no-break space in an id is a mistake."""

# The csv module stops at fields of 128 kB, with a process-wide setting only. Records are bounded
# here by their own limit, so its limit would merely turn a good message into a bad one.
csv.field_size_limit(2**31 - 1)


class UnreadableTable(HeldoutError):
    """The bytes are not a CSV file; whoever asked for them says to whom that matters."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(p.message for p in problems))


@dataclass(frozen=True, slots=True)
class Content:
    """The unpacked bytes of one CSV file, with what identifies the file they came in."""

    data: bytes
    sha256: str
    """Of the file as received, so packed if it was packed."""
    size_bytes: int
    notices: tuple[Notice, ...] = ()


def show(text: str) -> str:
    """At most 40 characters of a received text, everything invisible written as an escape."""
    cut = text if len(text) <= 40 else text[:39] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


def megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:.1f}".removesuffix(".0") + " MB"


def read_content(source: Path | bytes, *, max_bytes: int) -> Content:
    """The CSV bytes of a file, unpacked in memory if it is gzip or a zip of one member.

    Nothing is written to disk and member names are never used as paths. Reading stops one byte
    beyond `max_bytes`, whether of the file itself or of what it unpacks to.
    """
    if isinstance(source, bytes):
        raw = source
    else:
        with source.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            raw = b"" if size > max_bytes else stream.read(max_bytes + 1)
        if size > max_bytes:
            raise _too_large(f"The file has {megabytes(size)}", max_bytes)
    if len(raw) > max_bytes:
        raise _too_large(f"The file has {megabytes(len(raw))}", max_bytes)

    data, notices = _unpack(raw, max_bytes)
    if data is not raw and _packing(data):
        raise UnreadableTable(
            Problem("NOT_CSV", "The archive holds another archive. Pack one CSV file, once.")
        )
    _refuse_other_formats(data)
    return Content(data, hashlib.sha256(raw).hexdigest(), len(raw), notices)


def read_records(data: bytes, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, list[str]]]:
    """Yield (physical line where the record starts, its fields); blank lines give an empty list.

    Raises UnreadableTable at the first byte that is not UTF-8 text, before anything is yielded, and
    at the record where the quoting breaks or the limit of one line is passed.
    """
    data = _as_utf8(data)
    lines = _Lines(data, max_line_bytes)
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
            message = f"Line {line} is longer than {megabytes(max_line_bytes)}."
            raise UnreadableTable(Problem("LINE_TOO_LONG", message, line=line)) from None
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise UnreadableTable(_unclosed_quote(line)) from None
            message = (
                f'Line {line}: text follows a closing quote. Inside a quoted value write " as "", '
                "and put nothing between the closing quote and the next comma."
            )
            raise UnreadableTable(Problem("BAD_QUOTE", message, line=line)) from None
        yield line, fields


def is_blank(fields: Sequence[str]) -> bool:
    return not "".join(fields).strip(SPACES)


class _RecordTooLong(Exception):
    pass


class _Lines:
    """Physical lines (LF, CRLF or lone CR), with a bound on what one record may use up.

    The bound is on the record, not the line: a quote that is never closed would otherwise gather
    the rest of the file into one field.
    """

    def __init__(self, data: bytes, max_record: int) -> None:
        self._lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
        self._max_record = max_record
        self.used = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.used += len(line)
        if self.used > self._max_record:
            raise _RecordTooLong
        return line


def _unclosed_quote(line: int) -> Problem:
    return Problem("UNCLOSED_QUOTE", f"Line {line}: a quoted value is never closed.", line=line)


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


def _unpack(raw: bytes, max_bytes: int) -> tuple[bytes, tuple[Notice, ...]]:
    packing = _packing(raw)
    if packing is None:
        return raw, ()
    try:
        if packing == "gzip":
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
                data = stream.read(max_bytes + 1)
            words = "The file was unpacked (gzip)."
        elif packing == "zip":
            data, words = _unzip(raw, max_bytes)
        else:
            message = f"The file is packed with {packing}; upload a .csv, .csv.gz or .zip."
            raise UnreadableTable(Problem("NOT_CSV", message))
    # zipfile lets through whatever its inner readers raise on hostile bytes; these are all of them.
    except _UNPACKING_ERRORS:
        other = "zip file or Excel workbook" if packing == "zip" else "gzip file"
        message = f"The file is a damaged {other}. Save the predictions as CSV and upload that."
        raise UnreadableTable(Problem("NOT_CSV", message)) from None
    if len(data) > max_bytes:
        message = f"The file unpacks to more than the limit of {megabytes(max_bytes)}."
        raise UnreadableTable(Problem("TOO_LARGE", message))
    return data, (Notice("NOTICE_DECOMPRESSED", words),)


def _unzip(raw: bytes, max_bytes: int) -> tuple[bytes, str]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        names = {entry.filename for entry in entries}
        if "[Content_Types].xml" in names or "mimetype" in names:
            message = (
                "The file is an Excel workbook or another office document, not CSV. Save it as CSV (UTF-8)."
            )
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
            message = (
                "The zip is encrypted or uses an unusual compression; make an ordinary zip of one CSV file."
            )
            raise UnreadableTable(Problem("NOT_CSV", message))
        with archive.open(member) as stream:
            data = stream.read(max_bytes + 1)
    words = f"The file was unpacked (zip, {show(member.filename)})."
    if len(members) < len(entries):
        words += " Ignored __MACOSX/ and .DS_Store."
    return data, words


def _is_litter(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or parts[-1] in {".DS_Store", "Thumbs.db", "desktop.ini"}


def _refuse_other_formats(data: bytes) -> None:
    if not data.strip(b" \t\r\n\xef\xbb\xbf"):
        raise UnreadableTable(Problem("EMPTY_FILE", "The file is empty."))
    for magic, name in _OTHER_FORMATS:
        if data.startswith(magic):
            raise UnreadableTable(Problem("NOT_CSV", f"The file is {name}, not CSV; upload CSV."))
    start = data[:1000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype", b"<!--", b"<html", b"<?xml", b"<head", b"<body", b"<table")):
        message = "The file is a web page (HTML or XML), not CSV. Was a login page saved instead of the file?"
        raise UnreadableTable(Problem("NOT_CSV", message))
    if _JSON_START.match(start):
        message = "The file is JSON, not CSV. In pandas: df.to_csv(path, index=False)."
        raise UnreadableTable(Problem("NOT_CSV", message))


# --- encoding -------------------------------------------------------------------------------------


def _as_utf8(data: bytes) -> bytes:
    """The data without a byte order mark, known to be UTF-8 text without NUL."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:4]:
        message = 'The file is UTF-16 (Excel calls it "Unicode text"). Save it as "CSV UTF-8".'
        raise UnreadableTable(Problem("ENCODING", message))
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _line_of(data, error.start)
        message = f"Line {line}: byte 0x{data[error.start]:02X} is not valid UTF-8. Save the file as UTF-8."
        raise UnreadableTable(Problem("ENCODING", message, line=line)) from None
    at = data.find(b"\x00")
    if at >= 0:
        line = _line_of(data, at)
        message = f"Line {line} holds a NUL byte; the file is damaged or not text. Write it again as UTF-8."
        raise UnreadableTable(Problem("ENCODING", message, line=line))
    return data


def _line_of(data: bytes, offset: int) -> int:
    before = data[:offset]
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")

"""Read a file of predictions strictly: bytes to records with line numbers.

The rules are those of the server: plain CSV in UTF-8, or one such file in gzip or zip; nothing is guessed.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from heldout_client.content import Content
from heldout_client.problems import SPACES, Unreadable, megabytes

MAX_LINE_BYTES = 1_000_000
MIN_UNPACKED_BYTES = 10_000_000
BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 16
_BOM = codecs.BOM_UTF8
_WHITE = b" \t\r\n" + _BOM

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
    (b"RDX2", "a workspace of R (save)"),
    (b"RDX3", "a workspace of R (save)"),
    (b"X\n\x00\x00\x00", "an object of R (saveRDS)"),
    (b"A\n2\n", "an object of R (saveRDS)"),
    (b"A\n3\n", "an object of R (saveRDS)"),
    (b"<stata_dta>", "a Stata file"),
    (b"$FL2", "an SPSS file"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"{\\rtf", "a text document (RTF)"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
)

_JSON_START = re.compile(rb'(?:\[\s*)+[{"]|\[\s*\[|\{\s*["}]')
_MARKUP = (b"<!doctype", b"<!--", b"<html", b"<?xml", b"<head", b"<body", b"<table")
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
_SEPARATORS = {";": '";"', "\t": "tabs", "|": '"|"', " ": "spaces"}

Record = tuple[int, list[str]]


class Table:
    """One file, opened; raises Unreadable where it is not a table."""

    def __init__(self, content: Content, *, max_bytes: int) -> None:
        self._content = content
        self._max_bytes = max_bytes
        if content.size > max_bytes:
            raise Unreadable(
                "TOO_LARGE", f"The file has {megabytes(content.size)}; the limit is {megabytes(max_bytes)}."
            )
        with content.open() as stream:
            start = stream.read(8)
        self.packing = _packing_of(start)
        if self.packing not in ("", "gzip", "zip"):
            words = f"The file is packed with {self.packing}; upload a .csv, .csv.gz or .zip."
            raise Unreadable("NOT_CSV", words)
        head = next((block for block in self.blocks(_HEAD_BYTES) if block.strip(_WHITE)), b"")
        if not head:
            raise Unreadable("EMPTY_FILE", "The file is empty.")
        if self.packing and _packing_of(head):
            raise Unreadable("NOT_CSV", "The archive holds another archive. Pack one CSV file, once.")
        self.is_parquet = not self.packing and head.startswith(b"PAR1")
        if not self.is_parquet:
            refuse_other_formats(head, self.packing)

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the unpacked bytes; raises Unreadable where unpacking fails or passes the limit."""
        n_read = 0
        try:
            with self._unpacked() as stream:
                while block := stream.read(block_bytes):
                    first = n_read == 0
                    n_read += len(block)
                    if n_read > self._max_bytes:
                        words = f"The file unpacks to more than the limit of {megabytes(self._max_bytes)}."
                        raise Unreadable("TOO_LARGE", words)
                    yield block[len(_BOM) :] if first and block.startswith(_BOM) else block
        except _UNPACKING_ERRORS:
            if not self.packing:
                raise
            raise _damaged(self.packing) from None

    def records(self) -> Iterator[Record]:
        """Yield the line where each record starts, and its fields; a blank line has none."""
        self._refuse_other_encodings()
        csv.field_size_limit(2**31 - 1)
        lines = _Lines(self.blocks())
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
                    raise _unclosed(line) from None
                raise Unreadable(
                    "LINE_TOO_LONG", f"Line {line} is longer than {megabytes(MAX_LINE_BYTES)}.", line
                ) from None
            except csv.Error as error:
                head = next(self.blocks(_HEAD_BYTES), b"")
                if line == 1 and (separator := _split_by(head)):
                    raise Unreadable("SEPARATOR", separator_words(separator), 1) from None
                if "unexpected end of data" in str(error):
                    raise _unclosed(line) from None
                words = (
                    f'Line {line}: text follows a closing quote. Inside a quoted value write " as "", '
                    "and put nothing between the closing quote and the next comma."
                )
                raise Unreadable("BAD_QUOTE", words, line) from None
            yield line, fields

    @contextmanager
    def _unpacked(self) -> Iterator[IO[bytes]]:
        with self._content.open() as received:
            if self.packing == "gzip":
                with gzip.GzipFile(fileobj=received) as unpacked:
                    yield unpacked  # type: ignore[misc]  # typeshed: a GzipFile is no IO[bytes]
            elif self.packing == "zip":
                with zipfile.ZipFile(received) as archive, archive.open(_only_member(archive)) as member:
                    yield member
            else:
                yield received

    def _refuse_other_encodings(self) -> None:
        """Read the whole file once: it must be UTF-8 without NUL."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        nul_at = -1
        n_before = n_pending = 0
        try:
            for block in self.blocks():
                n_pending = len(decoder.getstate()[0])
                decoder.decode(block)
                if nul_at < 0 and (at := block.find(b"\x00")) >= 0:
                    nul_at = n_before + at
                n_before += len(block)
            n_pending = len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line = self._line_of(n_before - n_pending + error.start)
            byte = error.object[error.start]
            words = f"Line {line}: byte 0x{byte:02X} is not valid UTF-8. Save the file as UTF-8."
            raise Unreadable("ENCODING", words, line) from None
        if nul_at >= 0:
            line = self._line_of(nul_at)
            words = f"Line {line} holds a NUL byte; the file is damaged or not text. Write it again as UTF-8."
            raise Unreadable("ENCODING", words, line)

    def _line_of(self, offset: int) -> int:
        before = io.BytesIO()
        for block in self.blocks():
            before.write(block[: max(offset - before.tell(), 0)])
        text = before.getvalue()
        return 1 + text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def is_blank(fields: Sequence[str]) -> bool:
    return not "".join(fields).strip(SPACES)


def split_lines(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Return the fields of the first lines; nothing if quotes are misplaced."""
    filled = [line for line in lines if line.strip()]
    reader = csv.reader(filled, delimiter=separator, skipinitialspace=separator == " ", strict=True)
    try:
        return list(reader)[:20]
    except csv.Error:
        return []


def split_again(text: str) -> list[str]:
    """Return the values of a line that was quoted as a whole."""
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return []


def separator_words(separator: str) -> str:
    return (
        f'Columns are separated by {_SEPARATORS[separator]}; use "," between columns and "." in decimals '
        "(in pandas: df.to_csv(path, index=False); in R: write.csv(df, path, row.names = FALSE))."
    )


def _split_by(head: bytes) -> str:
    """Return the separator that splits a file whose first line no comma can split, or nothing."""
    lines = head.decode("utf-8", "replace").splitlines()[:20]
    for separator in _SEPARATORS:
        header, *rows = split_lines(lines, separator) or [[]]
        if len(header) > 1 and rows and all(len(row) in (len(header), len(header) + 1) for row in rows):
            return separator
    return ""


def refuse_other_formats(start: bytes, packing: str = "") -> None:
    """Refuse what the first bytes show to be no CSV."""
    subject = f"The {packing} file holds" if packing else "The file is"
    for magic, name in _OTHER_FORMATS:
        if start.startswith(magic):
            raise Unreadable("NOT_CSV", f"{subject} {name}, not CSV; upload CSV.")
    if _is_tar(start):
        words = f"{subject} a tar archive. Pack the CSV file alone, with gzip or zip, or upload it as it is."
        raise Unreadable("NOT_CSV", words)
    head = start[:1000]
    text = (head[len(_BOM) :] if head.startswith(_BOM) else head).lstrip().lower()
    if text.startswith(_MARKUP):
        raise Unreadable(
            "NOT_CSV",
            "The file is a web page (HTML or XML), not CSV. Was a login page saved instead of the file?",
        )
    if _JSON_START.match(text):
        raise Unreadable("NOT_CSV", "The file is JSON, not CSV. In pandas: df.to_csv(path, index=False).")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _looks_like_utf16(start):
        words = 'The file is UTF-16 (Excel calls it "Unicode text"). Save it as "CSV UTF-8".'
        raise Unreadable("ENCODING", words)
    n_odd = sum(byte < 32 and byte not in b"\t\n\r\x0b\x0c\x1b\x1f" for byte in start[:1000])
    if n_odd > 0.05 * len(start[:1000]) and n_odd > 2:
        raise Unreadable(
            "NOT_CSV", f"{subject} binary data, not text. Write the predictions as CSV and upload that."
        )


def _packing_of(data: bytes) -> str:
    return next((name for magic, name in _PACKINGS if data.startswith(magic)), "")


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    names = {entry.filename for entry in entries}
    if "[Content_Types].xml" in names or "mimetype" in names:
        words = "The file is an Excel workbook or another office document, not CSV. Save it as CSV (UTF-8)."
        raise Unreadable("NOT_CSV", words)
    members = [entry for entry in entries if not _is_litter(entry.filename)]
    if not members:
        raise Unreadable("EMPTY_FILE", "The zip holds no file.")
    if len(members) > 1:
        raise Unreadable("SEVERAL_FILES", f"The zip holds {len(members)} files; pack exactly one CSV file.")
    member = members[0]
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        words = "The zip is encrypted or uses an unusual compression; make an ordinary zip of one CSV file."
        raise Unreadable("NOT_CSV", words)
    return member


def _is_litter(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    litter = {".DS_Store", "Thumbs.db", "desktop.ini"}
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] in litter


def _is_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start[:512], "utf-8", "replace")
    except (tarfile.TarError, ValueError):
        return False
    return True


def _looks_like_utf16(start: bytes) -> bool:
    first = start[:200][: len(start[:200]) // 2 * 2]
    return any(
        bool(letters) and 0 not in letters and zeros.count(0) > 0.8 * len(zeros)
        for zeros, letters in ((first[1::2], first[::2]), (first[::2], first[1::2]))
    )


def _damaged(packing: str) -> Unreadable:
    kind = "zip file or Excel workbook" if packing == "zip" else f"{packing} file"
    words = f"The file is a damaged {kind}. Save the predictions as CSV and upload that."
    return Unreadable("NOT_CSV", words)


def _unclosed(line: int) -> Unreadable:
    return Unreadable("UNCLOSED_QUOTE", f"Line {line}: a quoted value is never closed.", line)


class _RecordTooLong(Exception):
    pass


class _Lines:
    """Physical lines (LF, CRLF or lone CR) with a bound on each record."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        stream: Any = io.BufferedReader(_BlockStream(blocks))
        self._lines = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        self.used = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._lines.readline(MAX_LINE_BYTES - self.used + 1)
        if not line:
            raise StopIteration
        self.used += len(line)
        if self.used > MAX_LINE_BYTES:
            raise _RecordTooLong
        return line


class _BlockStream(io.RawIOBase):
    """Blocks as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest: memoryview | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n

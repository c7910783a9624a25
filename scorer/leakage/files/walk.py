"""Looks into every file of a folder, and into archives in it, without trusting any of them.

What is found comes out as a stream of four things: an `Entry` for each file and each member of an
archive, a `Table` for every set of columns of one length that something holds, a `Blob` of raw bytes
to be searched, and an `Unread` with the reason for whatever could not be looked into.

The files are the organiser's, but he may have them from anywhere. So nothing is ever written to disk,
nothing is unpickled, links are not followed, and sizes are believed only once the bytes are there:
`Limits` bounds depth, number of members, unpacked bytes, ratio and time.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import math
import re
import sqlite3
import struct
import tarfile
import time
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from html import unescape
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import scipy.io
from numpy.typing import NDArray

from scorer.leakage.material import MISSING, Codes, Frame
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
"""Content that is data to learn from: only names, sizes, dates and the head are looked at."""
_PICKLED = frozenset((".pkl", ".pickle", ".joblib", ".pt", ".pth", ".rds", ".rdata", ".dill"))
_OFFICE = frozenset((".xlsx", ".xlsm", ".xls", ".ods", ".docx", ".pptx", ".odt"))
_BROKEN = (
    ValueError, TypeError, LookupError, AttributeError, OSError, EOFError, RuntimeError, ArithmeticError, MemoryError,
    SyntaxError, AssertionError, SystemError, tokenize.TokenError, Warning,
    struct.error, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, pa.ArrowException, sqlite3.Error, csv.Error,
)  # fmt: skip
"""What parsers raise over a broken or a hostile file."""


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
    """Width and height of an image whose head tells them."""

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
        """nan where missing; None unless every value that is something is a number or a time."""
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
        """Rises or falls by one step from row to row: it numbers the rows and says nothing else."""
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
    """Columns of one length. Repr tells no values: they may be labels."""

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
    """What could not be looked into, and why."""

    path: str
    why: str


Thing = Entry | Table | Blob | Unread


def walk(
    folder: Path,
    names: Sequence[str],
    *,
    skip: frozenset[str] = frozenset(),
    contents: bool = True,
    limits: Limits | None = None,
) -> Iterator[Thing]:
    """Everything the named files hold, files in the given order.

    Parameters
    ----------
    names
        Files relative to `folder`.
    skip
        Of these only the `Entry` comes.
    contents
        Without, only `Entry` and `Unread` come: archives are listed, and of the other files the head is read.
    """
    state = _State(limits or Limits(), contents)
    for position, name in enumerate(names):
        path = folder / name
        if not state.goes_on(name):
            yield from state.stop()
            return
        try:
            stat = path.stat()
            if not path.is_file():
                continue
            with path.open("rb") as stream:
                head = stream.read(HEAD_BYTES)
        except OSError as error:
            yield Unread(name, f"cannot be opened: {error.strerror}")
            continue
        yield Entry(name, "", position, stat.st_size, stat.st_mtime, pixels_of(head))
        if name in skip:
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in MEDIA:
            yield from _media(name, head, state)
        elif not contents and not _is_packed(head):
            continue
        elif head.startswith(b"PK") and suffix not in _OFFICE:
            # A zip is read in place, whatever its size.
            yield from _guarded(name, _zip(name, path, stat.st_size, 1, state))
        elif _is_tar(head):
            yield from _guarded(name, _tar(name, path, 1, state))
        elif head.startswith(b"SQLite format 3\0"):
            yield from _guarded(name, _sqlite(name, path, state))
        elif stat.st_size > state.limits.member_bytes and not _is_packed(head):
            yield Unread(name, f"is too large to be looked into ({stat.st_size / 1e6:,.0f} MB)")
        elif state.takes(stat.st_size, name):
            yield from _content(name, path.read_bytes(), 1, state)
    yield from state.stop()


# --- limits ---------------------------------------------------------------------------------------


class Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class _State:
    def __init__(self, limits: Limits, contents: bool) -> None:
        self.limits, self.contents = limits, contents
        self._until = time.monotonic() + limits.seconds
        self._bytes = self._members = 0
        self.stopped: Unread | None = None

    def goes_on(self, path: str) -> bool:
        self._members += 1
        if self.stopped is None and self._members > self.limits.members:
            self.stopped = Unread(
                path, f"and all that follows was not looked into: more than {self.limits.members:,} files"
            )
        if self.stopped is None and time.monotonic() > self._until:
            self.stopped = Unread(
                path,
                f"and all that follows was not looked into: the {self.limits.seconds:g} seconds for this were over",
            )
        return self.stopped is None

    def takes(self, size: int, path: str) -> bool:
        self._bytes += size
        if self.stopped is None and self._bytes > self.limits.unpacked_bytes:
            self.stopped = Unread(
                path,
                f"and all that follows was not looked into: more than {self.limits.unpacked_bytes / 1e6:,.0f} MB in all",
            )
        return self.stopped is None

    def stop(self) -> Iterator[Unread]:
        if self.stopped is not None:
            yield self.stopped

    def read(self, stream: Readable, packed: int | None, path: str) -> bytes | Unread:
        """All of a stream, or why not. `packed`: the bytes it is unpacked from."""
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


def _guarded(path: str, parser: Iterator[Thing]) -> Iterator[Thing]:
    """What a parser gives until it fails; then the failure as a thing of its own."""
    try:
        yield from parser
    except _BROKEN as error:
        words = " ".join(str(error).split())[:120]
        yield Unread(path, f"could not be read: {words or type(error).__name__}")


# --- containers -----------------------------------------------------------------------------------


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _is_packed(head: bytes) -> bool:
    return head.startswith((b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or _is_tar(head)


def _zip(path: str, source: Path | io.BytesIO, packed: int, depth: int, state: _State) -> Iterator[Thing]:
    with zipfile.ZipFile(source) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > 10_000_000 and unpacked > state.limits.ratio * max(1, packed):
            yield Unread(path, f"says it unpacks to {unpacked / max(1, packed):,.0f} times its size")
            return
        for position, member in enumerate(members):
            if member.is_dir():
                continue
            inner = f"{path}{INSIDE}{member.filename}"
            if not state.goes_on(inner):
                return
            if member.flag_bits & 1:
                yield Entry(inner, path, position, member.file_size, _zip_time(member))
                yield Unread(inner, "is encrypted")
                continue
            suffix = PurePosixPath(member.filename).suffix.lower()
            try:
                with archive.open(member) as stream:
                    head = stream.read(HEAD_BYTES)
                    yield Entry(inner, path, position, member.file_size, _zip_time(member), pixels_of(head))
                    if suffix in MEDIA:
                        yield from _media(inner, head, state)
                        continue
                    if not state.contents and not _is_packed(head):
                        continue
                    rest = (
                        b""
                        if len(head) < HEAD_BYTES
                        else state.read(stream, member.compress_size or 1, inner)
                    )
            except (*_BROKEN, NotImplementedError) as error:
                yield Unread(inner, f"could not be unpacked: {' '.join(str(error).split())[:120]}")
                continue
            yield from [rest] if isinstance(rest, Unread) else _content(inner, head + rest, depth + 1, state)


def _zip_time(member: zipfile.ZipInfo) -> float | None:
    try:
        return datetime(*member.date_time, tzinfo=UTC).timestamp()
    except ValueError:  # a month 0
        return None


def _tar(path: str, source: Path | io.BytesIO, depth: int, state: _State) -> Iterator[Thing]:
    opened: IO[bytes] = source.open("rb") if isinstance(source, Path) else source
    with opened as raw, tarfile.open(fileobj=raw, mode="r:") as archive:
        position = -1
        for member in archive:
            position += 1
            inner = f"{path}{INSIDE}{member.name.removeprefix('./')}"
            if not state.goes_on(inner):
                return
            stream = archive.extractfile(member) if member.isreg() else None
            if stream is None:
                continue
            head = stream.read(HEAD_BYTES)
            yield Entry(inner, path, position, member.size, float(member.mtime), pixels_of(head))
            suffix = PurePosixPath(member.name).suffix.lower()
            if suffix in MEDIA:
                yield from _media(inner, head, state)
            elif state.contents or _is_packed(head):
                rest = b"" if len(head) < HEAD_BYTES else state.read(stream, None, inner)
                yield from (
                    [rest] if isinstance(rest, Unread) else _content(inner, head + rest, depth + 1, state)
                )


def _unpacked(path: str, data: bytes, depth: int, state: _State) -> Iterator[Thing]:
    """gzip, bzip2 and xz hold one nameless file."""
    raw = io.BytesIO(data)
    if data.startswith(b"\x1f\x8b"):
        stream: gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile = gzip.GzipFile(fileobj=raw)
    else:
        stream = bz2.BZ2File(raw) if data.startswith(b"BZh") else lzma.LZMAFile(raw)  # noqa: SIM115  closed below
    with closing(stream):
        content = state.read(stream, len(data), path)
    if isinstance(content, Unread):
        yield content
        return
    name = re.sub(r"\.(gz|bz2|xz)$", "", PurePosixPath(path.rpartition(INSIDE)[2]).name, flags=re.IGNORECASE)
    name = re.sub(r"\.(tgz|tbz2|txz)$", ".tar", name, flags=re.IGNORECASE)
    yield from _content(f"{path}{INSIDE}{name}", content, depth + 1, state)


# --- content --------------------------------------------------------------------------------------

_UNKNOWN = (
    (
        b"\x89HDF\r\n\x1a\n",
        "is HDF5 (as MATLAB 7.3 and Keras write it), which needs a library that is not here",
    ),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive, which cannot be unpacked here"),
    (b"Rar!", "is a rar archive, which cannot be unpacked here"),
    (b"\x28\xb5\x2f\xfd", "is packed with zstandard, which cannot be unpacked here"),
    (b"\xd0\xcf\x11\xe0", "is an old Office file, which cannot be read here"),
    (b"DIRC", "is the index of a git repository"),
    (b"PACK", "is a pack of a git repository, which cannot be read here"),
)


def _content(path: str, data: bytes, depth: int, state: _State) -> Iterator[Thing]:
    """Of bytes in memory: what they hold. `depth` counts the archives they are in, the first being 1."""
    inner = path.rpartition(INSIDE)[2]
    suffix = PurePosixPath(inner).suffix.lower()
    if not data:
        return
    if suffix in (".xlsx", ".xlsm") and data.startswith(b"PK"):
        if state.contents:
            yield from _guarded(path, _sheets(path, data, state))
    elif suffix in _OFFICE:
        yield Blob(path, data)
        yield Unread(path, "is an Office file of a kind that is not read here; save its tables as CSV")
    elif _is_packed(data):
        if depth > state.limits.depth:
            yield Unread(path, f"lies more than {state.limits.depth} archives deep")
        elif data.startswith(b"PK"):
            yield from _guarded(path, _zip(path, io.BytesIO(data), len(data), depth, state))
        elif _is_tar(data):
            yield from _guarded(path, _tar(path, io.BytesIO(data), depth, state))
        else:
            yield from _guarded(path, _unpacked(path, data, depth, state))
    elif not state.contents:
        return
    elif ".git/objects/" in f"/{inner}" and "/pack/" not in inner and data[:1] == b"\x78":
        yield from _guarded(path, _git_object(path, data, depth, state))
    else:
        yield Blob(path, data)
        yield from _guarded(path, _tables(path, suffix, data, state))


def _git_object(path: str, data: bytes, depth: int, state: _State) -> Iterator[Thing]:
    content = zlib.decompressobj().decompress(data, state.limits.member_bytes)
    kind, _, body = content.partition(b"\0")
    if kind.startswith(b"blob") and state.takes(len(body), path):
        yield from _content(f"{path}{INSIDE}blob", body, depth + 1, state)


def _tables(path: str, suffix: str, data: bytes, state: _State) -> Iterator[Thing]:
    for magic, why in _UNKNOWN:
        if data.startswith(magic):
            yield Unread(path, why)
            return
    if data.startswith(b"\x93NUMPY"):
        yield from _npy(path, data, state)
    elif data.startswith(b"PAR1"):
        yield from _arrow(path, lambda: _parquet_table(data, state))
    elif data.startswith(b"ARROW1"):
        yield from _arrow(path, lambda: pyarrow.ipc.open_file(pa.BufferReader(data)).read_all())
    elif data.startswith(b"SQLite format 3\0"):
        yield from _sqlite(path, data, state)
    elif data.startswith(b"MATLAB 5.0"):
        yield from _mat(path, data, state)
    elif suffix in _PICKLED or (data[:1] == b"\x80" and 2 <= data[1] <= 5 and data.endswith(b".")):
        yield Unread(path, "is a pickle; opening it could run anything, so only its bytes were searched")
    else:
        text = decoded(data)
        if text is not None:
            yield from _text(path, suffix, text, state)
        elif suffix != ".npy":
            yield Unread(path, "is of a kind that is not known here; only its bytes were searched")


def decoded(data: bytes) -> str | None:
    """As text; None if it is none."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            return None
    if b"\0" in data[:HEAD_BYTES]:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        head = data[:HEAD_BYTES].translate(None, bytes(range(32, 256)) + b"\t\n\r\f")
        return None if head else data.decode("latin-1")


# --- binary tables --------------------------------------------------------------------------------


def _npy(path: str, data: bytes, state: _State) -> Iterator[Thing]:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        yield Unread(path, "holds Python objects, which are never unpickled; only its bytes were searched")
        return
    # The header is not believed: what it promises must be there.
    if math.prod(shape) * dtype.itemsize > len(data) - stream.tell():
        yield Unread(path, "promises more values than it holds")
        return
    array = np.frombuffer(data, dtype, count=math.prod(shape), offset=stream.tell())
    yield from _array(path, array.reshape(shape, order="F" if fortran else "C"), state)


def _array(path: str, array: NDArray[Any], state: _State) -> Iterator[Thing]:
    if array.dtype.names:
        parts = {name: array[name] for name in array.dtype.names if array[name].dtype.kind in "biufSUM"}
        yield from _table(path, {name: part for name, part in parts.items() if part.ndim == 1}, state)
        return
    if array.dtype.kind not in "biufcSUMm" or array.ndim == 0 or array.size == 0:
        return
    if array.ndim == 2 and array.shape[0] == 1:
        array = array.T
    flat = array.reshape(array.shape[0], -1)
    if flat.shape[1] == 1:
        yield from _table(path, {"values": flat[:, 0]}, state)
        return
    # A vector may lie along either axis of a matrix.
    yield from _table(path, {f"[{i}]": flat[:, i] for i in range(min(flat.shape[1], MAX_COLUMNS))}, state)
    if array.ndim == 2 and array.shape[0] <= 20:
        yield from _table(path, {f"row {i}": flat[i] for i in range(flat.shape[0])}, state)


def _table(path: str, columns: Mapping[str, Any], state: _State) -> Iterator[Thing]:
    kept: list[Column] = []
    for name, values in columns.items():
        if (len(kept) + 1) * len(values) > state.limits.cells:
            yield Unread(
                path, f"has more than {state.limits.cells:,} cells; only {len(kept)} columns were looked at"
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
    return [_as_text(value) for value in values]


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _parquet_table(data: bytes, state: _State) -> pa.Table:
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
    unpacked = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    if max(unpacked, file.metadata.num_rows) > state.limits.member_bytes:
        raise ValueError(f"it unpacks to more than {state.limits.member_bytes / 1e6:,.0f} MB")
    return file.read()


def _arrow(path: str, read: Callable[[], pa.Table]) -> Iterator[Thing]:
    table = read()
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if (
            pa.types.is_boolean(column.type)
            or pa.types.is_integer(column.type)
            or pa.types.is_floating(column.type)
        ):
            numbers = column.cast(pa.float64(), safe=False).to_numpy()
            columns.append(Column(name, np.where(np.isfinite(numbers), numbers, np.nan)))
            continue
        try:
            texts = pa.compute.fill_null(column.cast(pa.string()), "").combine_chunks()
            columns.append(
                Column(name, texts if isinstance(texts, pa.Array) else pa.concat_arrays(texts.chunks))
            )
        except pa.ArrowException:  # nested values
            columns.append(Column(name, [_as_text(value) for value in column.to_pylist()]))
    if columns:
        yield Table(path, columns)


def _mat(path: str, data: bytes, state: _State) -> Iterator[Thing]:
    """MATLAB 5 to 7.2. Compressed elements are measured before the library unpacks them."""
    order = "<" if data[126:128] == b"IM" else ">"
    place, unpacked = 128, 0
    while place + 8 <= len(data):
        kind, size = struct.unpack(f"{order}II", data[place : place + 8])
        if kind == 15:
            inflate = zlib.decompressobj()
            piece: bytes = data[place + 8 : place + 8 + size]
            while piece and not inflate.eof:
                unpacked += len(inflate.decompress(piece, 1 << 20))
                piece = inflate.unconsumed_tail
                if unpacked > state.limits.member_bytes:
                    yield Unread(path, f"unpacks to more than {state.limits.member_bytes / 1e6:,.0f} MB")
                    return
        place += 8 + size
    found = scipy.io.loadmat(
        io.BytesIO(data),  # type: ignore[arg-type]  # the stubs know no streams
        struct_as_record=True,
        squeeze_me=True,
        verify_compressed_data_integrity=False,
    )
    alone: dict[str, str] = {}
    for name, value in found.items():
        if not name.startswith("__"):
            yield from _mat_value(f"{path}: {name}", name, value, alone, 0, state)
    if alone:
        yield Table(path, [Column(name, [text]) for name, text in alone.items()])


def _mat_value(
    path: str, name: str, value: Any, alone: dict[str, str], level: int, state: _State
) -> Iterator[Thing]:
    """Structs and cells become paths; single values are gathered in `alone`, one row per file."""
    if level > 6 or len(alone) > 10_000:
        return
    if not isinstance(value, np.ndarray | np.void):
        if isinstance(value, str | int | float | np.generic):
            alone[name] = str(value)
        return
    if isinstance(value, np.void) or (value.dtype.names and value.ndim == 0):
        for part in value.dtype.names or ():
            inner = value[part]
            yield from _mat_value(
                f"{path}.{part}",
                f"{name}.{part}",
                inner.item() if isinstance(inner, np.ndarray) and inner.ndim == 0 else inner,
                alone,
                level + 1,
                state,
            )
    elif value.dtype.names:
        for part in value.dtype.names:
            yield from _mat_value(f"{path}.{part}", f"{name}.{part}", value[part], alone, level + 1, state)
    elif value.dtype == np.object_:
        flat = value.ravel().tolist()
        if flat and all(isinstance(item, str | int | float | np.generic) for item in flat):
            yield from _table(path, {name: [str(item) for item in flat]}, state)
        else:
            for i, item in enumerate(flat[:1000]):
                yield from _mat_value(f"{path}[{i}]", f"{name}[{i}]", item, alone, level + 1, state)
    elif value.ndim == 0 or value.size == 1:
        alone[name] = str(value.ravel()[0])
    else:
        yield from _array(path, value, state)


def _sqlite(path: str, source: Path | bytes, state: _State) -> Iterator[Thing]:
    """Only ordinary tables are read: a view or a virtual table could run whatever it says."""
    if isinstance(source, Path):
        connection = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    else:
        connection = sqlite3.connect(":memory:")
        connection.deserialize(source)
    until = time.monotonic() + min(20.0, state.limits.seconds)
    with closing(connection):
        connection.set_progress_handler(lambda: int(time.monotonic() > until), 100_000)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        listed = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        for name, sql in listed:
            if str(name).startswith("sqlite_") or not re.match(
                r"\s*CREATE\s+TABLE\b", str(sql), re.IGNORECASE
            ):
                continue
            quoted = '"' + str(name).replace('"', '""') + '"'
            cursor = connection.execute(f"SELECT * FROM {quoted}")  # noqa: S608  the name is quoted; there is no other way to give one
            names = [column[0] for column in cursor.description]
            rows = cursor.fetchmany(max(1, min(5_000_000, state.limits.cells // max(1, len(names)))))
            if cursor.fetchone() is not None:
                yield Unread(
                    f"{path}: {name}", f"has more rows than are looked at; these were the first {len(rows):,}"
                )
            if rows:
                columns = zip(*rows, strict=True)
                yield from _table(f"{path}: {name}", dict(zip(names, columns, strict=True)), state)


# --- text -----------------------------------------------------------------------------------------


def _text(path: str, suffix: str, text: str, state: _State) -> Iterator[Thing]:
    stripped = text.lstrip()
    if suffix in (".json", ".geojson", ".ipynb", ".jsonl", ".ndjson") or stripped[:1] in ("{", "["):
        if len(text) > state.limits.member_bytes // 4:
            yield Unread(path, f"is too much JSON to be looked into ({len(text) / 1e6:,.0f} MB)")
            return
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            value = _lines_of_json(stripped)
        if value is not None:
            if suffix == ".ipynb":
                yield from _notebook(path, value, state)
            try:
                yield from _json(path, value, 0, state)
            except RecursionError:
                yield Unread(path, "is nested too deeply")
            return
        if suffix in (".json", ".geojson", ".ipynb", ".jsonl", ".ndjson"):
            yield Unread(path, "is no JSON that can be read; only its bytes were searched")
            return
    if suffix in (".py", ".r", ".css", ".js"):
        return  # programs: the search of the text covers them
    if stripped[:1] == "<":
        yield from _markup(path, text, state)
    else:
        yield from _delimited(path, text, state)


def _lines_of_json(text: str) -> list[Any] | None:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None


def _notebook(path: str, value: Any, state: _State) -> Iterator[Thing]:
    """What the cells printed, as text: a table that was shown is a table."""
    cells = value.get("cells", []) if isinstance(value, dict) else []
    for number, cell in enumerate(cells if isinstance(cells, list) else []):
        outputs = cell.get("outputs", []) if isinstance(cell, dict) else []
        for output in outputs if isinstance(outputs, list) else []:
            if not isinstance(output, dict):
                continue
            data = output.get("data")
            shown = output.get("text") or (data.get("text/plain") if isinstance(data, dict) else None) or ""
            text = "".join(map(str, shown)) if isinstance(shown, list) else str(shown)
            if text.strip():
                yield Blob(f"{path}: output of cell {number + 1}", text.encode())
                yield from _delimited(f"{path}: output of cell {number + 1}", text, state)


def _json(path: str, value: Any, level: int, state: _State, *, told: bool = False) -> Iterator[Thing]:
    """Every table that some part of a JSON value can be read as. `told`: its single values came with what it is in."""
    if level > 6 or not state.goes_on(path):
        return
    if isinstance(value, list) and value:
        if all(isinstance(item, dict) for item in value):
            yield from _records(path, value, state)
        elif all(_is_scalar(item) for item in value):
            yield from _table(path, {"values": value}, state)
        elif all(isinstance(item, list) for item in value) and len({len(item) for item in value}) == 1:
            yield from _table(
                path, {str(i): column for i, column in enumerate(zip(*value, strict=True))}, state
            )
        if len(value) <= 100:
            for i, item in enumerate(value):
                if isinstance(item, dict | list):
                    yield from _json(
                        f"{path}[{i}]" if ": " in path else f"{path}: [{i}]", item, level + 1, state
                    )
    elif isinstance(value, dict) and value:
        flat = {} if told else _flat(value)
        if flat:
            yield Table(
                path, [Column(name, [_as_text(item)]) for name, item in list(flat.items())[:MAX_COLUMNS]]
            )
        parts = list(value.values())
        if len(parts) >= MIN_MAPPING and all(_is_scalar(part) for part in parts):
            yield from _table(path, {"key": list(value), "value": parts}, state)
        elif len(parts) >= MIN_MAPPING and all(isinstance(part, dict) for part in parts):
            yield from _records(path, [{"key": key, **part} for key, part in value.items()], state)
        elif len(parts) >= MIN_MAPPING and all(isinstance(part, list) for part in parts):
            rows = [{"key": key, **dict(enumerate(part[:50]))} for key, part in value.items()]
            yield from _records(path, rows, state)
        columns = {
            str(key): part
            for key, part in value.items()
            if isinstance(part, list) and part and all(_is_scalar(item) for item in part)
        }
        for length in {len(part) for part in columns.values()}:
            yield from _table(
                path, {key: part for key, part in columns.items() if len(part) == length}, state
            )
        for key, part in list(value.items())[:200] if len(parts) < 1000 else []:
            if isinstance(part, dict) or (isinstance(part, list) and str(key) not in columns):
                yield from _json(
                    f"{path}.{key}" if ": " in path else f"{path}: {key}", part, level + 1, state, told=True
                )


def _records(path: str, rows: Sequence[Mapping[Any, Any]], state: _State) -> Iterator[Thing]:
    flat = [_flat(row) for row in rows]
    names = dict.fromkeys(name for row in flat[:1000] for name in row)
    yield from _table(path, {name: [row.get(name) for row in flat] for name in names}, state)


def _flat(value: Mapping[Any, Any], before: str = "", level: int = 0) -> dict[str, Any]:
    """The single values in nested objects, by dotted name."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        name = f"{before}{key}"
        if _is_scalar(part):
            found[name] = part
        elif isinstance(part, dict) and level < 3:
            found |= _flat(part, f"{name}.", level + 1)
        elif isinstance(part, list) and len(part) == 1 and _is_scalar(part[0]):
            found[name] = part[0]
    return found


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


_TAG = re.compile(r"<([A-Za-z][\w:.-]*)((?:\s[^<>]*)?)>([^<]*)")
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*[\"']([^\"']*)[\"']")


def _markup(path: str, text: str, state: _State) -> Iterator[Thing]:
    """XML and HTML: what every tag and attribute of one name holds is a column; the cells of rows are a table."""
    columns: dict[str, list[str]] = {}
    for count, match in enumerate(_TAG.finditer(text)):
        if count > 5_000_000:
            yield Unread(path, "has more tags than are looked at")
            break
        tag, attributes, held = match.groups()
        columns.setdefault(tag, []).append(unescape(held.strip()))
        for name, value in _ATTRIBUTE.findall(attributes):
            columns.setdefault(f"{tag} {name}", []).append(unescape(value))
    for length in sorted({len(values) for values in columns.values()}):
        if length >= MIN_MAPPING:
            alike = {name: v for name, v in columns.items() if len(v) == length and any(v)}
            yield from _table(path, alike, state)
    rows = [
        [unescape(re.sub(r"<[^>]*>", "", cell).strip()) for cell in re.split(r"<t[dh]\b[^>]*>", row)[1:]]
        for row in re.split(r"<tr\b[^>]*>", text)[1:]
    ]
    yield from _ragged(path, rows, state)


def _ragged(path: str, rows: Sequence[Sequence[str]], state: _State) -> Iterator[Thing]:
    """Rows of cells, the commonest width of them."""
    if len(rows) >= MIN_MAPPING:
        width = Counter(map(len, rows)).most_common(1)[0][0]
        columns = zip(*(row for row in rows if len(row) == width), strict=True)
        arrays = [pa.array(list(column), pa.string()) for column in columns]
        if arrays:
            yield from _with_header(path, arrays, state)


def _sheets(path: str, data: bytes, state: _State) -> Iterator[Thing]:
    """The sheets of an .xlsx file, which is a zip of XML; formulas by the value they had."""
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        texts: dict[str, str] = {}
        for member in book.infolist():
            name = member.filename
            if name == "xl/sharedStrings.xml" or re.fullmatch(r"xl/worksheets/[^/]+\.xml", name):
                with book.open(member) as stream:
                    content = state.read(stream, member.compress_size or 1, f"{path}{INSIDE}{name}")
                if isinstance(content, Unread):
                    yield content
                else:
                    texts[name] = content.decode("utf-8", "replace")
        shared = [
            unescape("".join(re.findall(r"<t(?:\s[^>]*)?>([^<]*)</t>", item)))
            for item in re.split(r"<si\b", texts.pop("xl/sharedStrings.xml", ""))[1:]
        ]
        for name, text in texts.items():
            rows = [_cells(row, shared) for row in re.split(r"<row\b", text)[1:]]
            width = max((max(row, default=0) for row in rows), default=0)
            if 0 < width <= 1000:
                table = [[row.get(place, "") for place in range(1, width + 1)] for row in rows]
                yield from _ragged(f"{path}: {PurePosixPath(name).stem}", table, state)


def _cells(row: str, shared: Sequence[str]) -> dict[int, str]:
    """A row's texts by column, from 1."""
    found: dict[int, str] = {}
    for attributes, body in re.findall(r"<c\b((?:[^>]*[^/>])?)>(.*?)</c>", row, re.DOTALL):
        letters = re.search(r'\br="([A-Z]+)', attributes)
        place = 0
        for letter in letters[1] if letters else "":
            place = place * 26 + ord(letter) - 64
        value = re.search(r"<v>([^<]*)</v>", body) or re.search(r"<t(?:\s[^>]*)?>([^<]*)</t>", body)
        text = value[1] if value else ""
        if 't="s"' in attributes and text.isdigit() and int(text) < len(shared):
            text = shared[int(text)]
        found[place or len(found) + 1] = unescape(text)
    return found


_TOKENS = re.compile(r":\s+|[,;\t |=]+")


def _delimited(path: str, text: str, state: _State) -> Iterator[Thing]:
    """Columns of a text: separated by one character throughout, else by any, lines of one form together."""
    if re.match(r"\s*(#|%|//)", text):  # comments before a table
        text = re.sub(r"\A(?:\s*(?:#|%|//)[^\n]*\n)+", "", text) or text
    lines = [line for line in text[:HEAD_BYTES].splitlines()[:100] if line.strip()]
    if len(text) > HEAD_BYTES and len(lines) < 100:
        lines = lines[:-1]  # the last may be cut
    if not lines:
        return
    if len(lines) == 1 and len(text) <= HEAD_BYTES:
        parts = [part for part in _TOKENS.split(text.strip()) if part]
        yield Table(path, [Column("text", [text.strip()])])
        if len(parts) >= MIN_MAPPING:
            yield from _table(path, {"values": parts}, state)
        elif len(parts) > 1:
            yield Table(path, [Column(str(i), [part]) for i, part in enumerate(parts)])
        return
    for delimiter in (",", "\t", ";", "|"):
        if all(delimiter in line for line in lines):
            widths = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
            if len(widths) == 1:
                table = _separated(text, delimiter, widths.pop())
                if table is not None:
                    yield from _with_header(path, table, state)
                    return
    yield from _loose(path, text, state)


def _separated(text: str, delimiter: str, width: int) -> list[pa.Array] | None:
    names = [str(i) for i in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(text.encode()),
            read_options=pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException:
        return None
    return [pa.concat_arrays(column.chunks) for column in table.columns] if table.num_rows else None


def _with_header(path: str, columns: Sequence[pa.Array], state: _State) -> Iterator[Thing]:
    """The first row is taken for names if it looks different from what is below."""
    first = [column[0].as_py() for column in columns]
    names = [str(i) for i in range(len(columns))]
    is_header = len(columns[0]) > 1 and any(map(str.strip, first)) and len(set(first)) == len(first)
    if is_header:
        # Names are no numbers, and do not come again among the values.
        is_header = not any(_is_number(name) for name in first) and not all(
            pa.compute.is_in(column[1:1001], value_set=pa.array([name])).true_count
            for column, name in zip(columns, first, strict=True)
        )
    if is_header:
        names, columns = first, [column[1:] for column in columns]
    yield from _table(path, dict(zip(names, columns, strict=True)), state)


def _loose(path: str, text: str, state: _State) -> Iterator[Thing]:
    """Lines of the same first word and number of tokens make a table: logs, NMEA, printed frames."""
    by_form: dict[tuple[str, int], list[list[str]]] = {}
    count = 0
    for line in text.splitlines():
        tokens = [token for token in _TOKENS.split(line.strip()) if token]
        if not tokens:
            continue
        count += 1
        if count > 2_000_000 or len(by_form) > 5_000:
            yield Unread(
                path, f"has more lines or kinds of lines than are looked at; these were the first {count:,}"
            )
            break
        word = "" if _is_number(tokens[0]) or len(tokens) < 2 else tokens[0]
        by_form.setdefault((word, len(tokens)), []).append(tokens)
    by_width: dict[int, list[list[str]]] = {}
    for (word, width), rows in by_form.items():
        if word:
            by_width.setdefault(width, [])
            if len(rows) >= MIN_MAPPING:
                columns = zip(*rows, strict=True)
                yield from _table(
                    f"{path}: lines of {word}", {str(i): column for i, column in enumerate(columns)}, state
                )
        else:
            by_width.setdefault(width, [])
    # And lines of one width whatever they begin with: an id may come first.
    for line in text.splitlines()[:count]:
        tokens = [token for token in _TOKENS.split(line.strip()) if token]
        if len(tokens) in by_width:
            by_width[len(tokens)].append(tokens)
    for width, rows in by_width.items():
        if len(rows) >= MIN_MAPPING:
            # Where nearly all lines have a number, the others are headings.
            flags = np.array([[_is_number(token) for token in row] for row in rows])
            numeric = flags.mean(axis=0) >= 0.9
            kept = [row for row, flag in zip(rows, flags, strict=True) if flag[numeric].all()]
            arrays = [pa.array(list(column), pa.string()) for column in zip(*kept, strict=True)]
            if arrays:
                yield from _with_header(f"{path}: lines of {width} words", arrays, state)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _few_numbers(texts: Sequence[str]) -> FloatArray | None:
    """What `material` does for a column, for a handful of values and without its overhead."""
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


# --- heads of images ------------------------------------------------------------------------------


def pixels_of(head: bytes) -> tuple[int, int] | None:
    """Width and height, if these are the first bytes of a PNG, GIF, BMP or JPEG image."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return int(width), int(height)
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
        return int(width), int(height)
    if head.startswith(b"BM") and len(head) >= 26:
        width, height = struct.unpack("<ii", head[18:26])
        return int(width), abs(int(height))
    if head.startswith(b"\xff\xd8"):
        for kind, piece in _jpeg_segments(head):
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC) and len(piece) >= 5:
                height, width = struct.unpack(">HH", piece[1:5])
                return int(width), int(height)
    return None


def _jpeg_segments(head: bytes) -> Iterator[tuple[int, bytes]]:
    place = 2
    while place + 4 <= len(head) and head[place] == 0xFF:
        kind, size = head[place + 1], struct.unpack(">H", head[place + 2 : place + 4])[0]
        yield kind, head[place + 4 : place + 2 + size]
        if kind == 0xDA:
            return
        place += 2 + size


def _media(path: str, head: bytes, state: _State) -> Iterator[Thing]:
    """Words that an image carries beside its pixels, as a table of one row."""
    if not state.contents:
        return
    words: dict[str, str] = {}
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        place = 8
        while place + 8 <= len(head):
            size, kind = struct.unpack(">I4s", head[place : place + 8])
            if kind == b"tEXt":
                key, _, value = head[place + 8 : place + 8 + size].partition(b"\0")
                words[key.decode("latin-1")] = value.decode("latin-1")
            place += 12 + size
    elif head.startswith(b"\xff\xd8"):
        for kind, piece in _jpeg_segments(head):
            if kind == 0xFE:
                words["comment"] = piece.decode("utf-8", "replace")
    if words:
        yield Table(path, [Column(name, [value]) for name, value in words.items()])

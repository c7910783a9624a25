"""The walk through every file of a folder and its archives.

It yields four things: an `Entry` for each file and each member of an archive, a `Table` for every set of
columns of one length, a `Blob` of raw bytes to be searched, and an `Unread` with the reason for anything
that could not be read.

The files are the organiser's, but may come from anywhere. So nothing is written to disk, nothing is
unpickled, links are not followed, and sizes are believed only once the bytes are there: `Limits` bounds
depth, number of members, unpacked bytes, ratio and time.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.ipc

from scorer.leakage.files.binary import parquet_table, read_arrow, read_matlab, read_npy, read_sqlite
from scorer.leakage.files.images import pixels_of
from scorer.leakage.files.text import decoded, read_sheets, read_text
from scorer.leakage.files.things import (
    HEAD_BYTES,
    INSIDE,
    MEDIA,
    PARSER_ERRORS,
    Blob,
    Entry,
    Limits,
    Thing,
    Unread,
    WalkState,
    guarded,
)

_PICKLED = frozenset((".pkl", ".pickle", ".joblib", ".pt", ".pth", ".rds", ".rdata", ".dill"))
_OFFICE = frozenset((".xlsx", ".xlsm", ".xls", ".ods", ".docx", ".pptx", ".odt"))


def walk(
    folder: Path,
    names: Sequence[str],
    *,
    skip: frozenset[str] = frozenset(),
    contents: bool = True,
    limits: Limits | None = None,
) -> Iterator[Thing]:
    """Yield everything the named files hold, in order.

    Parameters
    ----------
    names
        Files relative to `folder`.
    skip
        Of these only the `Entry` comes.
    contents
        Without, only `Entry` and `Unread` come: archives are listed, and of the other files the head is read.
    """
    state = WalkState(limits or Limits(), contents)
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
            continue
        if not contents and not _is_packed(head):
            continue
        if head.startswith(b"PK") and suffix not in _OFFICE:
            # A zip is read in place, whatever its size.
            yield from guarded(name, _zip(name, path, stat.st_size, 1, state))
        elif _is_tar(head):
            yield from guarded(name, _tar(name, path, 1, state))
        elif head.startswith(b"SQLite format 3\0"):
            yield from guarded(name, read_sqlite(name, path, state))
        elif stat.st_size > state.limits.member_bytes and not _is_packed(head):
            yield Unread(name, f"is too large to be read ({stat.st_size / 1e6:,.0f} MB)")
        elif state.takes(stat.st_size, name):
            yield from _content(name, path.read_bytes(), 1, state)
    yield from state.stop()


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _is_packed(head: bytes) -> bool:
    return head.startswith((b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or _is_tar(head)


def _zip(path: str, source: Path | io.BytesIO, packed: int, depth: int, state: WalkState) -> Iterator[Thing]:
    with zipfile.ZipFile(source) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > 10_000_000 and unpacked > state.limits.ratio * max(1, packed):
            yield Unread(path, f"declares that it unpacks to {unpacked / max(1, packed):,.0f} times its size")
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
                        continue
                    if not state.contents and not _is_packed(head):
                        continue
                    rest = (
                        b""
                        if len(head) < HEAD_BYTES
                        else state.read(stream, member.compress_size or 1, inner)
                    )
            except (*PARSER_ERRORS, NotImplementedError) as error:
                yield Unread(inner, f"could not be unpacked: {' '.join(str(error).split())[:120]}")
                continue
            yield from [rest] if isinstance(rest, Unread) else _content(inner, head + rest, depth + 1, state)


def _zip_time(member: zipfile.ZipInfo) -> float | None:
    try:
        return datetime(*member.date_time, tzinfo=UTC).timestamp()
    except ValueError:  # a month 0
        return None


def _tar(path: str, source: Path | io.BytesIO, depth: int, state: WalkState) -> Iterator[Thing]:
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
            if suffix not in MEDIA and (state.contents or _is_packed(head)):
                rest = b"" if len(head) < HEAD_BYTES else state.read(stream, None, inner)
                yield from (
                    [rest] if isinstance(rest, Unread) else _content(inner, head + rest, depth + 1, state)
                )


def _unpacked(path: str, data: bytes, depth: int, state: WalkState) -> Iterator[Thing]:
    """Yield the one file in a gzip, bzip2 or xz."""
    raw = io.BytesIO(data)
    if data.startswith(b"\x1f\x8b"):
        stream: gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile = gzip.GzipFile(fileobj=raw)
    else:
        stream = bz2.BZ2File(raw) if data.startswith(b"BZh") else lzma.LZMAFile(raw)  # noqa: SIM115
    with closing(stream):
        content = state.read(stream, len(data), path)
    if isinstance(content, Unread):
        yield content
        return
    name = re.sub(r"\.(gz|bz2|xz)$", "", PurePosixPath(path.rpartition(INSIDE)[2]).name, flags=re.IGNORECASE)
    name = re.sub(r"\.(tgz|tbz2|txz)$", ".tar", name, flags=re.IGNORECASE)
    yield from _content(f"{path}{INSIDE}{name}", content, depth + 1, state)


_UNKNOWN = (
    (
        b"\x89HDF\r\n\x1a\n",
        "is HDF5 (as MATLAB 7.3 and Keras write it), which needs a library that is not installed",
    ),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive, which cannot be unpacked here"),
    (b"Rar!", "is a rar archive, which cannot be unpacked here"),
    (b"\x28\xb5\x2f\xfd", "is packed with zstandard, which cannot be unpacked here"),
    (b"\xd0\xcf\x11\xe0", "is an old Office file, which cannot be read here"),
    (b"PACK", "is a pack of a git repository, which cannot be read here"),
)


def _content(path: str, data: bytes, depth: int, state: WalkState) -> Iterator[Thing]:
    """Yield what bytes in memory hold.

    depth: the archives they are in, the first being 1.
    """
    inner = path.rpartition(INSIDE)[2]
    suffix = PurePosixPath(inner).suffix.lower()
    if not data:
        return
    if suffix in (".xlsx", ".xlsm") and data.startswith(b"PK"):
        if state.contents:
            yield from guarded(path, read_sheets(path, data, state))
    elif suffix in _OFFICE:
        yield Blob(path, data)
        yield Unread(path, "is an Office file of a kind that is not read; save its tables as CSV")
    elif _is_packed(data):
        if depth > state.limits.depth:
            yield Unread(path, f"lies more than {state.limits.depth} archives deep")
        elif data.startswith(b"PK"):
            yield from guarded(path, _zip(path, io.BytesIO(data), len(data), depth, state))
        elif _is_tar(data):
            yield from guarded(path, _tar(path, io.BytesIO(data), depth, state))
        else:
            yield from guarded(path, _unpacked(path, data, depth, state))
    elif not state.contents:
        return
    elif ".git/objects/" in f"/{inner}" and "/pack/" not in inner and data[:1] == b"\x78":
        yield from guarded(path, _git_object(path, data, depth, state))
    else:
        yield Blob(path, data)
        yield from guarded(path, _tables(path, suffix, data, state))


def _git_object(path: str, data: bytes, depth: int, state: WalkState) -> Iterator[Thing]:
    content = zlib.decompressobj().decompress(data, state.limits.member_bytes)
    kind, _, body = content.partition(b"\0")
    if kind.startswith(b"blob") and state.takes(len(body), path):
        yield from _content(f"{path}{INSIDE}blob", body, depth + 1, state)


def _tables(path: str, suffix: str, data: bytes, state: WalkState) -> Iterator[Thing]:
    for magic, why in _UNKNOWN:
        if data.startswith(magic):
            yield Unread(path, why)
            return
    if data.startswith(b"\x93NUMPY"):
        yield from read_npy(path, data, state)
    elif data.startswith(b"PAR1"):
        yield from read_arrow(path, lambda: parquet_table(data, state))
    elif data.startswith(b"ARROW1"):
        yield from read_arrow(path, lambda: pyarrow.ipc.open_file(pa.BufferReader(data)).read_all())
    elif data.startswith(b"SQLite format 3\0"):
        yield from read_sqlite(path, data, state)
    elif data.startswith(b"MATLAB 5.0"):
        yield from read_matlab(path, data, state)
    elif suffix in _PICKLED or (data[:1] == b"\x80" and 2 <= data[1] <= 5 and data.endswith(b".")):
        yield Unread(
            path, "is a pickle; opening it could run untrusted code, so only its bytes were searched"
        )
    else:
        text = decoded(data)
        if text is not None:
            yield from read_text(path, suffix, text, state)
        elif suffix != ".npy":
            yield Unread(path, "is of an unknown kind; only its bytes were searched")

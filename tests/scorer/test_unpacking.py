"""A packed file costs no more than its content, and ordinary archives are read."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.reading import unpacking
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import open_table

GOOD = b"id,target\n" + b"".join(b"%d,0.5\n" % i for i in range(20))
N = 4_000_000
"""Bytes of a hostile file."""


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def member(body: bytes, content: bytes = GOOD, *, flags: int = 0, fields: bytes = b"") -> bytes:
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + fields
    return head + body + struct.pack("<II", zlib.crc32(content), len(content))


def zip_of(body: bytes, claimed: int) -> bytes:
    """Return a zip whose only file has this deflated body, and claims a size."""
    facts = struct.pack("<HHHIIIHH", 8, 0, 0, zlib.crc32(GOOD), len(body), claimed, 5, 0)
    local = b"PK\3\4" + struct.pack("<HH", 20, 0) + facts + b"a.csv"
    listed = b"PK\1\2" + struct.pack("<HHH", 20, 20, 0) + facts + bytes(14) + b"a.csv"
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(listed), len(local) + len(body), 0)
    return local + body + listed + end


def zip_with(n: int, name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for i in range(n):
            archive.writestr(name.format(i), b"")
        archive.writestr("a.csv", GOOD)
    return stream.getvalue()


EMPTY = gzip.compress(b"", 1)
STORED = b"\0\0\0\xff\xff"
FIXED = int("0000000010" * 4, 2).to_bytes(5, "little")
"""Four blocks of a header and the end's code, ten bits each."""
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty members behind": (lambda: gzip.compress(GOOD) + EMPTY * (N // 20), "OVERPACKED"),
    "empty members before": (lambda: EMPTY * (N // 20) + gzip.compress(GOOD), "OVERPACKED"),
    "members of a byte": (lambda: gzip.compress(b"1", 1) * (N // 21), "OVERPACKED"),
    "members of a row": (lambda: gzip.compress(b"1,0.5\n", 1) * (N // 26), "OVERPACKED"),
    "a long name": (lambda: member(deflated(GOOD), flags=8, fields=b"n" * N + b"\0"), "OVERPACKED"),
    "a long comment": (lambda: member(deflated(GOOD), flags=16, fields=b"n" * N + b"\0"), "OVERPACKED"),
    "long extra fields": (
        lambda: member(b"\3\0", b"", flags=4, fields=b"\xff\xff" + bytes(65535)) * 60 + gzip.compress(GOOD),
        "OVERPACKED",
    ),
    "empty stored blocks": (lambda: member(STORED * (N // 5) + deflated(GOOD)), "OVERPACKED"),
    "empty fixed blocks": (lambda: member(FIXED * (N // 5) + deflated(GOOD)), "OVERPACKED"),
    "zeros behind": (lambda: gzip.compress(GOOD) + bytes(N), "OVERPACKED"),
    "empty blocks in a zip": (lambda: zip_of(STORED * (N // 5) + deflated(GOOD), len(GOOD)), "OVERPACKED"),
    "empty blocks that claim a size": (lambda: zip_of(STORED * (N // 5) + deflated(GOOD), N), "OVERPACKED"),
    "a zip of many files": (lambda: zip_with(20_000, "{}.csv"), "SEVERAL_FILES"),
    "a zip of many folders": (lambda: zip_with(20_000, "{}/"), "SEVERAL_FILES"),
    "a zip with much litter": (lambda: zip_with(20_000, "__MACOSX/{}"), "SEVERAL_FILES"),
}


class CountedBytes:
    """A source that counts how many bytes are read of it in all passes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.n_read = content, 0

    def open(self, _mode: str = "rb") -> io.BufferedReader:
        source = self

        class Counted(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                data = super().read(size)
                source.n_read += len(data)
                return data

            def fileno(self) -> int:
                raise OSError

        return Counted(self.content)  # type: ignore[return-value]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_packed_file_that_costs_more_than_its_content_is_refused(name: str) -> None:
    """300,000 empty members of gzip, 6 MB, held a worker for 27 s."""
    make, code = HOSTILE[name]
    with pytest.raises(UnreadableTable) as refused:
        for _ in open_table(make(), max_bytes=10_000_000).records():
            pass
    (problem,) = refused.value.problems
    assert problem.code == code
    assert "one CSV file" in problem.message or "pack the CSV file again" in problem.message


@pytest.mark.parametrize("name", HOSTILE)
def test_of_an_overpacked_file_only_the_start_is_read(name: str) -> None:
    make, _ = HOSTILE[name]
    source = CountedBytes(make())
    stream = source.open()
    with pytest.raises(UnreadableTable):
        if source.content.startswith(b"PK"):
            with unpacking.opened_zip(stream) as archive:
                unpacking.unzipped(archive).read()
        else:
            unpacking.gunzipped(stream).read()
    assert source.n_read < unpacking.PACKED_BYTES + (1 << 17)


def rows(n: int) -> bytes:
    dice = random.Random(0)
    return b"id,target\n" + b"".join(b"%d,%.6f\n" % (i, dice.random()) for i in range(n))


@pytest.mark.parametrize("size", [100, 1000, 65_280])
def test_a_gzip_file_of_blocks_is_read(size: int) -> None:
    """As bgzip writes, and an empty one at the end; or a log to which each write adds a member."""
    content = rows(3_000)
    packed = b"".join(gzip.compress(content[i : i + size], 6) for i in range(0, len(content), size))
    assert unpacking.gunzipped(io.BytesIO(packed + EMPTY)).read() == content
    assert unpacking.gunzipped(io.BytesIO(packed + bytes(512))).read() == content


@pytest.mark.parametrize("level", [0, 1, 9])
def test_ordinary_archives_give_their_content(level: int) -> None:
    content = rows(200_000)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr("__MACOSX/._a.csv", b"x")
        archive.writestr("a.csv", content)
    with unpacking.opened_zip(stream) as opened:
        assert unpacking.unzipped(opened).read() == content
    assert unpacking.gunzipped(io.BytesIO(gzip.compress(content, level))).read() == content


@given(
    st.lists(st.binary(max_size=3000), min_size=1, max_size=5),
    st.integers(0, 9),
    st.integers(0, 40),
    st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_gzip_gives_what_the_standard_library_gives(
    contents: list[bytes], level: int, n_zeros: int, cut: int | None
) -> None:
    packed = b"".join(gzip.compress(content, level) for content in contents) + bytes(n_zeros)
    packed = packed[:cut]
    try:
        expected: bytes | None = gzip.GzipFile(fileobj=io.BytesIO(packed)).read()
    except (EOFError, OSError, zlib.error):
        expected = None
    try:
        found: bytes | None = unpacking.gunzipped(io.BytesIO(packed)).read()
    except (EOFError, OSError, zlib.error):
        found = None
    assert found == expected

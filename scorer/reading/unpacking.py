"""Unpack gzip and zip at a bounded cost for each byte that comes out.

A packed file of a few megabytes can hold hundreds of thousands of members, entries or blocks without content:
each costs microseconds, and a file is unpacked up to five times. Every compressor writes fewer bytes than it
gets, and few members; so what takes more is refused where it passes the bound.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from scorer.reading.packing import only_member
from scorer.reading.source import UnreadableTable
from scorer.report import Problem
from scorer.wording import megabytes

MAX_MEMBERS = 1000
"""Of a gzip file without content; one more for each BYTES_OF_A_MEMBER that it unpacks to."""
BYTES_OF_A_MEMBER = 1000
PACKED_BYTES = 1 << 20
"""Of a packed file without content; two more for each byte that it unpacks to."""
DIRECTORY_BYTES = 1 << 17
"""Of the list of files of a zip: some two thousand."""

_INPUT_BYTES = 1 << 16
_OUTPUT_BYTES = 1 << 16


def gunzipped(received: IO[bytes]) -> io.BufferedReader:
    """Return the content of a gzip file of any members."""
    return io.BufferedReader(_Gunzip(_Packed(received)), _OUTPUT_BYTES)


@contextmanager
def opened_zip(received: IO[bytes], *, directory_bytes: int = DIRECTORY_BYTES) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose list of files is short; raises UnreadableTable and what zipfile raises."""
    packed = _Packed(received)
    packed.most_at_once = directory_bytes
    with zipfile.ZipFile(packed) as archive:
        packed.most_at_once = None
        yield archive


def unzipped(archive: zipfile.ZipFile) -> io.BufferedReader:
    """Return the content of the only file of an open zip."""
    return unzipped_member(archive, only_member(archive)[0])


def unzipped_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> io.BufferedReader:
    """Return the content of one file of an open zip."""
    packed: Any = archive.fp
    return io.BufferedReader(_Unzip(archive.open(member), packed), _OUTPUT_BYTES)


class _Packed(io.BufferedIOBase):
    """The bytes of a packed file, counted, and compared with the bytes that come out."""

    def __init__(self, received: IO[bytes]) -> None:
        self._received = received
        self.n_in = self.n_out = 0
        self.most_at_once: int | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._received.seek(offset, whence)

    def tell(self) -> int:
        return self._received.tell()

    def read(self, size: int | None = -1) -> bytes:
        if self.most_at_once is not None and size is not None and size > self.most_at_once:
            message = (
                f"The zip's list of files has more than {megabytes(DIRECTORY_BYTES)}; "
                "pack exactly one CSV file."
            )
            raise UnreadableTable(Problem("SEVERAL_FILES", message))
        data = self._received.read(-1 if size is None else size)
        self.n_in += len(data)
        if self.n_in > PACKED_BYTES + 2 * self.n_out:
            raise _overpacked(f"{self.n_in:,} bytes", self.n_out)
        return data


class _Gunzip(io.RawIOBase):
    def __init__(self, packed: _Packed) -> None:
        self._packed = packed
        self._member: Any = None
        self._n_members = 0
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._member is None and not self._next_member():
                return 0
            if not self._rest:
                self._rest = self._packed.read(_INPUT_BYTES)
                if not self._rest:
                    raise EOFError("the file ends within a member")
            data = self._member.decompress(self._rest, len(buffer))
            self._rest = self._member.unconsumed_tail
            if self._member.eof:
                self._rest, self._member = self._member.unused_data, None
            if data:
                buffer[: len(data)] = data
                self._packed.n_out += len(data)
                return len(data)

    def _next_member(self) -> bool:
        """Begin the next member; return whether there is one. Zeros may follow the last one."""
        if self._n_members:
            self._rest = self._rest.lstrip(b"\0")
        while not self._rest:
            self._rest = self._packed.read(_INPUT_BYTES)
            if not self._rest:
                return False
            if self._n_members:
                self._rest = self._rest.lstrip(b"\0")
        self._n_members += 1
        if self._n_members > MAX_MEMBERS + self._packed.n_out // BYTES_OF_A_MEMBER:
            raise _overpacked(f"{self._n_members:,} members", self._packed.n_out)
        self._member = zlib.decompressobj(wbits=31)  # with gzip's header, and its checksum at the end
        return True


class _Unzip(io.RawIOBase):
    def __init__(self, member: IO[bytes], packed: _Packed) -> None:
        self._member, self._packed = member, packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._member.read(min(len(buffer), _OUTPUT_BYTES))
        buffer[: len(data)] = data
        self._packed.n_out += len(data)
        return len(data)

    def close(self) -> None:
        self._member.close()
        super().close()


def _overpacked(what: str, n_out: int) -> UnreadableTable:
    message = f"The packed file has {what} for {n_out:,} bytes of content; pack the CSV file again."
    return UnreadableTable(Problem("OVERPACKED", message))

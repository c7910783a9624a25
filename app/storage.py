"""Files named by their content: written beside, flushed to disk, then renamed. Never by a person's text."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from app import points
from app.errors import NotFound, TooLarge


@dataclass(frozen=True)
class Blob:
    sha256: str
    size_bytes: int


class Incoming:
    """A file on its way in: hashed and counted while it is written, and stopped at the limit.

    Used as a context manager. What was not `keep()`-ed is gone when the block ends.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        incoming = folder / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        self._path = incoming / secrets.token_hex(16)
        self._file: BinaryIO = self._path.open("xb")

    def write(self, chunk: bytes) -> int:
        self.size_bytes += len(chunk)
        if self.size_bytes > self.limit_bytes:
            raise TooLarge(f"The file is larger than the limit of {self.limit_bytes / 1e6:g} MB.")
        self._hash.update(chunk)
        return self._file.write(chunk)

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._hash.hexdigest()

    def keep(self) -> Blob:
        """Make it durable: the name exists only once every byte is on disk."""
        self._file.flush()
        points.reach("storage.written")
        os.fsync(self._file.fileno())
        self._file.close()
        blob = Blob(self.sha256, self.size_bytes)
        target = _path(self._folder, blob.sha256)
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            fsync_folder(self._folder)
        self._path.chmod(0o600)
        points.reach("storage.synced")
        self._path.replace(target)
        points.reach("storage.renamed")
        fsync_folder(target.parent)
        return blob

    # Werkzeug reads back what it has written to a form's file; nobody here does.
    def seek(self, _offset: int, _whence: int = 0) -> int:
        return 0

    def close(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Storage:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def receive(self, limit_bytes: int) -> Incoming:
        return Incoming(self.folder, limit_bytes)

    def forget_broken_uploads(self, *, older_than_seconds: float) -> int:
        """Remove what a process that was killed had begun to receive; how many files."""
        oldest = time.time() - older_than_seconds
        broken = [p for p in (self.folder / "incoming").glob("*") if p.stat().st_mtime < oldest]
        for path in broken:
            path.unlink(missing_ok=True)
        return len(broken)

    def put_file(self, source: Path) -> Blob:
        with source.open("rb") as stream, self.receive(source.stat().st_size) as incoming:
            while chunk := stream.read(1 << 20):
                incoming.write(chunk)
            return incoming.keep()

    def path(self, sha256: str) -> Path:
        """Where a kept file lies; refuses names that are no digest, so no text of a person is ever a path."""
        if len(sha256) != 64 or not all(c in "0123456789abcdef" for c in sha256):
            raise NotFound("There is no such file.")
        path = _path(self.folder, sha256)
        if not path.is_file():
            raise NotFound("The file is no longer in storage.")
        return path


def _path(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256


def fsync_folder(folder: Path) -> None:
    """Make the names in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

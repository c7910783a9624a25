"""The bytes of one file of predictions: of a path, or made in memory from a table."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from heldout_client.errors import ClientError


@dataclass(frozen=True)
class Content:
    """A file's name and bytes, read as often as needed and never held twice."""

    name: str
    path: Path | None = None
    data: bytes = b""

    @classmethod
    def of_path(cls, path: Path) -> Content:
        if path.is_dir():
            raise ClientError(f"{path} is a folder; name one file.")
        if not path.is_file():
            raise ClientError(f"There is no file {path}.")
        return cls(path.name, path)

    def open(self) -> IO[bytes]:
        return io.BytesIO(self.data) if self.path is None else self.path.open("rb")

    @cached_property
    def size(self) -> int:
        return len(self.data) if self.path is None else self.path.stat().st_size

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        with self.open() as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

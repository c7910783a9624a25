"""Uploads: hashed, limited, and stored completely or deleted."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from app.base.errors import NotFound, TooLarge
from app.base.storage import Storage


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_stored_file_is_found_by_its_hash(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    with storage.receive(100) as incoming:
        incoming.write(b"id,target\n")
        incoming.write(b"1,0.5\n")
        blob = incoming.keep()
    assert blob.sha256 == hashlib.sha256(b"id,target\n1,0.5\n").hexdigest()
    assert blob.size_bytes == 16
    assert storage.path(blob.sha256).read_bytes() == b"id,target\n1,0.5\n"
    assert stat.S_IMODE(storage.path(blob.sha256).stat().st_mode) == 0o600


def test_equal_content_is_stored_once(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    for _ in range(2):
        with storage.receive(100) as incoming:
            incoming.write(b"same")
            incoming.keep()
    assert len(files(tmp_path)) == 1


def test_a_file_over_the_limit_is_stopped_and_deleted(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="larger than the limit"), Storage(tmp_path).receive(10) as incoming:
        incoming.write(b"12345678901")
    assert files(tmp_path) == []


def test_an_interrupted_upload_is_deleted(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), Storage(tmp_path).receive(10) as incoming:
        incoming.write(b"123")
        raise ConnectionError
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "0" * 64, "/" * 64])
def test_only_the_digest_of_a_stored_file_is_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        Storage(tmp_path).path(name)

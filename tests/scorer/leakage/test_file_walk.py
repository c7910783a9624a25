"""The walk through files reads what it can and reports the rest."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np

from scorer.leakage.files.images import pixels_of
from scorer.leakage.files.things import Blob, Entry, Limits, Table, Unread
from scorer.leakage.files.walk import walk
from tests.scorer.leakage.planted import WRITERS, Plant, as_npy, file_findings


def things(folder: Path, limits: Limits | None = None) -> list[Entry | Table | Blob | Unread]:
    return list(walk(folder, sorted(p.name for p in folder.iterdir()), limits=limits))


def test_markup_is_reported_as_not_read(tmp_path: Path) -> None:
    (tmp_path / "table.html").write_text("<table><tr><td>1</td></tr></table>")
    kinds = {type(thing).__name__: thing for thing in things(tmp_path)}
    assert "Table" not in kinds
    assert "XML or HTML" in kinds["Unread"].why  # type: ignore[union-attr]


def test_sizes_of_images_are_read_from_their_heads() -> None:
    frame = struct.pack(">BHH", 8, 30, 40)
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 40, 30)
    assert [pixels_of(head) for head in (jpeg, png, jpeg[:12], b"GIF89a")] == [(40, 30), (40, 30), None, None]


def test_decompression_bombs_stop_at_the_limits(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(30_000_000)))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.csv", bytes(30_000_000))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for number in range(50):
            archive.writestr(f"{number}.txt", "1")
    why = [t.why for t in things(tmp_path, Limits(ratio=100.0, members=20)) if isinstance(t, Unread)]
    assert ["times" in words for words in why[:2]] == [True, True]
    assert "more than 20 files" in why[2]
    nested = b"1,2\n"
    for level in range(5):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(f"{level}.zip" if level else "x.csv", nested)
        nested = stream.getvalue()
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested/d.zip").write_bytes(nested)
    assert "archives deep" in next(t.why for t in things(tmp_path / "nested") if isinstance(t, Unread))


def test_a_broken_file_of_any_kind_is_reported_without_a_crash(plant: Plant) -> None:
    p = plant()
    rng = np.random.default_rng(7)
    for file, write in WRITERS.items():
        whole = write(p, p.y)
        for number, cut in enumerate((9, len(whole) // 2, len(whole) - 5)):
            broken = bytearray(whole[:cut])
            for place in rng.integers(0, len(broken), 5):
                broken[place] ^= 255
            (p.public / f"{number}{file}").write_bytes(bytes(broken))
    (p.public / "empty.npz").write_bytes(b"")
    (p.public / "big.npy").write_bytes(as_npy(p, p.y).replace(b"(228,)", b"(9" + b"0" * 9 + b",)"[:1]))
    (p.public / "deep.json").write_text("[" * 100_000)
    (p.public / "v73.mat").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    found = file_findings(p)
    assert all(f.severity in ("info", "block", "warn") for f in found)
    assert any("HDF5" in f.evidence and f.severity == "info" for f in found)

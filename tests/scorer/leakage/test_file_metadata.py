"""Names, dates and sizes of files that follow labels are found."""

from __future__ import annotations

import os
import zipfile

import numpy as np
from numpy.typing import NDArray

from scorer.leakage.checks.file_metadata import file_metadata
from tests.scorer.leakage.planted import Plant, Planted


def images(p: Planted, rows: list[int], *, sizes: NDArray[np.int64] | None = None) -> None:
    (p.public / "images").mkdir()
    for place, row in enumerate(rows):
        path = p.public / f"images/{p.ids[row]}.bin.png"
        path.write_bytes(bytes(100 if sizes is None else int(sizes[row])))
        os.utime(path, (1_700_000_000 + place,) * 2)


def test_dates_in_the_order_of_the_labels_block_and_random_ones_do_not(plant: Plant) -> None:
    p = plant()
    images(p, np.argsort(p.y, kind="stable").tolist())
    (found,) = file_metadata(p.material())
    assert (found.severity, "time of last change" in found.evidence) == ("block", True)
    assert found.picture is not None
    clean = plant("diabetes")
    images(clean, list(range(len(clean.ids))))
    assert list(file_metadata(clean.material())) == []


def test_order_in_an_archive_blocks_and_size_only_warns(plant: Plant) -> None:
    p = plant("diabetes")
    with zipfile.ZipFile(p.public / "images.zip", "w") as archive:
        for row in np.argsort(p.y).tolist():
            archive.writestr(zipfile.ZipInfo(f"images/{p.ids[row]}.png"), bytes(int(p.y[row])))
    found = {f.evidence.split(": ")[1].split(" of ")[0]: f.severity for f in file_metadata(p.material())}
    assert found == {"the place in the archive": "block", "the size in bytes": "warn"}


def test_folders_named_by_class_block(plant: Plant) -> None:
    p = plant("wine")
    for i, v in zip(p.ids, p.y.tolist(), strict=True):
        (p.public / f"test/kind{v}").mkdir(parents=True, exist_ok=True)
        (p.public / f"test/kind{v}/{i}.png").write_bytes(b"x")
    os_times = {path: os.utime(path, (1e9, 1e9)) for path in p.public.rglob("*.png")}
    assert os_times
    (found,) = file_metadata(p.material())
    assert (found.severity, "the folder" in found.evidence) == ("block", True)

"""Labels in published files are found."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.scorer.leakage.planted import WRITERS, Plant, as_csv, blockers, file_findings


@pytest.mark.parametrize("file", WRITERS)
@pytest.mark.parametrize("name", ["breast", "diabetes"])
def test_labels_in_a_side_file_block_in_every_format(plant: Plant, name: str, file: str) -> None:
    p = plant(name)
    (p.public / file).write_bytes(WRITERS[file](p, p.y))
    (found,) = blockers(p)
    assert file in found.where
    assert found.effect is not None
    assert found.effect > 0.95


@pytest.mark.parametrize("name", ["digits", "wine"])
def test_classes_in_any_coding_with_some_wrong_labels_block(plant: Plant, name: str) -> None:
    p = plant(name)
    coding = np.random.default_rng(0).permutation(10)
    y = coding[p.y]
    wrong = np.random.default_rng(1).random(len(y)) < 0.03
    y[wrong] = np.random.default_rng(2).permutation(y[wrong])
    pd.DataFrame({"image": p.ids, "z": [f"type {v}" for v in y]}).to_csv(p.public / "extra.csv", index=False)
    (found,) = blockers(p)
    assert found.where == "extra.csv"


def test_an_archive_in_an_archive_is_read(plant: Plant) -> None:
    p = plant()
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        member = tarfile.TarInfo("deep/labels.csv")
        content = as_csv(p, p.y)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    with zipfile.ZipFile(p.public / "all.zip", "w") as archive:
        archive.writestr("raw.tgz", inner.getvalue())
    (found,) = blockers(p)
    assert found.where == "all.zip > raw.tgz > raw.tar > deep/labels.csv"


def test_one_small_file_for_each_row_is_read_as_a_table(plant: Plant) -> None:
    p = plant()
    for i, v in zip(p.ids, p.y.tolist(), strict=True):
        (p.public / "test").mkdir(exist_ok=True)
        (p.public / f"test/{i}.json").write_text(json.dumps({"size": [512, 512], "info": {"note": v}}))
    (found,) = blockers(p)
    assert "info.note" in found.evidence


def test_labels_as_raw_bytes_or_in_a_pickle_are_found_without_unpickling(
    plant: Plant, tmp_path: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return (os.mkdir, (str(tmp_path / "opened"),))

    for raw in (
        pickle.dumps([Bomb(), plant("diabetes").y.astype(np.int64)]),
        b"head" + struct.pack(f">{len(plant('diabetes').y)}f", *plant("diabetes").y) + b"tail",
    ):
        p = plant("diabetes")
        (p.public / "model.bin").write_bytes(raw)
        (found,) = blockers(p)
        assert "consecutive labels" in found.evidence
    assert not (tmp_path / "opened").exists()


def test_ordinary_side_files_give_no_finding(plant: Plant) -> None:
    p = plant()
    table = pd.concat([p.train, p.test])
    # Features of all rows in a table of their own, a copy of test, train's labels once more, arrays for
    # both sides.
    table.drop(columns="target").sample(frac=1, random_state=3).to_csv(
        p.public / "measurements.csv", index=False
    )
    p.test.drop(columns="target").to_parquet(p.public / "test.parquet")
    p.train[["id", "target"]].to_csv(p.public / "train_labels.csv", index=False)
    for side, frame in (("train", p.train), ("test", p.test)):
        np.save(p.public / f"X_{side}.npy", np.sqrt(frame.drop(columns=["id", "target"]).to_numpy()))
    (p.public / "readme.md").write_text("Rows 0 1 0 1 0 0 1")
    pd.DataFrame({"row": range(len(p.test))}).to_csv(p.public / "index.csv")
    assert file_findings(p) == []


def test_a_column_that_only_test_rows_have_warns_or_blocks_by_its_strength(plant: Plant) -> None:
    p = plant()
    noise = np.random.default_rng(5).normal(size=len(p.y))
    pd.DataFrame({"id": p.ids, "hint": p.y + 1.2 * noise}).to_csv(p.public / "weak.csv", index=False)
    assert [(f.severity, f.where) for f in file_findings(p)] == [("warn", "weak.csv")]
    pd.DataFrame({"id": p.ids, "hint": p.y + 0.5 * noise}).to_csv(p.public / "strong.csv", index=False)
    assert ("block", "strong.csv") in [(f.severity, f.where) for f in file_findings(p)]


def test_hidden_files_that_are_not_published_give_an_info(plant: Plant) -> None:
    p = plant()
    (p.public / ".git").mkdir()
    (p.public / ".git/answers.csv").write_bytes(as_csv(p, p.y))
    (found,) = file_findings(p)
    assert (found.severity, found.where) == ("info", ".git")
    with zipfile.ZipFile(p.public / "repo.zip", "w") as archive:
        body = as_csv(p, p.y)
        archive.writestr(".git/objects/ab/cdef", zlib.compress(b"blob %d\0" % len(body) + body))
    assert [f.where for f in blockers(p)] == ["repo.zip > .git/objects/ab/cdef > blob"]


@pytest.mark.parametrize("name", ["breast", "diabetes"])
def test_the_original_data_without_ids_blocks(plant: Plant, name: str) -> None:
    p = plant(name)
    original = pd.concat([p.train, p.test]).drop(columns="id").sample(frac=1.0, random_state=0)
    original.to_csv(p.public / "original.csv", index=False)
    (found,) = blockers(p)
    assert "shares with the test table" in found.evidence


def test_a_second_table_of_features_gives_no_finding(plant: Plant) -> None:
    p = plant("breast")
    both = pd.concat([p.train, p.test]).drop(columns=["id", "target"]).sample(frac=1.0, random_state=0)
    both.assign(more=np.random.default_rng(0).normal(size=len(both))).to_csv(
        p.public / "more.csv", index=False
    )
    assert [found for found in file_findings(p) if found.severity != "info"] == []

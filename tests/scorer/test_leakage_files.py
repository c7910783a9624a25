"""Labels in side files and archives, telling names and dates of files, tests too small to mean anything."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

import scorer
from scorer.leakage.check import CHECKS, Found
from scorer.leakage.checks.file_metadata import file_metadata
from scorer.leakage.checks.files import labels_in_public_file
from scorer.leakage.checks.power import metric_degenerate, oracle_budget_check, test_too_small
from scorer.leakage.files.images import pixels_of
from scorer.leakage.files.things import Blob, Entry, Limits, Table, Unread
from scorer.leakage.files.walk import walk
from scorer.leakage.material import Material, NotChecked, gather

test_too_small.__test__ = False  # type: ignore[attr-defined]  # a check, whatever pytest thinks of its name


class Planted:
    """A challenge folder with a sound split of a real table, to which leaks are added."""

    def __init__(
        self, folder: Path, table: pd.DataFrame, *, metric: str, seed: int = 0, extra: str = ""
    ) -> None:
        self.folder, self.public = folder, folder / "public"
        rng = np.random.default_rng(seed)
        table = table.sample(frac=1, random_state=seed).reset_index(drop=True)
        table.insert(0, "id", [f"r{number:05d}" for number in rng.permutation(len(table))])
        cut = int(0.6 * len(table))
        self.train, self.test = table[:cut].reset_index(drop=True), table[cut:].reset_index(drop=True)
        self.usage = np.where(rng.random(len(self.test)) < 0.3, "Public", "Private")
        self.usage[:2] = ["Public", "Private"]
        (folder / "private").mkdir(parents=True)
        self.public.mkdir()
        (folder / "challenge.yaml").write_text(
            f"format: 1\ntitle: Planted\nmetric: {metric}\nsubmission: {{id: id, columns: [target]}}\n{extra}"
        )
        self.train.to_csv(self.public / "train.csv", index=False)
        self.test.drop(columns="target").to_csv(self.public / "test.csv", index=False)
        constant = table["target"].iloc[0] if metric == "accuracy" else table["target"].mean()
        self.test[["id"]].assign(target=constant).to_csv(self.public / "sample_submission.csv", index=False)
        # The solution's own order is nobody's business.
        order = rng.permutation(len(self.test))
        self.test[["id", "target"]].assign(Usage=self.usage).iloc[order].to_csv(
            folder / "private/solution.csv", index=False
        )

    @property
    def y(self) -> NDArray[np.float64]:
        return self.test["target"].to_numpy()

    @property
    def ids(self) -> list[str]:
        return self.test["id"].tolist()

    def material(self) -> Material:
        return gather(scorer.load(self.folder))


Plant = Callable[..., Planted]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    count = iter(range(1000))

    def plant(name: str = "breast", **more: str) -> Planted:
        return Planted(tmp_path / f"{name}{next(count)}", *data(name), **more)

    def data(name: str) -> tuple[pd.DataFrame]:
        load = {
            "breast": load_breast_cancer,
            "wine": load_wine,
            "diabetes": load_diabetes,
            "digits": load_digits,
        }
        bunch = load[name](as_frame=True)
        return (bunch.data.iloc[:, :12].assign(target=bunch.target.astype(int)),)

    def with_metric(name: str = "breast", **more: str) -> Planted:
        metric = {"breast": "log_loss", "wine": "accuracy", "diabetes": "rmse", "digits": "accuracy"}[name]
        return plant(name, **{"metric": metric, **more})

    return with_metric


def look(planted: Planted) -> list[Found]:
    return list(labels_in_public_file(planted.material()))


def blockers(planted: Planted) -> list[Found]:
    return [found for found in look(planted) if found.severity == "block"]


# --- labels in files ------------------------------------------------------------------------------


def as_csv(p: Planted, y: NDArray[np.float64]) -> bytes:
    return pd.DataFrame({"id": p.ids, "z": y}).sample(frac=1, random_state=1).to_csv(index=False).encode()


def as_plain_lines(p: Planted, y: NDArray[np.float64]) -> bytes:
    return "\n".join(map(str, y)).encode()


def as_npy(p: Planted, y: NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, y)
    return stream.getvalue()


def as_npz(p: Planted, y: NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, X=np.zeros((len(y), 3)), answers=y)
    return stream.getvalue()


def as_mat(p: Planted, y: NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"set": {"frames": np.ones((len(y), 4)), "gesture": y}}, do_compression=True)
    return stream.getvalue()


def as_parquet(p: Planted, y: NDArray[np.float64]) -> bytes:
    return pd.DataFrame({"key": p.ids, "a": y}).sample(frac=1, random_state=1).to_parquet(index=False)


def as_json_mapping(p: Planted, y: NDArray[np.float64]) -> bytes:
    return json.dumps(
        {"notes": dict(random.Random(1).sample(list(zip(p.ids, y.tolist(), strict=True)), len(y)))}
    ).encode()


def as_jsonl(p: Planted, y: NDArray[np.float64]) -> bytes:
    return "\n".join(
        json.dumps({"image": f"{i}.png", "meta": {"v": v}}) for i, v in zip(p.ids, y.tolist(), strict=True)
    ).encode()


def as_sqlite(p: Planted, y: NDArray[np.float64]) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute('CREATE TABLE "odd "" name" (k TEXT, v REAL)')
    connection.executemany(
        'INSERT INTO "odd "" name" VALUES (?, ?)', list(zip(p.ids, y.tolist(), strict=True))
    )
    found = connection.serialize()
    connection.close()
    return found


def as_reversed_tsv(p: Planted, y: NDArray[np.float64]) -> bytes:
    return pd.DataFrame({"a": range(len(y)), "b": y[::-1]}).to_csv(index=False, sep="\t").encode()


def as_sentences(p: Planted, y: NDArray[np.float64]) -> bytes:
    return "".join(f"$GPGGA,{1000 + i},N,{v},E\n$GPRMC,{i},A\n" for i, v in enumerate(y.tolist())).encode()


def as_notebook(p: Planted, y: NDArray[np.float64]) -> bytes:
    shown = "\n".join(f"{n}  {i}  {v}" for n, (i, v) in enumerate(zip(p.ids, y.tolist(), strict=True)))
    return json.dumps(
        {"cells": [{"cell_type": "code", "outputs": [{"text": shown.splitlines(keepends=True)}]}]}
    ).encode()


def as_feather(p: Planted, y: NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    pd.DataFrame({"key": p.ids, "a": y}).sample(frac=1, random_state=1).reset_index(drop=True).to_feather(
        stream, compression="uncompressed"
    )
    return stream.getvalue()


def as_workbook(p: Planted, y: NDArray[np.float64]) -> bytes:
    """Write the two members that hold a workbook's cells."""
    rows = [("key", "grade"), *zip(p.ids, y.tolist(), strict=True)]
    texts = [text for row in rows for text in row if isinstance(text, str)]
    cells = ""
    for number, row in enumerate(rows, start=1):
        cells += f'<row r="{number}">'
        for letter, value in zip("AB", row, strict=True):
            at = f'r="{letter}{number}"'
            is_text = isinstance(value, str)
            cells += (
                f'<c {at} t="s"><v>{texts.index(value)}</v></c>' if is_text else f"<c {at}><v>{value}</v></c>"
            )
        cells += "</row>"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as book:
        book.writestr("xl/sharedStrings.xml", "".join(f"<si><t>{text}</t></si>" for text in texts))
        book.writestr("xl/worksheets/sheet1.xml", f"<sheetData>{cells}</sheetData>")
    return stream.getvalue()


WRITERS = {
    "cache.feather": as_feather,
    "grades.xlsx": as_workbook,
    "log.gz": lambda p, y: gzip.compress(as_plain_lines(p, y)),
    "log.bz2": lambda p, y: bz2.compress(as_plain_lines(p, y)),
    "log.xz": lambda p, y: lzma.compress(as_plain_lines(p, y)),
    "answers.csv": as_csv,
    "log.txt": as_plain_lines,
    "y.npy": as_npy,
    "arrays.npz": as_npz,
    "data.mat": as_mat,
    "meta.parquet": as_parquet,
    "meta.json": as_json_mapping,
    "meta.jsonl": as_jsonl,
    "cache.sqlite": as_sqlite,
    "back.tsv": as_reversed_tsv,
    "span_log.nmea": as_sentences,
    "explore.ipynb": as_notebook,
}


@pytest.mark.parametrize("file", WRITERS)
@pytest.mark.parametrize("name", ["breast", "diabetes"])
def test_labels_in_a_side_file_block_whatever_its_form(plant: Plant, name: str, file: str) -> None:
    p = plant(name)
    (p.public / file).write_bytes(WRITERS[file](p, p.y))
    (found,) = blockers(p)
    assert file in found.where
    assert found.effect is not None
    assert found.effect > 0.95


@pytest.mark.parametrize("name", ["digits", "wine"])
def test_classes_are_found_under_any_coding_and_with_some_labels_wrong(plant: Plant, name: str) -> None:
    p = plant(name)
    coding = np.random.default_rng(0).permutation(10)
    y = coding[p.y]
    wrong = np.random.default_rng(1).random(len(y)) < 0.03
    y[wrong] = np.random.default_rng(2).permutation(y[wrong])
    pd.DataFrame({"image": p.ids, "z": [f"type {v}" for v in y]}).to_csv(p.public / "extra.csv", index=False)
    (found,) = blockers(p)
    assert found.where == "extra.csv"


def test_an_archive_in_an_archive_is_looked_into(plant: Plant) -> None:
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


def test_labels_as_raw_bytes_and_in_a_pickle_are_found_without_opening_it(
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


def test_ordinary_side_files_are_left_alone(plant: Plant) -> None:
    p = plant()
    table = pd.concat([p.train, p.test])
    # Features of all rows in a table of their own, a copy of test, train's labels once more, arrays for both sides.
    table.drop(columns="target").sample(frac=1, random_state=3).to_csv(
        p.public / "measurements.csv", index=False
    )
    p.test.drop(columns="target").to_parquet(p.public / "test.parquet")
    p.train[["id", "target"]].to_csv(p.public / "train_labels.csv", index=False)
    for side, frame in (("train", p.train), ("test", p.test)):
        np.save(p.public / f"X_{side}.npy", np.sqrt(frame.drop(columns=["id", "target"]).to_numpy()))
    (p.public / "readme.md").write_text("Rows 0 1 0 1 0 0 1")
    pd.DataFrame({"row": range(len(p.test))}).to_csv(p.public / "index.csv")
    assert look(p) == []


def test_a_column_that_only_test_rows_have_warns_or_blocks_by_its_strength(plant: Plant) -> None:
    p = plant()
    noise = np.random.default_rng(5).normal(size=len(p.y))
    pd.DataFrame({"id": p.ids, "hint": p.y + 1.2 * noise}).to_csv(p.public / "weak.csv", index=False)
    assert [(f.severity, f.where) for f in look(p)] == [("warn", "weak.csv")]
    pd.DataFrame({"id": p.ids, "hint": p.y + 0.5 * noise}).to_csv(p.public / "strong.csv", index=False)
    assert ("block", "strong.csv") in [(f.severity, f.where) for f in look(p)]


def test_what_is_hidden_but_not_published_is_only_mentioned(plant: Plant) -> None:
    p = plant()
    (p.public / ".git").mkdir()
    (p.public / ".git/answers.csv").write_bytes(as_csv(p, p.y))
    (found,) = look(p)
    assert (found.severity, found.where) == ("info", ".git")
    with zipfile.ZipFile(p.public / "repo.zip", "w") as archive:
        body = as_csv(p, p.y)
        archive.writestr(".git/objects/ab/cdef", zlib.compress(b"blob %d\0" % len(body) + body))
    assert [f.where for f in blockers(p)] == ["repo.zip > .git/objects/ab/cdef > blob"]


# --- walking --------------------------------------------------------------------------------------


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


def test_bombs_stop_at_their_limits(tmp_path: Path) -> None:
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


def test_a_broken_file_of_any_kind_is_a_reason_and_no_crash(plant: Plant) -> None:
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
    found = look(p)
    assert all(f.severity in ("info", "block", "warn") for f in found)
    assert any("HDF5" in f.evidence and f.severity == "info" for f in found)


# --- names, dates and sizes -----------------------------------------------------------------------


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


# --- power ----------------------------------------------------------------------------------------


def test_a_test_of_twenty_rows_warns_and_one_of_hundreds_does_not(plant: Plant) -> None:
    small = plant("wine")
    solution = pd.read_csv(small.folder / "private/solution.csv")
    solution["Usage"] = ["Private"] * 12 + ["Public"] * (len(solution) - 12)
    solution.to_csv(small.folder / "private/solution.csv", index=False)
    (found,) = test_too_small(small.material())
    assert (found.severity, "12 private rows" in found.evidence) == ("warn", True)
    assert [f.severity for f in test_too_small(plant("digits").material())] == []
    assert [f.severity for f in test_too_small(plant("breast").material())] == ["info"]


def test_a_constant_that_scores_best_blocks(plant: Plant) -> None:
    p = plant("wine")
    solution = pd.read_csv(p.folder / "private/solution.csv")
    solution["Usage"] = np.where(solution["target"] == 1, "Public", "Private")
    solution.to_csv(p.folder / "private/solution.csv", index=False)
    (found,) = metric_degenerate(p.material())
    assert (found.severity, found.where) == ("block", "public")
    for name in ("breast", "wine", "diabetes", "digits"):
        assert list(metric_degenerate(plant(name).material())) == []


def test_the_oracle_budget_warns_only_within_the_competitions_own_limits(plant: Plant) -> None:
    ends = "competition: {daily_limit: 5, duration_days: 30, public_score: exact}\n"
    assert [f.severity for f in oracle_budget_check(plant("breast", extra=ends).material())] == ["warn"]
    assert [f.severity for f in oracle_budget_check(plant("breast").material())] == ["info"]
    few = "competition: {daily_limit: 1, duration_days: 1, total_limit: 1}\n"
    assert list(oracle_budget_check(plant("digits", extra=few).material())) == []


def test_an_own_metric_is_not_checked_and_says_so(plant: Plant) -> None:
    p = plant(extra="")
    text = (p.folder / "challenge.yaml").read_text()
    (p.folder / "challenge.yaml").write_text(
        text.replace("metric: log_loss", "metric: {file: metric.py, greater_is_better: true}")
    )
    (p.folder / "private/metric.py").write_text(
        "def score(solution, submission, row_id_column_name):\n    return 1.0\n"
    )
    with pytest.raises(NotChecked, match="own function"):
        list(metric_degenerate(p.material()))


def test_every_title_may_be_read_by_participants() -> None:
    for code in (
        "labels_in_public_file",
        "file_metadata",
        "test_too_small",
        "oracle_budget",
        "metric_degenerate",
    ):
        assert 20 < len(CHECKS[code][0].title) < 160


@pytest.mark.parametrize("name", ["breast", "diabetes"])
def test_the_original_data_without_ids_block(plant: Plant, name: str) -> None:
    p = plant(name)
    original = pd.concat([p.train, p.test]).drop(columns="id").sample(frac=1.0, random_state=0)
    original.to_csv(p.public / "original.csv", index=False)
    (found,) = blockers(p)
    assert "shares with the test table" in found.evidence


def test_a_second_table_of_features_is_no_leak(plant: Plant) -> None:
    p = plant("breast")
    both = pd.concat([p.train, p.test]).drop(columns=["id", "target"]).sample(frac=1.0, random_state=0)
    both.assign(more=np.random.default_rng(0).normal(size=len(both))).to_csv(
        p.public / "more.csv", index=False
    )
    assert [found for found in look(p) if found.severity != "info"] == []

"""A challenge folder with a sound split, to which files with labels are added."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
from numpy.typing import NDArray

import scorer
from scorer.leakage.check import Found
from scorer.leakage.checks.files import labels_in_public_file
from scorer.leakage.material import Material, gather


class Planted:
    """A challenge folder of a real table, to add leaks to."""

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
        # The solution's order is independent of the test table's.
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


def file_findings(planted: Planted) -> list[Found]:
    return list(labels_in_public_file(planted.material()))


def blockers(planted: Planted) -> list[Found]:
    return [found for found in file_findings(planted) if found.severity == "block"]


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

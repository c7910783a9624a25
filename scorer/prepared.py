"""A prepared solution on disk: plain arrays that every job maps instead of reading the CSV again.

Small whole numbers are kept as bytes, so that the truth of ten million rows of a classification
takes ten megabytes of shared memory and not eighty of each job's own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.feather
from numpy.typing import NDArray

from scorer.columns import Column, Labels, Lists, Vocabulary
from scorer.ids import IdIndex
from scorer.solution import Given, Solution
from scorer.task import Task

FORMAT = 1
"""Rises whenever the files below change; older folders are then made anew."""

_SMALL = (np.uint8, np.int8, np.int16, np.int32)


def save(solution: Solution, folder: Path, *, key: str) -> None:
    """Write a solution to `folder`, all at once: another process sees the whole of it or nothing.

    `key` names what it was made from; `open_` refuses the folder for any other.
    """
    draft = folder.with_name(f".{folder.name}-{uuid4().hex}")
    draft.mkdir(parents=True)
    files = _Files(draft)
    solution.ids.save(draft / "ids")
    files.array("usage", solution.usage)
    given = [[files.given(part) for part in parts] for parts in solution.given]
    meta = {
        "format": FORMAT,
        "key": key,
        "id_columns": solution.id_columns,
        "vocabulary": solution.vocabulary.names,
        "given": given,
        "numeric": sorted(solution.task.numeric),
        "frame": {name: files.column(column) for name, column in solution.frame.items()},
    }
    (draft / "solution.json").write_text(json.dumps(meta), encoding="utf-8")
    try:
        draft.replace(folder)
    except OSError:  # another process was faster, or an older format is in the way
        if _readable(folder, key):
            shutil.rmtree(draft)
        else:
            shutil.rmtree(folder)
            draft.replace(folder)


def open_(folder: Path, tasks: Sequence[Task], *, key: str) -> Solution | None:
    """The solution saved under that key, memory-mapped; None if there is none."""
    meta = _readable(folder, key)
    if meta is None:
        return None
    files = _Files(folder)
    return Solution(
        tuple(meta["id_columns"]),
        IdIndex.open(folder / "ids"),
        files.load("usage"),
        tuple(replace(task, numeric=frozenset(meta["numeric"])) if task.custom else task for task in tasks),
        tuple(tuple(files.load_given(part) for part in parts) for parts in meta["given"]),
        Vocabulary(meta["vocabulary"]),
        {name: files.load_column(entry) for name, entry in meta["frame"].items()},
    )


def _readable(folder: Path, key: str) -> dict[str, Any] | None:
    try:
        meta = json.loads((folder / "solution.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return meta if meta.get("format") == FORMAT and meta.get("key") == key else None


class _Files:
    """Columns as numbered files; a column that several parts share is written once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[int, dict[str, str]] = {}

    def given(self, given: Given) -> dict[str, Any]:
        return {
            "truth": [self.column(column) for column in given.truth],
            "sides": {
                role: None if side is None else self.column(side) for role, side in given.sides.items()
            },
            "weights": None if given.weights is None else self.column(given.weights),
            "groups": None if given.groups is None else self.column(given.groups),
            "class_codes": given.class_codes.tolist(),
        }

    def load_given(self, entry: dict[str, Any]) -> Given:
        weights, groups = (
            None if entry[k] is None else self.load_column(entry[k]) for k in ("weights", "groups")
        )
        return Given(
            tuple(self.load_column(column) for column in entry["truth"]),
            {role: None if side is None else self.load_column(side) for role, side in entry["sides"].items()},
            weights,
            groups,
            np.array(entry["class_codes"], dtype=np.int32),
        )

    def column(self, column: Column) -> dict[str, str]:
        if id(column) not in self._written:
            self._written[id(column)] = self._write(column, f"column{len(self._written)}")
        return self._written[id(column)]

    def _write(self, column: Column, name: str) -> dict[str, str]:
        if isinstance(column, Labels):
            self.array(name, _compact(column.codes))
            return {"kind": "labels", "name": name}
        if isinstance(column, Lists):
            self.array(name, column.codes)
            self.array(f"{name}-offsets", column.offsets)
            return {"kind": "lists", "name": name}
        if column.dtype == np.object_:
            texts = pa.table({"text": pa.array(column.tolist(), type=pa.large_string())})
            pyarrow.feather.write_feather(texts, self._folder / f"{name}.arrow", compression="uncompressed")
            return {"kind": "texts", "name": name}
        self.array(name, _compact(column))
        return {"kind": "numbers", "name": name}

    def load_column(self, entry: dict[str, str]) -> Any:
        kind, name = entry["kind"], entry["name"]
        if kind == "labels":
            return Labels(self.load(name))
        if kind == "lists":
            return Lists(self.load(name), self.load(f"{name}-offsets"))
        if kind == "texts":
            table = pyarrow.feather.read_table(self._folder / f"{name}.arrow", memory_map=True)
            return np.array(table["text"].to_pylist(), dtype=np.object_)
        return self.load(name)

    def array(self, name: str, values: NDArray[Any]) -> None:
        np.save(self._folder / f"{name}.npy", values, allow_pickle=False)

    def load(self, name: str) -> NDArray[Any]:
        mapped = np.load(self._folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return np.asarray(mapped)


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """The same whole numbers in fewer bytes; nan, which only ignored rows hold, as 0."""
    whole = np.nan_to_num(values, nan=0.0) if values.dtype == np.float64 else values
    if not len(whole) or (whole.dtype == np.float64 and bool((np.floor(whole) != whole).any())):
        return values
    low, high = whole.min(), whole.max()
    for small in _SMALL:
        limits = np.iinfo(small)
        if limits.min <= low and high <= limits.max:
            return whole.astype(small)
    return values

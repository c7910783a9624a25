"""Prepared solutions on disk, as arrays that every job maps.

A job need not read the CSV again. Small whole numbers are kept as bytes: the truth of ten million rows of a
classification takes 10 MB of shared memory instead of 80 MB in each job.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.feather
from numpy.typing import NDArray

from scorer.challenges.solution import Given, Solution
from scorer.challenges.task import Task
from scorer.reading.columns import Column, Labels, Lists, Vocabulary
from scorer.reading.ids import IdIndex
from scorer.reading.spelling import Spelling

FORMAT = 9
"""Rises when the layout or the meaning of what is below changes; folders of an older format are not read."""

_SMALL = (np.uint8, np.int8, np.int16, np.int32)

_ABANDONED_SECONDS = 3600.0

_DAMAGED = (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, pa.ArrowException)
"""Raised when a folder is read that was half written at a power failure."""


def save(solution: Solution, folder: Path) -> None:
    """Write a solution to `folder` atomically.

    The folder's name must identify what the solution was made from. A readable folder is left as it is.
    """
    _remove_abandoned(folder)
    draft = folder.with_name(f".{folder.name}-{uuid4().hex}")
    draft.mkdir(parents=True)
    try:
        _write(solution, draft)
        for path in (*draft.rglob("*"), draft):
            _flush(path)
        try:
            draft.rename(folder)
        except OSError:  # another process was faster, or what is there is damaged
            if open_(folder, solution.tasks) is None:
                folder.rename(draft.with_name(f"{draft.name}-damaged"))
                draft.rename(folder)
        _flush(folder.parent)
    finally:
        for rest in folder.parent.glob(f"{draft.name}*"):
            shutil.rmtree(rest, ignore_errors=True)


def open_(folder: Path, tasks: Sequence[Task]) -> Solution | None:
    """Return the saved solution, memory-mapped; None if it is unreadable."""
    try:
        meta = json.loads((folder / "solution.json").read_text(encoding="utf-8"))
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*.*")}
        if meta["format"] != FORMAT or {**meta["sizes"], "solution.json": sizes["solution.json"]} != sizes:
            return None
        files = _Files(folder)
        return Solution(
            tuple(meta["id_columns"]),
            IdIndex.open(folder / "ids"),
            files.load("usage"),
            tuple(
                replace(
                    task,
                    numeric=frozenset(meta["numeric"]),
                    flags=frozenset(meta["flags"]),
                    codes=frozenset(meta["codes"]),
                )
                if task.custom
                else task
                for task in tasks
            ),
            tuple(tuple(files.load_given(part) for part in parts) for parts in meta["given"]),
            Vocabulary(meta["vocabulary"]),
            {name: files.load_column(entry) for name, entry in meta["frame"].items()},
            spellings={name: Spelling.from_dict(entry) for name, entry in meta["spellings"].items()},
        )
    except _DAMAGED:
        return None


def _write(solution: Solution, folder: Path) -> None:
    files = _Files(folder)
    solution.ids.save(folder / "ids")
    files.array("usage", solution.usage)
    meta = {
        "format": FORMAT,
        "id_columns": solution.id_columns,
        "vocabulary": solution.vocabulary.names,
        "given": [[files.given(part) for part in parts] for parts in solution.given],
        "numeric": sorted(solution.task.numeric),
        "flags": sorted(solution.task.flags),
        "codes": sorted(solution.task.codes),
        "frame": {name: files.column(column) for name, column in solution.frame.items()},
        "spellings": {name: spelling.as_dict() for name, spelling in solution.spellings.items()},
    }
    meta["sizes"] = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*.*")}
    (folder / "solution.json").write_text(json.dumps(meta), encoding="utf-8")


def _flush(path: Path) -> None:
    """Flush a file to the disk.

    A rename must not outlive the renamed data.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_abandoned(folder: Path) -> None:
    """Delete temporary files of killed processes: they contain labels."""
    for draft in folder.parent.glob(".*-*"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(draft)


class _Files:
    """Columns as numbered files; shared columns are written once."""

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
            if column.grades is None:
                return {"kind": "lists", "name": name}
            self.array(f"{name}-grades", column.grades)
            return {"kind": "graded lists", "name": name}
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
        if kind == "graded lists":
            return Lists(
                self.load(name), self.load(f"{name}-offsets"), self.load(f"{name}-grades").astype(np.float64)
            )
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
    """Return whole numbers in the smallest integer type.

    Values are unchanged if one is fractional or missing.
    """
    whole = values.dtype != np.float64 or not bool((np.floor(values) != values).any())
    if not len(values) or not whole or not np.isfinite(values).all():
        return values
    low, high = values.min(), values.max()
    for small in _SMALL:
        limits = np.iinfo(small)
        if limits.min <= low and high <= limits.max:
            return values.astype(small)
    return values

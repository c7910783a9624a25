"""The hidden labels and the orders their rows may have in a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from scorer.challenges.solution import PRIVATE, PUBLIC
from scorer.leakage.files.things import MEDIA, Column, Table
from scorer.leakage.frame import Rows
from scorer.leakage.material import Material
from scorer.leakage.statistics import standardised
from scorer.leakage.target import Target
from scorer.wording import ID_JOINT

_LOOKED_UP = 300_000
"""Rows of a table without ids that are recognised by their values."""
_KEYS = 64
"""Columns that make such a row's key."""
COVERED = 0.1
"""Share of the scored rows that a file must hold; the public side may be as small."""


@dataclass(frozen=True, eq=False)
class Hidden:
    """The hidden targets, and the orders their rows may have."""

    material: Material

    @classmethod
    def of(cls, material: Material) -> Hidden | None:
        return cls(material) if material.hidden_targets else None

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.material.hidden_targets

    @cached_property
    def orders(self) -> dict[str, Rows]:
        """Return the solution's rows by order; -1 for train's rows."""
        solution, listed = self.material.challenge.solution, self.material.listed
        bases: dict[str, Rows] = {}
        if listed is not None and len(listed.ids) == len(solution.id_columns):
            texts = [column.to_pylist() for column in listed.ids]
            found = [self.row_of(ID_JOINT.join(key)) for key in zip(*texts, strict=True)]
            name = PurePosixPath(listed.file).name
            bases[f"in the order of {name}"] = _rows(found)
        bases["in the order of the solution"] = np.arange(self.n, dtype=np.int64)
        ids = list(solution.ids)
        bases["sorted by id"] = np.array(
            sorted(range(self.n), key=lambda row: natural_order(ids[row])), dtype=np.int64
        )
        bases["sorted by id as text"] = np.array(sorted(range(self.n), key=ids.__getitem__), dtype=np.int64)
        bases = _distinct(bases)
        more: dict[str, Rows] = {}
        for name, rows in bases.items():
            more[f"{name}, reversed"] = rows[::-1]
            usage = np.where(rows >= 0, solution.usage[np.maximum(rows, 0)], 0)
            more[f"public rows {name}"] = rows[usage == PUBLIC]
            more[f"private rows {name}"] = rows[usage == PRIVATE]
            more[f"scored rows {name}"] = rows[usage > 0]
        if self.n_train:
            gap = np.full(self.n_train, -1, dtype=np.int64)
            for name, rows in bases.items():
                more[f"after train's rows, {name}"] = np.concatenate([gap, rows])
                more[f"before train's rows, {name}"] = np.concatenate([rows, gap])
        return _distinct({**bases, **more})

    @cached_property
    def train_rows(self) -> dict[str, int]:
        """Rows of train by id."""
        train = self.material.train
        if train is None or not train.ids:
            return {}
        keys = zip(*(column.to_pylist() for column in train.ids), strict=True)
        return {ID_JOINT.join(key): row for row, key in enumerate(keys)}

    @property
    def n(self) -> int:
        return len(self.targets[0])

    @property
    def n_train(self) -> int:
        return 0 if self.material.train is None else len(self.material.train)

    @cached_property
    def standard(self) -> NDArray[np.float32]:
        """Return targets of mean 0 and variance 1.

        Ranks of numbers and each class's rows; a last row of zeros, for row -1.
        """
        found: list[NDArray[np.float32]] = []
        for target in self.targets:
            known = target.known
            if target.kind == "number" and known.any():
                ranks = np.zeros(len(target))
                ranks[known] = stats.rankdata(target.values[known])
                found += standardised(ranks, known)
            elif known.any():
                for _, of_class in list(target.hot)[:50]:
                    found += standardised(of_class.astype(np.float64), known)
        if not found:
            found = [np.zeros(self.n, dtype=np.float32)]
        return np.vstack([np.column_stack(found), np.zeros((1, len(found)), dtype=np.float32)])

    def may_fit(self, n_rows: int) -> bool:
        """Return whether a table is long enough to hold labels."""
        return n_rows >= max(8, COVERED * int(self.targets[0].known.sum()))

    @cached_property
    def row_of(self) -> Callable[[str], int | None]:
        """The solution's row of an id."""
        return self.material.challenge.solution.ids.finder()

    def row_of_path(self, path: PurePosixPath) -> int | None:
        """Return the test row of a file's name or folder."""
        for text in names_in(path):
            row = self.row_of(text)
            if row is not None:
                return row
        return None

    def rows_by_id(self, table: Table) -> list[tuple[str, Rows]]:
        """Return the solution's rows, for each column of ids.

        Or for the id columns together; -1 where there is none.
        """
        solution = self.material.challenge.solution
        if len(solution.id_columns) > 1:
            by_name = {column.name: column for column in table.columns}
            if not all(name in by_name for name in solution.id_columns):
                return []
            keys = zip(*(by_name[name].texts for name in solution.id_columns), strict=True)
            rows = [self.row_of(ID_JOINT.join(key)) for key in keys]
            found = _rows(rows)
            return [("+".join(solution.id_columns), found)] if self._covers(found) else []
        holding = []
        for column in table.columns[:200]:
            if not self._may_hold_ids(column):
                continue
            rows = [self.row_of(file_stem(text)) for text in column.texts]
            found = _rows(rows)
            if self._covers(found):
                holding.append((column.name, found))
        holding.sort(key=lambda one: -len(np.unique(one[1])))
        return holding[:2]

    def rows_by_features(self, table: Table) -> tuple[set[str], Rows, Rows | None] | None:
        """Return the rows of a table recognised by test's columns.

        For a table without ids that has at least half of the test table's columns: their names, the
        solution's row with the same values for each row, and train's. None if it does not find the scored
        rows.
        """
        test = self.material.test
        if test is None or not test.targets or table.n_rows > _LOOKED_UP:
            return None
        by_name = {column.name: column for column in table.columns}
        names = [name for name in test.frame.names if name in by_name][:_KEYS]
        if len(names) < max(2, 0.5 * min(len(test.frame.names), _KEYS)):
            return None
        keys = _row_keys([by_name[name].texts for name in names])
        places = self._places_of_test
        found = _only_once(_row_keys([test.frame.texts(name).to_pylist() for name in names]))
        rows = np.array([places[found[key]] if key in found else -1 for key in keys], dtype=np.int64)
        if not self._covers(rows):
            return None
        train = self.material.train
        own = None
        if train is not None and all(name in train.frame for name in names):
            known = _only_once(_row_keys([train.frame.texts(name).to_pylist() for name in names]))
            own = np.array([known.get(key, -1) for key in keys], dtype=np.int64)
            own = own if len(np.unique(own[own >= 0])) >= 0.5 * self.n_train else None
        return set(names), rows, own

    @cached_property
    def _places_of_test(self) -> Rows:
        test = self.material.test
        assert test is not None
        keys = zip(*(column.to_pylist() for column in test.ids), strict=True)
        return _rows(self.row_of(ID_JOINT.join(key)) for key in keys)

    def _may_hold_ids(self, column: Column) -> bool:
        """Return quickly whether a column may hold ids.

        Some rows from all over it, and both ends, where a short list may be hidden.
        """
        n = len(column)
        places = np.unique(
            np.concatenate(
                [np.arange(0, n, max(1, n // 300)), np.arange(min(n, 50)), np.arange(max(0, n - 50), n)]
            )
        )
        values = column.values
        some = (
            values.take(pa.array(places))
            if isinstance(values, pa.Array)
            else values[places]
            if isinstance(values, np.ndarray)
            else [values[place] for place in places]
        )
        hits = sum(self.row_of(file_stem(text)) is not None for text in Column("", some).texts)
        return hits >= max(1, min(0.05 * len(places), 8))

    def _covers(self, rows: Rows) -> bool:
        known = self.targets[0].known
        covered = np.zeros(self.n, dtype=np.bool_)
        covered[rows[rows >= 0]] = True
        return int((covered & known).sum()) >= max(8, COVERED * int(known.sum()))


def _row_keys(columns: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return rows by their values, however numbers are written."""
    return list(zip(*([_plain_value(text) for text in column] for column in columns), strict=True))


def _plain_value(text: str) -> str:
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text.strip().casefold()


def _only_once(keys: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Return the place of each key that stands once."""
    places: dict[tuple[str, ...], int] = {}
    several = set()
    for place, key in enumerate(keys):
        if places.setdefault(key, place) != place:
            several.add(key)
    return {key: place for key, place in places.items() if key not in several}


def _rows(found: Iterable[int | None]) -> Rows:
    return np.array([-1 if row is None else row for row in found], dtype=np.int64)


def file_stem(text: str) -> str:
    """Return an id that may be written as a file or float."""
    head, _, tail = text.strip().rpartition(".")
    if head and f".{tail.lower()}" in MEDIA:
        return head.rpartition("/")[2]
    return head if head and tail == "0" else text.strip()


def names_in(path: PurePosixPath) -> list[str]:
    stem = path.name.split(".")[0]
    pieces = [piece for piece in re.split(r"[_\-. ]", stem) if piece]
    folders = list(path.parts[-2::-1])
    return list(
        dict.fromkeys(
            [path.stem, stem, path.name, *pieces[:1], *pieces[-1:], *(f for f in folders if len(f) > 1)]
        )
    )


def natural_order(text: str) -> tuple[Any, ...]:
    return tuple(
        (0, int(piece), "") if piece.isdigit() and piece.isascii() else (1, 0, piece)
        for piece in re.split(r"(\d+)", text)
        if piece
    )


def _distinct(orders: Mapping[str, Rows]) -> dict[str, Rows]:
    found: dict[bytes, tuple[str, Rows]] = {}
    for name, rows in orders.items():
        if len(rows):
            found.setdefault(rows.tobytes(), (name, rows))
    return dict(found.values())

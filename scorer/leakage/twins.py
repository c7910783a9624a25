"""Equal rows of train and test, and how many chance alone makes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scorer.leakage.frame import MISSING, Codes, Mask, Rows
from scorer.leakage.material import Material, NotChecked
from scorer.reading.columns import FloatArray
from scorer.reading.forms import composed_column

Hashes = NDArray[np.uint64]
MODEL_SLACK = 3.0
"""How much more often than modelled rows may be equal by chance."""
_TWINS: WeakKeyDictionary[Material, Twins] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Cells:
    """One column over tables: equal values have equal hashes."""

    hashes: Hashes
    is_key: bool
    """A row number or an arbitrary name: it never repeats and does not describe the row."""


def cells_of(columns: Sequence[pa.Array]) -> Cells:
    """Return a column's cells in all tables, one below another."""
    texts = pc.utf8_trim_whitespace(pa.concat_arrays([pa.array(c, pa.string()) for c in columns]))
    lowered = pc.utf8_lower(texts)
    nothing = np.asarray(
        pc.is_in(lowered, value_set=pa.array(MISSING)).to_numpy(zero_copy_only=False), dtype=np.bool_
    )
    try:
        held = pc.if_else(pa.array(nothing), pa.scalar(None, pa.string()), texts)
        numbers = np.asarray(pc.cast(held, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        hashes = _mixed(np.ascontiguousarray(_rounded(numbers)).view(np.uint64))
        is_key = bool(
            len(numbers) >= 20
            and np.isfinite(numbers).all()
            and (numbers == np.floor(numbers)).all()
            and numbers.max() - numbers.min() < 3 * len(numbers)
            and len(np.unique(numbers)) == len(numbers)
        )
    except pa.ArrowException:
        encoded = composed_column(lowered).dictionary_encode()
        names = np.array(encoded.dictionary.to_pylist(), dtype=np.object_)
        of_names = pd.util.hash_array(names) if len(names) else np.empty(0, np.uint64)
        hashes = of_names[np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)]
        is_key = bool(
            len(names) == len(texts) >= 20
            and not nothing.any()
            and pc.max(pc.utf8_length(texts)).as_py() <= 40
            and not pc.any(pc.match_substring(texts, " ")).as_py()
        )
    hashes = np.where(nothing, np.uint64(0x5EED), hashes)
    return Cells(hashes, is_key)


def _rounded(numbers: FloatArray) -> FloatArray:
    """Return numbers rounded to 6 significant digits.

    Whole numbers stay; the digits are of the value or of the column's spread.
    """
    finite = np.isfinite(numbers)
    values = np.where(finite, numbers, 0.0)
    half = float(values.max() / 2 - values.min() / 2) if len(values) else 0.0  # the whole may be infinite
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        digits = np.floor(np.log10(np.abs(values)))
        digits = np.where(np.isfinite(digits), digits, 0.0)
        if half > 0:
            digits = np.minimum(digits, math.floor(math.log10(half)))
        steps = np.round(values / 10.0 ** np.clip(digits - 5, -300, 300))
    # Steps are whole; multiplied back, the last bit would be arbitrary.
    key = np.where(values == np.floor(values), values, steps * 16 + digits / 1024)
    return np.asarray(np.where(finite, key, np.inf) + 0.0)


def _mixed(words: Hashes) -> Hashes:
    """Return hashes mixed by splitmix64, so that sums do not collide."""
    with np.errstate(over="ignore"):
        z = words + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


@dataclass(frozen=True, eq=False)
class Twins:
    """Every row as one hash, with the chance of equal rows."""

    names: tuple[str, ...]
    """The compared columns."""
    train: Hashes
    test: Hashes
    cells: Hashes
    """Hashes by column of sampled train rows and, below, sampled test rows; shape (rows, columns)."""
    train_rows: Rows
    test_rows: Rows

    @cached_property
    def test_matched(self) -> Mask:
        return np.isin(self.test, self.train)

    @cached_property
    def train_repeated(self) -> Mask:
        return _repeated(self.train)

    @cached_property
    def log_chances(self) -> FloatArray:
        """Return each cell's log chance given the column it depends on.

        As the other rows have it (Chow-Liu tree, without the row and its twins). Shape as `cells`.
        """
        return _log_chances(self.cells)

    @cached_property
    def expected_share(self) -> float:
        """Return the share of test rows that chance repeats in train."""
        return self._meeting(slice(len(self.train_rows), None), len(self.train))

    @cached_property
    def expected_test_share(self) -> float:
        return self._meeting(slice(len(self.train_rows), None), len(self.test) - 1)

    @cached_property
    def expected_train_share(self) -> float:
        return self._meeting(slice(0, len(self.train_rows)), len(self.train) - 1)

    def _meeting(self, rows: slice, others: int) -> float:
        logs = self.log_chances[rows].sum(axis=1)
        return float(-np.expm1(-np.exp(np.minimum(50.0, logs + math.log(max(1, others))))).mean())


def _repeated(hashes: Hashes) -> Mask:
    _, group, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.asarray(counts[group] > 1)


def twins_of(material: Material) -> Twins:
    if material not in _TWINS:
        _TWINS[material] = _find_twins(material)
    return _TWINS[material]


def _find_twins(material: Material) -> Twins:
    train, test = material.train, material.test
    sides = [side for side in (train, test) if side is not None]
    names = material.shared if len(sides) == 2 else sides[0].frame.names
    if not names:
        raise NotChecked(
            "train and test have no column in common"
            if len(sides) == 2
            else "the table has no columns beside ids and targets"
        )
    if min(len(side) for side in sides) < 2:
        raise NotChecked("a table has fewer than two rows")
    rng = np.random.default_rng(material.seed)
    n_train, n_test = (0 if side is None else len(side) for side in (train, test))
    train_rows, test_rows = some_rows(n_train, 30_000, rng), some_rows(n_test, 10_000, rng)
    picked = np.concatenate([train_rows, n_train + test_rows])
    rows = np.zeros(n_train + n_test, dtype=np.uint64)
    kept: list[str] = []
    cells: list[Hashes] = []
    keys: list[tuple[str, Hashes]] = []
    for number, name in enumerate(names):
        column = cells_of([side.frame.texts(name) for side in sides])
        if column.is_key:
            keys.append((name, column.hashes))
            continue
        kept.append(name)
        rows += salted_hashes(column.hashes, number)
        cells.append(column.hashes[picked])
    if not kept:  # a table of keys only
        for number, (name, hashes) in enumerate(keys):
            kept.append(name)
            rows += salted_hashes(hashes, number)
            cells.append(hashes[picked])
    return Twins(tuple(kept), rows[:n_train], rows[n_train:], np.column_stack(cells), train_rows, test_rows)


def salted_hashes(hashes: Hashes, number: int) -> Hashes:
    with np.errstate(over="ignore"):
        return _mixed(hashes ^ _mixed(np.array([number + 1], dtype=np.uint64))[0])


def some_rows(n: int, most: int, rng: np.random.Generator) -> Rows:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _log_chances(cells: Hashes) -> FloatArray:
    n, d = cells.shape
    codes = np.column_stack([np.unique(cells[:, j], return_inverse=True)[1] for j in range(d)])
    _, first, group, counts = np.unique(
        row_hashes(cells), return_index=True, return_inverse=True, return_counts=True
    )
    twins = counts[group].astype(np.float64)  # of each row, itself among them
    alone: list[FloatArray] = []
    for j in range(d):
        each = np.bincount(codes[:, j])
        others = each[codes[:, j]] - twins
        # A unique value: Chao's estimate of how many unseen ones exist, over distinct rows.
        distinct = np.bincount(codes[first, j])
        once, twice = int((distinct == 1).sum()), int((distinct == 2).sum())
        unseen = max(2 * twice, 1) / (n * max(1, once))
        alone.append(np.where(others > 0, others / np.maximum(1.0, n - twins), min(unseen, 1.0)))
    parents = _tree(codes[first[:: max(1, len(first) // 4000)]])
    logs = np.empty((n, d))
    for j, parent in enumerate(parents):
        if parent < 0:
            logs[:, j] = np.log(np.maximum(alone[j], 1e-12))
            continue
        _, joint, sizes = np.unique(
            codes[:, parent].astype(np.int64) * n + codes[:, j], return_inverse=True, return_counts=True
        )
        together = sizes[joint] - twins
        given = np.bincount(codes[:, parent])[codes[:, parent]] - twins
        logs[:, j] = np.log(np.maximum((together + alone[j]) / (given + 1.0), 1e-12))
    return np.minimum(logs, 0.0)


def row_hashes(cells: Hashes) -> Hashes:
    rows = np.zeros(len(cells), dtype=np.uint64)
    for j in range(cells.shape[1]):
        rows += salted_hashes(cells[:, j], j)
    return rows


def _tree(codes: Codes) -> list[int]:
    """Return the column each column depends on most.

    A tree (Chow and Liu 1968); -1 for none. Of wide tables the first 150 columns.
    """
    n, d = codes.shape
    coarse = [_coarse(codes[:, j]) for j in range(min(d, 150))]
    sizes = [int(column.max()) + 1 for column in coarse]
    parents = [-1] * d
    if n < 20 or len(coarse) < 2:
        return parents
    entropies = [_entropy(np.bincount(column)) for column in coarse]
    best, link = np.full(len(coarse), 0.0), np.full(len(coarse), -1)
    waiting = set(range(1, len(coarse)))
    newest: int = 0
    while waiting:
        for j in waiting:
            both = _entropy(np.bincount(coarse[newest] * sizes[j] + coarse[j]))
            shared = entropies[newest] + entropies[j] - both - (sizes[newest] - 1) * (sizes[j] - 1) / (2 * n)
            if shared > best[j]:
                best[j], link[j] = shared, newest
        newest = int(max(waiting, key=lambda j: float(best[j])))
        waiting.remove(newest)
        parents[newest] = int(link[newest])
    return parents


def _coarse(codes: Codes) -> Codes:
    """Return at most 16 values; the rarest share one."""
    _, dense, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if len(counts) <= 16:
        return np.asarray(dense)
    order = np.argsort(-counts, kind="stable")
    names = np.full(len(counts), 15)
    names[order[:15]] = np.arange(15)
    return np.asarray(names[dense])


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())

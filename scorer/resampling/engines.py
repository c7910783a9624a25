"""Compute one file's metric from the counts of units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.solution import Given, Solution, part_truth
from scorer.challenges.task import Part
from scorer.metrics.registry import Finish
from scorer.ranks import average_ranks
from scorer.reading.columns import Column, FloatArray, Labels, Lists, Vocabulary, take
from scorer.resampling.units import BLOCK_ROWS, Aligned, IntArray, Units, refuse_own, why_undefined
from scorer.scoring import part_value, row_terms

_CELLS = 1_000_000


"""Numbers of a matrix of resamples in memory at once; about 100 MB of working memory."""


_MOST_CELLS = 4000


"""With at most so many pairs of labels, pairs are counted instead of rows."""


_MOST_LEFT_OUT = 500


"""At most so many units are left out in turn; with more, values are computed again."""


class _Engine(Protocol):
    """One part of the task over one file."""

    @property
    def terms(self) -> FloatArray:
        """Terms to sum with the weights of units, shape (n_units, m).

        m may be 0.
        """

    def values(self, sums: FloatArray, weights: NDArray[Any]) -> FloatArray:
        """Return (B,) values for (B, m) sums and (B, n_units) weights.

        nan where there is none.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One file's metric as a function of the counts of units."""

    parts: tuple[tuple[float, _Engine], ...]
    """With their coefficients."""

    @property
    def terms(self) -> FloatArray:
        return np.concatenate([engine.terms for _, engine in self.parts], axis=1)

    def values(self, weights: NDArray[Any], sums: FloatArray | None = None) -> FloatArray:
        """Return values of shape (B,) for weights (B, n_units).

        Weights are whole numbers from 0; `sums` is weights @ terms, if known.
        """
        if sums is None:
            sums = weights.astype(np.float64) @ self.terms
        total = np.zeros(len(weights))
        start = 0
        for coefficient, engine in self.parts:
            end = start + engine.terms.shape[1]
            total += coefficient * engine.values(sums[:, start:end], weights)
            start = end
        return total


def prepare(solution: Solution, aligned: Aligned, what: Units, *, first_order: bool = False) -> Prepared:
    """Compute once what every resample of these units needs.

    With `first_order` all that is not a sum over rows is approximated around its value on all of the rows.
    """
    refuse_own(solution)
    engines = []
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        columns = [aligned.columns[name] for name in part.columns]
        file = _File(part, given, columns, solution, aligned.vocabulary, what)
        engines.append((part.coefficient, _engine(file, first_order=first_order)))
    return Prepared(tuple(engines))


def needs_blocks(solution: Solution) -> bool:
    """Whether first-order values need few units.

    Their influences are then found by leaving out one block of rows after another.
    """
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        if part.modifiers.undefined == "skip":
            return True
        countable = part.metric.takes_weights and part.metric.kind == "label" and len(given.class_codes) <= 30
        plain_area = part.metric.name == "roc_auc" and given.weights is None and not part.leaves_out
        if not part.metric.decomposable and not countable and not plain_area and given.groups is None:
            return True
    return False


def values_of_all(files: Sequence[Prepared], blocks: Callable[[], Iterator[NDArray[Any]]]) -> FloatArray:
    """Return the values of all files on all resamples, shape (T, B).

    `blocks` yields weights of shape (some of B, n_units).
    """
    each = [file.terms for file in files]
    ends = np.cumsum([terms.shape[1] for terms in each])
    stacked = np.concatenate(each, axis=1)
    found = []
    for weights in blocks():
        sums = weights.astype(np.float64) @ stacked  # one product for all files
        pieces = np.split(sums, ends[:-1], axis=1)
        found.append(np.stack([file.values(weights, own) for file, own in zip(files, pieces, strict=True)]))
    return np.concatenate(found, axis=1)


def in_blocks(weights: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the rows of a matrix in blocks of bounded size.

    A block's float64 copy stays small.
    """
    step = max(1, _CELLS // max(weights.shape[1], 1))
    for start in range(0, len(weights), step):
        yield weights[start : start + step]


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    part: Part
    given: Given
    columns: Sequence[Column]
    solution: Solution
    vocabulary: Vocabulary
    what: Units

    def value(self, rows: IntArray, given: Given | None = None) -> float:
        try:
            return part_value(
                self.part, given or self.given, self.columns, rows, self.solution, self.vocabulary
            )
        except ZeroDivisionError:  # a group, or all rows, without weight
            return math.nan

    def by_unit(self, terms: FloatArray) -> FloatArray:
        """Return sums of (n_rows, m) terms by unit, shape (n_units, m)."""
        what = self.what
        if what.n == len(what.rows) and what.kind == "rows":
            return terms
        columns = [np.bincount(what.of, weights=column, minlength=what.n) for column in terms.T]
        return np.stack(columns, axis=1) if columns else np.empty((what.n, 0))


def _engine(file: _File, *, first_order: bool) -> _Engine:
    # Which columns and groups are left out depends on the rows that are drawn.
    fixed = file.part.modifiers.undefined == "refuse"
    if file.given.groups is not None:
        return (_Grouped.of(file) if fixed else None) or _Repeated(file)
    if file.part.metric.decomposable and fixed:
        return _Summed.of(file)
    cells = _Cells.of(file) if fixed else None
    if first_order:
        area = _area(file)
        if area is not None:
            return area
        if cells is not None or file.what.n <= _MOST_LEFT_OUT:
            return _linear(file, cells)
    return cells or _Repeated(file)


@dataclass(slots=True, eq=False)
class _Summed:
    """A metric made of sums: exact for any weights."""

    part: Part
    terms: FloatArray
    finishes: Sequence[Callable[[FloatArray, float], float]]
    """Of each scored column."""
    ends: IntArray
    """Where in `terms` each column's own stop; the last of them is the weight."""

    @classmethod
    def of(cls, file: _File) -> _Summed:
        part, given, what = file.part, file.given, file.what
        finish = part.metric.finish
        assert finish is not None
        own = [take(column, what.rows) for column in file.columns]
        pieces = []
        for terms, weights in row_terms(part, given, own, what.rows, file.solution, file.vocabulary):
            times = len(terms[0]) // max(len(what.rows), 1)  # pooled columns stand below each other
            weight = np.ones(len(terms[0])) if weights is None else weights
            table = np.where(weight[:, None] > 0.0, np.stack(terms, axis=1), 0.0)
            table = np.concatenate([table, weight[:, None]], axis=1)
            table = table.reshape(times, len(what.rows), table.shape[1]).sum(axis=0)
            pieces.append(file.by_unit(table))
        finishes = [_with_parameters(finish, part)] * len(pieces)
        return cls(
            part, np.concatenate(pieces, axis=1), finishes, np.cumsum([piece.shape[1] for piece in pieces])
        )

    def values(self, sums: FloatArray, weights: NDArray[Any]) -> FloatArray:
        by_column = np.split(sums, self.ends[:-1], axis=1)
        found = np.empty(len(sums))
        with np.errstate(all="ignore"):
            for i in range(len(sums)):
                each = [
                    finish(own[i, :-1], float(own[i, -1]))
                    if own[i, -1] > 0.0 and np.isfinite(own[i]).all()
                    else math.nan
                    for finish, own in zip(self.finishes, by_column, strict=True)
                ]
                value = self.part.over_columns(each)
                found[i] = math.nan if value is None else value
        return found


def _with_parameters(finish: Finish, part: Part) -> Callable[[FloatArray, float], float]:
    return lambda sums, weight: finish(sums, weight, part.parameters)


@dataclass(slots=True, eq=False)
class _Grouped:
    """A mean over groups whose units are drawn whole.

    A group has at most two units: its public and its private rows.
    """

    part: Part
    terms: FloatArray
    first: IntArray
    second: IntArray
    """Of each group its units; the first again where there is only one."""
    alone: FloatArray
    """Shape (n_groups, 2): the value of each of the two units alone."""
    together: FloatArray

    @classmethod
    def of(cls, file: _File) -> _Grouped | None:
        what, groups = file.what, file.given.groups
        assert groups is not None
        codes = groups.codes[what.rows]
        pairs = np.unique(np.stack([what.of, codes], axis=1), axis=0)
        _, times = np.unique(pairs[:, 1], return_counts=True)
        if len(pairs) != what.n or times.max() > 2:
            return None  # a unit over several groups, or a group in many units
        order = np.argsort(pairs[:, 1], kind="stable")
        starts = np.concatenate(([0], np.cumsum(times)[:-1]))
        first = pairs[order[starts], 0]
        second = pairs[order[starts + times - 1], 0]
        rows_of = np.split(what.rows[np.argsort(what.of, kind="stable")], np.cumsum(what.sizes())[:-1])
        alone = np.array(
            [[file.value(rows_of[a]), file.value(rows_of[b])] for a, b in zip(first, second, strict=True)]
        )
        together = np.array(
            [
                alone[i, 0] if a == b else file.value(np.concatenate([rows_of[a], rows_of[b]]))
                for i, (a, b) in enumerate(zip(first, second, strict=True))
            ]
        )
        return cls(file.part, np.empty((what.n, 0)), first, second, alone, together)

    def values(self, sums: FloatArray, weights: NDArray[Any]) -> FloatArray:
        a, b = weights[:, self.first].astype(np.float64), weights[:, self.second].astype(np.float64)
        value = np.where(b == 0.0, self.alone[:, 0], np.where(a == 0.0, self.alone[:, 1], self.together))
        times = np.maximum(a, b)
        total = times.sum(axis=1)
        with np.errstate(all="ignore"):
            mean = np.sum(np.where(times > 0.0, value, 0.0) * times, axis=1) / total
            if self.part.modifiers.group_aggregate == "mean":
                return np.asarray(mean)
            apart = np.where(times > 0.0, value - mean[:, None], 0.0)
            return np.asarray(mean - np.sqrt(np.sum(times * apart**2, axis=1) / total))


@dataclass(slots=True, eq=False)
class _Repeated:
    """Any metric: rows are repeated as often as they count."""

    file: _File

    @property
    def terms(self) -> FloatArray:
        return np.empty((self.file.what.n, 0))

    def values(self, sums: FloatArray, weights: NDArray[Any]) -> FloatArray:
        what = self.file.what
        found = np.empty(len(weights))
        for i, row in enumerate(weights):
            rows = np.repeat(what.rows, row[what.of].astype(np.intp))
            found[i] = self.file.value(rows) if len(rows) else math.nan
        return found


@dataclass(slots=True, eq=False)
class _Cells:
    """A metric with weights, over few different rows.

    Each different row (a pair of labels) stands once, with the sum of its weights.
    """

    file: _File
    terms: FloatArray
    kinds: IntArray
    """Of each cell a row that is of it."""
    cell_of: IntArray
    """Of each of the units' rows, its cell."""
    weight: FloatArray
    """Of each of the units' rows, its own weight."""

    @classmethod
    def of(cls, file: _File) -> _Cells | None:
        what, part, given = file.what, file.part, file.given
        sides = any(side is not None for side in given.sides.values())
        if not part.metric.takes_weights or part.metric.kind != "label" or sides:
            return None
        cell = np.zeros(len(what.rows), dtype=np.intp)
        for column in (*given.truth, *file.columns):
            if isinstance(column, Lists) or (isinstance(column, np.ndarray) and column.dtype == np.object_):
                return None
            values = column.codes if isinstance(column, Labels) else column
            _, own = np.unique(values[what.rows], return_inverse=True)
            _, cell = np.unique(cell * (int(own.max(initial=0)) + 1) + own, return_inverse=True)
        n_cells = int(cell.max(initial=-1)) + 1
        if n_cells > _MOST_CELLS:
            return None
        kinds = np.empty(n_cells, dtype=np.intp)
        kinds[cell] = what.rows
        weight = (
            np.ones(len(what.rows)) if given.weights is None else given.weights[what.rows].astype(np.float64)
        )
        return cls(file, np.empty((what.n, 0)), kinds, cell, weight)

    def values(self, sums: FloatArray, weights: NDArray[Any]) -> FloatArray:
        of = self.file.what.of
        return np.array([self.value(self.sums(own[of])) for own in weights])

    def sums(self, times: NDArray[Any]) -> FloatArray:
        """Return the weight of each cell, shape (n_cells,).

        `times` is how often each row counts.
        """
        return np.asarray(
            np.bincount(self.cell_of, weights=self.weight * times, minlength=len(self.kinds)),
            dtype=np.float64,
        )

    def value(self, weight: FloatArray) -> float:
        """Return the value for these weights of cells."""
        if not (weight > 0.0).any():
            return math.nan
        full = np.zeros(len(self.file.solution.ids))
        full[self.kinds] = weight
        return self.file.value(self.kinds, replace(self.file.given, weights=full))


def _area(file: _File) -> _Summed | None:
    """Return the plain area under the ROC curve by placement values.

    Around its value A it moves by the mean, over the positives, of the share of negatives they beat, and
    independently by the mean, over the negatives, of the share of positives that beat them.
    """
    part, given, what = file.part, file.given, file.what
    parameters = part.parameters
    plain = part.metric.name == "roc_auc" and not any(
        getattr(parameters, name, None) is not None for name in ("max_fpr", "tpr_thresholds")
    )
    if not plain or part.leaves_out or given.weights is not None or part.modifiers.columns == "pooled":
        return None
    pieces, finishes = [], []
    for truth, predicted in zip(part_truth(part, given, what.rows), file.columns, strict=True):
        scores = np.asarray(predicted)[what.rows]
        positive = truth == 1.0
        beaten, beating = placements(scores, positive)
        area = float(beaten.mean())
        terms = np.zeros((len(scores), 5))
        terms[positive, 0], terms[positive, 1] = beaten - area, 1.0
        terms[~positive, 2], terms[~positive, 3] = beating - area, 1.0
        terms[:, 4] = 1.0
        pieces.append(file.by_unit(terms))
        finishes.append(_moved_area(area))
    return _Summed(part, np.concatenate(pieces, axis=1), finishes, np.cumsum([5] * len(pieces)))


def _moved_area(area: float) -> Callable[[FloatArray, float], float]:
    def finish(sums: FloatArray, _: float) -> float:
        if sums[1] <= 0.0 or sums[3] <= 0.0:
            return math.nan
        return area + float(sums[0] / sums[1]) + float(sums[2] / sums[3])

    return finish


def placements(scores: FloatArray, positive: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Return placement values of positives and negatives.

    Of each positive the share of negatives it beats, and of each negative the share of positives that beat
    it. Ties count one half (midranks; Sun and Xu, IEEE Signal Processing Letters 2014). O(n log n).

    Their means are both the area under the ROC curve.
    """
    ranks = average_ranks(scores)
    ones, zeros = scores[positive], scores[~positive]
    beaten = (ranks[positive] - average_ranks(ones)) / len(zeros)
    beating = 1.0 - (ranks[~positive] - average_ranks(zeros)) / len(ones)
    return np.asarray(beaten), np.asarray(beating)


def _linear(file: _File, cells: _Cells | None) -> _Summed:
    """Return the value plus influences of rows.

    An influence is the change by one more row of a kind, or of a unit.
    """
    part, what = file.part, file.what
    if cells is None:
        base, influence = _influence_of_units(file)
        weight = what.sizes().astype(np.float64)
        own = influence * weight
    else:
        base, of_cell = _influence_of_cells(cells)
        by_row = np.stack([of_cell[cells.cell_of] * cells.weight, cells.weight], axis=1)
        own, weight = file.by_unit(by_row).T
    # The part's value is of all columns and transformed already.
    plain = {"columns": "mean", "column_weights": None, "transform": None, "floor": None}
    whole = replace(part, modifiers=part.modifiers.model_copy(update=plain))

    def finish(sums: FloatArray, total: float) -> float:
        return base + float(sums[0]) / total

    return _Summed(whole, np.stack([own, weight], axis=1), [finish], np.array([2]))


def _influence_of_cells(cells: _Cells) -> tuple[float, FloatArray]:
    """Return the value and the influence of each kind of row.

    An influence is n times the change by a small additional weight.
    """
    weight = cells.sums(np.ones(len(cells.weight)))
    base, total = cells.value(weight), float(weight.sum())
    step = 1e-4
    found = np.empty(len(weight))
    for i in range(len(weight)):
        moved = weight * (1.0 - step)
        moved[i] += step * total
        found[i] = (cells.value(moved) - base) / step
    return base, found - float(found @ weight) / total


def _influence_of_units(file: _File) -> tuple[float, FloatArray]:
    """Return the value and the influence of each unit's rows.

    From the value on each unit alone (batch means) if units are large, else by leaving out each in turn (the
    jackknife).
    """
    what = file.what
    base = file.value(what.rows)
    sizes = what.sizes()
    share = sizes / len(what.rows)
    order = np.argsort(what.of, kind="stable")
    rows_of = np.split(what.rows[order], np.cumsum(sizes)[:-1])
    if sizes.min() >= BLOCK_ROWS and not any(why_undefined(file.solution, rows) for rows in rows_of):
        influence = np.array([file.value(rows) for rows in rows_of])
    else:
        rest = np.array([file.value(what.rows[what.of != unit]) for unit in range(what.n)])
        influence = (base - rest) * (1.0 - share) / share
    return base, influence - float(influence @ share)

"""A metric's value on resamples of rows, for every metric of the registry.

A resample says how often each unit counts. A unit is a row; or a whole group of rows, where the metric is
averaged over groups or where the caller knows that rows belong together; or, among very many rows, a random
block of them, which gives the same spread (a mean over 20,000 blocks is as normal as one over a million
rows) for bounded memory. The same draws for every file make all comparisons paired.

Metrics that are sums over rows are computed exactly and for all resamples at once, as one matrix product.
Any other metric is computed again on every resample, or, if asked for `first_order`, by its linear
approximation (the infinitesimal jackknife; for the area under the ROC curve the placement values of DeLong,
DeLong and Clarke-Pearson, Biometrics 1988).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.solution import Given, Solution, part_truth
from scorer.challenges.task import Part
from scorer.folds import CannotScoreTrain, train_solution
from scorer.metrics.registry import FINISHES, Finish
from scorer.reading.columns import Column, FloatArray, Labels, Lists, Rows, Vocabulary, take
from scorer.report import HeldoutError, InvalidSubmission
from scorer.scoring import _part_value, _sum_of_parts, _terms, score
from scorer.submission import Collected, read_submission

IntArray = NDArray[np.intp]

MAX_UNITS = 20_000
"""More rows than this are drawn as so many random blocks."""

BLOCKS = 120
"""How many random blocks stand for the rows where only looking at some rows apart tells their influence."""

_BLOCK_ROWS = 100
"""From so many rows on the value on a block alone tells the block's influence; it costs a hundredth of leaving each out."""

_CELLS = 1_000_000
"""Numbers of a matrix of resamples that are held at once, per hundred megabytes or so of working memory."""

_TRIES = 50
"""Draws in a row that may lack, say, a class before the rows count as too few to be resampled."""

_EXACT_ROWS = 5000
"""Up to here a standard error is computed from recomputed values, above to first order."""


_MOST_CELLS = 4000
"""Pairs of labels, up to which they are looked at instead of rows."""

_MOST_LEFT_OUT = 500
"""Units that are left out in turn; with more, values are computed again."""


class NotResampled(HeldoutError):
    """There is no value on resamples of these rows; the text says why, in a sentence for people."""


class ReadOtherwise(HeldoutError):
    """A file does not say now what it said when it was scored."""


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """A submission's columns in the order of a solution's rows; of a test's or a train's solution."""

    columns: Mapping[str, Column]
    vocabulary: Vocabulary
    """Of that solution, and the names that only the file has."""

    def __repr__(self) -> str:
        return f"Aligned({', '.join(self.columns)})"


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What is drawn: rows of a solution, or groups of them."""

    rows: IntArray
    """Positions in the solution, shape (n_rows,)."""
    of: IntArray
    """The unit of each of `rows`, from 0, shape (n_rows,)."""
    n: int
    kind: str
    """rows, groups or blocks."""

    def sizes(self) -> IntArray:
        """Rows of each unit, shape (n,)."""
        return np.bincount(self.of, minlength=self.n)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The best that takes no model: what a score must beat to mean anything."""

    name: str
    public: float
    private: float
    """For the organiser, before the close."""
    se_public: float | None
    """Standard error of `public`; None for an own metric, for the reason in `why_no_se`."""
    why_no_se: str
    aligned: Aligned
    """Its predictions; without columns where the metric is the organiser's own."""


def read(
    challenge: Challenge,
    source: Path | bytes,
    *,
    solution: Solution | None = None,
    scores: tuple[float, float] | None = None,
) -> Aligned:
    """A submission's file aligned to the challenge's solution, or to the given one.

    `scores` are the public and the private one of a file that was scored before: what has taken its reader over
    could say other things each time it is read. Raises InvalidSubmission like `scorer.score`, NotResampled
    for an organiser's own metric, and ReadOtherwise where the scores do not come out again.
    """
    solution = challenge.solution if solution is None else solution
    _refuse_own(solution)
    kept = Collected(len(solution.ids))
    read_submission(source, solution, kept, max_bytes=challenge.max_bytes)
    aligned = Aligned(kept.columns(), kept.vocabulary)
    if scores is not None:
        found = (value(solution, aligned, rows) for rows in (solution.public, solution.private))
        # Not bit for bit: the sums are made otherwise than by `scorer.score`, and by other versions than then.
        if not all(
            math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in zip(found, scores, strict=True)
        ):
            raise ReadOtherwise("the file does not say what it said when it was scored")
    return aligned


def value(solution: Solution, aligned: Aligned, rows: Rows) -> float:
    """The ranking metric on some rows: a mask over the solution's, or positions, which may repeat.

    In the metric's unit and direction, the number `scorer.score` gives for the same rows. It is nan where the
    metric has no value for these rows (one class only).
    """
    _refuse_own(solution)
    rows = _positions(rows)
    if why_undefined(solution, rows):
        return math.nan
    return _value(solution, aligned, rows)


def replicates(
    solution: Solution, aligned: Aligned, rows: Rows | Units, draws: NDArray[np.integer[Any]]
) -> FloatArray:
    """The ranking metric on resamples, shape (B,).

    Parameters
    ----------
    rows
        Positions or a mask; or units, where something other than rows (or a metric's own groups) is drawn.
    draws
        Shape (B, m): which units each resample holds, by number, with repeats. The units are the rows, in
        the order given, unless the metric is averaged over groups: then whole groups, in the order of `units`.

    Raises
    ------
    NotResampled
        The metric is an organiser's own, or a resample has no finite value.
    """
    what = rows if isinstance(rows, Units) else units(solution, rows, limit=None)
    found = prepare(solution, aligned, what).values(counts(draws, what.n))
    if not np.isfinite(found).all():
        raise NotResampled(f"{solution.task.name} has no finite value on some resamples of these rows.")
    return found


def standard_error(
    solution: Solution,
    aligned: Aligned,
    rows: Rows,
    *,
    seed: int,
    n: int = 200,
    clusters: NDArray[Any] | None = None,
) -> float:
    """Of the value on these rows, in the metric's unit: sd / sqrt(n_rows) of a plain mean, else a bootstrap of n.

    `clusters` (one code per row of `rows`) makes whole clusters be drawn. Raises NotResampled.
    """
    losses = row_losses(solution, aligned, rows)
    if losses is not None and clusters is None:
        return _se_of_mean(losses)
    (found,) = _bootstrap(solution, [aligned], rows, seed=seed, n=n, clusters=clusters)
    return float(np.std(found, ddof=1))


def se_of_difference(
    solution: Solution, a: Aligned, b: Aligned, rows: Rows, *, seed: int, n: int = 200
) -> float:
    """Standard error of value(a) - value(b) on the same rows: sd(l_a - l_b, ddof=1) / sqrt(n_rows) for plain
    means, else a paired bootstrap of n resamples. 0 for equal files. Raises NotResampled."""
    losses, others = row_losses(solution, a, rows), row_losses(solution, b, rows)
    if losses is not None and others is not None:
        return _se_of_mean(losses - others)
    first, second = _bootstrap(solution, [a, b], rows, seed=seed, n=n, clusters=None)
    return float(np.std(first - second, ddof=1))


def row_losses(solution: Solution, aligned: Aligned, rows: Rows) -> FloatArray | None:
    """Shape (n_rows,): numbers whose plain mean is the value on these rows, in the metric's own direction.

    None where the value is no plain mean of numbers by row (roots, ratios, areas, weights, groups). A sum over
    rows is taken as the mean of n_rows times each term.
    """
    _refuse_own(solution)
    rows = _positions(rows)
    task = solution.task
    if len(task.parts) != 1 or not is_plain_mean(solution):
        return None
    (part,), (given,) = task.parts, solution.given[0]
    own = [take(aligned.columns[name], rows) for name in part.columns]
    by_column = [terms[0] for terms, _ in _terms(part, given, own, rows, solution, aligned.vocabulary)]
    scale = float(len(rows)) if part.metric.finish is FINISHES["sum"] else 1.0
    if part.modifiers.columns == "pooled" and part.layout == "columns":
        (stacked,) = by_column
        losses = stacked.reshape(len(part.columns), len(rows)).mean(axis=0)
        if part.metric.finish is FINISHES["sum"]:
            losses *= len(part.columns)
    else:
        weights = part.modifiers.column_weights
        losses = np.average(np.stack(by_column), axis=0, weights=weights)
    losses = losses * scale
    match part.modifiers.transform:
        case "1-x":
            losses = 1.0 - losses
        case "2x-1":
            losses = 2.0 * losses - 1.0
        case _:
            pass
    return np.asarray(part.coefficient * losses, dtype=np.float64)


def is_plain_mean(solution: Solution) -> bool:
    """Whether the ranking value is a mean (or a sum) of one number per row."""
    task = solution.task
    if task.custom is not None or len(task.parts) != 1:
        return False
    (part,), (given,) = task.parts, solution.given[0]
    plain = part.metric.finish is FINISHES["mean"] or part.metric.finish is FINISHES["sum"]
    linear = part.modifiers.transform in (None, "1-x", "2x-1") and part.modifiers.floor is None
    return plain and linear and given.weights is None and given.groups is None


# --- what is drawn --------------------------------------------------------------------------------


def units(
    solution: Solution,
    rows: Rows,
    *,
    clusters: NDArray[Any] | None = None,
    limit: int | None = MAX_UNITS,
    seed: int = 0,
) -> Units:
    """What a resample of these rows draws.

    Whole groups where the metric is averaged over groups; else whole `clusters`, if given (any codes, one per
    row); else single rows. More than `limit` of rows or clusters are put together into that many random blocks.
    """
    rows = _positions(rows)
    groups = _own_groups(solution)
    if groups is not None:
        clusters = groups[rows]
    if clusters is None:
        of, kind = np.arange(len(rows)), "rows"
    else:
        of, kind = np.unique(clusters, return_inverse=True)[1].reshape(-1), "groups"
    n = int(of.max(initial=-1)) + 1
    if limit is not None and n > limit and groups is None:
        block = np.random.default_rng([seed, 0xB10C]).permutation(n) % limit
        of, n, kind = block[of], limit, "blocks"
    return Units(rows, of.astype(np.intp), n, kind)


def draw(solution: Solution, what: Units, n: int, *, seed: int) -> NDArray[np.int32]:
    """n bootstrap resamples of the units, shape (n, what.n), with repeats; each one has a value of the metric.

    Raises NotResampled where resamples without one (a class is missing) are the rule.
    """
    rng = np.random.default_rng([seed, what.n])
    drawn = np.empty((n, what.n), dtype=np.int32)
    checked = _can_be_undefined(solution)
    for i in range(n):
        for _ in range(_TRIES):
            drawn[i] = rng.integers(0, what.n, what.n)
            if not checked or not why_undefined(solution, _present(what, drawn[i])):
                break
        else:
            raise NotResampled(
                f"{solution.task.name} has no value on most random resamples of these {len(what.rows)} rows; they are too few."
            )
    return drawn


def counts(draws: NDArray[np.integer[Any]], n_units: int) -> NDArray[np.uint16]:
    """How often each resample holds each unit, shape (B, n_units)."""
    found = np.empty((len(draws), n_units), dtype=np.uint16)
    for i, drawn in enumerate(draws):
        found[i] = np.bincount(drawn, minlength=n_units)
    return found


def why_undefined(solution: Solution, rows: IntArray) -> str:
    """Why the ranking metric has no value on these rows, in words; empty if it has one."""
    if not len(rows):
        return "there are no rows"
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        own = rows
        if given.weights is not None:
            own = rows[given.weights[rows] > 0.0]
            if not len(own):
                return "the weights of these rows are all 0"
        if part.metric.undefined is None or given.groups is not None:
            continue  # groups are drawn whole, and each of them was found defined when the solution was read
        for truth in part_truth(part, given, own):
            why = part.metric.why_undefined(truth, part.parameters, solution.classes(given))
            if why:
                return why
    return ""


def _can_be_undefined(solution: Solution) -> bool:
    pairs = zip(solution.task.parts, solution.given[0], strict=True)
    return any(part.metric.undefined is not None or given.weights is not None for part, given in pairs)


def _present(what: Units, drawn: NDArray[np.int32]) -> IntArray:
    held = np.zeros(what.n, dtype=np.bool_)
    held[drawn] = True
    return what.rows[held[what.of]]


def _own_groups(solution: Solution) -> NDArray[Any] | None:
    return next((given.groups.codes for given in solution.given[0] if given.groups is not None), None)


def _positions(rows: Rows) -> IntArray:
    return np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.intp)


def _refuse_own(solution: Solution) -> None:
    if solution.task.custom is not None:
        raise NotResampled(
            "The metric is the organiser's own function, which is not run on resamples: each run is a process of its own."
        )


def _value(solution: Solution, aligned: Aligned, rows: IntArray) -> float:
    values = [
        _part_value(
            part, given, [aligned.columns[name] for name in part.columns], rows, solution, aligned.vocabulary
        )
        for part, given in zip(solution.task.parts, solution.given[0], strict=True)
    ]
    return _sum_of_parts(solution.task.parts, values)


def _se_of_mean(losses: FloatArray) -> float:
    if len(losses) < 2:
        raise NotResampled("One row has no spread.")
    with np.errstate(all="ignore"):
        spread = float(np.std(losses, ddof=1)) / math.sqrt(len(losses))
    if not math.isfinite(spread):
        raise NotResampled("The predictions are so far off that their spread cannot be computed.")
    return spread


def _bootstrap(
    solution: Solution,
    files: Sequence[Aligned],
    rows: Rows,
    *,
    seed: int,
    n: int,
    clusters: NDArray[Any] | None,
) -> list[FloatArray]:
    _refuse_own(solution)
    rows = _positions(rows)
    first_order = len(rows) > _EXACT_ROWS
    limit = BLOCKS if first_order and needs_blocks(solution) else MAX_UNITS
    what = units(solution, rows, clusters=clusters, limit=limit, seed=seed)
    if what.n < 2:
        raise NotResampled("One row, or one group of rows, has no spread.")
    prepared = [prepare(solution, aligned, what, first_order=first_order) for aligned in files]
    weights = counts(draw(solution, what, n, seed=seed), what.n)
    found = values_of_all(prepared, lambda: in_blocks(weights))
    if not np.isfinite(found).all():
        raise NotResampled(f"{solution.task.name} has no finite value on some resamples of these rows.")
    with np.errstate(all="ignore"):
        if not np.isfinite(np.std(found, axis=-1)).all():
            raise NotResampled("The predictions are so far off that their spread cannot be computed.")
    return list(found)


# --- files made ready -----------------------------------------------------------------------------


class _Engine(Protocol):
    """One part of the task over one file."""

    @property
    def terms(self) -> FloatArray:
        """Shape (n_units, m), perhaps with m = 0: what only needs to be summed with the weights of the units."""

    def values(self, sums: FloatArray, weights: NDArray[Any]) -> FloatArray:
        """(B, m) sums and (B, n_units) weights -> (B,) values, nan where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One file's metric as a function of how often each unit counts."""

    parts: tuple[tuple[float, _Engine], ...]
    """With their coefficients."""

    @property
    def terms(self) -> FloatArray:
        return np.concatenate([engine.terms for _, engine in self.parts], axis=1)

    def values(self, weights: NDArray[Any], sums: FloatArray | None = None) -> FloatArray:
        """Shape (B,) for weights of shape (B, n_units), whole numbers from 0; `sums` is weights @ terms, if known."""
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
    _refuse_own(solution)
    engines = []
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        columns = [aligned.columns[name] for name in part.columns]
        file = _File(part, given, columns, solution, aligned.vocabulary, what)
        engines.append((part.coefficient, _engine(file, first_order=first_order)))
    return Prepared(tuple(engines))


def needs_blocks(solution: Solution) -> bool:
    """Whether a first-order approximation of the metric takes leaving out blocks of rows, so that few units are wanted."""
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        countable = part.metric.takes_weights and part.metric.kind == "label" and len(given.class_codes) <= 30
        plain_area = part.metric.name == "roc_auc" and given.weights is None
        if not part.metric.decomposable and not countable and not plain_area and given.groups is None:
            return True
    return False


def values_of_all(files: Sequence[Prepared], blocks: Callable[[], Iterator[NDArray[Any]]]) -> FloatArray:
    """Shape (T, B): every file on every resample; `blocks` yields weights of shape (some of B, n_units)."""
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
    """The rows of a matrix, so many at a time that their float64 copy stays small."""
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
            return _part_value(
                self.part, given or self.given, self.columns, rows, self.solution, self.vocabulary
            )
        except ZeroDivisionError:  # a group, or all rows, without weight
            return math.nan

    def by_unit(self, terms: FloatArray) -> FloatArray:
        """Sums of (n_rows, m) terms over each unit's rows: (n_units, m)."""
        what = self.what
        if what.n == len(what.rows) and what.kind == "rows":
            return terms
        columns = [np.bincount(what.of, weights=column, minlength=what.n) for column in terms.T]
        return np.stack(columns, axis=1) if columns else np.empty((what.n, 0))


def _engine(file: _File, *, first_order: bool) -> _Engine:
    if file.given.groups is not None:
        return _Grouped.of(file) or _Repeated(file)
    if file.part.metric.decomposable:
        return _Summed.of(file)
    cells = _Cells.of(file)
    if first_order:
        area = _area(file)
        if area is not None:
            return area
        if cells is not None or file.what.n <= _MOST_LEFT_OUT:
            return _linear(file, cells)
    return cells or _Repeated(file)


@dataclass(slots=True, eq=False)
class _Summed:
    """A metric that is made of sums: exact, whatever the weights."""

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
        for terms, weights in _terms(part, given, own, what.rows, file.solution, file.vocabulary):
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
                found[i] = self.part.over_columns(each)
        return found


def _with_parameters(finish: Finish, part: Part) -> Callable[[FloatArray, float], float]:
    return lambda sums, weight: finish(sums, weight, part.parameters)


@dataclass(slots=True, eq=False)
class _Grouped:
    """A mean over groups whose units are drawn whole, at most two to a group: as its public and its private rows."""

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
    """Any metric: each resample's rows are written out, a row as often as it counts."""

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
    """A metric that takes weights, over few different rows (pairs of labels): each kind of row stands once, weighed."""

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
        """The weight in each cell, rows counting so many times; shape (n_cells,)."""
        return np.asarray(
            np.bincount(self.cell_of, weights=self.weight * times, minlength=len(self.kinds)),
            dtype=np.float64,
        )

    def value(self, weight: FloatArray) -> float:
        """Of so much weight in each cell."""
        if not (weight > 0.0).any():
            return math.nan
        full = np.zeros(len(self.file.solution.ids))
        full[self.kinds] = weight
        return self.file.value(self.kinds, replace(self.file.given, weights=full))


# --- first order ------------------------------------------------------------------------------------


def _area(file: _File) -> _Summed | None:
    """The plain area under the ROC curve by placement values: around its value A, the mean over the ones of how
    many zeros they beat and over the zeros of how many ones beat them move it independently."""
    part, given, what = file.part, file.given, file.what
    parameters = part.parameters
    plain = part.metric.name == "roc_auc" and not any(
        getattr(parameters, name, None) is not None for name in ("max_fpr", "tpr_thresholds")
    )
    if not plain or given.weights is not None or part.modifiers.columns == "pooled":
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
    """Of each positive the share of negatives it beats, and of each negative the share of positives that beat it,
    ties counting one half (midranks; Sun and Xu, IEEE Signal Processing Letters 2014). O(n log n).

    Their means are both the area under the ROC curve.
    """
    ranks = stats.rankdata(scores)
    ones, zeros = scores[positive], scores[~positive]
    beaten = (ranks[positive] - stats.rankdata(ones)) / len(zeros)
    beating = 1.0 - (ranks[~positive] - stats.rankdata(zeros)) / len(ones)
    return np.asarray(beaten), np.asarray(beating)


def _linear(file: _File, cells: _Cells | None) -> _Summed:
    """Value plus influences: what one more row of each kind, or of each unit, would change."""
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
    """The value and, of each kind of row, n times what a little more weight on it changes."""
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
    """The value and the influence of one row of each unit: by the value on each unit alone (batch means) where units
    are large, else by leaving out each in turn (the jackknife)."""
    what = file.what
    base = file.value(what.rows)
    sizes = what.sizes()
    share = sizes / len(what.rows)
    order = np.argsort(what.of, kind="stable")
    rows_of = np.split(what.rows[order], np.cumsum(sizes)[:-1])
    if sizes.min() >= _BLOCK_ROWS and not any(why_undefined(file.solution, rows) for rows in rows_of):
        influence = np.array([file.value(rows) for rows in rows_of])
    else:
        rest = np.array([file.value(what.rows[what.of != unit]) for unit in range(what.n)])
        influence = (base - rest) * (1.0 - share) / share
    return base, influence - float(influence @ share)


# --- the benchmark ----------------------------------------------------------------------------------


def benchmark(challenge: Challenge, *, seed: int = 0, allow_weak_sandbox: bool = False) -> Benchmark:
    """The better, on the public rows, of the sample submission and of the best constant of public/train.csv.

    Constants are the mean, the median and the most frequent value of each target column, or the share of each
    class, whichever is best on train.

    Raises
    ------
    NotResampled
        There is neither a sample submission that can be scored nor a constant.
    """
    solution = challenge.solution
    sample = challenge.folder / SAMPLE_FILE
    if solution.task.custom is not None:
        if not sample.is_file():
            raise NotResampled(
                "The metric is the organiser's own and there is no sample submission to score."
            )
        report = score(challenge, sample, allow_weak_sandbox=allow_weak_sandbox)
        why = "The metric is the organiser's own function, which is not run on resamples."
        return Benchmark(
            "sample submission", report.public, report.private, None, why, Aligned({}, Vocabulary())
        )
    files: dict[str, Aligned] = {}
    if sample.is_file():
        with suppress(InvalidSubmission):  # `scorer.check` tells the organiser; another file takes its place
            files["sample submission"] = read(challenge, sample)
    constant = _best_constant(challenge)
    if constant is not None:
        name, aligned = constant
        files[name] = aligned
    if not files:
        raise NotResampled(
            "There is no sample submission that can be scored and no simple constant prediction."
        )
    better = max if solution.task.greater_is_better else min
    values = {name: value(solution, aligned, solution.public) for name, aligned in files.items()}
    best = better(values, key=values.__getitem__)
    private = value(solution, files[best], solution.private)
    try:
        se = standard_error(solution, files[best], solution.public, seed=seed)
    except NotResampled as error:
        return Benchmark(best, values[best], private, None, str(error), files[best])
    return Benchmark(best, values[best], private, se, "", files[best])


def _best_constant(challenge: Challenge) -> tuple[str, Aligned] | None:
    try:
        train = train_solution(challenge)
    except CannotScoreTrain:
        return None
    test = challenge.solution
    every = np.arange(len(train.ids))
    found: list[tuple[float, str, Aligned]] = []
    for name in ("mean", "median", "most frequent"):
        texts = _constants(train, name)
        if texts is None:
            continue
        there = value(train, _filled(train, texts), every)
        if math.isfinite(there):
            found.append((there, f"{name} of train", _filled(test, texts)))
    if not found:
        return None
    best = (max if test.task.greater_is_better else min)(found, key=lambda entry: entry[0])
    return best[1], best[2]


def _constants(train: Solution, statistic: str) -> dict[str, float | str] | None:
    """Of each predicted column one value, a number or a label's name; None if the target is nothing so simple."""
    found: dict[str, float | str] = {}
    for part, given in zip(train.task.parts, train.given[0], strict=True):
        cells = part.predicted_cells
        if part.metric.truth_roles or part.layout == "matrix":
            return None
        if part.layout == "classes":
            (labels,) = given.truth
            assert isinstance(labels, Labels)
            if statistic != "mean":
                return None
            shares = np.bincount(labels.codes, minlength=len(part.columns)) / len(labels)
            found.update(zip(part.columns, shares.tolist(), strict=True))
            continue
        if len(given.truth) != len(part.columns):
            return None
        for name, column in zip(part.columns, given.truth, strict=True):
            if isinstance(column, Labels) and cells.kind == "label":
                if statistic != "most frequent":
                    return None
                found[name] = train.vocabulary.names[int(np.bincount(column.codes).argmax())]
            elif (
                isinstance(column, np.ndarray)
                and column.dtype != np.object_
                and cells.kind in ("number", "integer", "flag")
            ):
                found[name] = _middle(
                    np.asarray(column, dtype=np.float64),
                    statistic,
                    low=cells.low,
                    high=cells.high,
                    whole=cells.kind != "number",
                )
            else:
                return None
    return found


def _middle(column: FloatArray, statistic: str, *, low: float, high: float, whole: bool) -> float:
    if statistic == "mean":
        middle = float(np.mean(column))
    elif statistic == "median":
        middle = float(np.median(column))
    else:
        values, times = np.unique(column, return_counts=True)
        middle = float(values[times.argmax()])
    middle = min(max(middle, low), high)
    return float(round(middle)) if whole else middle


def _filled(solution: Solution, texts: Mapping[str, float | str]) -> Aligned:
    vocabulary = solution.vocabulary.copy()
    n = len(solution.ids)
    columns: dict[str, Column] = {}
    for name in solution.task.columns:
        held = texts.get(name, 0.0)
        if isinstance(held, str):
            columns[name] = Labels(np.full(n, vocabulary.code(held), dtype=np.int32))
        else:
            columns[name] = np.full(n, held)
    return Aligned(columns, vocabulary)

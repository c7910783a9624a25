"""Units of a resample: rows, groups or blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.solution import Solution
from scorer.challenges.solution import why_undefined as why_undefined_part
from scorer.metrics.registry import FINISHES
from scorer.reading.columns import Column, FloatArray, Rows, Vocabulary, take
from scorer.report import HeldoutError
from scorer.scoring import part_value, row_terms, sum_of_parts

IntArray = NDArray[np.intp]


MAX_UNITS = 20_000


"""More rows than this are drawn as so many random blocks."""


BLOCKS = 120


"""Number of random blocks where influences are found by scoring blocks of rows alone."""


BLOCK_ROWS = 100


"""From so many rows on the value on a block alone gives its influence, for a hundredth of the time of leaving
each out."""


_TRIES = 50


"""Consecutive draws that may lack a class before the rows count as too few to resample."""


class NotResampled(HeldoutError):
    """These rows have no value on resamples.

    The text is a sentence with the reason.
    """


class ScoresDiffer(HeldoutError):
    """A file does not have the scores it had before."""


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """A submission's columns in the order of a solution's rows.

    The solution is that of the test or the training rows.
    """

    columns: Mapping[str, Column]
    vocabulary: Vocabulary
    """Of that solution, and the names that only the file has."""

    def __repr__(self) -> str:
        return f"Aligned({', '.join(self.columns)})"


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What a resample draws: rows, or groups of rows."""

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


def value(solution: Solution, aligned: Aligned, rows: Rows) -> float:
    """Return the ranking metric on some rows.

    `rows` is a mask over the solution's rows, or positions, which may repeat.

    In the metric's unit and direction, the number `scorer.score` gives for the same rows. It is nan where the
    metric has no value for these rows (one class only).
    """
    refuse_own(solution)
    rows = positions(rows)
    if why_undefined(solution, rows):
        return math.nan
    return value_on(solution, aligned, rows)


def row_losses(solution: Solution, aligned: Aligned, rows: Rows) -> FloatArray | None:
    """Return numbers whose mean is the value, shape (n_rows,).

    In the metric's own direction.

    None if the value is no plain mean of numbers by row (roots, ratios, areas, weights, groups). A sum over
    rows is the mean of n_rows times each term.
    """
    refuse_own(solution)
    rows = positions(rows)
    task = solution.task
    if len(task.parts) != 1 or not is_plain_mean(solution):
        return None
    (part,), (given,) = task.parts, solution.given[0]
    own = [take(aligned.columns[name], rows) for name in part.columns]
    by_column = [terms[0] for terms, _ in row_terms(part, given, own, rows, solution, aligned.vocabulary)]
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
    """Whether the ranking value is a mean or sum over rows."""
    task = solution.task
    if task.custom is not None or len(task.parts) != 1:
        return False
    (part,), (given,) = task.parts, solution.given[0]
    plain = part.metric.finish is FINISHES["mean"] or part.metric.finish is FINISHES["sum"]
    linear = part.modifiers.transform in (None, "1-x", "2x-1") and part.modifiers.floor is None
    return plain and linear and not part.leaves_out and given.weights is None and given.groups is None


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
    row); else single rows. More than `limit` of rows or clusters are put together into that many random
    blocks.
    """
    rows = positions(rows)
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
    """Draw n bootstrap resamples of the units, shape (n, what.n).

    Units repeat; every resample has a value of the metric.

    Raises NotResampled if most resamples have none (a class is missing).
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
                f"{solution.task.name} has no value on most random resamples of these {len(what.rows)} rows; "
                "they are too few."
            )
    return drawn


def counts(draws: NDArray[np.integer[Any]], n_units: int) -> NDArray[np.uint16]:
    """How often each resample holds each unit, shape (B, n_units)."""
    found = np.empty((len(draws), n_units), dtype=np.uint16)
    for i, drawn in enumerate(draws):
        found[i] = np.bincount(drawn, minlength=n_units)
    return found


def why_undefined(solution: Solution, rows: IntArray) -> str:
    """Return why the ranking metric is undefined here; else empty."""
    if not len(rows):
        return "there are no rows"
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        own = rows
        if given.weights is not None:
            own = rows[given.weights[rows] > 0.0]
            if not len(own):
                return "the weights of these rows are all 0"
        if given.groups is not None:
            continue  # groups are drawn whole, and each was checked when the solution was read
        reasons = why_undefined_part(part, given, own, solution.classes(given))
        left = [why for why in reasons if why]
        if left and (part.modifiers.undefined == "refuse" or len(left) == len(reasons)):
            return left[0]
    return ""


def _can_be_undefined(solution: Solution) -> bool:
    pairs = zip(solution.task.parts, solution.given[0], strict=True)
    return any(
        part.metric.undefined is not None or part.leaves_out or given.weights is not None
        for part, given in pairs
    )


def _present(what: Units, drawn: NDArray[np.int32]) -> IntArray:
    held = np.zeros(what.n, dtype=np.bool_)
    held[drawn] = True
    return what.rows[held[what.of]]


def _own_groups(solution: Solution) -> NDArray[Any] | None:
    return next((given.groups.codes for given in solution.given[0] if given.groups is not None), None)


def positions(rows: Rows) -> IntArray:
    return np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.intp)


def refuse_own(solution: Solution) -> None:
    if solution.task.custom is not None:
        raise NotResampled(
            "The metric is the organiser's own function, which is not run on resamples: "
            "each run is a process of its own."
        )


def value_on(solution: Solution, aligned: Aligned, rows: IntArray) -> float:
    values = [
        part_value(
            part, given, [aligned.columns[name] for name in part.columns], rows, solution, aligned.vocabulary
        )
        for part, given in zip(solution.task.parts, solution.given[0], strict=True)
    ]
    return sum_of_parts(solution.task.parts, values)

"""Standard errors of any metric by resampling rows.

A resample is a count for each unit. A unit is a row; or a group of rows, if the metric is averaged over
groups or the caller declares that rows belong together; or, of very many rows, a random block. Blocks give
the same spread (a mean over 20,000 blocks is as normal as one over a million rows) in bounded memory. All
files get the same draws, so comparisons are paired.

Metrics that are sums over rows are computed exactly and for all resamples at once, as one matrix product.
Any other metric is computed again on every resample, or, if asked for `first_order`, by its linear
approximation (the infinitesimal jackknife; for the area under the ROC curve the placement values of DeLong,
DeLong and Clarke-Pearson, Biometrics 1988).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import Solution
from scorer.reading.columns import FloatArray, Rows
from scorer.resampling.engines import in_blocks, needs_blocks, prepare, values_of_all
from scorer.resampling.units import (
    BLOCKS,
    MAX_UNITS,
    Aligned,
    NotResampled,
    ScoresDiffer,
    Units,
    counts,
    draw,
    positions,
    refuse_own,
    row_losses,
    units,
    value,
)
from scorer.submission.reader import read_submission
from scorer.submission.sinks import Collected

_EXACT_ROWS = 5000
"""Up to so many rows values are recomputed on resamples; above, to first order."""


def read(
    challenge: Challenge,
    source: Path | bytes,
    *,
    solution: Solution | None = None,
    scores: tuple[float, float] | None = None,
) -> Aligned:
    """Return a submission's file aligned with a solution.

    `scores` are the public and private scores the file had. A reader that an attacker has taken over could
    return other predictions each time, so they must come out again.

    Raises InvalidSubmission like `scorer.score`, NotResampled
    for an organiser's own metric, and ScoresDiffer if the scores differ.
    """
    solution = challenge.solution if solution is None else solution
    refuse_own(solution)
    kept = Collected(len(solution.ids))
    read_submission(source, solution, kept, max_bytes=challenge.max_bytes)
    aligned = Aligned(kept.columns(), kept.vocabulary)
    if scores is not None:
        found = (value(solution, aligned, rows) for rows in (solution.public, solution.private))
        # Not bit for bit: these sums differ from `scorer.score`, and from older versions.
        if not all(
            math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in zip(found, scores, strict=True)
        ):
            raise ScoresDiffer("the file does not have the scores it had when it was scored")
    return aligned


def replicates(
    solution: Solution, aligned: Aligned, rows: Rows | Units, draws: NDArray[np.integer[Any]]
) -> FloatArray:
    """The ranking metric on resamples, shape (B,).

    Parameters
    ----------
    rows
        Positions or a mask; or units, where something other than rows (or a metric's own groups) is drawn.
    draws
        Shape (B, m): which units each resample holds, by number, with repeats. The units are the rows, in the
        order given, unless the metric is averaged over groups: then whole groups, in the order of `units`.

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
    """Return the standard error of the value on these rows.

    In the metric's unit: sd / sqrt(n_rows) of a plain mean, else a bootstrap of n.

    With `clusters` (one code per row of `rows`) whole clusters are drawn. Raises NotResampled.
    """
    losses = row_losses(solution, aligned, rows)
    if losses is not None and clusters is None:
        return _se_of_mean(losses)
    (found,) = _bootstrap(solution, [aligned], rows, seed=seed, n=n, clusters=clusters)
    return float(np.std(found, ddof=1))


def se_of_difference(
    solution: Solution, a: Aligned, b: Aligned, rows: Rows, *, seed: int, n: int = 200
) -> float:
    """Return the standard error of value(a) - value(b).

    On the same rows: sd(l_a - l_b, ddof=1) / sqrt(n_rows) for plain means, else a paired bootstrap of n
    resamples. 0 for equal files. Raises NotResampled.
    """
    losses, others = row_losses(solution, a, rows), row_losses(solution, b, rows)
    if losses is not None and others is not None:
        return _se_of_mean(losses - others)
    first, second = _bootstrap(solution, [a, b], rows, seed=seed, n=n, clusters=None)
    return float(np.std(first - second, ddof=1))


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
    refuse_own(solution)
    rows = positions(rows)
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

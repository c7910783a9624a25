"""Predictions as arrays on which files can be compared.

A view has the shape (n_rows, k): probabilities as logits, the probabilities of classes as centred logs,
scores as normal scores of their ranks, labels as one column of 0 and 1 each, numbers as they are.
Differences and correlations of views mean the same everywhere: how far a file moved, and what two share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from scorer.challenges.task import Part
from scorer.ranks import average_ranks
from scorer.reading.columns import Column, FloatArray, Labels, Lists
from scorer.report import HeldoutError

CLIP = 1e-6
"""Probabilities are clipped here before the logit; values beyond are overconfidence only."""

MAX_LABEL_COLUMNS = 64
"""More labels share columns (code modulo this): a thousand classes cost as much as 64."""

MAX_SPREADS = 8.0
"""Standardised numbers are clipped here: one team's 1e300 must not determine the crowd's spread."""


class NotComparable(HeldoutError):
    """These predictions have no view (texts, lists, masks).

    Only equal files can be found.
    """


def kind_of(part: Part) -> str:
    """Return the kind of a part for `view`.

    Its metric's kind, or "classes" if columns are one distribution.
    """
    return "classes" if part.layout == "classes" else part.metric.kind


def view(columns: Mapping[str, Column], kind: str, *, n_labels: int = 0) -> FloatArray:
    """Return the predictions of one file as an array.

    Parameters
    ----------
    columns
        What `scorer.submission.sinks.Collected.columns()` gives: one column per name, n_rows each.
    kind
        A metric's kind (probability, score, label, number, ordinal, ...) or "classes"; see `kind_of`.
    n_labels
        How many labels the solution's vocabulary has; only columns of labels need it. Labels beyond are
        one label, "another".

    Returns
    -------
    float64 array of shape (n_rows, k), finite
        "probability": logit of each column, cut at 1e-6. "classes": log of each column minus the row's mean
        log. "score": normal scores of each column's midranks, since only the order of a score counts.
        Labels: 0 or 1 per label. Other numbers: as they are (see `standardised`).

    Raises
    ------
    NotComparable
        For texts, lists, masks and boxes, and for values that are not finite.
    """
    if not columns:
        raise NotComparable("There is no prediction column.")
    parts = [_of_column(name, column, kind, n_labels) for name, column in columns.items()]
    joined = np.concatenate(parts, axis=1)
    if kind == "classes" and all(isinstance(column, np.ndarray) for column in columns.values()):
        return _centred_log(joined)
    return joined


def _of_column(name: str, column: Column, kind: str, n_labels: int) -> FloatArray:
    if isinstance(column, Lists):
        raise NotComparable(f'The column "{name}" holds lists; only equal files can be found.')
    if isinstance(column, Labels):
        return _one_hot(column, n_labels)
    if column.dtype == np.object_ or kind in ("text", "mask", "boxes"):
        raise NotComparable(f'The column "{name}" holds texts; only equal files can be found.')
    values = np.asarray(column, dtype=np.float64)
    if not np.isfinite(values).all():
        raise NotComparable(f'The column "{name}" holds values that are not finite.')
    if kind == "probability":
        values = logit(values)
    elif kind == "score":
        values = normal_scores(values)
    return values[:, None]


def _one_hot(column: Labels, n_labels: int) -> FloatArray:
    width = min(n_labels, MAX_LABEL_COLUMNS) + 1
    codes = column.codes.astype(np.int64)
    known = (codes >= 0) & (codes < n_labels)
    places = np.where(known, codes % max(1, width - 1), width - 1)
    hot = np.zeros((len(codes), width))
    hot[np.arange(len(codes)), places] = 1.0
    return hot


def _centred_log(probabilities: FloatArray) -> FloatArray:
    sums = np.sum(probabilities, axis=1, keepdims=True)
    shares = np.where(
        sums > 0.0, probabilities / np.where(sums > 0.0, sums, 1.0), 1.0 / probabilities.shape[1]
    )
    logs = np.log(np.clip(shares, CLIP, None))
    centred: FloatArray = logs - logs.mean(axis=1, keepdims=True)
    return centred


def logit(probabilities: FloatArray) -> FloatArray:
    """Return ln(p / (1 - p)), p cut at 1e-6.

    On both sides.
    """
    p = np.clip(probabilities, CLIP, 1.0 - CLIP)
    odds: FloatArray = np.log(p) - np.log1p(-p)
    return odds


def normal_scores(values: FloatArray) -> FloatArray:
    """Return midranks as quantiles of a standard normal.

    Along axis 0; strictly rising changes of scale have no effect.
    """
    ranks = average_ranks(values)
    scores: FloatArray = ndtri((ranks - 0.5) / len(values))
    return scores


def standardised(views: FloatArray, crowd: FloatArray) -> FloatArray:
    """Return numbers in units of the crowd's spread.

    Column by column, cut at 8 spreads.

    Parameters
    ----------
    views
        Shape (..., n_rows, k): one view or a stack of them, of a kind that is neither probability nor label.
    crowd
        Shape (n_rows, k): the crowd's usual prediction, as the median over teams. Its own median is the
        zero and its interquartile range / 1.349 the unit; a column in which the crowd is constant
        keeps its unit.
    """
    low, middle, high = np.quantile(crowd, (0.25, 0.5, 0.75), axis=0)
    spread = (high - low) / 1.349
    spread = np.where(spread > 0.0, spread, crowd.std(axis=0))
    scaled: FloatArray = (views - middle) / np.where(spread > 0.0, spread, 1.0)
    return np.clip(scaled, -MAX_SPREADS, MAX_SPREADS)


def sample_rows(n_rows: int, limit: int, *, seed: int = 0) -> NDArray[np.intp]:
    """Return ascending positions of at most `limit` rows.

    The same for every file of a board.
    """
    if n_rows <= limit:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, size=limit, replace=False))


def is_hard(files: Sequence[FloatArray] | FloatArray, kind: str) -> bool:
    """Whether most of one team's views are labels.

    Whatever the metric expects; each view has shape (n_rows, k).

    One column is hard if it holds two values, the rarer in 5 % of the rows or more: a constant with a few odd
    rows is no file of labels. Several are if every row is sure of its class as far as a logit can be cut.
    """
    return kind == "label" or 2 * sum(_is_hard(one, kind) for one in files) > len(files)


def _is_hard(one: FloatArray, kind: str) -> bool:
    if one.shape[1] > 1:
        # ln(1 / CLIP) is the widest a row of class probabilities can get.
        return kind in ("classes", "probability") and bool((np.ptp(one, axis=1) > 0.85 * -np.log(CLIP)).all())
    values, counts = np.unique(one, return_counts=True)
    return len(values) == 2 and int(counts.min()) * 20 >= len(one)

"""Correlations and Gini: agreement in order or up to a line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.metrics.registry import ANY_FINITE, ANY_NUMBER, NOT_NEGATIVE, metric
from scorer.metrics.regression import all_zero, centred, total
from scorer.reading.columns import FloatArray

Ranks = NDArray[np.int64]


def dense_ranks(values: FloatArray) -> Ranks:
    """Return ranks from 0; equal values share a rank."""
    ranks: Ranks = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return ranks


def middle_ranks(values: FloatArray, weights: FloatArray | None) -> FloatArray:
    """Return the weight below each value, with half of its equals."""
    dense = dense_ranks(values)
    sizes = np.bincount(dense, weights=weights)
    ranks: FloatArray = (np.cumsum(sizes) - sizes / 2)[dense]
    return ranks


def inverted_weight(keys: Ranks, left: FloatArray, right: FloatArray) -> float:
    """Return the sum of left[i] * right[j] over inversions, in O(n log n).

    An inversion is a pair i < j with keys[i] > keys[j]. From the highest bit down: among rows that agree in
    all higher bits, kept in their order, the pairs that this bit decides are the ones before the zeros; then
    zeros go before ones.
    """
    found = 0.0
    for bit in reversed(range(int(keys.max()).bit_length())):
        prefix = keys >> (bit + 1)
        starts = np.flatnonzero(np.concatenate(([True], prefix[1:] != prefix[:-1])))
        lengths = np.diff(np.append(starts, len(keys)))
        ones = (keys >> bit) & 1
        is_one = ones.astype(np.bool_)

        ahead = np.concatenate(([0.0], np.cumsum(np.where(is_one, left, 0.0))))
        ahead_in_group = ahead[:-1] - np.repeat(ahead[starts], lengths)
        found += float(np.sum(ahead_in_group * right, where=~is_one))

        n_ones = np.concatenate(([0], np.cumsum(ones)))
        ones_ahead = n_ones[:-1] - np.repeat(n_ones[starts], lengths)
        n_zeros = lengths - (n_ones[starts + lengths] - n_ones[starts])
        group = np.repeat(starts, lengths)
        places = np.where(
            is_one, group + np.repeat(n_zeros, lengths) + ones_ahead, np.arange(len(keys)) - ones_ahead
        )
        order = np.empty_like(places)
        order[places] = np.arange(len(keys))
        keys, left, right = keys[order], left[order], right[order]
    return found


def _unit(values: FloatArray, weights: FloatArray | None) -> FloatArray:
    """Return the deviations from the mean, scaled to at most 1.

    Otherwise their squares could vanish or overflow.
    """
    deviations = centred(values, weights)
    largest = float(np.max(np.abs(deviations)))
    return deviations / largest if largest > 0.0 else deviations


def _correlation(x: FloatArray, y: FloatArray, weights: FloatArray | None) -> float:
    x, y = _unit(x, weights), _unit(y, weights)
    sizes = math.sqrt(total(x * x, weights)) * math.sqrt(total(y * y, weights))
    return _within_one(total(x * y, weights) / sizes) if sizes > 0.0 else 0.0


def _within_one(value: float) -> float:
    return min(1.0, max(-1.0, value))


def _constant(truth: FloatArray, _: Any) -> str | None:
    return (
        "all true values are equal, so nothing can go along with them" if np.all(truth == truth[0]) else None
    )


@metric(
    "pearson",
    version=1,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="number",
    cells=ANY_NUMBER,
    undefined=_constant,
    convention="""A constant prediction scores 0 (scipy: nan). A truth that is constant in a split is
    refused when the challenge is checked.""",
)
def pearson_correlation(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Pearson's correlation.

    Higher is better, 1 is any rising straight line, -1 any falling one.
    """
    return _correlation(truth, predicted, weights)


@metric(
    "spearman",
    version=1,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="number",
    cells=ANY_FINITE,
    undefined=_constant,
    convention="""Equal values share the mean of their ranks (scipy). A constant prediction scores 0 (scipy:
    nan, which mle-bench counts as valid). Weights are counts: ranks are those of the rows repeated so many
    times.""",
)
def spearman_correlation(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Spearman's rank correlation.

    Higher is better, 1 is the same order, -1 the opposite.
    """
    return _correlation(middle_ranks(truth, weights), middle_ranks(predicted, weights), weights)


@metric(
    "kendall",
    version=1,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="number",
    cells=ANY_FINITE,
    undefined=_constant,
    convention="""Tau-b: pairs with equal values on one side count for neither and shrink the denominator
    (scipy's default; tau-a does not shrink it). A constant prediction scores 0. A pair weighs the product
    of its rows' weights. For orderings of items within a row see kendall_tau.""",
)
def kendall_correlation(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Kendall's tau-b.

    Higher is better, 1 is the same order, -1 the opposite.
    """
    x, y = dense_ranks(truth), dense_ranks(predicted)
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    w = np.ones_like(truth) if weights is None else weights[order]
    pair = np.cumsum(np.concatenate(([0], (np.diff(x) != 0) | (np.diff(y) != 0))))
    untied_x, untied_y, untied_either = (_untied(np.bincount(codes, weights=w)) for codes in (x, y, pair))
    if untied_x == 0.0 or untied_y == 0.0:
        return 0.0
    untied_both = untied_x + untied_y - untied_either
    balance = untied_both - 2.0 * inverted_weight(y, w, w)
    return _within_one(balance / (math.sqrt(untied_x) * math.sqrt(untied_y)))


def _untied(sizes: NDArray[Any]) -> float:
    """Return the weight of the pairs whose rows lie in different groups."""
    return float(np.sum(sizes[1:] * np.cumsum(sizes)[:-1]))


@metric(
    "gini",
    version=1,
    greater_is_better=True,
    bounds=(-0.5, 0.5),
    kind="number",
    cells=ANY_FINITE,
    truth=NOT_NEGATIVE,
    undefined=all_zero,
    attainable=False,
    convention="""The area between the Lorenz curve of the truth, largest prediction first, and the
    diagonal, divided by the rows as in benhamner/Metrics. Its best value depends on the truth and is below
    0.5; use normalized_gini for a scale that ends at 1. Equal predictions share the mean of their ranks;
    the classic code ranks them by row order, which gives a constant file +0.25 or -0.25 on two rows, here
    0.""",
)
def gini_index(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Gini index of the truth in the order of the predictions.

    Higher is better, 0 is a constant file.
    """
    weight = float(len(truth)) if weights is None else float(np.sum(weights))
    above_middle = middle_ranks(predicted, weights) - weight / 2
    amount = total(truth, weights)
    return total(truth / amount * above_middle, weights) / weight if amount > 0.0 else 0.0


@metric(
    "normalized_gini",
    version=1,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="number",
    cells=ANY_FINITE,
    truth=ANY_NUMBER,
    undefined=_constant,
    convention="""gini divided by its value for the truth itself (Kaggle's Porto Seguro, Liberty Mutual).
    Equal predictions share the mean of their ranks, so for a truth of 0 and 1 this is 2 * roc_auc - 1; the
    classic code ranks them by row order. A constant file scores 0.""",
)
def normalized_gini_index(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Gini index relative to that of the truth.

    Higher is better, 1 is the true order, 0 a constant file.
    """
    amounts = _unit(truth, weights)
    area, best = (
        total(amounts * centred(middle_ranks(values, weights), weights), weights)
        for values in (predicted, truth)
    )
    return _within_one(area / best) if best > 0.0 else 0.0

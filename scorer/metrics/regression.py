"""Errors of predicted numbers.

Every function takes two float arrays of shape (n_rows,).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from scorer.metrics.registry import ANY_NUMBER, INFINITY, NOT_NEGATIVE, metric
from scorer.reading.columns import FloatArray


def centred(values: FloatArray, weights: FloatArray | None) -> FloatArray:
    """The values less their mean; equal values give exact zeros."""
    if np.all(values == values[0]):
        return np.zeros_like(values)
    once: FloatArray = values - np.average(values, weights=weights)
    # The mean of values near 1e8 is itself rounded; what that leaves is small enough to take off exactly.
    again: FloatArray = once - np.average(once, weights=weights)
    return again


def relative(error: float, size: float) -> float:
    """Return error / size; with size 0: 0 without error, else 1."""
    if size == 0.0:
        return 0.0 if error == 0.0 else 1.0
    return error / size


def total(values: FloatArray, weights: FloatArray | None) -> float:
    return float(np.sum(values if weights is None else values * weights))


@metric(
    "sse",
    version=2,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    finish="sum",
    convention="""A sum, so it grows with the number of rows: public and private values of one model are not
    comparable. Show mse beside it (also: [mse]). Errors below 1e-154 have no square and count as 0.""",
)
def sum_of_squared_errors(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Sum of squared errors.

    Lower is better, 0 is perfect, in the target's unit squared.
    """
    return (predicted - truth) ** 2


@metric(
    "mse",
    version=2,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    finish="mean",
    convention="""Divided by the number of rows. Several columns: mean of the columns' values (as
    scikit-learn). Errors below 1e-154 have no square and count as 0.""",
)
def mean_squared_error(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Mean squared error.

    Lower is better, 0 is perfect, in the target's unit squared.
    """
    return (predicted - truth) ** 2


@metric(
    "rmse",
    version=2,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    finish="root_mean",
    convention="""Several columns: mean of the columns' roots (Kaggle's MCRMSE); columns: pooled takes one
    root over all cells (Kaggle's NFL 2025). Errors below 1e-154 have no square and count as 0.""",
)
def root_mean_squared_error(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Root of the mean squared error.

    Lower is better, 0 is perfect, in the target's unit.
    """
    return (predicted - truth) ** 2


@metric(
    "mae",
    version=2,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    finish="mean",
    convention="Several columns: mean of the columns' values.",
)
def mean_absolute_error(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Mean absolute error.

    Lower is better, 0 is perfect, in the target's unit.
    """
    return np.abs(predicted - truth)


@metric(
    "rmsle",
    version=2,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=NOT_NEGATIVE,
    finish="root_mean",
    convention="""Natural logarithm of 1 + value. Values below 0 are refused with their line (Kaggle's
    legacy metric; scikit-learn from 1.6 on lets -0.5 pass).""",
)
def root_mean_squared_log_error(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Root of the mean squared difference of log(1 + value).

    Lower is better, 0 is perfect.
    """
    return (np.log1p(predicted) - np.log1p(truth)) ** 2


@metric(
    "msle",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=NOT_NEGATIVE,
    finish="mean",
    convention="The square of rmsle, with the same refusals (benhamner's and scikit-learn's name).",
)
def mean_squared_log_error(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Mean squared difference of log(1 + value).

    Lower is better, 0 is perfect.
    """
    return (np.log1p(predicted) - np.log1p(truth)) ** 2


@metric(
    "wmae",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    finish="mean",
    convention="""Kaggle's WMAE (Walmart's store sales): the sum of weighted errors by the sum of the
    weights, which stand in the solution's column that the modifier weight names. Without one it equals
    mae.""",
)
def weighted_mean_absolute_error(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Weighted mean absolute error.

    Lower is better, 0 is perfect, in the target's unit.
    """
    return np.abs(predicted - truth)


@metric(
    "medae",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    convention="""Of an even number of rows the mean of the two middle errors. With weights: where half of
    the weight is reached, so that a weight of 2 is a repeated row (as scikit-learn 1.9).""",
)
def median_absolute_error(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Median absolute error.

    Lower is better, 0 is perfect, in the target's unit.
    """
    errors = np.abs(predicted - truth)
    if weights is None:
        return float(np.median(errors))
    order = np.argsort(errors)
    reached = np.cumsum(weights[order])
    # Ten times 0.1 sums to less than 1, so "exactly half" needs room for rounding.
    half = reached[-1] / 2 * np.array([1 - 1e-12, 1 + 1e-12])
    lower, upper = np.searchsorted(reached, half, side="left")
    return float(errors[order[lower]] / 2 + errors[order[upper]] / 2)


@metric(
    "r2",
    version=2,
    greater_is_better=True,
    bounds=(-INFINITY, 1.0),
    kind="number",
    cells=ANY_NUMBER,
    convention="""If all true values are equal the formula divides by 0: then 1 for an exact file and 0 for
    any other (scikit-learn's and Kaggle's force_finite). The mean compared against is that of the scored
    rows.""",
)
def r2_score(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    weights: FloatArray | None,
    force_finite: Annotated[
        Literal[True],
        Field(description="Only true, as a score is always finite; known for Kaggle's notebooks."),
    ] = True,
) -> float:
    """Share of the target's variance explained (R squared).

    Higher is better, 1 is perfect.

    0 is what predicting the mean of the scored rows gives; there is no lower bound.
    """
    del force_finite
    return 1.0 - _unexplained(truth, predicted - truth, weights)


@metric(
    "explained_variance",
    version=1,
    greater_is_better=True,
    bounds=(-INFINITY, 1.0),
    kind="number",
    cells=ANY_NUMBER,
    convention="""As r2, but an error that is the same in every row costs nothing. If all true values are
    equal: 1 if the errors are equal too, else 0 (scikit-learn's force_finite).""",
)
def explained_variance_score(
    truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None
) -> float:
    """Share of the variance explained, whatever the bias.

    Higher is better, 1 is perfect.
    """
    return 1.0 - _unexplained(truth, centred(predicted - truth, weights), weights)


@metric(
    "rse",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    convention="""1 - r2 (benhamner/Metrics). If all true values are equal: 0 for an exact file, 1 for any
    other.""",
)
def relative_squared_error(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Squared errors relative to those of predicting the mean.

    Lower is better, 0 is perfect.
    """
    return _unexplained(truth, predicted - truth, weights)


@metric(
    "rrse",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    convention="The root of rse (benhamner/Metrics).",
)
def root_relative_squared_error(
    truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None
) -> float:
    """Root of the squared errors relative to those of the mean.

    Lower is better, 0 is perfect.
    """
    return math.sqrt(_unexplained(truth, predicted - truth, weights))


@metric(
    "rae",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    convention="""Compared with predicting the mean of the scored rows, not their median
    (benhamner/Metrics). If all true values are equal: 0 for an exact file, 1 for any other.""",
)
def relative_absolute_error(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Absolute errors relative to those of predicting the mean.

    Lower is better, 0 is perfect.
    """
    errors, spread = np.abs(predicted - truth), np.abs(centred(truth, weights))
    return relative(total(errors, weights), total(spread, weights))


def _unexplained(truth: FloatArray, errors: FloatArray, weights: FloatArray | None) -> float:
    (errors, size), (spread, truth_size) = (_scaled(values) for values in (errors, centred(truth, weights)))
    whole = total(spread**2, weights)
    ratio = relative(total(errors**2, weights), whole)
    return float(np.ldexp(ratio, 2 * (size - truth_size))) if whole > 0.0 else ratio


def _scaled(values: FloatArray) -> tuple[FloatArray, int]:
    """Return values scaled to about 1, and the power of two.

    Their squares then do not vanish.
    """
    exponent = math.frexp(float(np.max(np.abs(values))))[1]
    return np.ldexp(values, -exponent), exponent


def all_zero(truth: FloatArray, _: Any) -> str | None:
    """For metrics that divide by the truth's sum."""
    return "all true values are 0, so no error is relative to anything" if not np.any(truth) else None


def _root_relative(sums: FloatArray, _: float, __: Any) -> float:
    return math.sqrt(relative(float(sums[0]), float(sums[1])))


@metric(
    "relative_l2",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    finish=_root_relative,
    undefined=lambda truth, _: (
        None if np.any(truth**2) else "all true values are 0, or too small to be squared"
    ),
    convention="""Length of the vector of errors by the length of the vector of true values (Kaggle's
    notebooks built on its metric template). The target's zero matters: shifting all values changes the
    score. Errors below 1e-154 have no square and count as 0.""",
)
def relative_l2_error(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Euclidean norm of the errors relative to that of the truth.

    Lower is better, 0 is perfect.
    """
    return np.column_stack([(predicted - truth) ** 2, truth**2])


ZeroTruth = Annotated[
    Literal["error", "skip", "floor"],
    Field(
        description="True values of 0: the challenge is refused, their rows do not count, "
        "or truth_floor is divided by."
    ),
]
TruthFloor = Annotated[
    float,
    Field(
        gt=0,
        allow_inf_nan=False,
        description="With zero_truth: floor, what is divided by where the truth is nearer to 0 than this.",
    ),
]


def _zero_truth(truth: FloatArray, parameters: Any) -> str | None:
    zeros = int(np.sum(truth == 0.0))
    if parameters.zero_truth == "error" and zeros:
        return f"{zeros} true values are 0 and cannot be divided by; state zero_truth: skip or floor"
    if parameters.zero_truth == "skip" and zeros == len(truth):
        return "all true values are 0, so with zero_truth: skip no row counts"
    return None


def _relative_terms(ratios: FloatArray, truth: FloatArray, zero_truth: str) -> FloatArray:
    """Terms and how far each counts."""
    counted = np.ones_like(truth) if zero_truth != "skip" else (truth != 0.0).astype(np.float64)
    return np.column_stack([np.where(counted > 0.0, ratios, 0.0), counted])


def _ratios(truth: FloatArray, predicted: FloatArray, zero_truth: str, truth_floor: float) -> FloatArray:
    size = np.abs(truth)
    ratios: FloatArray = (predicted - truth) / (
        np.maximum(size, truth_floor) if zero_truth == "floor" else size
    )
    return ratios


def _counted_mean(sums: FloatArray, _: float, __: Any) -> float:
    return float(sums[0] / sums[1]) if sums[1] > 0.0 else 0.0


def _counted_root_mean(sums: FloatArray, weight: float, parameters: Any) -> float:
    return math.sqrt(_counted_mean(sums, weight, parameters))


@metric(
    "mape",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    finish=_counted_mean,
    undefined=_zero_truth,
    convention="""A fraction, not a percentage (scikit-learn): 0.1 is 10 %. A true value of 0 must be
    decided by the challenge; scikit-learn divides by 2.2e-16 instead, DrivenData's adjusted form is
    zero_truth: floor.""",
)
def mean_absolute_percentage_error(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    zero_truth: ZeroTruth = "error",
    truth_floor: TruthFloor = 1.0,
) -> FloatArray:
    """Mean absolute error relative to the true value.

    Lower is better, 0 is perfect.
    """
    return _relative_terms(np.abs(_ratios(truth, predicted, zero_truth, truth_floor)), truth, zero_truth)


@metric(
    "rmspe",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    finish=_counted_root_mean,
    undefined=_zero_truth,
    convention="""A fraction, not a percentage. Kaggle's Rossmann leaves out rows whose true value is 0
    (zero_truth: skip); by default such a challenge is refused until it states so.""",
)
def root_mean_squared_percentage_error(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    zero_truth: ZeroTruth = "error",
    truth_floor: TruthFloor = 1.0,
) -> FloatArray:
    """Root of the mean squared error relative to the true value.

    Lower is better, 0 is perfect.
    """
    return _relative_terms(_ratios(truth, predicted, zero_truth, truth_floor) ** 2, truth, zero_truth)

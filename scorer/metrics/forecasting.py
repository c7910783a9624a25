"""Forecasts: points on the scale of the past, quantiles, intervals, densities.

Where a forecast has several columns they are scored together: truth is of shape (n_rows, 1), or
(n_rows, n_steps) where the columns are steps ahead, and predicted of shape (n_rows, n_columns).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from scorer.metrics.registry import ANY_NUMBER, INFINITY, PROBABILITY, WHOLE, Role, metric
from scorer.metrics.regression import all_zero, relative
from scorer.reading.cells import Cells
from scorer.reading.columns import FloatArray

_POSITIVE = Cells("number", low=1e-100)


@metric(
    "smape",
    version=1,
    greater_is_better=False,
    bounds=lambda parameters: (0.0, float(parameters.scale)),
    kind="number",
    cells=ANY_NUMBER,
    finish="mean",
    convention="""Error by half the sum of both sizes. scale is what a row's score ends at: 200 percent (the
    M4 competition, Kaggle; default), 100 (the halved form) or 2 (a fraction). Truth and prediction both 0:
    0.""",
)
def symmetric_mean_absolute_percentage_error(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    scale: Annotated[
        Literal[200, 100, 2],
        Field(description="The largest value a row can have; the unit of the score."),
        WHOLE,
    ] = 200,
) -> FloatArray:
    """Mean absolute error relative to the sizes of truth and prediction.

    Lower is better, 0 is perfect.
    """
    size = np.abs(truth) + np.abs(predicted)
    return np.where(size > 0.0, scale * (np.abs(predicted - truth) / size), 0.0)


_SCALE = "the scale of each row's series, from its past; above 0"


@metric(
    "mase",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    layout="matrix",
    side_roles={"scale": Role(_POSITIVE, _SCALE)},
    finish="mean",
    convention="""Hyndman and Koehler's: one row per series, one column per step ahead. scale is the mean
    absolute (seasonal) difference of the series' training part; the organiser computes it, not the
    participants; a series that never changed has none and must be left out.""",
)
def mean_absolute_scaled_error(truth: FloatArray, predicted: FloatArray, *, scale: FloatArray) -> FloatArray:
    """Mean absolute error in units of the naive forecast's on the past.

    Lower is better, 0 is perfect.
    """
    terms: FloatArray = np.mean(np.abs(predicted - truth), axis=1) / scale
    return terms


@metric(
    "rmsse",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    layout="matrix",
    side_roles={"scale": Role(_POSITIVE, _SCALE)},
    finish="mean",
    convention="""The M5 competition's: one row per series, one column per step ahead; the root is taken per
    series. scale is the mean squared one-step difference of the series' training part. With the modifier
    weight it is M5's WRMSSE. Errors below 1e-154 have no square and count as 0.""",
)
def root_mean_squared_scaled_error(
    truth: FloatArray, predicted: FloatArray, *, scale: FloatArray
) -> FloatArray:
    """Mean over series of the root mean squared error in units of the past's.

    Lower is better, 0 is perfect.
    """
    terms: FloatArray = np.sqrt(np.mean((predicted - truth) ** 2, axis=1) / scale)
    return terms


Quantiles = Annotated[
    Sequence[Annotated[float, Field(gt=0, lt=1)]],
    Field(
        min_length=1,
        description="The quantile that each predicted column holds, rising, "
        "in the order of the submission's columns.",
    ),
]
Crossing = Annotated[
    Literal["allow", "sort"],
    Field(
        description="Quantiles of a row that are not in rising order: scored as they stand, or sorted first."
    ),
]


def _quantile_faults(parameters: Any, n_columns: int) -> str | None:
    quantiles = list(parameters.quantiles)
    if len(quantiles) != n_columns:
        return f"{len(quantiles)} quantiles are stated for {n_columns} predicted columns"
    if sorted(set(quantiles)) != quantiles:
        return "quantiles must rise from column to column"
    return None


def _pinball(
    truth: FloatArray, predicted: FloatArray, quantiles: Sequence[float], crossing: str
) -> FloatArray:
    levels = np.asarray(quantiles, dtype=np.float64)
    missing = truth - (np.sort(predicted, axis=1) if crossing == "sort" else predicted)
    losses: FloatArray = np.mean(np.maximum(levels * missing, (levels - 1.0) * missing), axis=1)
    return losses


@metric(
    "pinball",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    layout="matrix",
    n_truth=1,
    finish="mean",
    check=_quantile_faults,
    convention="""Mean over rows and quantiles, without the factor 2 (scikit-learn's mean_pinball_loss).
    Twice its value over a dense grid of quantiles approaches crps. Crossing quantiles are scored as they
    stand, unless crossing: sort.""",
)
def pinball_loss(
    truth: FloatArray, predicted: FloatArray, *, quantiles: Quantiles = (0.5,), crossing: Crossing = "allow"
) -> FloatArray:
    """Quantile loss, averaged over the quantiles.

    Lower is better, 0 is perfect, in the target's unit.
    """
    return _pinball(truth, predicted, quantiles, crossing)


@metric(
    "wspl",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    layout="matrix",
    n_truth=1,
    side_roles={"scale": Role(_POSITIVE, _SCALE)},
    finish="mean",
    check=_quantile_faults,
    convention="""The M5 Uncertainty competition's: pinball loss by the mean absolute one-step difference of
    the series' training part, which the column scale holds; the modifier weight makes it the weighted form.
    A row is one series and step, a column one quantile.""",
)
def weighted_scaled_pinball_loss(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    scale: FloatArray,
    quantiles: Quantiles = (0.5,),
    crossing: Crossing = "allow",
) -> FloatArray:
    """Quantile loss in units of the past's changes.

    Lower is better, 0 is perfect.
    """
    return _pinball(truth, predicted, quantiles, crossing) / scale


def _relative(sums: FloatArray, _: float, __: Any) -> float:
    return relative(float(sums[0]), float(sums[1]))


@metric(
    "wql",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    layout="matrix",
    n_truth=1,
    finish=_relative,
    undefined=all_zero,
    check=_quantile_faults,
    convention="""GluonTS's mean weighted quantile loss: twice the summed pinball loss by the summed size of
    the true values, averaged over the quantiles. With the median alone it is the weighted absolute
    percentage error.""",
)
def weighted_quantile_loss(
    truth: FloatArray, predicted: FloatArray, *, quantiles: Quantiles = (0.5,), crossing: Crossing = "allow"
) -> FloatArray:
    """Quantile loss relative to the truth's total size.

    Lower is better, 0 is perfect.
    """
    return np.column_stack([2.0 * _pinball(truth, predicted, quantiles, crossing), np.abs(truth[:, 0])])


def _crps_cells(parameters: Any) -> Cells:
    return PROBABILITY if parameters.forecast == "cdf" else ANY_NUMBER


def _threshold_faults(parameters: Any, n_columns: int) -> str | None:
    thresholds = parameters.thresholds
    if thresholds is None:
        return None
    if parameters.forecast != "cdf":
        return "thresholds need forecast: cdf"
    if len(thresholds) != n_columns:
        return f"{len(thresholds)} thresholds are stated for {n_columns} predicted columns"
    return (
        None if sorted(set(thresholds)) == list(thresholds) else "thresholds must rise from column to column"
    )


@metric(
    "crps",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=_crps_cells,
    truth=ANY_NUMBER,
    layout="matrix",
    n_truth=1,
    finish="mean",
    check=_threshold_faults,
    convention="""forecast: ensemble takes the columns as equally likely values: mean distance to the truth
    less half their mean distance to each other, each with itself included (Gneiting and Raftery;
    scoringrules' 'nrg'; the 'fair' form, which can fall below 0, is not offered). forecast: cdf takes
    column k as the probability of at most the k-th threshold and averages squared distances to the step at
    the truth (Kaggle's Second Data Science Bowl and NFL Big Data Bowl). A curve that falls is scored as it
    stands; Kaggle refused it.""",
)
def continuous_ranked_probability_score(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    forecast: Annotated[
        Literal["ensemble", "cdf"],
        Field(
            description="What the columns hold: possible values, or probabilities of at most each threshold."
        ),
    ] = "ensemble",
    thresholds: Annotated[
        Sequence[Annotated[float, Field(allow_inf_nan=False)]] | None,
        Field(description="With forecast: cdf, the threshold of each column; default: 0, 1, 2, ..."),
    ] = None,
) -> FloatArray:
    """Continuous ranked probability score.

    Lower is better, 0 is perfect.
    """
    n_columns = predicted.shape[1]
    if forecast == "cdf":
        steps = np.arange(n_columns) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
        squares: FloatArray = np.mean((predicted - (truth <= steps)) ** 2, axis=1)
        return squares
    # Relative to the truth, so that members which all equal it cancel exactly.
    members = np.sort(predicted - truth, axis=1)
    ranks = 2.0 * np.arange(n_columns) - (n_columns - 1)
    spread = np.sum(members * ranks, axis=1) / n_columns**2
    # What rounding may leave below 0 is no score.
    terms: FloatArray = np.maximum(np.mean(np.abs(members), axis=1) - spread, 0.0)
    return terms


@metric(
    "interval_score",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    layout="matrix",
    n_truth=1,
    predicted_roles=("lower", "upper"),
    finish="mean",
    convention="""Winkler's score of a central interval (Gneiting and Raftery): its width, and 2 / alpha
    times how far the truth lies outside. alpha: 0.1 is the 90 % interval. An interval with lower above
    upper is scored as it stands, which always costs more than its two ends exchanged.""",
)
def interval_score(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    alpha: Annotated[
        float, Field(gt=0, lt=1, description="The probability that the truth lies outside the interval.")
    ] = 0.1,
) -> FloatArray:
    """Width of the interval and a penalty for missing the truth.

    Lower is better, in the target's unit.
    """
    lower, upper = predicted.T
    outside = np.maximum(lower - truth[:, 0], 0.0) + np.maximum(truth[:, 0] - upper, 0.0)
    terms: FloatArray = upper - lower + 2.0 / alpha * outside
    return terms


@metric(
    "laplace_log_likelihood",
    version=1,
    greater_is_better=True,
    bounds=(-INFINITY, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    layout="matrix",
    n_truth=1,
    predicted_roles=("mean", "scale"),
    finish="mean",
    attainable=False,
    convention="""Kaggle's OSIC: the predicted scale is a standard deviation, raised to sigma_floor (so one
    below 0 is allowed), and an error counts as error_cap at most. The defaults are OSIC's, in millilitres;
    state both in the target's unit. The best value depends on them: -log(sqrt(2) * sigma_floor).""",
)
def laplace_log_likelihood(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    sigma_floor: Annotated[
        float, Field(ge=1e-100, le=1e100, description="Smaller predicted scales count as this.")
    ] = 70.0,
    error_cap: Annotated[
        float | None, Field(gt=0, description="Larger errors count as this; null for no limit.")
    ] = 1000.0,
) -> FloatArray:
    """Mean log-likelihood under Laplace distributions of predicted mean and scale.

    Higher is better.
    """
    sigma = np.maximum(predicted[:, 1], sigma_floor)
    error = np.minimum(np.abs(truth[:, 0] - predicted[:, 0]), INFINITY if error_cap is None else error_cap)
    return -math.sqrt(2.0) * error / sigma - np.log(math.sqrt(2.0) * sigma)


@metric(
    "gaussian_log_likelihood",
    version=1,
    greater_is_better=True,
    bounds=(-INFINITY, INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    layout="matrix",
    n_truth=1,
    predicted_roles=("mean", "scale"),
    finish="mean",
    attainable=False,
    convention="""The predicted scale is a standard deviation, raised to sigma_floor: without a floor an
    exact guess claimed with certainty would be worth infinitely much. State it in the target's unit. The
    constant log(2 pi) / 2 is included (scipy's norm.logpdf).""",
)
def gaussian_log_likelihood(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    sigma_floor: Annotated[
        float, Field(ge=1e-100, le=1e100, description="Smaller predicted scales count as this.")
    ] = 1e-6,
) -> FloatArray:
    """Mean log-likelihood under normal distributions of predicted mean and scale.

    Higher is better.
    """
    sigma = np.maximum(predicted[:, 1], sigma_floor)
    standardised = (truth[:, 0] - predicted[:, 0]) / sigma
    return -0.5 * standardised**2 - np.log(sigma) - 0.5 * math.log(2.0 * math.pi)

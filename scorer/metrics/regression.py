"""Errors of predicted numbers. Every function takes two float arrays of shape (n_rows,)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from scorer.cells import FloatArray
from scorer.metrics.registry import ANY_NUMBER, NOT_NEGATIVE, metric

_INFINITY = float("inf")


@metric(
    "sse",
    version=1,
    greater_is_better=False,
    bounds=(0.0, _INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    convention="""A sum, so it grows with the number of rows: public and private values of one model are
    not comparable. Show mse beside it (also: [mse]).""",
)
def sum_of_squared_errors(truth: FloatArray, predicted: FloatArray) -> float:
    """Sum of squared errors; lower is better, 0 is perfect, in the target's unit squared."""
    return float(np.sum((predicted - truth) ** 2))


@metric(
    "mse",
    version=1,
    greater_is_better=False,
    bounds=(0.0, _INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    convention="Divided by the number of rows. Several columns: mean of the columns' values (as scikit-learn).",
)
def mean_squared_error(truth: FloatArray, predicted: FloatArray) -> float:
    """Mean squared error; lower is better, 0 is perfect, in the target's unit squared."""
    return float(np.mean((predicted - truth) ** 2))


@metric(
    "rmse",
    version=1,
    greater_is_better=False,
    bounds=(0.0, _INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    convention="""Several columns: mean of the columns' roots (Kaggle's MCRMSE); columns: pooled takes one root
    over all cells (Kaggle's NFL 2025).""",
)
def root_mean_squared_error(truth: FloatArray, predicted: FloatArray) -> float:
    """Root of the mean squared error; lower is better, 0 is perfect, in the target's unit."""
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


@metric(
    "mae",
    version=1,
    greater_is_better=False,
    bounds=(0.0, _INFINITY),
    kind="number",
    cells=ANY_NUMBER,
    convention="Several columns: mean of the columns' values.",
)
def mean_absolute_error(truth: FloatArray, predicted: FloatArray) -> float:
    """Mean absolute error; lower is better, 0 is perfect, in the target's unit."""
    return float(np.mean(np.abs(predicted - truth)))


@metric(
    "rmsle",
    version=1,
    greater_is_better=False,
    bounds=(0.0, _INFINITY),
    kind="number",
    cells=NOT_NEGATIVE,
    convention="""Natural logarithm of 1 + value. Values below 0 are refused with their line (Kaggle's legacy
    metric; scikit-learn from 1.6 on lets -0.5 pass).""",
)
def root_mean_squared_log_error(truth: FloatArray, predicted: FloatArray) -> float:
    """Root of the mean squared difference of log(1 + value); lower is better, 0 is perfect."""
    return float(np.sqrt(np.mean((np.log1p(predicted) - np.log1p(truth)) ** 2)))


@metric(
    "r2",
    version=1,
    greater_is_better=True,
    bounds=(-_INFINITY, 1.0),
    kind="number",
    cells=ANY_NUMBER,
    convention="""If all true values are equal the formula divides by 0: then 1 for an exact file and 0 for any
    other (scikit-learn's and Kaggle's force_finite). The mean compared against is that of the scored rows.""",
)
def r2_score(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    force_finite: Annotated[
        Literal[True],
        Field(description="Only true, as a score is always finite; known for Kaggle's notebooks."),
    ] = True,
) -> float:
    """Share of the target's variance explained (R squared); higher is better, 1 is perfect.

    0 is what predicting the mean of the scored rows gives; there is no lower bound.
    """
    del force_finite
    residual = float(np.sum((truth - predicted) ** 2))
    total = float(np.sum((truth - np.mean(truth)) ** 2))
    # Equal values may still leave a rounding error in their mean, and tiny differences square to 0.
    if np.all(truth == truth[0]) or total == 0.0:
        return 1.0 if residual == 0.0 else 0.0
    return 1.0 - residual / total

"""Scores of predicted labels, label columns and ranked guesses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scorer.metrics.registry import ANY_FINITE, FLAG, LABEL, LIST, WHOLE, metric
from scorer.reading.columns import CodeArray, FloatArray, Labels, Lists

_SPELLING = """Labels are compared as text after one canonical spelling: True and true are the same label,
and so are 1, 1.0, +1, 01 and 1e0 where the true labels are numbers; everything else must match exactly, also
in case."""


def _as_numbers(flags: NDArray[np.bool_]) -> FloatArray:
    return flags.astype(np.float64)


@metric(
    "accuracy",
    version=3,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=LABEL,
    finish="mean",
    convention=_SPELLING,
)
def accuracy_score(truth: Labels, predicted: Labels) -> FloatArray:
    """Share of rows whose label is right.

    Higher is better, 1 is perfect.
    """
    return _as_numbers(truth.codes == predicted.codes)


@metric(
    "classification_error",
    version=2,
    greater_is_better=False,
    bounds=(0.0, 1.0),
    kind="label",
    cells=LABEL,
    finish="mean",
    convention=f"1 - accuracy. {_SPELLING}",
)
def classification_error(truth: Labels, predicted: Labels) -> FloatArray:
    """Share of rows whose label is wrong.

    Lower is better, 0 is perfect.
    """
    return _as_numbers(truth.codes != predicted.codes)


@metric(
    "hamming",
    version=1,
    greater_is_better=False,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=FLAG,
    finish="mean",
    convention="""One column of 0 and 1 for each label; the score is the share of wrong cells, which is the
    mean over columns (as scikit-learn). Lists are not scored, since their number of wrong cells depends on
    how many labels are counted that no cell names.""",
)
def hamming_loss(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Share of labels wrongly given or wrongly left out.

    Lower is better, 0 is perfect.
    """
    return _as_numbers(truth != predicted)


def _too_few_classes(parameters: Any, n_columns: int) -> str | None:
    if parameters.predictions == "scores" and parameters.k >= n_columns:
        return (
            f"k must be below the number of class columns, or every file is perfect; it is {parameters.k} "
            f"of {n_columns}"
        )
    return None


@metric(
    "top_k_accuracy",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=lambda parameters: LIST if parameters.predictions == "lists" else ANY_FINITE,
    truth=lambda parameters: LABEL if parameters.predictions == "lists" else FLAG,
    layout=lambda parameters: "columns" if parameters.predictions == "lists" else "classes",
    finish="mean",
    check=_too_few_classes,
    convention="""The order of the list decides which guesses count, so there are no ties. A repeated guess
    takes up a place, an empty list is wrong. With transform: 1-x it is Kaggle's MeanBestErrorAtK. With
    predictions: scores there is one column per class, of probabilities or any other scores, and the k
    highest are the guesses (scikit-learn's top_k_accuracy_score). Classes of one score share the places that
    are left to them, so that a constant file gets k / n_classes; scikit-learn gives the places to the
    classes that come last in its order.""",
)
def top_k_accuracy_score(
    truth: Labels | CodeArray,
    predicted: Lists | FloatArray,
    *,
    k: Annotated[int, Field(ge=1, le=10**6, description="How many guesses of a row count."), WHOLE] = 5,
    predictions: Annotated[
        Literal["lists", "scores"],
        Field(description="One column of lists, best guess first; or one column of scores per class."),
    ] = "lists",
) -> FloatArray:
    """Share of rows with the true label among the first k guesses.

    Higher is better, 1 is perfect.

    Truth and predicted are Labels and Lists; with scores the number of the true class's column, shape
    (n_rows,), and a float array of shape (n_rows, n_classes).
    """
    if predictions == "scores":
        assert isinstance(predicted, np.ndarray)
        assert isinstance(truth, np.ndarray)
        own = predicted[np.arange(len(truth)), truth.astype(np.intp)][:, None]
        above, tied = np.sum(predicted > own, axis=1), np.sum(predicted == own, axis=1)
        shares: FloatArray = np.clip((k - above) / tied, 0.0, 1.0)
        return shares
    assert isinstance(predicted, Lists)
    assert isinstance(truth, Labels)
    rows = predicted.rows
    found = (predicted.codes == truth.codes[rows]) & (predicted.places < k)
    return _as_numbers(np.bincount(rows[found], minlength=len(predicted)) > 0)

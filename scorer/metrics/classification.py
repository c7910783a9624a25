"""Scores of predicted labels, label columns and ranked guesses."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scorer.metrics.registry import FLAG, LABEL, LIST, WHOLE, metric
from scorer.reading.columns import FloatArray, Labels, Lists

_SPELLING = """Labels are compared as text after one canonical spelling: 1, 1.0 and "1" are the same label, so
are True and true; everything else must match exactly, also in case."""


def _as_numbers(flags: NDArray[np.bool_]) -> FloatArray:
    return flags.astype(np.float64)


@metric(
    "accuracy",
    version=2,
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
    version=1,
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


@metric(
    "top_k_accuracy",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=LIST,
    truth=LABEL,
    finish="mean",
    convention="""The order of the list decides which guesses count, so there are no ties (scikit-learn
    breaks ties of scores by the class's number). A repeated guess takes up a place, an empty list is wrong.
    With transform: 1-x it is Kaggle's MeanBestErrorAtK.""",
)
def top_k_accuracy_score(
    truth: Labels,
    predicted: Lists,
    *,
    k: Annotated[int, Field(ge=1, le=10**6, description="How many guesses of a row count."), WHOLE] = 5,
) -> FloatArray:
    """Share of rows with the true label among the first k guesses.

    Higher is better, 1 is perfect.
    """
    rows = predicted.rows
    found = (predicted.codes == truth.codes[rows]) & (predicted.places < k)
    return _as_numbers(np.bincount(rows[found], minlength=len(predicted)) > 0)

"""Agreement of labels or ratings beyond chance: correlation and kappas."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AliasChoices, Field

from scorer.metrics.registry import LABEL, WHOLE, Classes, counts, metric, spelt, weighted_mean
from scorer.reading.cells import LARGEST, Cells
from scorer.reading.columns import FloatArray, Labels


class _Agreement:
    """The weight of rows by class: `hit`, `missed` and `wrong`.

    Labelled alike, taken for another class, and taken for this one. Everything below is made of sums of what
    is 0 or more; differences from a square would lose the light rows.
    """

    def __init__(
        self, truth: Labels, predicted: Labels, weights: FloatArray | None, classes: Classes
    ) -> None:
        n_codes = len(classes.names)
        # Weights near the smallest number have no products.
        weights = None if weights is None else weights / np.max(weights)
        right = truth.codes == predicted.codes
        self.hit, self.missed, self.wrong = (
            counts(codes[rows], n_codes, None if weights is None else weights[rows])
            for codes, rows in ((truth.codes, right), (truth.codes, ~right), (predicted.codes, ~right))
        )
        self.true, self.called = self.hit + self.missed, self.hit + self.wrong


def _of_others(side: FloatArray) -> FloatArray:
    """The weight of all other classes, for each class."""
    before, after = (np.concatenate(([0.0], np.cumsum(part)[:-1])) for part in (side, side[::-1]))
    others: FloatArray = before + after[::-1]
    return others


@metric(
    "mcc",
    version=2,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="label",
    cells=LABEL,
    needs_every_class=True,
    convention="""For two classes Matthews' coefficient, for more Gorodkin's (as scikit-learn). 0 if every
    prediction is the same label, or every true one; a challenge needs every class in both splits.""",
)
def matthews_correlation(
    truth: Labels, predicted: Labels, *, weights: FloatArray | None, classes: Classes
) -> float:
    """Correlation of predicted and true labels.

    Higher is better, 1 is perfect, 0 is chance.
    """
    both = _Agreement(truth, predicted, weights, classes)
    # The covariance can be written from either side; from that of the smaller spread it loses nothing.
    (smaller, others, side, excess), (larger, *_) = sorted(
        (
            (float(np.dot(side, _of_others(side))), _of_others(side), side, excess)
            for side, excess in ((both.true, both.wrong), (both.called, both.missed))
        ),
        key=lambda each: each[0],
    )
    if smaller == 0.0:
        return 0.0
    shared = float(np.dot(both.hit, others) - np.dot(side, excess))
    return shared / smaller * math.sqrt(smaller / larger)


LowestRating = Annotated[
    int | None, Field(ge=-(10**6), le=10**6, description="The lowest rating there is."), WHOLE
]
HighestRating = Annotated[
    int | None, Field(ge=-(10**6), le=10**6, description="The highest rating there is."), WHOLE
]


def _rating_cells(parameters: Any) -> Cells:
    low, high = parameters.min_rating, parameters.max_rating
    return Cells("integer", low=-LARGEST if low is None else low, high=LARGEST if high is None else high)


def _empty_range(parameters: Any, _: int) -> str | None:
    low, high = parameters.min_rating, parameters.max_rating
    if low is not None and high is not None and low >= high:
        return f"min_rating must be below max_rating, got {low} and {high}"
    return None


def _quadratic_kappa(sums: FloatArray, weight: float, _: Any = None) -> float:
    true, called, true_squared, called_squared, differing = sums.tolist()
    # Quadratic weights need no matrix: the mean squared difference, over what independent draws
    # from the two columns would give (benhamner/Metrics builds both histograms and gets the same).
    expected = weight * true_squared + weight * called_squared - 2.0 * true * called
    return 1.0 - weight * differing / expected if expected > 0.0 else 1.0


def _rating_terms(
    truth: FloatArray, predicted: FloatArray, min_rating: int | None, max_rating: int | None
) -> FloatArray:
    # Counted from the middle of the range, the squares stay small and their sums exact.
    middle = 0 if min_rating is None or max_rating is None else (min_rating + max_rating) // 2
    t, p = truth - middle, predicted - middle
    return np.column_stack([t, p, t * t, p * p, (t - p) ** 2])


@metric(
    "qwk",
    version=2,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="ordinal",
    cells=_rating_cells,
    required=("min_rating", "max_rating"),
    check=_empty_range,
    finish=_quadratic_kappa,
    convention="""Weights are squared distances of the ratings themselves. A challenge states min_rating and
    max_rating and predictions outside are refused; scikit-learn's default uses the distance between the
    ratings that happen to occur (0.636 instead of 0.294 on one published file). If every rating on both
    sides is the same, 0/0 is 1. Numbers that are not whole are refused.""",
)
def quadratic_weighted_kappa(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    min_rating: LowestRating = None,
    max_rating: HighestRating = None,
) -> FloatArray:
    """Agreement of ratings beyond chance, large differences weighing more.

    Higher is better, 1 is perfect.

    0 is chance and -1 complete disagreement. Ratings are whole numbers.
    """
    # The range decides which predictions are allowed, not the value.
    return _rating_terms(truth, predicted, min_rating, max_rating)


def _kappa_check(parameters: Any, n_columns: int) -> str | None:
    given = [parameters.min_rating is not None, parameters.max_rating is not None]
    if parameters.weighting == "none":
        return "min_rating and max_rating belong to weighting: linear or quadratic" if any(given) else None
    return _empty_range(parameters, n_columns)


@metric(
    "cohen_kappa",
    version=2,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="label",
    cells=lambda parameters: LABEL if parameters.weighting == "none" else _rating_cells(parameters),
    check=_kappa_check,
    convention="""Without weighting any labels, equal or not. linear and quadratic weigh by the distance of
    the ratings themselves, which are whole numbers (scikit-learn's default takes the distance between the
    ratings that happen to occur); quadratic is qwk. Predictions outside a stated range are refused. If
    every label on both sides is the same, 0/0 is 1.""",
)
def cohen_kappa_score(
    truth: Any,
    predicted: Any,
    *,
    weights: FloatArray | None,
    classes: Classes,
    weighting: Annotated[
        Literal["none", "linear", "quadratic"],
        # scikit-learn's name for it, which here is the rows' weights.
        Field(
            validation_alias=AliasChoices("weighting", "weights"),
            description="How much a disagreement counts: all the same, or by the ratings' distance "
            "(also weights).",
        ),
        spelt({None: "none"}),
    ] = "none",
    min_rating: LowestRating = None,
    max_rating: HighestRating = None,
) -> float:
    """Agreement beyond chance.

    Higher is better, 1 is perfect, 0 is chance.

    Truth and predicted are Labels; with a weighting float arrays of shape (n_rows,), whole numbers.
    """
    if weighting == "none":
        both = _Agreement(truth, predicted, weights, classes)
        apart = float(np.sum(both.true) * np.sum(both.missed))
        by_chance = float(np.dot(both.true, _of_others(both.called)))
        return 1.0 - apart / by_chance if by_chance > 0.0 else 1.0
    del min_rating, max_rating  # they decide which predictions are allowed, not the value
    w = np.ones(len(truth)) if weights is None else weights
    if weighting == "quadratic":
        # Counted from a rating that occurs, the squares stay small.
        terms = _rating_terms(truth - truth[0], predicted - truth[0], None, None)
        return _quadratic_kappa(w @ terms, float(np.sum(w)))
    ratings = np.unique(np.concatenate([truth, predicted]))
    shares = [
        np.bincount(np.searchsorted(ratings, side), w, len(ratings)) / np.sum(w)
        for side in (truth, predicted)
    ]
    (below, below_p), (above, above_p) = (
        [np.cumsum(share[::step])[:-1][::step] for share in shares] for step in (1, -1)
    )
    # Two independent draws lie apart across each gap of which one falls below and one above.
    expected = float(np.dot(np.diff(ratings), below * above_p + below_p * above))
    return 1.0 - weighted_mean(np.abs(truth - predicted), weights) / expected if expected > 0.0 else 1.0

"""Scores of predicted classes, probabilities, rankings of two classes, and ordered grades."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from scorer.cells import LARGEST, Cells, FloatArray, LabelArray, canonical_label
from scorer.metrics.registry import ANY_FINITE, FLAG, LABEL, PROBABILITY, RowFault, metric

_ROW_SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from 1: what rounding to three digits does."""


def _row_sum_faults(predicted: FloatArray, parameters: Any) -> list[RowFault]:
    if predicted.shape[1] == 1:
        return []
    sums = predicted.sum(axis=1)
    if parameters.rows == "reject":
        return [
            RowFault("ROW_SUM", int(row), f"the probabilities sum to {sums[row]:.6g} instead of 1")
            for row in np.flatnonzero(np.abs(sums - 1.0) > _ROW_SUM_TOLERANCE)
        ]
    return [
        RowFault("ROW_SUM", int(row), "the probabilities are all 0, so they cannot be made to sum to 1")
        for row in np.flatnonzero(sums == 0.0)
    ]


@metric(
    "log_loss",
    version=1,
    greater_is_better=False,
    bounds=(0.0, float("inf")),
    kind="probability",
    cells=PROBABILITY,
    truth=FLAG,
    layout="classes",
    row_faults=_row_sum_faults,
    convention="""Natural logarithm, float64, probabilities clipped to [eps, 1 - eps] with eps = 1e-15 (Kaggle's
    legacy metric; scikit-learn clips at 2.2e-16). Class columns are matched by name, never by order. Rows are
    divided by their sum first (Kaggle's legacy metric), or rows further than 1e-3 from 1 are refused
    (rows: reject); a row of zeros is always refused. scikit-learn from 1.5 on does neither, and gives a file of
    ones a perfect score.""",
)
def log_loss(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    eps: Annotated[
        float, Field(gt=0, lt=0.1, description="Probabilities are clipped to [eps, 1 - eps].")
    ] = 1e-15,
    rows: Annotated[
        Literal["renormalise", "reject"],
        Field(
            description="Rows of several columns not summing to 1: divide them by their sum, or refuse the file."
        ),
    ] = "renormalise",
) -> float:
    """Mean negative log-likelihood of the true class; lower is better, 0 is perfect.

    Parameters
    ----------
    truth : float array of shape (n_rows, n_columns)
        0 or 1; with several columns exactly one 1 per row.
    predicted : float array of the same shape
        Probabilities in [0, 1]; one column is the probability of 1.
    """
    del rows  # `renormalise` and an accepted `reject` file are treated alike from here on
    if predicted.shape[1] == 1:
        p = np.clip(predicted[:, 0], eps, 1.0 - eps)
        return float(-np.mean(np.where(truth[:, 0] == 1.0, np.log(p), np.log1p(-p))))
    p = np.sum(predicted * truth, axis=1) / np.sum(predicted, axis=1)
    return float(-np.mean(np.log(np.clip(p, eps, 1.0 - eps))))


def _one_class(truth: FloatArray, _: Any) -> str | None:
    if np.all(truth == truth[0]):
        return f"every row is {truth[0]:g}, and AUC compares rows of two classes"
    return None


@metric(
    "roc_auc",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="score",
    cells=ANY_FINITE,
    truth=FLAG,
    undefined=_one_class,
    needs_every_class=True,
    convention="""Any finite number may be predicted, only the order counts; ties count one half (midranks, as
    scikit-learn). A split with one class only is an error of the challenge. Several columns: mean of the columns'
    areas (Kaggle's mean columnwise AUC).""",
)
def roc_auc_score(truth: FloatArray, predicted: FloatArray) -> float:
    """Area under the ROC curve: the chance that a random 1 is ranked above a random 0; higher is better.

    1 is perfect, 0.5 is what a constant gets. `truth` holds 0 and 1, both at least once.
    """
    _, value, count = np.unique(predicted, return_inverse=True, return_counts=True)
    midrank = np.cumsum(count) - (count - 1) / 2.0
    positive = truth == 1.0
    n_positive = int(np.sum(positive))
    n_negative = truth.size - n_positive
    wins = float(np.sum(midrank[value][positive])) - n_positive * (n_positive + 1) / 2.0
    return wins / n_positive / n_negative


@metric(
    "accuracy",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=LABEL,
    convention="""Labels are compared as text after one canonical spelling: 1, 1.0 and "1" are the same label, so
    are True and true; everything else must match exactly, also in case.""",
)
def accuracy_score(truth: LabelArray, predicted: LabelArray, *, classes: Sequence[str]) -> float:
    """Share of rows whose label is right; higher is better, 1 is perfect."""
    del classes
    return float(np.mean(truth == predicted))


@metric(
    "balanced_accuracy",
    version=1,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="label",
    cells=LABEL,
    needs_every_class=True,
    convention="""Mean recall over the classes that occur among the scored rows; not adjusted for chance unless
    adjusted: true is stated (scikit-learn's default; RAMP's is the other).""",
)
def balanced_accuracy_score(
    truth: LabelArray,
    predicted: LabelArray,
    *,
    classes: Sequence[str],
    adjusted: Annotated[
        bool, Field(description="Rescale so that guessing gives 0 and perfect gives 1.")
    ] = False,
) -> float:
    """Mean of the classes' recalls; higher is better, 1 is perfect, 1 / n_classes is guessing."""
    hit, true, _ = _counts(truth, predicted, classes)
    present = true > 0
    recall = float(np.mean(hit[present] / true[present]))
    chance = 1.0 / int(np.sum(present))
    # With one class only there is no chance level to adjust for.
    return (recall - chance) / (1.0 - chance) if adjusted and chance < 1.0 else recall


def _positive_label(positive: str, classes: Collection[str]) -> str:
    """The label that counts as found; where the classes are True and False, a 1 means True."""
    label = canonical_label(positive)
    return "True" if label == "1" and "True" in classes and "1" not in classes else label


def _not_two_classes(truth: LabelArray, parameters: Any) -> str | None:
    if parameters.average != "binary":
        return None
    present = set(truth.tolist())
    positive = _positive_label(parameters.positive, present)
    if len(present | {positive}) <= 2:
        return None
    listed = ", ".join(sorted(present)[:5]) + (", ..." if len(present) > 5 else "")
    return (
        f'average: binary compares "{positive}" with one other class, and the classes are {listed}; '
        "state positive, or average: macro"
    )


@metric(
    "f1",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=LABEL,
    undefined=_not_two_classes,
    needs_every_class=True,
    convention="""0/0 is 0. macro is the plain mean over the classes of the challenge, so a class that was only
    predicted adds no term of its own (scikit-learn would take the union), yet costs the class it was taken from.
    micro counts every label, known or not, and equals accuracy when each row has one label.""",
)
def f1_score(
    truth: LabelArray,
    predicted: LabelArray,
    *,
    classes: Sequence[str],
    average: Annotated[
        Literal["binary", "macro", "micro"],
        Field(
            description="binary: of the positive class; macro: mean over classes; micro: of all rows together."
        ),
    ] = "binary",
    positive: Annotated[
        str,
        BeforeValidator(lambda label: str(label) if isinstance(label, bool | int | float) else label),
        Field(description="With average: binary, the label that counts as found."),
    ] = "1",
) -> float:
    """Harmonic mean of precision and recall; higher is better, 1 is perfect."""
    if average == "micro":
        return float(np.mean(truth == predicted))
    if average == "binary":
        classes = [_positive_label(positive, classes)]
    hit, true, called = _counts(truth, predicted, classes)
    total = true + called
    return float(np.mean(np.divide(2.0 * hit, total, out=np.zeros(len(classes)), where=total > 0)))


def _counts(
    truth: LabelArray, predicted: LabelArray, classes: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Per class: rows that are it and were called it, rows that are it, rows that were called it."""
    number = {label: i for i, label in enumerate(classes)}
    other = len(classes)  # a label outside the classes is one more bin, dropped at the end
    t = np.fromiter((number.get(label, other) for label in truth), dtype=np.int64, count=len(truth))
    p = np.fromiter((number.get(label, other) for label in predicted), dtype=np.int64, count=len(predicted))
    hit, true, called = (np.bincount(x, minlength=other + 1)[:other] for x in (t[t == p], t, p))
    return hit, true, called


def _rating_cells(parameters: Any) -> Cells:
    low, high = parameters.min_rating, parameters.max_rating
    return Cells("integer", low=-LARGEST if low is None else low, high=LARGEST if high is None else high)


@metric(
    "qwk",
    version=1,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="ordinal",
    cells=_rating_cells,
    required=("min_rating", "max_rating"),
    convention="""Weights are squared distances of the ratings themselves. A challenge states min_rating and
    max_rating and predictions outside are refused; scikit-learn's default uses the distance between the ratings
    that happen to occur (0.636 instead of 0.294 on one published file). If every rating on both sides is the
    same, 0/0 is 1. Numbers that are not whole are refused.""",
)
def quadratic_weighted_kappa(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    min_rating: Annotated[
        int | None, Field(ge=-(10**6), le=10**6, description="The lowest rating there is.")
    ] = None,
    max_rating: Annotated[
        int | None, Field(ge=-(10**6), le=10**6, description="The highest rating there is.")
    ] = None,
) -> float:
    """Agreement of ratings beyond chance, large differences weighing more; higher is better, 1 is perfect.

    0 is chance and -1 complete disagreement. Ratings are whole numbers.
    """
    # Quadratic weights need no matrix: the mean squared difference, over what independent draws
    # from the two columns would give (benhamner/Metrics builds both histograms and gets the same).
    # The range therefore decides which predictions are allowed, not the value.
    del min_rating, max_rating
    observed = float(np.mean((truth - predicted) ** 2))
    expected = float(np.var(truth) + np.var(predicted) + (np.mean(truth) - np.mean(predicted)) ** 2)
    return 1.0 - observed / expected if expected > 0.0 else 1.0

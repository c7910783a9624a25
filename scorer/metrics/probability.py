"""Scores of probabilities, and of scores whose order alone counts."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, Field
from scipy.special import rel_entr

from scorer.metrics.registry import (
    ANY_FINITE,
    FLAG,
    INFINITY,
    NOT_NEGATIVE,
    PROBABILITY,
    LabelText,
    RowFault,
    metric,
    spelt,
)
from scorer.reading.cells import canonical_label
from scorer.reading.columns import CodeArray, FloatArray

_ROW_SUM_TOLERANCE = 1e-3 + 1e-9
"""How far the sum of a row of probabilities may be from 1: rounding to three digits, 0.333 three times."""

_KAGGLE_SUM_TOLERANCE = 1e-5 + 1e-8
"""np.allclose's, by which Kaggle's notebooks refuse rows."""

_TRUE_SUM_TOLERANCE = 1e-6

_BLOCK = 2**20
"""Cells ranked at a time, so that sorting every row of a wide file needs little memory."""

_DECIMALS = 15
"""Of a probability: 0.35 and 0.65 as floats are complements only after rounding."""

_CLIPPED = "Probabilities are clipped to [eps, 1 - eps]."
SumRule = Annotated[
    Literal["renormalise", "reject"],
    Field(
        description="Rows of several columns not summing to 1: divide them by their sum, or refuse the file."
    ),
]


def _row_sum_faults(
    predicted: FloatArray, *, reject: bool, tolerance: float = _ROW_SUM_TOLERANCE
) -> list[RowFault]:
    if predicted.ndim == 1:
        return []
    sums = predicted.sum(axis=1)
    if reject:
        return [
            RowFault("ROW_SUM", int(row), f"the probabilities sum to {sums[row]:.6g} instead of 1")
            for row in np.flatnonzero(np.abs(sums - 1.0) > tolerance)
        ]
    return [
        RowFault("ROW_SUM", int(row), "the probabilities are all 0, so they cannot be made to sum to 1")
        for row in np.flatnonzero(sums == 0.0)
    ]


def row_sum_rule(name: str, parameters: Any) -> tuple[str, float | None]:
    """Return the rule by which `_row_sum_faults` refuses rows of several columns, and its tolerance.

    "sums_to_1": other rows are refused; "positive_sum": rows are divided by their sum, which must not be 0;
    "": any row is accepted.
    """
    if name == "kl_divergence":
        return "sums_to_1", _KAGGLE_SUM_TOLERANCE
    if parameters.rows == "independent":
        return "", None
    return ("sums_to_1", _ROW_SUM_TOLERANCE) if parameters.rows == "reject" else ("positive_sum", None)


def _log_loss_faults(predicted: FloatArray, parameters: Any, **_: Any) -> list[RowFault]:
    if parameters.rows == "independent":
        return []
    return _row_sum_faults(predicted, reject=parameters.rows == "reject")


def _wrong_labels(parameters: Any, n_columns: int) -> str | None:
    if parameters.labels is None:
        return None
    labels = sorted(canonical_label(label) for label in parameters.labels)
    if n_columns == 1 or parameters.rows == "independent":
        return None if labels == ["0", "1"] else "labels of a column of probabilities of 1 are [0, 1]"
    if len(set(labels)) < len(labels):
        return "labels names a class twice"
    return None if len(labels) == n_columns else f"{len(labels)} labels are stated for {n_columns} columns"


@metric(
    "log_loss",
    version=3,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="probability",
    cells=PROBABILITY,
    truth=FLAG,
    layout=lambda parameters: "columns" if parameters.rows == "independent" else "classes",
    finish="mean",
    check=_wrong_labels,
    row_faults=_log_loss_faults,
    convention="""Natural logarithm, float64, the probability of the true class clipped to [eps, 1 - eps] with
    eps = 1e-15 (Kaggle's legacy metric; scikit-learn clips at 2.2e-16). A single column counts to 15
    decimals, so that swapping the two labels and sending 1 - p gives the same bits; this changes a row's loss
    by at most 6e-16 / p, with p the probability of its true class (6e-13 at p = 0.001). Rows of several
    columns are not rounded; swapping two class columns gives the same bits all the same, but a file of one
    column and its file of two may differ by as much. Class columns are matched by name, never by order. Rows
    are divided by their sum first (Kaggle's legacy metric), or rows further than 1e-3 from 1 are refused
    (rows: reject) and the others divided as well; a row of zeros is always refused. scikit-learn from 1.5 on
    does neither, and gives a file of ones a perfect score. With rows: independent each column is a yes/no
    question of its own and the score is the mean over columns (multilabel).""",
)
def log_loss(
    truth: FloatArray | CodeArray,
    predicted: FloatArray,
    *,
    # Below, 1 - eps would be 1 and the logarithm of the other side infinite.
    eps: Annotated[float, Field(ge=1e-16, lt=0.1, description=_CLIPPED)] = 1e-15,
    rows: Annotated[
        Literal["renormalise", "reject", "independent"],
        spelt({True: "renormalise", False: "reject", None: "renormalise"}),
        Field(
            validation_alias=AliasChoices("rows", "normalize_rows"),
            description="Rows of several columns not summing to 1: divide them by their sum, or refuse the "
            "file (also normalize_rows: true or false). independent: columns are separate yes/no questions.",
        ),
    ] = "renormalise",
    labels: Annotated[
        list[LabelText] | None,
        # Columns are found by their names, so this decides nothing, and two challenges do not differ by it.
        Field(
            exclude=True,
            description="The classes, which must be as many as the columns; of one column [0, 1].",
        ),
    ] = None,
) -> FloatArray:
    """Mean negative log-likelihood of the true class.

    Lower is better, 0 is perfect.

    Parameters
    ----------
    truth : array of shape (n_rows,)
        0.0 or 1.0; with several columns the number of the true class's column.
    predicted : float array of shape (n_rows,) or (n_rows, n_columns)
        Probabilities in [0, 1]; a single column is the probability of 1.
    """
    del rows, labels  # what is not refused is treated alike from here on
    if predicted.ndim == 1:
        # A file of the swapped labels can only send 1 - p, which has fewer digits of a small p.
        of_zero = 1.0 - predicted
        of_one = 1.0 - of_zero
        smaller = np.round(np.minimum(of_zero, of_one), _DECIMALS)
        p = np.where((truth == 1.0) == (of_one <= of_zero), smaller, 1.0 - smaller)
    else:
        p = predicted[np.arange(len(truth)), truth.astype(np.intp)] / predicted.sum(axis=1)
    # Clipped last: 1 - eps is rounded, and its complement is another number than eps.
    loss: FloatArray = -np.log(np.clip(p, eps, 1.0 - eps))
    return loss


@metric(
    "brier",
    version=1,
    greater_is_better=False,
    bounds=(0.0, 2.0),
    kind="probability",
    cells=PROBABILITY,
    truth=FLAG,
    layout="classes",
    finish="mean",
    row_faults=lambda predicted, parameters, **_: _row_sum_faults(
        predicted, reject=parameters.rows == "reject"
    ),
    convention="""With one or two columns the squared error of one class's probability, in [0, 1]; with more
    the sum over all classes, in [0, 2] (scikit-learn's scale_by_half: auto). Brier's own definition sums
    over both classes of two as well, which is twice the value: scale_by_half: false. Rows of several
    columns are divided by their sum, as for log_loss.""",
)
def brier_score(
    truth: FloatArray | CodeArray,
    predicted: FloatArray,
    *,
    scale_by_half: Annotated[
        bool | Literal["auto"],
        Field(description="Halve the sum over all classes; auto: where there are two."),
    ] = "auto",
    rows: SumRule = "renormalise",
) -> FloatArray:
    """Mean squared error of the predicted probabilities.

    Lower is better, 0 is perfect.

    Takes what `log_loss` takes.
    """
    del rows
    if predicted.ndim == 1:
        return (predicted - truth) ** 2 * (2.0 if scale_by_half is False else 1.0)
    p = predicted / predicted.sum(axis=1, keepdims=True)
    p[np.arange(len(truth)), truth.astype(np.intp)] -= 1.0
    halved = scale_by_half is True or (scale_by_half == "auto" and predicted.shape[1] == 2)
    total: FloatArray = np.einsum("ij,ij->i", p, p)
    return total / 2.0 if halved else total


def _untrue_distribution(truth: FloatArray, parameters: Any) -> str | None:
    sums = truth.sum(axis=1)
    if np.any(sums == 0.0):
        return f"{np.sum(sums == 0.0)} rows are all 0 and so are no distribution"
    if parameters.normalize_truth or np.all(np.abs(sums - 1.0) <= _TRUE_SUM_TOLERANCE):
        return None
    worst = sums[np.argmax(np.abs(sums - 1.0))]
    return (
        f"the true probabilities of a row sum to {worst:g} instead of 1; "
        "for votes state normalize_truth: true"
    )


@metric(
    "kl_divergence",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="probability",
    cells=PROBABILITY,
    truth=NOT_NEGATIVE,
    layout="matrix",
    finish="mean",
    undefined=_untrue_distribution,
    row_faults=lambda predicted, _, **__: _row_sum_faults(
        predicted, reject=True, tolerance=_KAGGLE_SUM_TOLERANCE
    ),
    convention="""Kullback-Leibler divergence of the truth from the prediction, natural logarithm, summed
    over the columns; 0 log 0 is 0, predictions are clipped to [eps, 1 - eps] (Kaggle's notebook). Predicted
    rows further than 1e-5 from a sum of 1 are refused, as there, and the others scored as they stand; what
    that takes a row below 0 counts as 0. In Kaggle's notebook an empty cell passes the check of the sums
    and scores as perfect; here it is refused.""",
)
def kullback_leibler_divergence(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    eps: Annotated[float, Field(ge=1e-300, lt=0.1, description=_CLIPPED)] = 1e-15,
    normalize_truth: Annotated[
        bool, Field(description="Divide the truth's rows, such as votes, by their sums.")
    ] = False,
) -> FloatArray:
    """Mean divergence of the predicted from the true distribution.

    Lower is better, 0 is perfect.

    Both are float arrays of shape (n_rows, n_columns); the truth is 0 or more.
    """
    t = truth / truth.sum(axis=1, keepdims=True) if normalize_truth else truth
    p = np.clip(predicted, eps, 1.0 - eps)
    # Where the sum is a little above 1, by rounding or by clipping, an almost perfect row would fall below 0.
    divergence: FloatArray = np.maximum(np.sum(rel_entr(t, p), axis=1), 0.0)
    return divergence


# --- two classes, in order ---------------------------------------------------------------------------


def _one_class(truth: FloatArray, _: Any) -> str | None:
    if np.all(truth == truth[0]):
        return f"every row is {truth[0]:g}, and AUC compares rows of two classes"
    return None


def _wrong_bands(parameters: Any, _: int) -> str | None:
    thresholds, band_weights = parameters.tpr_thresholds, parameters.tpr_weights
    if (thresholds is None) != (band_weights is None):
        return "tpr_thresholds and tpr_weights must be stated together"
    if thresholds is None:
        return None
    if parameters.max_fpr is not None:
        return "max_fpr and tpr_thresholds cut the area in two ways; state one of them"
    if len(thresholds) < 2 or any(a >= b for a, b in pairwise(thresholds)):
        return f"tpr_thresholds must be two or more rising numbers, got {thresholds}"
    if len(band_weights) != len(thresholds) - 1 or not any(band_weights):
        return f"tpr_weights needs {len(thresholds) - 1} numbers that are not all 0, one for each band"
    return None


_Share = Annotated[float, Field(ge=0, le=1)]


@metric(
    "roc_auc",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="score",
    cells=ANY_FINITE,
    truth=FLAG,
    check=_wrong_bands,
    undefined=_one_class,
    needs_every_class=True,
    convention="""Any finite number may be predicted, only the order counts; ties count one half (as scikit-
    learn). A split with one class only is an error of the challenge. Several columns: mean of the columns'
    areas (Kaggle's mean columnwise AUC). Where the columns are classes, and the solution has a 0/1 column for
    each or one column with each row's class, this is the area of each class against the rest, averaged over
    the classes (scikit-learn's multi_class="ovr" with average="macro"); rows need not sum to 1. undefined:
    skip leaves out columns of one class (Kaggle's BirdCLEF). max_fpr: the area up to there, standardised so
    that chance is 0.5 (McClish, as scikit-learn). tpr_thresholds: the area right of the curve between each
    two true positive rates, weighted by tpr_weights and divided by the most there can be (Kaggle's ALASKA2,
    with the curve interpolated at the thresholds; its widely copied notebook drops the pieces there).""",
)
def roc_auc_score(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    weights: FloatArray | None,
    max_fpr: Annotated[
        float | None, Field(gt=0, le=1, description="Only the area up to this false positive rate.")
    ] = None,
    tpr_thresholds: Annotated[
        list[_Share] | None,
        Field(description="Bounds of bands of the true positive rate, such as [0, 0.4, 1]."),
    ] = None,
    tpr_weights: Annotated[
        list[Annotated[float, Field(ge=0, le=1e6)]] | None,
        Field(description="How much each band's area counts, such as [2, 1]."),
    ] = None,
    multi_class: Annotated[
        Literal["ovr"] | None,
        # Columns are always scored each by itself, so this decides nothing.
        Field(exclude=True, description="ovr: several columns are classes, each against the rest."),
    ] = None,
) -> float:
    """Area under the ROC curve, the chance that a random 1 is ranked above a random 0.

    Higher is better, 1 is perfect, 0.5 is what a constant gets.

    `truth` holds 0 and 1, both at least once; both arrays have shape (n_rows,).
    """
    del multi_class
    if tpr_thresholds is not None and tpr_weights is not None:
        return _banded_area(truth, predicted, weights, tpr_thresholds, tpr_weights)
    if max_fpr is not None and max_fpr < 1.0:
        return _area_up_to(truth, predicted, weights, max_fpr)
    if weights is not None:
        fpr, tpr = _roc_curve(truth, predicted, weights)
        return float(np.trapezoid(tpr, fpr))
    # Two plain sorts are several times faster than ranking all rows, and the wins are counted exactly.
    positive = truth == 1.0
    zeros, ones = np.sort(predicted[~positive]), np.sort(predicted[positive])
    if len(ones) <= len(zeros):
        twice = np.searchsorted(zeros, ones, "left").sum() + np.searchsorted(zeros, ones, "right").sum()
    else:
        below = np.searchsorted(ones, zeros, "left").sum() + np.searchsorted(ones, zeros, "right").sum()
        twice = 2 * len(ones) * len(zeros) - below
    return int(twice) / (2 * len(ones) * len(zeros))


def _area_up_to(
    truth: FloatArray, predicted: FloatArray, weights: FloatArray | None, max_fpr: float
) -> float:
    fpr, tpr = _roc_curve(truth, predicted, weights)
    inside = int(np.searchsorted(fpr, max_fpr, "right"))
    x = np.append(fpr[:inside], max_fpr)
    y = np.append(
        tpr[:inside], np.interp(max_fpr, fpr[inside - 1 : inside + 1], tpr[inside - 1 : inside + 1])
    )
    area, chance = float(np.trapezoid(y, x)), max_fpr**2 / 2.0
    return (1.0 + (area - chance) / (max_fpr - chance)) / 2.0


def _banded_area(
    truth: FloatArray,
    predicted: FloatArray,
    weights: FloatArray | None,
    thresholds: list[float],
    band_weights: list[float],
) -> float:
    fpr, tpr = _roc_curve(truth, predicted, weights)
    heights = np.diff(tpr)
    below = np.append(0.0, np.cumsum(heights * (1.0 - (fpr[1:] + fpr[:-1]) / 2.0)))
    """Area right of the curve, from the bottom up to each of its points."""
    levels = np.array(thresholds)
    point = np.clip(np.searchsorted(tpr, levels, "left") - 1, 0, len(heights) - 1)
    rise = levels - tpr[point]
    slope = np.divide(
        fpr[point + 1] - fpr[point], heights[point], out=np.zeros(len(levels)), where=heights[point] > 0
    )
    at_levels = below[point] + rise * (1.0 - fpr[point] - slope * rise / 2.0)
    return float(np.dot(np.diff(at_levels), band_weights) / np.dot(np.diff(levels), band_weights))


def _roc_curve(
    truth: FloatArray, predicted: FloatArray, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return false and true positive rates from (0, 0) to (1, 1).

    One point for each distinct score, best first.
    """
    found, wrong = _called_at_each_score(truth, predicted, weights)
    return np.append(0.0, wrong / wrong[-1]), np.append(0.0, found / found[-1])


def _called_at_each_score(
    truth: FloatArray, predicted: FloatArray, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return the weights of ones and zeros at or above each score.

    The highest score comes first.
    """
    order = np.argsort(predicted)[::-1]
    score = predicted[order]
    last = np.append(np.flatnonzero(score[1:] != score[:-1]), len(score) - 1)
    one = truth[order]
    if weights is None:
        found = np.cumsum(one)[last]
        return found, last + 1.0 - found
    # Each summed by itself: all less the ones would lose zeros that weigh little beside them.
    weight = weights[order]
    return np.cumsum(one * weight)[last], np.cumsum((1.0 - one) * weight)[last]


@metric(
    "average_precision",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="score",
    cells=ANY_FINITE,
    truth=FLAG,
    undefined=lambda truth, _: None if np.any(truth == 1.0) else "no row is 1, so there is nothing to find",
    needs_every_class=True,
    convention="""Sum over the distinct scores, highest first, of precision times the gain in recall,
    without interpolation; rows of one score come together (as scikit-learn). A split without a 1 is an
    error of the challenge (scikit-learn gives 0 and a warning). Several columns: mean of the columns'
    values.""",
)
def average_precision_score(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Mean precision along the ranking, weighted by gains in recall.

    Higher is better, 1 is perfect.

    A constant gets the share of ones. `truth` holds 0 and 1; both arrays have shape (n_rows,).
    """
    found, wrong = _called_at_each_score(truth, predicted, weights)
    called = found + wrong
    precision = np.divide(found, called, out=np.zeros(len(found)), where=called > 0)
    return float(np.dot(np.diff(found, prepend=0.0), precision) / found[-1])


# --- several labels a row, ranked ---------------------------------------------------------------------


def _ratio(sums: FloatArray, _: float, __: Any) -> float:
    return float(sums[0] / sums[1]) if sums[1] else math.nan


def _no_label(truth: FloatArray, _: Any) -> str | None:
    return None if np.any(truth == 1.0) else "no row has a label, so there is nothing to rank"


def _precision_at_labels(truth: FloatArray, predicted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return each row's summed precision at its labels, and their number."""
    total = np.zeros(len(truth))
    step = max(1, _BLOCK // truth.shape[1])
    for start in range(0, len(truth), step):
        block = slice(start, start + step)
        total[block] = _summed_precision(truth[block], predicted[block])
    return total, np.sum(truth, axis=1)


def _summed_precision(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    order = np.argsort(-predicted, axis=1)
    score = np.take_along_axis(predicted, order, axis=1)
    label = np.take_along_axis(truth, order, axis=1)
    n_columns = truth.shape[1]
    last: NDArray[np.intp] = np.full(truth.shape, n_columns - 1)
    last[:, :-1] = np.where(score[:, :-1] != score[:, 1:], np.arange(n_columns - 1), n_columns - 1)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]  # where each group of ties ends
    above = np.take_along_axis(np.cumsum(label, axis=1), last, axis=1)
    summed: FloatArray = np.sum(label * above / (last + 1.0), axis=1)
    return summed


@metric(
    "lrap",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="score",
    cells=ANY_FINITE,
    truth=FLAG,
    layout="matrix",
    finish=_ratio,
    undefined=_no_label,
    convention="""Only the order of a row's columns counts; all labels of one score rank where the last of
    them does (as scikit-learn). Rows without a true label are skipped (Kaggle's Freesound; scikit-learn
    counts them as 1).""",
)
def label_ranking_average_precision(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Mean over rows of the mean precision at the rank of each true label.

    Higher is better, 1 is perfect.

    Both are float arrays of shape (n_rows, n_columns), the truth 0 or 1.
    """
    precision, n_labels = _precision_at_labels(truth, predicted)
    return np.column_stack([precision / np.maximum(n_labels, 1.0), n_labels > 0])


@metric(
    "lwlrap",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="score",
    cells=ANY_FINITE,
    truth=FLAG,
    layout="matrix",
    finish=_ratio,
    undefined=_no_label,
    convention="""Each true label counts the same, not each row, so rows without one count nothing (Kaggle's
    Freesound 2019). All labels of one score rank where the last of them does.""",
)
def label_weighted_ranking_precision(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Mean over all true labels of the precision at their rank.

    Higher is better, 1 is perfect.

    Takes what `lrap` takes.
    """
    return np.column_stack(_precision_at_labels(truth, predicted))

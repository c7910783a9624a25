"""Scores from counts of labels: precision, recall and F-beta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field

from scorer.metrics.registry import (
    ANY_FINITE,
    FLAG,
    LABEL,
    LIST,
    WHOLE,
    Classes,
    LabelText,
    counts,
    metric,
    weighted_mean,
)
from scorer.reading.cells import Cells, canonical_label
from scorer.reading.columns import CodeArray, FloatArray, Labels, Lists


class _Tally:
    """The weight of each label: `hit`, `true` and `called`.

    True and predicted, true, and predicted.
    """

    def __init__(
        self, truth: Labels | Lists, predicted: Labels | Lists, weights: FloatArray | None, classes: Classes
    ) -> None:
        n_codes = len(classes.names)
        if isinstance(truth, Labels) and isinstance(predicted, Labels):
            same = np.where(truth.codes == predicted.codes, truth.codes, np.int32(-1))
            sides = [(codes, weights) for codes in (same, truth.codes, predicted.codes)]
        else:
            assert isinstance(truth, Lists)
            assert isinstance(predicted, Lists)
            sides = [
                (codes, None if weights is None else weights[rows])
                for rows, codes in _shared_tokens(truth, predicted, n_codes)
            ]
        self.hit, self.true, self.called = (counts(codes, n_codes, weight) for codes, weight in sides)


def _shared_tokens(truth: Lists, predicted: Lists, n_codes: int) -> list[tuple[NDArray[np.int64], CodeArray]]:
    """Return rows and codes of the tokens in both, true and called.

    Each token of a row counts once.
    """
    true, called = (_distinct(lists.rows * n_codes + lists.codes) for lists in (truth, predicted))
    merged = np.sort(np.concatenate([true, called]), kind="stable")
    both = merged[1:][merged[1:] == merged[:-1]]
    return [(keys // n_codes, (keys % n_codes).astype(np.int32)) for keys in (both, true, called)]


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    # The stable sort merges what is in order already; np.unique hashes and takes a hundred times as long.
    ordered = np.sort(keys, kind="stable")
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


@metric(
    "balanced_accuracy",
    version=3,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="label",
    cells=LABEL,
    needs_every_class=True,
    convention="""Mean recall over the classes that occur among the scored rows; not adjusted for chance
    unless adjusted: true is stated (scikit-learn's default; RAMP's is the other).""",
)
def balanced_accuracy_score(
    truth: Labels,
    predicted: Labels,
    *,
    weights: FloatArray | None,
    classes: Classes,
    adjusted: Annotated[
        bool, Field(description="Rescale so that guessing gives 0 and perfect gives 1.")
    ] = False,
) -> float:
    """Mean of the classes' recalls.

    Higher is better, 1 is perfect, 1 / n_classes is guessing.
    """
    tally = _Tally(truth, predicted, weights, classes)
    present = tally.true > 0
    recall = float(np.mean(tally.hit[present] / tally.true[present]))
    chance = 1.0 / int(np.sum(present))
    # With one class only there is no chance level to adjust for.
    return (recall - chance) / (1.0 - chance) if adjusted and chance < 1.0 else recall


def _positive_name(positive: str, names: Sequence[str]) -> str:
    """Return the spelling of the positive label.

    Where the classes are True and False, 1 means True.
    """
    label = canonical_label(positive)
    return "True" if label == "1" and "True" in names and "1" not in names else label


def _not_two_classes(
    truth: Labels | Lists | FloatArray, parameters: Any, classes: Classes | None = None
) -> str | None:
    if parameters.average != "binary" or isinstance(truth, np.ndarray):
        return None
    codes = np.unique(truth.codes)
    if classes is None:
        return f"average: binary compares two classes, and there are {len(codes)}" if len(codes) > 2 else None
    present = sorted(classes.names[code] for code in codes)
    positive = _positive_name(parameters.positive, present)
    if len({*present, positive}) <= 2:
        return None
    listed = ", ".join(present[:5]) + (", ..." if len(present) > 5 else "")
    return (
        f'average: binary compares "{positive}" with one other class, and the classes are {listed}; '
        "state positive, or average: macro"
    )


def _classes_of_one(parameters: Any, _: int) -> str | None:
    if parameters.average == "binary" and not isinstance(parameters.labels, str):
        return "average: binary scores the positive class alone, so a list of labels means nothing"
    return None


def _wrong_average(parameters: Any, n_columns: int) -> str | None:
    if parameters.probabilistic and parameters.average != "binary":
        return f"probabilistic scores a 0/1 column, so average: {parameters.average} means nothing"
    return _classes_of_one(parameters, n_columns)


Average = Annotated[
    Literal["binary", "micro", "macro", "weighted", "samples"],
    Field(
        description="binary: of the positive class; micro: of all labels together; macro: mean over classes; "
        "weighted: the same, classes weighing as many rows as they have; samples: mean over rows."
    ),
]
Positive = Annotated[
    LabelText,
    Field(
        validation_alias=AliasChoices("positive", "pos_label"),
        description="With average: binary, the label that counts as found (also pos_label).",
    ),
]
ClassChoice = Annotated[
    Literal["challenge", "union"]
    | Annotated[list[LabelText], AfterValidator(lambda labels: sorted({*map(canonical_label, labels)}))],
    # Existing configurations write "union of truth and prediction" for it.
    BeforeValidator(
        lambda words: "union" if isinstance(words, str) and words.startswith("union ") else words
    ),
    Field(
        validation_alias=AliasChoices("labels", "vocabulary"),
        description="Which classes macro averages over: those of the challenge, or also those only predicted "
        "(union). A list names the only labels that count at all, true or predicted (also vocabulary).",
    ),
]
ZeroDivision = Annotated[
    Literal[0], Field(description="Only 0, which is what 0/0 counts; known from scikit-learn."), WHOLE
]
Probabilistic = Annotated[
    bool,
    Field(description="Predictions are probabilities of 1 and count as that much of a find (RSNA's pF1)."),
]

_AVERAGES = """0/0 is 0, except that nothing to find and nothing called is 1: for a row's two empty lists
(samples) and where no counted label occurs on either side (micro, macro, weighted). samples reads every
cell as a list, the others do with split. macro is the mean over the challenge's classes, so a class that
was only predicted adds no term of its own, yet costs the class it was taken from; labels: union gives it
a term of 0, as scikit-learn does. A class without a row on either side adds no term. micro counts every
label, known or not (mle-bench lets unknown tags go unpunished), and equals accuracy when each row has one
label. labels may also be a list, of the only labels that count at all. In a list a repeated label counts
once."""


def _overlap(
    truth: Labels | Lists,
    predicted: Labels | Lists,
    *,
    of_true: float,
    of_called: float,
    average: str,
    positive: str,
    labels: str | list[str],
    weights: FloatArray | None,
    classes: Classes,
) -> float:
    """Return the hits as a share of a mixture of true and called.

    With `of_true` alone it is recall, with `of_called` alone precision; F-beta takes beta squared parts of
    the first to one of the second.
    """

    def share(hit: FloatArray, true: FloatArray, called: FloatArray) -> FloatArray:
        whole = of_true * true + of_called * called
        return np.divide((of_true + of_called) * hit, whole, out=np.zeros(len(hit)), where=whole > 0)

    if isinstance(labels, list):
        named = {_positive_name(label, classes.names) for label in labels}
        known = np.fromiter((name in named for name in classes.names), np.bool_, len(classes.names))
        truth, predicted = (_only(known, column) for column in (truth, predicted))
    if average == "samples":
        assert isinstance(truth, Lists)
        assert isinstance(predicted, Lists)
        hit, true, called = _sizes(truth, predicted, len(classes.names))
        return weighted_mean(np.where(true + called > 0, share(hit, true, called), 1.0), weights)
    tally = _Tally(truth, predicted, weights, classes)
    if average == "binary":
        code = classes.code(_positive_name(positive, [classes.names[code] for code in classes.codes]))
        chosen = np.array([] if code is None else [code], dtype=np.intp)
        return float(np.sum(share(tally.hit[chosen], tally.true[chosen], tally.called[chosen])))
    if not np.any(tally.true + tally.called):
        return 1.0
    if average == "micro":
        totals = [np.array([np.sum(side)]) for side in (tally.hit, tally.true, tally.called)]
        return float(share(*totals)[0])
    present = tally.true + tally.called > 0
    if average == "macro" and labels == "challenge":
        present &= np.isin(np.arange(len(present)), classes.codes)
    shares = share(tally.hit[present], tally.true[present], tally.called[present])
    if average == "macro":
        return float(np.mean(shares)) if len(shares) else 0.0
    support = tally.true[present]
    return float(np.dot(shares, support) / np.sum(support)) if np.any(support) else 0.0


def _only(known: NDArray[np.bool_], column: Labels | Lists) -> Labels | Lists:
    """Return the column without unknown labels."""
    if isinstance(column, Labels):
        return Labels(np.where(known[column.codes], column.codes, np.int32(-1)))
    kept = known[column.codes]
    return Lists(column.codes[kept], np.concatenate(([0], np.cumsum(kept)))[column.offsets])


def _sizes(truth: Lists, predicted: Lists, n_codes: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each row's numbers of right, true and predicted labels.

    A repeated label counts once.
    """
    hit, true, called = (
        np.bincount(rows, minlength=len(truth)).astype(np.float64)
        for rows, _ in _shared_tokens(truth, predicted, n_codes)
    )
    return hit, true, called


def _probabilistic_fbeta(
    truth: FloatArray, predicted: FloatArray, beta: float, weights: FloatArray | None
) -> float:
    p = np.clip(predicted, 0.0, 1.0)
    w = np.ones(len(truth)) if weights is None else weights
    found, true, called = (float(np.dot(w, terms)) for terms in (p * truth, truth, p))
    whole = beta**2 * true + called
    return (1.0 + beta**2) * found / whole if whole else 0.0


def _label_cells(parameters: Any) -> Cells:
    return LIST if parameters.average == "samples" else LABEL


def _fbeta_cells(parameters: Any) -> Cells:
    return ANY_FINITE if parameters.probabilistic else _label_cells(parameters)


def _fbeta_truth(parameters: Any) -> Cells:
    return FLAG if parameters.probabilistic else _label_cells(parameters)


@metric(
    "fbeta",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=_fbeta_cells,
    truth=_fbeta_truth,
    check=_wrong_average,
    undefined=_not_two_classes,
    needs_every_class=True,
    lists=True,
    convention=f"""{_AVERAGES} probabilistic: predictions are cut to [0, 1], and a file of zeros scores 0
    (Kaggle's RSNA breast cancer metric divides 0 by 0).""",
)
def fbeta_score(
    truth: Any,
    predicted: Any,
    *,
    weights: FloatArray | None,
    classes: Classes,
    beta: Annotated[
        float, Field(gt=0, le=1000, description="How many times as much recall counts as precision.")
    ] = 1.0,
    average: Average = "binary",
    positive: Positive = "1",
    labels: ClassChoice = "challenge",
    zero_division: ZeroDivision = 0,
    probabilistic: Probabilistic = False,
) -> float:
    """Weighted harmonic mean of precision and recall.

    Higher is better, 1 is perfect.

    Truth and predicted are Labels or Lists; with `probabilistic` float arrays of shape (n_rows,), the truth
    0 or 1.
    """
    del zero_division
    if probabilistic:
        return _probabilistic_fbeta(truth, predicted, beta, weights)
    return _overlap(
        truth,
        predicted,
        of_true=beta**2,
        of_called=1.0,
        average=average,
        positive=positive,
        labels=labels,
        weights=weights,
        classes=classes,
    )


@metric(
    "f1",
    version=3,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=_fbeta_cells,
    truth=_fbeta_truth,
    check=_wrong_average,
    undefined=_not_two_classes,
    needs_every_class=True,
    lists=True,
    convention=f"fbeta with beta 1. {_AVERAGES}",
)
def f1_score(
    truth: Any,
    predicted: Any,
    *,
    weights: FloatArray | None,
    classes: Classes,
    average: Average = "binary",
    positive: Positive = "1",
    labels: ClassChoice = "challenge",
    zero_division: ZeroDivision = 0,
    probabilistic: Probabilistic = False,
) -> float:
    """Harmonic mean of precision and recall.

    Higher is better, 1 is perfect.
    """
    del zero_division
    value = fbeta_score(
        truth,
        predicted,
        weights=weights,
        classes=classes,
        beta=1.0,
        average=average,
        positive=positive,
        labels=labels,
        probabilistic=probabilistic,
    )
    return float(value)


@metric(
    "precision",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=_label_cells,
    check=_classes_of_one,
    undefined=_not_two_classes,
    needs_every_class=True,
    lists=True,
    convention=f"{_AVERAGES} So a class that is never called has precision 0.",
)
def precision_score(
    truth: Labels | Lists,
    predicted: Labels | Lists,
    *,
    weights: FloatArray | None,
    classes: Classes,
    average: Average = "binary",
    positive: Positive = "1",
    labels: ClassChoice = "challenge",
    zero_division: ZeroDivision = 0,
) -> float:
    """Share of what was called that is true.

    Higher is better, 1 is perfect.
    """
    del zero_division
    return _overlap(
        truth,
        predicted,
        of_true=0.0,
        of_called=1.0,
        average=average,
        positive=positive,
        labels=labels,
        weights=weights,
        classes=classes,
    )


@metric(
    "recall",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=_label_cells,
    check=_classes_of_one,
    undefined=_not_two_classes,
    needs_every_class=True,
    lists=True,
    convention=_AVERAGES,
)
def recall_score(
    truth: Labels | Lists,
    predicted: Labels | Lists,
    *,
    weights: FloatArray | None,
    classes: Classes,
    average: Average = "binary",
    positive: Positive = "1",
    labels: ClassChoice = "challenge",
    zero_division: ZeroDivision = 0,
) -> float:
    """Share of what is true that was called.

    Higher is better, 1 is perfect.
    """
    del zero_division
    return _overlap(
        truth,
        predicted,
        of_true=1.0,
        of_called=0.0,
        average=average,
        positive=positive,
        labels=labels,
        weights=weights,
        classes=classes,
    )


@metric(
    "f1_sets",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=LIST,
    finish="mean",
    convention="""The F1 of each row's two sets, then the mean over rows (Kaggle's Mean F1-Score,
    benhamner/Metrics): f1 with average: samples on lists. Order and repetition do not matter; two empty
    sets score 1, one empty set 0.""",
)
def mean_f1_of_sets(truth: Lists, predicted: Lists, *, classes: Classes) -> FloatArray:
    """Mean over rows of the F1 of the predicted set of labels.

    Higher is better, 1 is perfect.
    """
    hit, true, called = _sizes(truth, predicted, len(classes.names))
    return np.divide(2.0 * hit, true + called, out=np.ones(len(hit)), where=true + called > 0)

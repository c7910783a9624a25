"""Scores of predicted labels: one per row, sets of them, ranked guesses, and grades in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field

from scorer.metrics.registry import (
    ANY_FINITE,
    FLAG,
    INFINITY,
    LABEL,
    LIST,
    WHOLE,
    Classes,
    LabelText,
    counts,
    metric,
    spelt,
    weighted_mean,
)
from scorer.reading.cells import LARGEST, Cells, canonical_label
from scorer.reading.columns import CodeArray, FloatArray, Labels, Lists

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
    """Share of rows whose label is right; higher is better, 1 is perfect."""
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
    """Share of rows whose label is wrong; lower is better, 0 is perfect."""
    return _as_numbers(truth.codes != predicted.codes)


@metric(
    "hamming",
    version=1,
    greater_is_better=False,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=FLAG,
    finish="mean",
    convention="""One column of 0 and 1 for each label; the score is the share of wrong cells, which is the mean over
    columns (as scikit-learn). Lists are not scored, since their number of wrong cells depends on how many labels
    are counted that nobody named.""",
)
def hamming_loss(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Share of labels wrongly given or wrongly left out; lower is better, 0 is perfect."""
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
    convention="""The order of the list decides which guesses count, so there are no ties (scikit-learn breaks ties of
    scores by the class's number). A repeated guess takes up a place, an empty list is wrong. With transform: 1-x
    it is Kaggle's MeanBestErrorAtK.""",
)
def top_k_accuracy_score(
    truth: Labels,
    predicted: Lists,
    *,
    k: Annotated[int, Field(ge=1, le=10**6, description="How many guesses of a row count."), WHOLE] = 5,
) -> FloatArray:
    """Share of rows with the true label among the first k guesses; higher is better, 1 is perfect."""
    rows = predicted.rows
    found = (predicted.codes == truth.codes[rows]) & (predicted.places < k)
    return _as_numbers(np.bincount(rows[found], minlength=len(predicted)) > 0)


# --- counts of labels ---------------------------------------------------------------------------------


class _Tally:
    """How much weight each label has: true and predicted, true, and predicted."""

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
    """Rows and codes of the tokens in both lists of a row, in the true one, in the predicted one; each once."""
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
    version=2,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="label",
    cells=LABEL,
    needs_every_class=True,
    convention="""Mean recall over the classes that occur among the scored rows; not adjusted for chance unless
    adjusted: true is stated (scikit-learn's default; RAMP's is the other).""",
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
    """Mean of the classes' recalls; higher is better, 1 is perfect, 1 / n_classes is guessing."""
    tally = _Tally(truth, predicted, weights, classes)
    present = tally.true > 0
    recall = float(np.mean(tally.hit[present] / tally.true[present]))
    chance = 1.0 / int(np.sum(present))
    # With one class only there is no chance level to adjust for.
    return (recall - chance) / (1.0 - chance) if adjusted and chance < 1.0 else recall


def _positive_name(positive: str, names: Sequence[str]) -> str:
    """The label that counts as found; where the classes are True and False, a 1 means True."""
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
    # Configurations in circulation explain it in the same breath: "union of truth and prediction".
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
(samples) and where no counted label occurs on either side (micro, macro, weighted). samples reads every cell as
a list, the others do with split. macro is the mean over the challenge's classes, so a class that was only
predicted adds no term of its own, yet costs the class it was taken from; labels: union gives it a term of 0, as
scikit-learn does. A class without a row on either side adds no term. micro counts every label, known or not
(mle-bench lets unknown tags go unpunished), and equals accuracy when each row has one label. labels may also be
a list, of the only labels that count at all. In a list a repeated label counts once."""


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
    """What is found, as a share of what is true and of what is called, mixed in the given parts.

    All of the first is recall, all of the second is precision, and F-beta takes beta squared parts
    of the first to one of the second.
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
    """The column without the labels that are not known."""
    if isinstance(column, Labels):
        return Labels(np.where(known[column.codes], column.codes, np.int32(-1)))
    kept = known[column.codes]
    return Lists(column.codes[kept], np.concatenate(([0], np.cumsum(kept)))[column.offsets])


def _sizes(truth: Lists, predicted: Lists, n_codes: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of each row: how many labels are right, true, and predicted; each label once."""
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
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=_fbeta_cells,
    truth=_fbeta_truth,
    check=_wrong_average,
    undefined=_not_two_classes,
    needs_every_class=True,
    lists=True,
    convention=f"""{_AVERAGES} probabilistic: predictions are cut to [0, 1], and a file of zeros scores 0 (Kaggle's
    RSNA breast cancer metric divides 0 by 0).""",
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
    """Weighted harmonic mean of precision and recall; higher is better, 1 is perfect.

    Truth and predicted are Labels or Lists; with `probabilistic` float arrays of shape (n_rows,),
    the truth 0 or 1.
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
    """Harmonic mean of precision and recall; higher is better, 1 is perfect."""
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
    version=1,
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
    """Share of what was called that is true; higher is better, 1 is perfect."""
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
    version=1,
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
    """Share of what is true that was called; higher is better, 1 is perfect."""
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
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=LIST,
    finish="mean",
    convention="""The F1 of each row's two sets, then the mean over rows (Kaggle's Mean F1-Score, benhamner/Metrics): f1
    with average: samples on lists. Order and repetition do not matter; two empty sets score 1, one empty set 0.""",
)
def mean_f1_of_sets(truth: Lists, predicted: Lists, *, classes: Classes) -> FloatArray:
    """Mean over rows of the F1 of the predicted set of labels; higher is better, 1 is perfect."""
    hit, true, called = _sizes(truth, predicted, len(classes.names))
    return np.divide(2.0 * hit, true + called, out=np.ones(len(hit)), where=true + called > 0)


# --- agreement beyond chance --------------------------------------------------------------------------


class _Agreement:
    """How much weight rows have, by class: told alike, taken for another class, and taken for this one.

    Everything below is made of sums of what is 0 or more; differences from a square would lose the light rows.
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
    version=1,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="label",
    cells=LABEL,
    needs_every_class=True,
    convention="""For two classes Matthews' coefficient, for more Gorodkin's (as scikit-learn). 0 if every prediction is
    the same label, or every true one; a challenge needs every class in both splits.""",
)
def matthews_correlation(
    truth: Labels, predicted: Labels, *, weights: FloatArray | None, classes: Classes
) -> float:
    """Correlation of predicted and true labels; higher is better, 1 is perfect, 0 is chance."""
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
    max_rating and predictions outside are refused; scikit-learn's default uses the distance between the ratings
    that happen to occur (0.636 instead of 0.294 on one published file). If every rating on both sides is the
    same, 0/0 is 1. Numbers that are not whole are refused.""",
)
def quadratic_weighted_kappa(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    min_rating: LowestRating = None,
    max_rating: HighestRating = None,
) -> FloatArray:
    """Agreement of ratings beyond chance, large differences weighing more; higher is better, 1 is perfect.

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
    version=1,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="label",
    cells=lambda parameters: LABEL if parameters.weighting == "none" else _rating_cells(parameters),
    check=_kappa_check,
    convention="""Without weighting any labels, equal or not. linear and quadratic weigh by the distance of the
    ratings themselves, which are whole numbers (scikit-learn's default takes the distance between the ratings that
    happen to occur); quadratic is qwk. Predictions outside a stated range are refused. If every label on both sides is the same, 0/0 is 1.""",
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
            description="How much a disagreement counts: all the same, or by the ratings' distance (also weights).",
        ),
        spelt({None: "none"}),
    ] = "none",
    min_rating: LowestRating = None,
    max_rating: HighestRating = None,
) -> float:
    """Agreement beyond chance; higher is better, 1 is perfect, 0 is chance.

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


# --- what decisions cost ------------------------------------------------------------------------------


Outcomes = Annotated[
    list[LabelText] | None, Field(min_length=2, description="Every class, in the order of the matrix.")
]
Matrix = Annotated[
    list[list[Annotated[float, Field(ge=-1e9, le=1e9)]]] | None,
    Field(description="One row for each true class, one column for each predicted class."),
]


def _wrong_matrix(parameters: Any, *, costs: bool) -> str | None:
    labels, matrix = parameters.labels, parameters.matrix
    if labels is None or matrix is None:
        return None  # they are required, and that is said elsewhere
    n = len({canonical_label(label) for label in labels})
    if n < len(labels):
        return "labels names a class twice"
    if len(matrix) != n or any(len(row) != n for row in matrix):
        return f"matrix must have {n} rows of {n} numbers, one for each of labels"
    for label, row, right in zip(labels, matrix, (matrix[i][i] for i in range(n)), strict=True):
        if costs and (right != 0.0 or min(row) < 0.0):
            return f"the matrix's row of {label} must be 0 where the answer is right and 0 or more elsewhere"
        if not costs and max(row) > right:
            return f"in the matrix's row of {label} a wrong answer is worth more than the right one"
    return None


def _unknown_outcome(truth: Labels, parameters: Any, classes: Classes | None = None) -> str | None:
    if classes is None:
        return None
    known = {canonical_label(label) for label in parameters.labels}
    unknown = [name for name in (classes.names[code] for code in np.unique(truth.codes)) if name not in known]
    return f'labels does not name the class "{unknown[0]}"' if unknown else None


def _outcomes(
    truth: Labels, predicted: Labels, classes: Classes, labels: list[str] | None, values: FloatArray
) -> FloatArray:
    """The value of each row's outcome; a last row and column of `values` is for labels without one."""
    number = {canonical_label(label): i for i, label in enumerate(labels or ())}
    place = np.array([number.get(name, len(number)) for name in classes.names], dtype=np.intp)
    found: FloatArray = values[place[truth.codes], place[predicted.codes]]
    return found


_UNNAMED = "A predicted label that is not among labels counts as the worst answer to its row."


@metric(
    "expected_cost",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="label",
    cells=LABEL,
    finish="mean",
    required=("labels", "matrix"),
    check=lambda parameters, _: _wrong_matrix(parameters, costs=True),
    undefined=_unknown_outcome,
    convention=f"""A right answer costs 0: where it does not, take its cost off the matrix's whole row, which ranks files
    the same, or use utility. {_UNNAMED}""",
)
def expected_cost(
    truth: Labels, predicted: Labels, *, classes: Classes, labels: Outcomes = None, matrix: Matrix = None
) -> FloatArray:
    """Mean cost of the predicted classes by a matrix of costs; lower is better, 0 is perfect."""
    values = np.array(matrix, dtype=np.float64)
    values = np.column_stack([values, values.max(axis=1)])
    return _outcomes(truth, predicted, classes, labels, np.vstack([values, values.max(axis=0)]))


@metric(
    "utility",
    version=1,
    greater_is_better=True,
    bounds=(-INFINITY, INFINITY),
    kind="label",
    cells=LABEL,
    finish="mean",
    required=("labels", "matrix"),
    check=lambda parameters, _: _wrong_matrix(parameters, costs=False),
    undefined=_unknown_outcome,
    attainable=False,
    convention=f"""The right answer is worth the most in each row of the matrix, but how much that is depends on the
    matrix and on the classes' shares, so there is no fixed best value. {_UNNAMED}""",
)
def mean_utility(
    truth: Labels, predicted: Labels, *, classes: Classes, labels: Outcomes = None, matrix: Matrix = None
) -> FloatArray:
    """Mean worth of the predicted classes by a matrix of values; higher is better."""
    values = np.array(matrix, dtype=np.float64)
    values = np.column_stack([values, values.min(axis=1)])
    return _outcomes(truth, predicted, classes, labels, np.vstack([values, values.min(axis=0)]))

"""Frames and independent implementations for metrics of labels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import sklearn.metrics
from hypothesis import strategies as st
from sklearn.preprocessing import MultiLabelBinarizer

from tests.scorer.metric_cases import Frames, MetricCase

Reference = Callable[[pd.DataFrame, pd.DataFrame], float]


def frames(
    truth: st.SearchStrategy[Any],
    predicted: st.SearchStrategy[Any],
    *,
    always: Sequence[Any] = (),
    names: Sequence[str] = ("y",),
    truth_names: Sequence[str] | None = None,
) -> st.SearchStrategy[Frames]:
    """Return frames of up to 14 rows, drawn cell by cell.

    Each strategy draws a cell, or a tuple of cells where there are several names. A row is added for each
    truth in `always`.
    """

    def table(values: Sequence[Any], columns: Sequence[str]) -> pd.DataFrame:
        cells = [value if isinstance(value, tuple) else (value,) for value in values]
        return pd.DataFrame(
            {"id": range(len(cells))} | dict(zip(columns, zip(*cells, strict=True), strict=True))
        )

    added = st.tuples(*(st.tuples(st.just(value), predicted) for value in always))
    drawn = st.lists(st.tuples(truth, predicted), min_size=2, max_size=14 - len(always))
    return st.tuples(drawn, added).map(
        lambda both: (
            table([t for t, _ in [*both[0], *both[1]]], truth_names or names),
            table([p for _, p in [*both[0], *both[1]]], names),
        )
    )


def of_columns(function: Callable[..., Any], **options: Any) -> Reference:
    """A function of scikit-learn over the two columns `y`."""
    return lambda solution, submission: float(function(solution["y"], submission["y"], **options))


def over_true_classes(function: Callable[..., Any], **options: Any) -> Reference:
    """The same, over the classes that the truth has."""
    return lambda solution, submission: float(
        function(
            solution["y"], submission["y"], labels=sorted(set(solution["y"])), zero_division=0, **options
        )
    )


def over_tokens(function: Callable[..., Any], **options: Any) -> Reference:
    """Return the same over one 0/1 column for every token."""

    def reference(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        sets = [[cell.split() for cell in frame["y"]] for frame in (solution, submission)]
        binarizer = MultiLabelBinarizer().fit([*sets[0], *sets[1]])
        return float(function(*map(binarizer.transform, sets), zero_division=0, **options))

    return reference


def f1_of_sets(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    scores = []
    for cell, other in zip(solution["y"], submission["y"], strict=True):
        true, called = set(cell.split()), set(other.split())
        if not true and not called:
            scores.append(1.0)
        elif not true & called:
            scores.append(0.0)
        else:
            precision, recall = len(true & called) / len(called), len(true & called) / len(true)
            scores.append(2 * precision * recall / (precision + recall))
    return sum(scores) / len(scores)


def share_of_sets(divisor: int) -> Reference:
    """Return the mean share of right tokens per row.

    Of the true (0) or the called tokens (1), two empty sets being 1.
    """

    def reference(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        scores = []
        for cells in zip(solution["y"], submission["y"], strict=True):
            sets = [set(cell.split()) for cell in cells]
            right = len(sets[0] & sets[1])
            scores.append(right / len(sets[divisor]) if sets[divisor] else float(not (sets[0] | sets[1])))
        return sum(scores) / len(scores)

    return reference


def rsna_pf1(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    """The probabilistic F1 as the competition's overview words it."""
    true, found, wrong = 0.0, 0.0, 0.0
    for label, prediction in zip(solution["y"], submission["y"], strict=True):
        p = min(max(prediction, 0.0), 1.0)
        true += label
        found += p * label
        wrong += p * (1 - label)
    if found == 0.0:
        return 0.0
    precision, recall = found / (found + wrong), found / true
    return float(2 * precision * recall / (precision + recall))


def within_first(k: int) -> Reference:
    return lambda solution, submission: float(
        np.mean([t in p.split()[:k] for t, p in zip(solution["y"], submission["y"], strict=True)])
    )


OUTCOMES = ["a", "b", "1"]
COSTS: list[list[float]] = [[0, 1, 5], [2, 0, 2.5], [10, 1, 0]]
VALUES: list[list[float]] = [[3, -1, -5], [0, 0, 0], [-10, 1, 8]]


def outcomes(matrix: Sequence[Sequence[float]], worst: Callable[..., float]) -> Reference:
    def reference(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        total = 0.0
        for t, p in zip(solution["y"], submission["y"], strict=True):
            row = matrix[OUTCOMES.index(t)]
            total += row[OUTCOMES.index(p)] if p in OUTCOMES else worst(row)
        return total / len(solution)

    return reference


def quadratic_by_hand(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    """Return disagreement relative to all pairings of ratings."""
    true, called = solution["y"].tolist(), submission["y"].tolist()
    observed = sum((t - p) ** 2 for t, p in zip(true, called, strict=True)) / len(true)
    expected = sum((t - p) ** 2 for t in true for p in called) / len(true) ** 2
    return float(1 - observed / expected)


labels = st.sampled_from(["a", "b", "c", "d"])
guesses = st.sampled_from(["a", "b", "c", "zz", "yy"])
flags = st.sampled_from(["0", "1"])
bits = st.integers(0, 1)
tokens = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=4).map(" ".join)
more_tokens = st.lists(st.sampled_from(["a", "b", "c", "zz"]), max_size=5).map(" ".join)
ratings = st.integers(-1, 4)
RANGE = {"min_rating": -1, "max_rating": 4}
ALL_RATINGS = [-1, 0, 1, 2, 3, 4]

one_label = frames(labels, guesses)
two_labels = frames(labels, guesses, always=["a", "b"])
yes_no = frames(flags, flags, always=["1", "0"])
lists = frames(tokens, more_tokens, always=["a", "b c"])
rated = frames(ratings, ratings, always=[0, 3])
bits_and_scores = frames(bits, st.floats(-0.5, 1.5) | bits, always=[1])


def averaged(name: str, function: Callable[..., Any], **options: Any) -> list[MetricCase]:
    """The cases that precision, recall and the F-scores share."""
    union = {"average": "macro", "labels": "union"}
    return [
        MetricCase(
            yes_no,
            {"zero_division": 0, **options},
            of_columns(function, pos_label="1", zero_division=0, **options),
        ),
        MetricCase(
            frames(
                flags.map({"0": "no", "1": "yes"}.get), flags.map({"0": "no", "1": "yes"}.get), always=["yes"]
            ),
            {"positive": "yes", **options},
            of_columns(function, pos_label="yes", zero_division=0, **options),
        ),
        MetricCase(
            one_label,
            {"average": "macro", **options},
            over_true_classes(function, average="macro", **options),
        ),
        MetricCase(
            one_label, {**union, **options}, of_columns(function, average="macro", zero_division=0, **options)
        ),
        MetricCase(
            one_label,
            {"average": "weighted", **options},
            of_columns(function, average="weighted", zero_division=0, **options),
        ),
        MetricCase(
            one_label,
            {"average": "micro", **options},
            of_columns(function, average="micro", zero_division=0, **options),
        ),
        MetricCase(
            lists,
            {"average": "micro", "split": " ", **options},
            over_tokens(function, average="micro", **options),
        ),
        MetricCase(
            two_labels,
            {"average": "weighted", "vocabulary": ["b", "a"], **options},
            of_columns(function, average="weighted", labels=["a", "b"], zero_division=0, **options),
        ),
        MetricCase(
            lists,
            {"average": "macro", "split": " ", "labels": "union", **options},
            over_tokens(function, average="macro", **options),
        ),
    ]


@st.composite
def class_scores(draw: st.DrawFn) -> Frames:
    """Rows of a class out of three, each class at least once, with scores that may be tied."""
    drawn = st.integers(-2, 2).map(float) | st.floats(-1e300, 1e300)
    rows = draw(st.lists(st.tuples(st.sampled_from("abc"), drawn, drawn, drawn), min_size=1, max_size=20))
    rows += [(name, draw(drawn), draw(drawn), draw(drawn)) for name in "abc"]
    ids = [f"r{i}" for i in range(len(rows))]
    scores = {name: [row[at] for row in rows] for at, name in enumerate("abc", start=1)}
    return pd.DataFrame({"id": ids, "class": [row[0] for row in rows]}), pd.DataFrame({"id": ids, **scores})


def one_hot(solution: pd.DataFrame, submission: pd.DataFrame) -> pd.DataFrame:
    return submission.assign(**{name: (solution["class"] == name).astype(float) for name in "abc"})


def among_highest(k: int) -> Reference:
    """Return the mean chance of the true class to be among the first k, over all orders of tied classes."""

    def reference(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        hits = []
        for row, true in enumerate(solution["class"]):
            scores = {name: submission[name].iloc[row] for name in "abc"}
            orders = [
                order
                for order in itertools.permutations("abc")
                if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
            ]
            hits.append(sum(true in order[:k] for order in orders) / len(orders))
        return sum(hits) / len(hits)

    return reference


CASES: dict[str, list[MetricCase]] = {
    "accuracy": [
        MetricCase(one_label, {}, of_columns(sklearn.metrics.accuracy_score)),
        MetricCase(
            frames(st.integers(0, 3), st.integers(0, 5).map(float)),
            {},
            of_columns(sklearn.metrics.accuracy_score),
        ),
    ],
    "classification_error": [MetricCase(one_label, {}, of_columns(sklearn.metrics.zero_one_loss))],
    "hamming": [
        MetricCase(
            frames(st.tuples(bits, bits, bits), st.tuples(bits, bits, bits), names=["a", "b", "c"]),
            {},
            lambda solution, submission: float(
                sklearn.metrics.hamming_loss(solution[["a", "b", "c"]], submission[["a", "b", "c"]])
            ),
        )
    ],
    "top_k_accuracy": [
        MetricCase(frames(labels, more_tokens), {"k": 2}, within_first(2)),
        MetricCase(frames(labels, more_tokens), {}, within_first(5)),
        MetricCase(class_scores(), {"k": 1, "predictions": "scores"}, among_highest(1), one_hot),
        MetricCase(class_scores(), {"k": 2, "predictions": "scores"}, among_highest(2), one_hot),
    ],
    "balanced_accuracy": [
        MetricCase(one_label, {}, over_true_classes(sklearn.metrics.recall_score, average="macro")),
        MetricCase(
            frames(labels, labels, always=["a", "b", "c", "d"]),
            {"adjusted": True},
            of_columns(sklearn.metrics.balanced_accuracy_score, adjusted=True),
        ),
    ],
    "precision": [
        *averaged("precision", sklearn.metrics.precision_score),
        MetricCase(lists, {"average": "samples"}, share_of_sets(1)),
    ],
    "recall": [
        *averaged("recall", sklearn.metrics.recall_score),
        MetricCase(lists, {"average": "samples"}, share_of_sets(0)),
    ],
    "fbeta": [
        *averaged("fbeta", sklearn.metrics.fbeta_score, beta=2.0),
        MetricCase(bits_and_scores, {"probabilistic": True}, rsna_pf1),
        MetricCase(lists, {"average": "samples"}, f1_of_sets),
    ],
    "f1": [
        *averaged("f1", sklearn.metrics.f1_score),
        MetricCase(bits_and_scores, {"probabilistic": True}, rsna_pf1),
        MetricCase(lists, {"average": "samples"}, f1_of_sets),
    ],
    "f1_sets": [MetricCase(frames(tokens, more_tokens), {}, f1_of_sets)],
    "mcc": [
        MetricCase(two_labels, {}, of_columns(sklearn.metrics.matthews_corrcoef)),
        MetricCase(yes_no, {}, of_columns(sklearn.metrics.matthews_corrcoef)),
    ],
    "qwk": [
        MetricCase(rated, RANGE, quadratic_by_hand),
        MetricCase(
            frames(st.integers(0, 3) | st.just(10**6), st.integers(0, 10**6), always=[0, 7]),
            {"min_rating": 0, "max_rating": 10**6},
            quadratic_by_hand,
        ),
    ],
    "cohen_kappa": [
        MetricCase(two_labels, {}, of_columns(sklearn.metrics.cohen_kappa_score)),
        MetricCase(
            rated,
            {"weighting": "linear", **RANGE},
            of_columns(sklearn.metrics.cohen_kappa_score, weights="linear", labels=ALL_RATINGS),
        ),
        MetricCase(
            rated,
            {"weights": "quadratic", **RANGE},
            of_columns(sklearn.metrics.cohen_kappa_score, weights="quadratic", labels=ALL_RATINGS),
        ),
    ],
    "expected_cost": [
        MetricCase(
            frames(st.sampled_from(OUTCOMES), st.sampled_from([*OUTCOMES, "zz"])),
            {"labels": ["a", "b", 1], "matrix": COSTS},
            outcomes(COSTS, max),
        )
    ],
    "utility": [
        MetricCase(
            frames(st.sampled_from(OUTCOMES), st.sampled_from([*OUTCOMES, "zz"])),
            {"labels": OUTCOMES, "matrix": VALUES},
            outcomes(VALUES, min),
        )
    ],
}

"""Errors of predicted numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pandas as pd
import sklearn.metrics
from hypothesis import strategies as st

from tests.scorer.metric_cases import Frames, MetricCase

Cells = st.SearchStrategy[float]

ANY = st.one_of(
    st.integers(-4, 4).map(float),
    st.floats(-1e3, 1e3).map(lambda value: round(value, 3)),
    st.sampled_from([0.1, 1e8, -1e8, 1e-9]),
)
SIZES = ANY.map(abs)


def frames(
    truth: dict[str, Cells], predicted: dict[str, Cells], min_size: int = 2
) -> st.SearchStrategy[Frames]:
    """Return a solution and a submission with those columns.

    An id of text stands first in both.
    """

    def split(rows: list[tuple[float, ...]]) -> Frames:
        ids = [f"r{i}" for i in range(len(rows))]
        columns = list(zip(*rows, strict=True))
        solution = pd.DataFrame({"id": ids, **dict(zip(truth, columns, strict=False))})
        submission = pd.DataFrame({"id": ids, **dict(zip(predicted, columns[len(truth) :], strict=True))})
        return solution, submission

    rows = st.tuples(*truth.values(), *predicted.values())
    return st.lists(rows, min_size=min_size, max_size=20).map(split)


def one(truth: Cells = ANY, predicted: Cells = ANY) -> st.SearchStrategy[Frames]:
    return frames({"y": truth}, {"y": predicted})


def on_columns(score: Callable[..., float]) -> Callable[[pd.DataFrame, pd.DataFrame], float]:
    return lambda solution, submission: score(solution["y"].tolist(), submission["y"].tolist())


def exact(*values: list[float]) -> list[list[Fraction]]:
    return [[Fraction(value) for value in each] for each in values]


def unexplained(truth: list[float], predicted: list[float], power: int, *, bias: bool = True) -> float:
    """Return errors relative to those of the mean, in fractions.

    Floating point would differ about 'constant'.
    """
    y, p = exact(truth, predicted)
    mean = sum(y) / len(y)
    errors = [a - b for a, b in zip(p, y, strict=True)]
    shift = 0 if bias else sum(errors) / len(y)
    above = sum(abs(error - shift) ** power for error in errors)
    below = sum(abs(a - mean) ** power for a in y)
    return float(above / below) if below else float(above != 0)


def percentage(
    truth: list[float], predicted: list[float], power: int, rule: str, floor: float = 0.0
) -> float:
    terms = [
        (abs(p - y) / (max(abs(y), floor) if rule == "floor" else abs(y))) ** power
        for y, p in zip(truth, predicted, strict=True)
        if y != 0 or rule == "floor"
    ]
    return (sum(terms) / len(terms)) ** (1 / power)


def relative_l2(truth: list[float], predicted: list[float]) -> float:
    return math.dist(truth, predicted) / math.hypot(*truth)


NOT_ZERO = ANY.filter(lambda value: value != 0)
SOME_NOT_ZERO = one().filter(lambda both: both[0]["y"].any())
MSLE = on_columns(sklearn.metrics.mean_squared_log_error)

CASES: dict[str, list[MetricCase]] = {
    "sse": [
        MetricCase(
            one(), reference=on_columns(lambda y, p: sum((a - b) ** 2 for a, b in zip(y, p, strict=True)))
        )
    ],
    "mse": [MetricCase(one(), reference=on_columns(sklearn.metrics.mean_squared_error))],
    "rmse": [
        MetricCase(one(), reference=on_columns(sklearn.metrics.root_mean_squared_error)),
        MetricCase(
            frames({"a": ANY, "b": ANY}, {"a": ANY, "b": ANY}),
            {"columns": "mean"},
            lambda y, p: sklearn.metrics.root_mean_squared_error(y[["a", "b"]], p[["a", "b"]]),
        ),
        MetricCase(one(st.sampled_from([0.0, 1e100, -1e100]), st.sampled_from([1e100, 1e-300]))),
    ],
    "mae": [MetricCase(one(), reference=on_columns(sklearn.metrics.mean_absolute_error))],
    "wmae": [
        MetricCase(
            frames({"y": ANY, "holiday": st.sampled_from([1.0, 5.0])}, {"y": ANY}),
            {"weight": "holiday"},
            lambda y, p: sklearn.metrics.mean_absolute_error(y["y"], p["y"], sample_weight=y["holiday"]),
        ),
        MetricCase(one()),
    ],
    "medae": [
        MetricCase(one(), reference=on_columns(sklearn.metrics.median_absolute_error)),
        MetricCase(
            frames({"y": ANY, "times": st.sampled_from([1.0, 2.0, 5.0])}, {"y": ANY}),
            {"weight": "times"},
            lambda y, p: sklearn.metrics.median_absolute_error(y["y"], p["y"], sample_weight=y["times"]),
        ),
    ],
    "msle": [MetricCase(one(SIZES, SIZES), reference=MSLE)],
    "rmsle": [MetricCase(one(SIZES, SIZES), reference=lambda y, p: math.sqrt(MSLE(y, p)))],
    "r2": [MetricCase(one(), reference=on_columns(lambda y, p: 1 - unexplained(y, p, 2)))],
    "explained_variance": [
        MetricCase(
            one(st.integers(-4, 4).map(float), st.integers(-4, 4).map(float)),
            reference=on_columns(lambda y, p: 1 - unexplained(y, p, 2, bias=False)),
        ),
        MetricCase(
            one(), reference=on_columns(lambda y, p: 1 - unexplained(y, p, 2, bias=False)), tolerance=1e-6
        ),
    ],
    "rse": [MetricCase(one(), reference=on_columns(lambda y, p: unexplained(y, p, 2)))],
    "rrse": [MetricCase(one(), reference=on_columns(lambda y, p: math.sqrt(unexplained(y, p, 2))))],
    "rae": [MetricCase(one(), reference=on_columns(lambda y, p: unexplained(y, p, 1)))],
    "relative_l2": [MetricCase(SOME_NOT_ZERO, reference=on_columns(relative_l2))],
    "mape": [
        MetricCase(one(NOT_ZERO), reference=on_columns(sklearn.metrics.mean_absolute_percentage_error)),
        MetricCase(
            SOME_NOT_ZERO, {"zero_truth": "skip"}, on_columns(lambda y, p: percentage(y, p, 1, "skip"))
        ),
        MetricCase(
            one(),
            {"zero_truth": "floor", "truth_floor": 0.5},
            on_columns(lambda y, p: percentage(y, p, 1, "floor", 0.5)),
        ),
    ],
    "rmspe": [
        MetricCase(one(NOT_ZERO), reference=on_columns(lambda y, p: percentage(y, p, 2, "error"))),
        MetricCase(
            SOME_NOT_ZERO, {"zero_truth": "skip"}, on_columns(lambda y, p: percentage(y, p, 2, "skip"))
        ),
        MetricCase(
            one(),
            {"zero_truth": "floor", "truth_floor": 2},
            on_columns(lambda y, p: percentage(y, p, 2, "floor", 2)),
        ),
    ],
}

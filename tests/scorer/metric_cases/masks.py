"""Scores of masks, against scikit-learn on the pixels themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import sklearn.metrics
from hypothesis import strategies as st

from tests.scorer.metric_cases import Frames, MetricCase

HEIGHT, WIDTH = 4, 5
PIXELS = st.one_of(
    st.just([0] * 20), st.just([1] * 20), st.lists(st.integers(0, 1), min_size=20, max_size=20)
)
Scores = Callable[[pd.DataFrame, pd.DataFrame], float]


def run_lengths(pixels: Sequence[int]) -> str:
    runs = []
    for at, pixel in enumerate(pixels, start=1):
        if pixel and (at == 1 or not pixels[at - 2]):
            runs.append([at, 0])
        if pixel:
            runs[-1][1] += 1
    return " ".join(f"{start} {length}" for start, length in runs)


def pixels_of(text: str) -> list[int]:
    pixels = [0] * (HEIGHT * WIDTH)
    numbers = [int(number) for number in text.split()] if text not in ("-", "-1", "1 0") else []
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for at in range(start, start + length):
            pixels[at - 1] = 1
    return pixels


def split(drawn: list[tuple[list[int], list[int], str]]) -> Frames:
    ids = [f"r{i}" for i in range(len(drawn))]
    truth = [run_lengths(true) for true, _, _ in drawn]
    predicted = [run_lengths(found) or empty for _, found, empty in drawn]
    solution = pd.DataFrame({"id": ids, "y": truth, "height": HEIGHT, "width": WIDTH})
    return solution, pd.DataFrame({"id": ids, "y": predicted})


MASKS = st.lists(
    st.tuples(PIXELS, PIXELS, st.sampled_from(["", "-", "-1", "1 0"])), min_size=2, max_size=10
).map(split)


def by_row(score: Callable[..., float], *, skip: bool = False) -> Scores:
    def mean(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        both = [(pixels_of(a), pixels_of(b)) for a, b in zip(solution["y"], submission["y"], strict=True)]
        values = [score(a, b) if any(a + b) else 1.0 for a, b in both if any(a + b) or not skip]
        return sum(values) / len(values) if values else 1.0

    return mean


def together(score: Callable[..., float]) -> Scores:
    def value(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        a, b = (
            [pixel for text in frame["y"] for pixel in pixels_of(text)] for frame in (solution, submission)
        )
        return score(a, b) if any(a + b) else 1.0

    return value


def fbeta(beta: float) -> Callable[[list[int], list[int]], float]:
    return lambda a, b: float(sklearn.metrics.fbeta_score(a, b, beta=beta, zero_division=0.0))


def jaccard(a: list[int], b: list[int]) -> float:
    return float(sklearn.metrics.jaccard_score(a, b, zero_division=0.0))


def passed(thresholds: Any) -> Callable[[list[int], list[int]], float]:
    return lambda a, b: float(np.mean([jaccard(a, b) > threshold for threshold in thresholds]))


TGS = [percent / 100 for percent in range(50, 100, 5)]

CASES: dict[str, list[MetricCase]] = {
    "mask_fbeta": [
        MetricCase(
            MASKS, {"both_empty": 1.0, "beta": 0.5, "order": "row-major, 1-based"}, by_row(fbeta(0.5))
        ),
        MetricCase(MASKS, {"both_empty": "skip", "aggregate": "mean"}, by_row(fbeta(1), skip=True)),
        MetricCase(MASKS, {"beta": 2, "aggregate": "global", "empty_token": "-"}, together(fbeta(2))),
    ],
    "dice": [
        MetricCase(MASKS, {"order": "column"}, by_row(fbeta(1))),
        MetricCase(
            MASKS, {"aggregate": "global", "both_empty": "skip", "empty_token": "-1"}, together(fbeta(1))
        ),
    ],
    "jaccard": [
        MetricCase(MASKS, {"order": "row", "both_empty": 1.0}, by_row(jaccard)),
        MetricCase(MASKS, {"aggregate": "global", "empty_token": "1 0"}, together(jaccard)),
    ],
    "mask_iou_ap": [
        MetricCase(MASKS, {"order": "column", "empty_token": ""}, by_row(passed(TGS))),
        MetricCase(MASKS, {"thresholds": [0.25, 0.5]}, by_row(passed([0.25, 0.5]))),
    ],
}

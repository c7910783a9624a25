"""Frames and independent implementations for metrics of probabilities and scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import sklearn.metrics
from hypothesis import strategies as st

from tests.scorer.metric_cases import Frames, MetricCase
from tests.scorer.metric_cases.classification import Reference, bits, class_scores, frames, of_columns
from tests.scorer.metric_cases.classification import one_hot as best_of_classes

CLASSES = ["dog", "10", "2"]

probabilities = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])
inner = st.floats(1e-6, 1 - 1e-6)  # log_loss counts 15 decimals, which is 1e-9 of these
shares = st.tuples(*[st.integers(0, 9)] * 3).map(
    lambda parts: tuple(part / sum(parts) for part in parts) if sum(parts) else (0.25, 0.25, 0.5)
)
unscaled = st.tuples(*[st.floats(0.01, 1)] * 3) | st.just((1.0, 1.0, 1.0)) | st.just((0.0, 0.0, 0.25))
hot = st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1)])
any_score = st.integers(-3, 3).map(float) | st.floats(-1e300, 1e300)
several_bits = st.tuples(bits, bits, bits)
several_scores = st.tuples(any_score, any_score, any_score)


def by_hand(eps: float) -> Reference:
    """Log loss as Kaggle's old wiki: divide, clip, take the logarithm."""

    def reference(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        total = 0.0
        for row in range(len(solution)):
            p = [float(submission[name].iloc[row]) for name in CLASSES]
            true = (
                solution["class"].iloc[row]
                if "class" in solution
                else next(name for name in CLASSES if solution[name].iloc[row])
            )
            share = p[CLASSES.index(str(true))] / sum(p)
            total -= math.log(min(max(share, eps), 1 - eps))
        return total / len(solution)

    return reference


def one_hot(solution: pd.DataFrame, submission: pd.DataFrame) -> pd.DataFrame:
    """The best file for a column of class names."""
    return submission.assign(**{name: (solution["class"] == name).astype(float) for name in CLASSES})


def each_column(function: Any, **options: Any) -> Reference:
    return lambda solution, submission: float(
        np.mean(
            [function(solution[name], submission[name], **options) for name in submission if name != "id"]
        )
    )


def brier_by_hand(factor: float, names: list[str]) -> Reference:
    """Return squared errors of normalised rows, summed over classes."""

    def reference(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        p = submission[names].div(submission[names].sum(axis=1), axis=0)
        return float(factor * ((p - solution[names]) ** 2).sum(axis=1).mean())

    return reference


def area_of_bands(levels: list[float], band_weights: list[float]) -> Reference:
    """Sum trapezia of the ROC curve, cut at the levels."""

    def reference(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        fpr, tpr, _ = sklearn.metrics.roc_curve(solution["y"], submission["y"])
        total = 0.0
        for low, high, weight in zip(levels, levels[1:], band_weights, strict=False):
            for i in range(len(fpr) - 1):
                bottom, top = max(low, tpr[i]), min(high, tpr[i + 1])
                if bottom < top:
                    middle = np.interp((bottom + top) / 2, [tpr[i], tpr[i + 1]], [fpr[i], fpr[i + 1]])
                    total += weight * (top - bottom) * (1 - middle)
        return total / sum(w * (b - a) for a, b, w in zip(levels, levels[1:], band_weights, strict=False))

    return reference


def divergence(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    rows = zip(solution[CLASSES].to_numpy(float), submission[CLASSES].to_numpy(float), strict=True)
    return float(np.mean([scipy.stats.entropy(t, np.clip(p, 1e-15, 1 - 1e-15)) for t, p in rows]))


def ranked(*, by_label: bool) -> Reference:
    """scikit-learn's, without the rows that have no label."""

    def reference(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        truth, scores = solution[CLASSES].to_numpy(), submission[CLASSES].to_numpy()
        rows = truth.sum(axis=1) > 0
        return float(
            sklearn.metrics.label_ranking_average_precision_score(
                truth[rows], scores[rows], sample_weight=truth[rows].sum(axis=1) if by_label else None
            )
        )

    return reference


def in_shares(solution: pd.DataFrame, submission: pd.DataFrame) -> pd.DataFrame:
    """The best file for a truth of votes."""
    return submission.assign(**{name: solution[name] / solution[CLASSES].sum(axis=1) for name in CLASSES})


scored = frames(bits, any_score, always=[0, 1])
labelled = frames(st.sampled_from(CLASSES), unscaled, names=CLASSES, truth_names=["class"])
summed = frames(hot, shares, names=CLASSES)
ranks: st.SearchStrategy[Frames] = frames(several_bits, several_scores, names=CLASSES, always=[(0, 1, 1)])
BANDS: dict[str, Any] = {"tpr_thresholds": [0, 0.4, 1], "tpr_weights": [2, 1]}


def each_class(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    areas = [sklearn.metrics.roc_auc_score(solution["class"] == name, submission[name]) for name in "abc"]
    return float(np.mean(areas))


CASES: dict[str, list[MetricCase]] = {
    "log_loss": [
        MetricCase(frames(bits, inner), {}, of_columns(sklearn.metrics.log_loss, labels=[0, 1])),
        MetricCase(frames(bits, probabilities), {"eps": 1e-12, "labels": [0, 1]}),
        MetricCase(labelled, {}, by_hand(1e-15), perfect=one_hot),
        MetricCase(
            frames(hot, unscaled, names=CLASSES), {"normalize_rows": True, "labels": CLASSES}, by_hand(1e-15)
        ),
        MetricCase(summed, {"normalize_rows": False}, by_hand(1e-15)),
        MetricCase(
            frames(several_bits, st.tuples(inner, inner, inner), names=CLASSES),
            {"rows": "independent"},
            each_column(sklearn.metrics.log_loss, labels=[0, 1]),
        ),
    ],
    "brier": [
        MetricCase(
            frames(bits, probabilities), {}, of_columns(sklearn.metrics.brier_score_loss, labels=[0, 1])
        ),
        MetricCase(
            frames(bits, probabilities),
            {"scale_by_half": False},
            of_columns(sklearn.metrics.brier_score_loss, labels=[0, 1], scale_by_half=False),
        ),
        MetricCase(frames(hot, unscaled, names=CLASSES), {}, brier_by_hand(1.0, CLASSES)),
        MetricCase(summed, {"rows": "reject", "scale_by_half": True}, brier_by_hand(0.5, CLASSES)),
        MetricCase(
            frames(
                bits.map(lambda bit: (bit, 1 - bit)),
                probabilities.map(lambda p: (p, 1 - p)),
                names=["a", "b"],
            ),
            {"scale_by_half": "auto"},
            brier_by_hand(0.5, ["a", "b"]),
        ),
    ],
    "kl_divergence": [
        MetricCase(frames(shares, shares, names=CLASSES), {}, divergence),
        MetricCase(
            frames(st.tuples(*[st.integers(1, 20)] * 3), shares, names=CLASSES),
            {"normalize_truth": True, "eps": 1e-15},
            divergence,
            perfect=in_shares,
        ),
    ],
    "roc_auc": [
        MetricCase(scored, {}, of_columns(sklearn.metrics.roc_auc_score)),
        MetricCase(
            frames(bits, st.integers(-2, 2), always=[0, 1, 1, 1, 1, 1]),
            {},
            of_columns(sklearn.metrics.roc_auc_score),
        ),
        MetricCase(scored, {"max_fpr": 0.3}, of_columns(sklearn.metrics.roc_auc_score, max_fpr=0.3)),
        MetricCase(scored, BANDS, area_of_bands([0, 0.4, 1], [2, 1])),
        MetricCase(scored, {"tpr_thresholds": [0.8, 1], "tpr_weights": [1]}, area_of_bands([0.8, 1], [1])),
        MetricCase(
            frames(several_bits, several_scores, names=CLASSES, always=[(0, 0, 1), (1, 1, 0)]),
            {},
            each_column(sklearn.metrics.roc_auc_score),
        ),
        MetricCase(class_scores(), {"multi_class": "ovr"}, each_class, best_of_classes),
    ],
    "average_precision": [MetricCase(scored, {}, of_columns(sklearn.metrics.average_precision_score))],
    "lrap": [MetricCase(ranks, {}, ranked(by_label=False))],
    "lwlrap": [MetricCase(ranks, {}, ranked(by_label=True))],
}

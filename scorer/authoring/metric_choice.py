"""Propose a metric from the target, in plain words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scorer.authoring.choices import Predicted
from scorer.authoring.columns import Target
from scorer.wording import show

RARE = 0.1
"""A class with a smaller share of the fair one is rare enough that plain accuracy would ignore it."""


@dataclass(frozen=True, slots=True)
class Proposal:
    metric: str
    predicted: Predicted
    also: tuple[str, ...]
    reason: str


def propose_metric(target: Target, predicted: Predicted | None = None) -> Proposal:
    """Return the metric that fits the target, and why.

    Two classes: probabilities by default, because they show how sure a model is. More classes: labels.
    """
    name = show(target.name)
    if target.kind == "number":
        return _for_numbers(target, name)
    shares = np.array(target.counts) / max(1, sum(target.counts))
    least, rare = float(shares.min()), float(shares.min()) < RARE * 2 / len(shares)
    if predicted is None:
        predicted = "probabilities" if target.kind == "binary" else "labels"
    if predicted == "probabilities":
        also = ("roc_auc",) if target.kind == "binary" else ()
        return Proposal(
            "log_loss",
            "probabilities",
            also,
            f"{name} has {len(target.classes)} classes. Log loss rewards honest probabilities: lower is "
            "better, "
            f"0 is perfect, {np.log(len(shares)):.3f} is what equal chances for all classes score.",
        )
    if rare:
        return Proposal(
            "balanced_accuracy",
            "labels",
            ("accuracy",),
            f"The rarest class of {name} has {least:.1%} of the rows. Balanced accuracy counts every class "
            "alike: higher "
            f"is better, 1 is perfect, {1 / len(shares):.3f} is chance.",
        )
    return Proposal(
        "accuracy",
        "labels",
        (),
        f"{name} has {len(shares)} classes of similar size. Accuracy is the share of rows that are right: "
        "higher is "
        f"better, 1 is perfect, {shares.max():.3f} is the commonest class everywhere.",
    )


def _for_numbers(target: Target, name: str) -> Proposal:
    values = target.values[~np.isnan(target.values)]
    low, middle, high = np.quantile(values, [0.01, 0.5, 0.99])
    if values.min() >= 0 and middle > 0 and high > 20 * middle:
        return Proposal(
            "rmsle",
            "numbers",
            ("mae",),
            f"{name} spans sizes from {low:g} to {high:g} and is never negative. RMSLE compares ratios, so "
            "that small "
            "values count too: lower is better, 0 is perfect.",
        )
    spread = float(np.std(values))
    robust = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.349
    if robust > 0 and spread > 3 * robust:
        return Proposal(
            "mae",
            "numbers",
            ("rmse",),
            f"{name} has a few extreme values. The mean absolute error lets no single row decide: lower is "
            "better, 0 is "
            f"perfect, in the unit of {name}.",
        )
    return Proposal(
        "rmse",
        "numbers",
        ("mae",),
        f"{name} is a number. RMSE is the typical error in its unit, large errors weighing more: lower is "
        "better, 0 is "
        f"perfect, {spread:.4g} is what the mean everywhere scores.",
    )

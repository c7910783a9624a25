"""Agreement of two divisions of the rows, whatever the clusters' names."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from scorer.metrics.registry import LABEL, metric
from scorer.reading.columns import FloatArray, Labels

_NAMES_DO_NOT_MATTER = """Clusters may have any names, and -1, which some programs write for
noise, is a cluster like any other."""


def _joint(
    truth: Labels, predicted: Labels, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the weight of every pair of clusters that share rows.

    Beside it stand the weights of the pair's true and of its predicted cluster.
    """
    n_codes = int(max(truth.codes.max(), predicted.codes.max())) + 1
    pairs, pair = np.unique(truth.codes.astype(np.int64) * n_codes + predicted.codes, return_inverse=True)
    shared = np.bincount(pair, weights=weights).astype(np.float64)
    true, called = np.divmod(pairs, n_codes)
    kept = shared > 0
    shared, true, called = shared[kept], true[kept], called[kept]
    sizes = [np.bincount(side, weights=shared)[side].astype(np.float64) for side in (true, called)]
    return shared, sizes[0], sizes[1]


def _information(shared: FloatArray, true: FloatArray, called: FloatArray) -> tuple[float, float, float]:
    """Return the mutual information and both entropies, in nats."""
    n = shared.sum()
    share = shared / n
    mutual = math.fsum(share * np.log(shared / true * (n / called)))
    entropies = [max(0.0, -math.fsum(share * np.log(size / n))) for size in (true, called)]
    return max(0.0, mutual), entropies[0], entropies[1]


@metric(
    "adjusted_rand",
    version=1,
    greater_is_better=True,
    bounds=(-0.5, 1.0),
    kind="label",
    cells=LABEL,
    compares_names=False,
    convention=f"""Adjusted for chance (Hubert and Arabie, as scikit-learn): 0 is what random clusters get
    on average. 0/0, where both sides are one cluster or both all single rows, is 1. It counts pairs of rows
    and so takes no weights. {_NAMES_DO_NOT_MATTER}""",
)
def adjusted_rand_index(truth: Labels, predicted: Labels) -> float:
    """Share of pairs of rows treated alike, adjusted for chance.

    Higher is better, 1 is perfect.
    """
    shared, true, called = _joint(truth, predicted, None)
    # Whole numbers of Python: with ten million rows the products need more than 64 bits.
    both = int(np.dot(shared, shared))
    in_true, in_called = int(np.dot(shared, true)), int(np.dot(shared, called))
    n = int(shared.sum())
    together, split, merged = both - n, in_true - both, in_called - both
    apart = n * n - both - split - merged
    if split == 0 and merged == 0:
        return 1.0
    return (2 * (together * apart - split * merged)) / (
        (together + split) * (split + apart) + (together + merged) * (merged + apart)
    )


@metric(
    "nmi",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=LABEL,
    compares_names=False,
    convention=f"""Mutual information divided by the mean of the two entropies, arithmetic unless stated (as
    scikit-learn); not adjusted for chance. If both sides are one cluster, 0/0 is 1; if only one is, the
    value is 0. {_NAMES_DO_NOT_MATTER}""",
)
def normalized_mutual_information(
    truth: Labels,
    predicted: Labels,
    *,
    weights: FloatArray | None,
    average: Annotated[
        Literal["arithmetic", "geometric", "min", "max"],
        Field(description="Which mean of the two entropies divides."),
    ] = "arithmetic",
) -> float:
    """Information that the two divisions share, normalised.

    Higher is better, 1 is perfect.
    """
    mutual, of_true, of_called = _information(*_joint(truth, predicted, weights))
    if of_true == 0.0 or of_called == 0.0:
        return float(of_true == of_called)
    mean = {
        "arithmetic": (of_true + of_called) / 2.0,
        "geometric": math.sqrt(of_true) * math.sqrt(of_called),
        "min": min(of_true, of_called),
        "max": max(of_true, of_called),
    }[average]
    return min(1.0, mutual / mean)


@metric(
    "v_measure",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="label",
    cells=LABEL,
    compares_names=False,
    convention=f"""Harmonic mean of homogeneity (clusters hold one class each) and completeness (classes lie
    in one cluster each), both 1 where their entropy is 0; beta above 1 favours completeness (Rosenberg and
    Hirschberg, as scikit-learn). With beta 1 it equals nmi. {_NAMES_DO_NOT_MATTER}""",
)
def v_measure_score(
    truth: Labels,
    predicted: Labels,
    *,
    weights: FloatArray | None,
    beta: Annotated[
        float, Field(gt=0, le=1000, description="How many times as much completeness counts as homogeneity.")
    ] = 1.0,
) -> float:
    """Harmonic mean of homogeneity and completeness.

    Higher is better, 1 is perfect.
    """
    mutual, of_true, of_called = _information(*_joint(truth, predicted, weights))
    homogeneity = min(1.0, mutual / of_true) if of_true else 1.0
    completeness = min(1.0, mutual / of_called) if of_called else 1.0
    total = beta * homogeneity + completeness
    return (1.0 + beta) * homogeneity * completeness / total if total else 0.0

"""Agreement in order or up to a line."""

from __future__ import annotations

import numpy as np
import scipy.stats
import sklearn.metrics
from hypothesis import strategies as st

from tests.scorer.metric_cases import Frames, MetricCase
from tests.scorer.metric_cases.regression import ANY, SIZES, Cells, on_columns, one

FEW = st.integers(0, 4).map(float)
HUGE = st.sampled_from([0.0, 1e-300, 1e100, 1e308, -1e308])


def varied(truth: Cells = ANY, predicted: Cells = ANY) -> st.SearchStrategy[Frames]:
    return one(truth, predicted).filter(lambda both: both[0]["y"].nunique() > 1)


def pearson(truth: list[float], predicted: list[float]) -> float:
    return 0.0 if len(set(predicted)) == 1 else float(scipy.stats.pearsonr(truth, predicted).statistic)


def spearman(truth: list[float], predicted: list[float]) -> float:
    return 0.0 if len(set(predicted)) == 1 else float(scipy.stats.spearmanr(truth, predicted).statistic)


def kendall(truth: list[float], predicted: list[float]) -> float:
    balance, untied_x, untied_y = 0, 0, 0
    for i in range(len(truth)):
        for j in range(i):
            x, y = np.sign(truth[i] - truth[j]), np.sign(predicted[i] - predicted[j])
            balance, untied_x, untied_y = balance + x * y, untied_x + x * x, untied_y + y * y
    return float(balance / np.sqrt(untied_x * untied_y)) if untied_y else 0.0


def classic_gini(truth: list[float], predicted: list[float]) -> float:
    """The code that participants share; row order breaks ties."""
    order = sorted(range(len(truth)), key=lambda row: -predicted[row])
    share, area = 0.0, 0.0
    for place, row in enumerate(order):
        share += truth[row] / sum(truth)
        area += share - (place + 1) / len(truth)
    return area / len(truth)


def gini(truth: list[float], predicted: list[float]) -> float:
    """Return the mean over both orders of the rows.

    Every tie is broken both ways, as in shared ranks.
    """
    return (classic_gini(truth, predicted) + classic_gini(truth[::-1], predicted[::-1])) / 2


def normalized_gini(truth: list[float], predicted: list[float]) -> float:
    return gini(truth, predicted) / gini(truth, truth)


def by_area(truth: list[float], predicted: list[float]) -> float:
    return 2 * float(sklearn.metrics.roc_auc_score(truth, predicted)) - 1


CASES: dict[str, list[MetricCase]] = {
    "pearson": [MetricCase(varied(FEW, FEW), reference=on_columns(pearson)), MetricCase(varied())],
    "spearman": [
        MetricCase(varied(), reference=on_columns(spearman)),
        MetricCase(varied(HUGE, HUGE), reference=on_columns(spearman)),
    ],
    "kendall": [
        MetricCase(varied(FEW, FEW), reference=on_columns(kendall)),
        MetricCase(varied(), reference=on_columns(kendall)),
    ],
    "gini": [MetricCase(one(SIZES).filter(lambda both: both[0]["y"].any()), reference=on_columns(gini))],
    "normalized_gini": [
        MetricCase(varied(FEW), reference=on_columns(normalized_gini)),
        MetricCase(varied(st.sampled_from([0.0, 1.0]), FEW), reference=on_columns(by_area)),
        MetricCase(varied()),
    ],
}

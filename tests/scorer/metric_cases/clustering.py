"""Frames and independent implementations for metrics of clusters."""

from __future__ import annotations

import sklearn.metrics
from hypothesis import strategies as st

from tests.scorer.metric_cases import MetricCase
from tests.scorer.metric_cases.classification import frames, of_columns

clusters = frames(st.sampled_from(["a", "b", "c"]), st.integers(-1, 3))
by_other_names = clusters.map(lambda both: (both[0], both[1].assign(y=both[1]["y"].map("cluster {}".format))))

CASES: dict[str, list[MetricCase]] = {
    "adjusted_rand": [
        MetricCase(clusters, {}, of_columns(sklearn.metrics.adjusted_rand_score)),
        MetricCase(by_other_names, {}, of_columns(sklearn.metrics.adjusted_rand_score)),
    ],
    "nmi": [
        MetricCase(
            clusters, params, of_columns(sklearn.metrics.normalized_mutual_info_score, average_method=average)
        )
        for params, average in [
            ({}, "arithmetic"),
            *(({"average": average}, average) for average in ("geometric", "min", "max")),
        ]
    ],
    "v_measure": [
        MetricCase(clusters, {}, of_columns(sklearn.metrics.v_measure_score)),
        MetricCase(clusters, {"beta": 2}, of_columns(sklearn.metrics.v_measure_score, beta=2)),
    ],
}

"""The registry of metrics: METRICS maps a name to its Metric. One module per kind of target.

To add a metric, write one decorated function in the module of its kind (or a new module, imported
below); the tests then ask for its vectors and its property strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scorer.metrics import classification, regression
from scorer.metrics.registry import METRICS as _REGISTERED
from scorer.metrics.registry import BadParameters, Metric, metric

METRICS: Mapping[str, Metric] = MappingProxyType(dict(sorted(_REGISTERED.items())))

__all__ = ["METRICS", "BadParameters", "Metric", "classification", "metric", "regression"]

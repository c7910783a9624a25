"""The registry of metrics: METRICS maps a name to its Metric.

One module per kind of target. To add a metric, write one decorated function in the module of its kind, or in
a new module here: every module of this folder is imported. The tests then ask for its cases and for a second
implementation that agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from scorer.metrics.registry import METRICS as _REGISTERED
from scorer.metrics.registry import BadParameters, Metric, metric

for _module in iter_modules(__path__, __name__ + "."):
    import_module(_module.name)

METRICS: Mapping[str, Metric] = MappingProxyType(dict(sorted(_REGISTERED.items())))

__all__ = ["METRICS", "BadParameters", "Metric", "metric"]

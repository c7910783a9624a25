"""For each metric, frames to draw and an independent implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from hypothesis import strategies as st

Frames = tuple[pd.DataFrame, pd.DataFrame]
"""Solution (id, truth and side columns, no Usage) and submission (id and predictions)."""


def _own_columns(solution: pd.DataFrame, submission: pd.DataFrame) -> pd.DataFrame:
    return solution[list(submission.columns)].copy()


@dataclass(frozen=True)
class MetricCase:
    """One setting of a metric."""

    frames: st.SearchStrategy[Frames]
    """Acceptable frames of 2 to about 30 rows for which the metric is defined, with ties, constants and
    extremes."""
    params: Mapping[str, Any] = field(default_factory=dict)
    reference: Callable[[pd.DataFrame, pd.DataFrame], float] | None = None
    """An independent implementation (scikit-learn, scipy, or a plain loop); rows stand in the same order."""
    perfect: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame] = _own_columns
    """(solution, submission) -> the best possible submission."""
    tolerance: float = 1e-9

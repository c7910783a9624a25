# ruff: noqa: UP007, UP035, UP045 - as notebooks write it
"""F-beta by scikit-learn, in the form of a Kaggle metric notebook."""

from typing import Optional, Sequence, Union

import pandas as pd
import pandas.api.types
import sklearn.metrics
from kaggle_metric_utilities import safe_call_score


class ParticipantVisibleError(Exception):
    pass


def score(
    solution: pd.DataFrame,
    submission: pd.DataFrame,
    row_id_column_name: str,
    beta: float = 1.0,
    labels: Optional[Sequence] = None,
    pos_label: Union[str, int] = 1,
    average: str = "binary",
    weights_column_name: Optional[str] = None,
) -> float:
    """F-beta score"""
    if not pandas.api.types.is_list_like(labels):
        labels = None
    del solution[row_id_column_name]
    del submission[row_id_column_name]
    sample_weight = solution.pop(weights_column_name) if weights_column_name else None
    if not all(column in submission for column in solution.columns):
        raise ParticipantVisibleError(f"Expected the columns {list(solution.columns)}")
    return safe_call_score(
        sklearn.metrics.fbeta_score,
        solution.values.ravel(),
        submission.values.ravel(),
        beta=beta,
        labels=labels,
        pos_label=pos_label,
        average=average,
        sample_weight=sample_weight,
        zero_division=0,
    )

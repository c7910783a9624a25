# ruff: noqa: UP006, UP035, UP045 - as notebooks write it
"""Mean of each column's area under the ROC curve, in the form of a Kaggle metric notebook."""

from typing import List, Optional

import numpy as np
import pandas as pd
import sklearn.metrics


class ParticipantVisibleError(Exception):
    pass


def score(
    solution: pd.DataFrame,
    submission: pd.DataFrame,
    row_id_column_name: str,
    weights: Optional[List[float]] = None,
) -> float:
    """Weighted mean of the columns' ROC AUC"""
    del solution[row_id_column_name]
    del submission[row_id_column_name]
    if submission.isna().any(axis=None):
        raise ParticipantVisibleError("Missing values")
    areas = sklearn.metrics.roc_auc_score(solution.values, submission[solution.columns].values, average=None)
    return float(np.average(areas, weights=weights))

# ruff: noqa: UP045 - as notebooks write it
"""Mean Kullback-Leibler divergence per row, in the form of a Kaggle metric notebook."""

from typing import Optional

import kaggle_metric_utilities
import numpy as np
import pandas as pd
import pandas.api.types


class ParticipantVisibleError(Exception):
    pass


def divergence(
    solution: pd.DataFrame, submission: pd.DataFrame, eps: float, weights: Optional[pd.Series]
) -> float:
    for column in solution.columns:
        if not pandas.api.types.is_float_dtype(solution[column]):
            solution[column] = solution[column].astype(float)
        submission[column] = np.clip(submission[column], eps, 1 - eps)
        present = solution[column] != 0
        solution.loc[present, column] *= np.log(
            solution.loc[present, column] / submission.loc[present, column]
        )
        solution.loc[~present, column] = 0
    return np.average(solution.sum(axis=1), weights=weights)


def score(
    solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str, eps: float = 10**-15
) -> float:
    """Kullback-Leibler divergence

    Lower is better; 0 for the same probabilities.

    >>> score(pd.DataFrame(), pd.DataFrame(), "id")
    "never run"
    """
    del solution[row_id_column_name]
    del submission[row_id_column_name]
    if set(solution.columns) != set(submission.columns):
        raise ParticipantVisibleError("The columns differ")
    kaggle_metric_utilities.verify_valid_probabilities(submission, "submission")
    return kaggle_metric_utilities.safe_call_score(divergence, solution, submission, eps=eps, weights=None)

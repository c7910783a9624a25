# ruff: noqa: B905 - as notebooks write it
"""Concordance within groups: the mean over groups less their spread, in the form of a Kaggle metric
notebook.
"""

import numpy as np
import pandas as pd
import pandas.api.types


class ParticipantVisibleError(Exception):
    pass


def concordance(times: np.ndarray, risks: np.ndarray, events: np.ndarray) -> float:
    good = pairs = 0.0
    for time, risk, event in zip(times, risks, events):
        if event:
            later = times > time
            good += (risks[later] < risk).sum() + 0.5 * (risks[later] == risk).sum()
            pairs += later.sum()
    return good / pairs


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """Stratified concordance index"""
    del solution[row_id_column_name]
    del submission[row_id_column_name]
    if not pandas.api.types.is_numeric_dtype(submission["prediction"]):
        raise ParticipantVisibleError("Submission column prediction must be a number")
    merged = pd.concat([solution, submission], axis=1)
    merged.reset_index(inplace=True)
    by_group = [
        concordance(group["efs_time"].to_numpy(), group["prediction"].to_numpy(), group["efs"].to_numpy())
        for _, group in merged.groupby("race_group")
    ]
    return float(np.mean(by_group) - np.sqrt(np.var(by_group)))

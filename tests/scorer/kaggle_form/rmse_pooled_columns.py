import numpy as np
import pandas as pd


class ParticipantVisibleError(Exception):
    pass


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """Root mean squared error over two columns"""
    targets = ["x", "y"]
    for column in targets:
        if column not in submission.columns:
            raise ParticipantVisibleError(f"Column {column} not found in submission")
    submission = submission[[row_id_column_name, *targets]]
    solution = solution[[row_id_column_name, *targets]]
    merged = pd.merge(solution, submission, on=row_id_column_name, suffixes=("", "_pred"))
    error = ((merged["x"] - merged["x_pred"]) ** 2 + (merged["y"] - merged["y_pred"]) ** 2).sum()
    return np.sqrt(error / (2 * len(merged)))

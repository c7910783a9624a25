import numpy as np
import pandas as pd


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """Relative L2 distance"""
    truth, predicted = solution["pred"].to_numpy(), submission["pred"].to_numpy()
    return np.linalg.norm(truth - predicted) / np.linalg.norm(truth)

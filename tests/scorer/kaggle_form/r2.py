"""R squared by scikit-learn, in the form of a Kaggle metric notebook."""

import pandas as pd
import sklearn.metrics
from kaggle_metric_utilities import safe_call_score


def score(
    solution: pd.DataFrame,
    submission: pd.DataFrame,
    row_id_column_name: str,
    force_finite: bool = True,
    multioutput: str = "uniform_average",
) -> float:
    """R squared"""
    truth, predicted = (frame.drop(columns=row_id_column_name).to_numpy() for frame in (solution, submission))
    return safe_call_score(
        sklearn.metrics.r2_score, truth, predicted, force_finite=force_finite, multioutput=multioutput
    )

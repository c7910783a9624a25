"""Compute a score that another platform has only by name, as that platform does: with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

SETTINGS: dict[str, Any] = {}
PROGRAM: dict[str, bytes] = {}


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """Return the score of these rows."""
    true = solution[SETTINGS["target"]]
    names = SETTINGS["columns"]
    sent: Any = submission[names[0]] if len(names) == 1 else submission[names].to_numpy(dtype=float)
    form = SETTINGS["form"]
    if form == "labels":
        true, sent = true.astype(str), sent.astype(str)
    elif form == "probability":
        true = (true.astype(str) == SETTINGS["positive"]).astype(int)
    elif form == "probabilities":
        true = pd.Series(pd.Categorical(true.astype(str), categories=names).codes)
    if SETTINGS["relative"]:
        return float(np.sqrt(np.mean(((true - sent) / true) ** 2)))
    value = float(getattr(metrics, SETTINGS["function"])(true, sent, **SETTINGS["keywords"]))
    return 1 - value if SETTINGS["one_less"] else value

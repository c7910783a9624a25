"""The helpers that Kaggle's metric notebooks import, by the same names.

Loaded in the sandbox as `kaggle_metric_utilities`; this project's own code does not use it. The behaviour is
that of Kaggle's public notebook of this name, except that a missing probability is refused: there it passes,
since pandas leaves missing values out of sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype


class ParticipantVisibleError(Exception):
    """Its text is shown to the participant."""


class HostVisibleError(Exception):
    """Its text is shown to the organiser only."""


def treat_as_participant_error(error_message: str, solution: pd.DataFrame | np.ndarray[Any, Any]) -> bool:
    """Return whether a message cannot hold a label.

    The solution is all numbers and the message has none of them.
    """
    kinds = list(solution.dtypes) if isinstance(solution, pd.DataFrame) else [solution.dtype]
    if not all(is_numeric_dtype(kind) for kind in kinds):
        return False
    flags = any(is_bool_dtype(kind) for kind in kinds)
    if flags and any(word in error_message.lower() for word in ("true", "false")):
        return False
    return not any(character.isnumeric() for character in error_message)


def safe_call_score(
    metric_function: Callable[..., Any],
    solution: pd.DataFrame | np.ndarray[Any, Any],
    submission: pd.DataFrame | np.ndarray[Any, Any],
    **metric_func_kwargs: Any,
) -> Any:
    """Return the function's value.

    An error that cannot hold a label becomes a ParticipantVisibleError.
    """
    try:
        return metric_function(solution, submission, **metric_func_kwargs)
    except Exception as error:
        text = str(error)
        # By name: each notebook defines classes of its own.
        name = type(error).__name__
        if name == "HostVisibleError":
            raise HostVisibleError(text) from error
        if name == "ParticipantVisibleError" or treat_as_participant_error(text, solution):
            raise ParticipantVisibleError(text) from error
        raise


def verify_valid_probabilities(df: pd.DataFrame, df_name: str) -> None:
    """Refuse rows unless they are probabilities that sum to one.

    Raises ParticipantVisibleError.
    """
    values = df.to_numpy()
    if not is_numeric_dtype(values.dtype):
        raise ParticipantVisibleError(f"All target values in {df_name} must be numeric")
    if np.isnan(values.astype(float)).any():
        raise ParticipantVisibleError(f"All target values in {df_name} must be given")
    if values.min() < 0:
        raise ParticipantVisibleError(f"All target values in {df_name} must be at least zero")
    if values.max() > 1:
        raise ParticipantVisibleError(f"All target values in {df_name} must be no greater than one")
    if not np.allclose(values.sum(axis=1), 1):
        raise ParticipantVisibleError(f"Target values in {df_name} do not add to one within all rows")

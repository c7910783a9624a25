"""Ranks of values, equal ones sharing the mean of their places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_ranks(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the ranks from 1 of finite values, a float array of the same shape.

    One dimension, or two of which each column is ranked by itself. Equal values get the mean of the places
    that they take, as `scipy.stats.rankdata` does by default. Importing that module costs a worker a quarter
    of its start.
    """
    if values.ndim == 2:
        return (
            np.stack([average_ranks(column) for column in values.T], axis=1)
            if values.size
            else np.zeros(values.shape)
        )
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(values) else np.zeros(0, int)
    ends = np.r_[begins[1:], len(values)] if len(values) else begins
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((begins + 1 + ends) / 2, ends - begins)
    return ranks

"""The best log loss that is possible on simulated rows, and its standard error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Log loss of the true probabilities, expected over the draw of the labels."""

    score: float
    error: float
    """Standard deviation of the realised score around it: no model beats it by much more."""
    n_rows: int


def ceiling(probability: NDArray[np.float64]) -> Ceiling:
    """Return the expected log loss of these probabilities.

    In natural logarithms, as `log_loss` scores. A row with chance p has the entropy -p ln p - (1-p) ln(1-p),
    and its loss the variance p (1-p) ln(p / (1-p))^2 (Cover and Thomas, Elements of Information Theory, 2.1).
    """
    p = np.clip(probability, 1e-15, 1 - 1e-15)
    entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
    variance = p * (1 - p) * (np.log(p) - np.log1p(-p)) ** 2
    return Ceiling(float(entropy.mean()), float(np.sqrt(variance.sum()) / len(p)), len(p))

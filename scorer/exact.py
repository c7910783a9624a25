"""Exact sums: the same values in any order give one sum.

Error-free extraction after Rump, Ogita and Oishi, "Accurate floating-point summation" (SIAM J. Sci. Comput.
31, 2008): adding and subtracting a large power of two cuts every value at the same bit, so the upper parts
are few enough bits to add without rounding. The paper gathers them in one running vector; here they go into
one whole number, in units of the smallest float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_UNIT_BITS = 1074
"""2**-1074 is the smallest float64 above 0; every float64 is a whole multiple of it."""

_CHUNK = 1 << 14
"""Values cut at a time: three arrays of them stay in the processor's cache."""

_HUGE = 2.0**960
"""From here on the power of two needed for cutting might not exist."""


class ExactSum:
    """The sum of all values added, rounded once.

    Equal to `math.fsum` of them in any order.
    """

    def __init__(self) -> None:
        self._units = 0
        """The finite part of the sum in units of 2**-1074."""
        self._special = 0.0
        """The sum of what is not finite."""

    def add(self, values: NDArray[Any]) -> None:
        """Add every value of an array of any shape."""
        flat = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
        scratch = np.empty((2, min(len(flat), _CHUNK)))
        for start in range(0, len(flat), _CHUNK):
            self._add_chunk(flat[start : start + _CHUNK], scratch)

    def merge(self, other: ExactSum) -> None:
        """Add everything that was added there."""
        self._units += other._units
        self._special += other._special

    def value(self) -> float:
        """The sum, correctly rounded.

        inf beyond the largest float64, inf or nan if such a value was added.
        """
        if self._special != 0.0:  # also if it is nan
            return self._special
        try:
            return self._units / (1 << _UNIT_BITS)
        except OverflowError:
            return math.inf if self._units > 0 else -math.inf

    def _add_chunk(self, values: NDArray[np.float64], scratch: NDArray[np.float64]) -> None:
        largest = _largest(values)
        if not largest < _HUGE:  # also if it is nan
            finite = np.isfinite(values)
            with np.errstate(invalid="ignore"):
                self._special += float(values[~finite].sum())
            huge = finite & (np.abs(values) >= _HUGE)
            for value in values[huge].tolist():
                self._add_one(value)
            values = np.where(finite & ~huge, values, 0.0)
            largest = _largest(values)
        upper, lower = scratch[:, : len(values)]
        room = (2 * (len(values) + 2)).bit_length()
        while largest > 0.0:
            cut = math.ldexp(1.0, math.frexp(largest)[1] + room)
            np.add(values, cut, out=upper)
            np.subtract(upper, cut, out=upper)
            self._add_one(float(np.add.reduce(upper)))
            np.subtract(values, upper, out=lower)
            values = lower
            largest = _largest(values)

    def _add_one(self, value: float) -> None:
        numerator, denominator = value.as_integer_ratio()
        self._units += numerator << (_UNIT_BITS + 1 - denominator.bit_length())


def _largest(values: NDArray[np.float64]) -> float:
    return max(float(np.maximum.reduce(values)), -float(np.minimum.reduce(values)))

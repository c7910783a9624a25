"""Ranks equal SciPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import rankdata

from scorer.ranks import average_ranks

VALUES = st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=False))


@given(arrays(np.float64, array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=9), elements=VALUES))
def test_ranks_are_those_of_scipy_bit_for_bit(values: np.ndarray) -> None:
    expected = rankdata(values, axis=0) if values.size else np.zeros(values.shape)
    assert np.array_equal(average_ranks(values), expected)

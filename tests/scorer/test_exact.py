"""Exact sums equal math.fsum in any order and any pieces."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.exact import ExactSum

ANY = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1.0, 1.0),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.0**-1022, 1e308, -1e308, 1e16, -1e16, 1.0, 2.0**960]),
)


def total(*arrays: object) -> float:
    exact = ExactSum()
    for values in arrays:
        exact.add(np.array(values, dtype=np.float64))
    return exact.value()


@settings(max_examples=1000, deadline=None)
@given(st.lists(ANY, max_size=60).filter(lambda values: sum(abs(v) > 1e300 for v in values) < 2))
def test_a_sum_is_the_correctly_rounded_one(values: list[float]) -> None:
    assert total(values) == math.fsum(values)


@settings(max_examples=300, deadline=None)
@given(st.lists(ANY, max_size=40), st.integers(0, 40), st.randoms(use_true_random=False))
def test_neither_order_nor_cuts_matter(values: list[float], cut: int, rng: random.Random) -> None:
    shuffled = rng.sample(values, len(values))
    one, other = ExactSum(), ExactSum()
    one.add(np.array(shuffled[:cut]))
    other.add(np.array(shuffled[cut:]))
    one.merge(other)
    assert one.value() == total(values)


def test_many_values_of_all_sizes_sum_exactly() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(100_003) * 10.0 ** rng.integers(-300, 300, 100_003)
    assert total(values) == total(rng.permutation(values)) == math.fsum(values)
    assert total(values, -values) == 0.0


def test_terms_that_cancel_leave_the_exact_rest() -> None:
    assert total([1e100, 1.0, -1e100, 1e-300]) == 1.0
    assert total([1e308, 1e308, -1e308, -1e308, 5e-324]) == 5e-324


def test_an_array_of_any_shape_and_stride_is_taken() -> None:
    values = np.arange(12.0).reshape(3, 4)
    assert total(values, values[:, 1], np.array([], dtype=float)) == 66.0 + 15.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e308, 1e308], math.inf),
        ([-1e308, -1e308], -math.inf),
        ([1.0, math.inf], math.inf),
        ([1.0, -math.inf, 1e308], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, 1.0], math.nan),
        ([math.inf, math.nan], math.nan),
        ([], 0.0),
    ],
)
def test_values_that_are_not_finite_stay_so(values: list[float], expected: float) -> None:
    assert total(values) == expected or (math.isnan(expected) and math.isnan(total(values)))

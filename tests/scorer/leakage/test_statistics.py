"""Laws of the statistics that the checks share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scorer.leakage.frame import dense_codes
from scorer.leakage.statistics import area_under_curve, log10p_of_fisher


@given(st.lists(st.integers(-3, 40) | st.integers(-(10**12), 10**12), max_size=60))
def test_dense_codes_are_those_of_numpy(codes: list[int]) -> None:
    dense, counts = dense_codes(np.array(codes, dtype=np.int64))
    _, expected, often = np.unique(np.array(codes, dtype=np.int64), return_inverse=True, return_counts=True)
    assert dense.tolist() == expected.tolist()
    assert counts.tolist() == often.tolist()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_area_counts_the_pairs_in_order_and_ties_by_half(rows: list[tuple[int, bool]]) -> None:
    score = np.array([each for each, _ in rows], dtype=np.float64)
    positive = np.array([is_positive for _, is_positive in rows])
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    auc, z = area_under_curve(score, positive)
    assert auc == pytest.approx(float(np.mean(pairs)) if pairs else 0.5)
    assert z == 0 or math.copysign(1, z) == math.copysign(1, auc - 0.5)


@settings(max_examples=50)
@given(st.data())
def test_the_chance_of_a_table_is_twice_its_smaller_hypergeometric_tail(data: st.DataObject) -> None:
    n = data.draw(st.integers(8, 5000))
    missing, positives = data.draw(st.integers(1, n - 1)), data.draw(st.integers(1, n - 1))
    both = data.draw(st.integers(max(0, missing + positives - n), min(missing, positives)))
    law = stats.hypergeom(n, positives, missing)
    tail = min(law.logsf(both - 1), law.logcdf(both))
    if math.isfinite(tail):
        expected = min(0.0, (tail + math.log(2)) / math.log(10))
        assert log10p_of_fisher(both, missing, positives, n) == pytest.approx(expected, rel=1e-6, abs=1e-9)

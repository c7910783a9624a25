"""Conventions of metrics of numbers, orders, forecasts and places."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

import scorer
from scorer.metrics import METRICS
from scorer.metrics.correlation import inverted_weight


def measure(name: str, truth: Any, predicted: Any, **params: Any) -> float:
    """Score plain lists (the column y), or columns by name."""
    truth = truth if isinstance(truth, dict) else {"y": truth}
    predicted = predicted if isinstance(predicted, dict) else {"y": predicted}
    ids = [f"r{i}" for i in range(len(next(iter(truth.values()))))]
    return scorer.measure(
        name, pd.DataFrame({"id": ids, **truth}), pd.DataFrame({"id": ids, **predicted}), **params
    )


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall", "normalized_gini", "gini"])
def test_a_constant_file_scores_zero_whatever_the_order_of_the_rows(name: str) -> None:
    for truth in ([1, 2, 3], [3, 2, 1]):
        assert measure(name, truth, [0.1, 0.1, 0.1]) == 0.0


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall", "normalized_gini"])
def test_a_constant_truth_is_an_error_of_the_challenge(name: str) -> None:
    with pytest.raises(scorer.InvalidChallenge, match="all true values are equal"):
        measure(name, [0.1, 0.1, 0.1], [1, 2, 3])


def test_values_far_from_zero_lose_no_correlation() -> None:
    truth = np.array([0.0, 1.0, 2.0, 4.0]) + 1e9
    assert measure("pearson", truth, 3 * truth) == pytest.approx(1.0, abs=1e-12)
    assert measure("r2", truth, truth + 1) == pytest.approx(1 - 4 / 8.75)


def test_tiny_and_huge_values_neither_vanish_nor_overflow_in_a_correlation() -> None:
    assert measure("pearson", [0, 1e-200, 3e-200], [0, 1e90, 3e90]) == pytest.approx(1.0)
    assert measure("spearman", [1, 2, 3], [-1e308, 0, 1e308]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "name", ["r2", "rse", "rrse", "explained_variance", "rae", "pearson", "normalized_gini"]
)
def test_errors_too_small_to_be_squared_still_count(name: str) -> None:
    truth, predicted = np.array([1.0, 2, 4]), np.array([1.0, 2.5, 3])
    expected = measure(name, truth, predicted)
    for factor in (1e-170, 1e-300, 1e95):
        assert measure(name, truth * factor, predicted * factor) == pytest.approx(expected, rel=1e-9)


def test_a_truth_too_small_to_be_squared_is_an_error_of_the_challenge() -> None:
    with pytest.raises(scorer.InvalidChallenge, match="too small to be squared"):
        measure("relative_l2", [1e-170, 2e-170], [1e-170, 1e-170])


def test_equal_predictions_share_their_ranks_in_gini() -> None:
    # The classic code gives 0.125 or 0.1, by which of the two rows that are predicted alike stands first.
    assert measure("gini", [2, 1, 4, 3], [0, 0, 2, 1]) == pytest.approx(0.1125)
    assert measure("gini", [1, 2, 4, 3], [0, 0, 2, 1]) == pytest.approx(0.1125)


def test_a_constant_bias_costs_no_explained_variance() -> None:
    assert measure("explained_variance", [1, 2, 4], [11, 12, 14]) == 1.0
    assert measure("explained_variance", [2, 2, 2], [3, 3, 3]) == 1.0
    assert measure("explained_variance", [2, 2, 2], [3, 3, 4]) == 0.0


@pytest.mark.parametrize("name", ["mape", "rmspe"])
def test_a_true_zero_must_be_decided_by_the_challenge(name: str) -> None:
    with pytest.raises(scorer.InvalidChallenge, match="zero_truth: skip or floor"):
        measure(name, [0, 2], [1, 3])
    assert measure(name, [0, 2], [1, 3], zero_truth="skip") == 0.5
    assert measure(name, [0, 2], [2, 2], zero_truth="floor", truth_floor=2) == pytest.approx(
        {"mape": 0.5, "rmspe": math.sqrt(0.5)}[name]
    )
    with pytest.raises(scorer.InvalidChallenge, match="no row counts"):
        measure(name, [0, 0], [1, 3], zero_truth="skip")


def test_truth_and_prediction_both_zero_are_no_error_in_smape() -> None:
    assert measure("smape", [0, 1], [0, 1]) == 0.0
    assert [measure("smape", [0, 1], [5, 1], scale=scale) for scale in (200, 100, 2.0)] == [100, 50, 1]


def test_no_smape_is_above_its_scale() -> None:
    smape = METRICS["smape"]
    for scale in (200, 100, 2):
        low, high = smape.bounds_for(smape.read_parameters({"scale": scale}))
        assert (low, measure("smape", [1], [-5], scale=scale)) == (0.0, high)


def test_weights_of_a_median_need_not_be_whole_numbers() -> None:
    truth = {"y": [0.0] * 10, "w": [0.1] * 10}
    assert measure("medae", truth, list(range(10)), weight="w") == 4.5


def test_crossing_quantiles_can_be_sorted_first() -> None:
    crossed = {"low": [3.0], "high": [1.0]}
    params = {"quantiles": [0.25, 0.75], "targets": ["low", "high"]}
    assert measure("pinball", [2.0], crossed, **params) == 0.75
    assert measure("pinball", [2.0], crossed, crossing="sort", **params) == 0.25


@pytest.mark.parametrize(
    ("quantiles", "words"),
    [([0.5], "1 quantiles are stated for 2"), ([0.9, 0.1], "must rise"), ([0.1, 1.5], "quantiles")],
)
def test_quantiles_must_be_those_of_the_columns(quantiles: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        measure("pinball", [2.0], {"a": [1.0], "b": [3.0]}, quantiles=quantiles, targets=["a", "b"])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"thresholds": [0, 1]}, "forecast: cdf"),
        ({"forecast": "cdf", "thresholds": [0]}, "1 thresholds are stated for 2"),
        ({"forecast": "cdf", "thresholds": [1, 0]}, "must rise"),
    ],
)
def test_thresholds_must_be_those_of_the_columns(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        measure("crps", [2.0], {"a": [0.0], "b": [1.0]}, targets=["a", "b"], **params)


def test_a_single_member_has_the_absolute_error_as_its_crps() -> None:
    assert measure("crps", [2.0, 5.0], [3.0, 1.0]) == 2.5


def test_an_inverted_interval_costs_more_than_a_right_one() -> None:
    there, back = ({"lower": [a], "upper": [b]} for a, b in ((1.0, 3.0), (3.0, 1.0)))
    assert measure("interval_score", [2.0], there) == 2.0
    assert measure("interval_score", [2.0], back) == -2.0 + 20 * 2.0


def test_a_series_that_never_changed_has_no_scale() -> None:
    with pytest.raises(scorer.InvalidChallenge, match="scale"):
        measure("mase", {"y": [1.0, 2.0], "scale": [1.0, 0.0]}, [1.0, 2.0])


def test_certainty_is_worth_no_more_than_the_floor_of_sigma() -> None:
    exact = {"mean": [2500.0], "scale": [0.0]}
    assert measure("laplace_log_likelihood", [2500.0], exact) == pytest.approx(-math.log(math.sqrt(2) * 70))
    assert measure("gaussian_log_likelihood", [2500.0], exact, sigma_floor=0.1) == pytest.approx(
        -math.log(0.1 * math.sqrt(2 * math.pi))
    )


def test_a_wrong_mean_costs_no_more_than_the_cap_of_errors() -> None:
    far = {"mean": [9e9], "scale": [70.0]}
    assert measure("laplace_log_likelihood", [2500.0], far) == pytest.approx(
        -math.sqrt(2) * 1000 / 70 - math.log(math.sqrt(2) * 70)
    )


def test_whole_turns_are_no_angular_error() -> None:
    truth = {"azimuth": [0.5, 6.2], "zenith": [1.0, 0.3]}
    turned = {"azimuth": [0.5 + 2 * math.pi, 6.2 - 2 * math.pi], "zenith": [1.0, 0.3]}
    assert measure("angular_error", truth, truth) == 0.0
    assert measure("angular_error", truth, turned) == pytest.approx(0.0, abs=1e-12)


def test_angles_too_small_for_an_arc_cosine_count() -> None:
    truth, near = {"azimuth": [0.0], "zenith": [1.0]}, {"azimuth": [0.0], "zenith": [1.0 + 1e-10]}
    assert measure("angular_error", truth, near) == pytest.approx(1e-10, rel=1e-5)


def test_distances_cross_the_date_line() -> None:
    west, east = {"lat": [0.0], "lon": [-179.5]}, {"lat": [0.0], "lon": [179.5]}
    assert measure("haversine", west, east) == pytest.approx(6_371_000 * math.radians(1))


def test_a_latitude_beyond_the_pole_is_refused_with_its_line() -> None:
    place = {"lat": [10.0, 10.0], "lon": [120.0, 120.0]}
    with pytest.raises(scorer.InvalidSubmission, match=r"Line 3 .*latitude 120 is outside"):
        measure("haversine", place, {"lat": [10.0, 120.0], "lon": [120.0, 10.0]})


def test_median_and_95th_percentile_of_each_phone_are_averaged() -> None:
    truth = {"lat": [0.0] * 4, "lon": [0.0] * 4, "phone": ["a", "a", "b", "b"]}
    guess = {"lat": [0.0, 1.0, 2.0, 2.0], "lon": [0.0] * 4}
    degree = 6_371_000 * math.radians(1)
    got = measure("haversine", truth, guess, quantiles=[0.5, 0.95], group_by="phone", targets=["lat", "lon"])
    assert got == pytest.approx(degree * ((0.5 + 0.95) / 2 + 2) / 2)


def test_weights_of_quantiles_are_repeated_rows_or_else_in_units_of_the_lightest() -> None:
    apart = [0.0, 1.0, 2.0, 7.0]

    def quantiles(degrees: Sequence[float], weights: Sequence[float] | None = None) -> float:
        zeros = {"lat": [0.0] * len(degrees), "lon": [0.0] * len(degrees)}
        where = {"lat": list(degrees), "lon": [0.0] * len(degrees)}
        params: dict[str, Any] = {"quantiles": [0.5, 0.95], "targets": ["lat", "lon"]}
        if weights is None:
            return measure("haversine", zeros, where, **params)
        return measure("haversine", {**zeros, "w": weights}, where, weight="w", **params)

    plain = quantiles(apart)
    for equal in (1.0, 0.25, 0.1, 1e-200):
        assert quantiles(apart, [equal] * 4) == pytest.approx(plain)
    repeated = quantiles([0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 7.0])
    for weights in ([2, 1, 3, 1], [0.2, 0.1, 0.3, 0.1], [0.5, 0.25, 0.75, 0.25]):
        assert quantiles(apart, weights) == pytest.approx(repeated)
    assert quantiles(apart, [10] * 4) == pytest.approx(quantiles(apart * 10))
    assert math.isfinite(quantiles(apart, [1e15, 0.5, 1e-300, 1.0]))


def test_of_equal_times_only_an_event_and_an_end_of_watching_can_be_compared() -> None:
    truth = {"time": [1, 1, 1], "event": [1, 1, 0]}
    # The two events are no pair; each of them came before the row that was still watched.
    assert measure("c_index", truth, {"risk": [5.0, 9.0, 7.0]}) == 0.5


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        ({"time": [1, 2], "event": [0, 0]}, "no event was seen"),
        ({"time": [1, 2], "event": [0, 1]}, "beyond the first event"),
        ({"time": [1, 2], "event": [1, 2]}, "0 .* and 1"),
    ],
)
def test_survival_without_a_comparable_pair_is_an_error_of_the_challenge(
    truth: dict[str, Any], words: str
) -> None:
    with pytest.raises(scorer.InvalidChallenge, match=words):
        measure("c_index", truth, {"risk": [1.0, 2.0]})


def test_strata_are_scored_by_mean_less_standard_deviation() -> None:
    truth = {"t": [1, 2, 1, 2], "e": [1, 1, 1, 1], "race": ["a", "a", "b", "b"]}
    params = {"time": "t", "event": "e", "group_by": "race", "group_aggregate": "mean_minus_std"}
    assert measure("c_index", truth, {"risk": [2.0, 1.0, 1.0, 1.0]}, **params) == pytest.approx(0.75 - 0.25)


def test_inversions_are_those_of_a_plain_double_loop() -> None:
    random = np.random.default_rng(3)
    for n in (1, 2, 7, 50):
        keys = random.integers(0, 9, n)
        left, right = random.integers(0, 4, (2, n)).astype(float)
        pairs = [(i, j) for j in range(n) for i in range(j) if keys[i] > keys[j]]
        assert inverted_weight(keys, left, right) == sum(left[i] * right[j] for i, j in pairs)


def test_a_hundred_thousand_rows_of_pairs_take_no_quadratic_time() -> None:
    random = np.random.default_rng(4)
    truth = np.column_stack([random.exponential(size=100_000), random.integers(0, 2, 100_000)])
    risk = random.normal(size=(100_000, 1))
    started = time.perf_counter()
    for name, y, p in (("c_index", truth, risk), ("kendall", truth[:, 0], risk[:, 0])):
        METRICS[name].function(y, p, weights=None)
    assert time.perf_counter() - started < 10

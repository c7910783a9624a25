"""What is decided where definitions of labels, probabilities and clusters differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

import scorer


def frames(truth: Sequence[Any], predicted: Sequence[Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    ids = [f"r{i}" for i in range(len(truth))]
    return pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted})


def classes(truth: Sequence[Any], **columns: Sequence[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    ids = [f"r{i}" for i in range(len(truth))]
    return pd.DataFrame({"id": ids, "class": truth}), pd.DataFrame({"id": ids, **columns})


def test_a_file_of_ones_is_not_a_perfect_log_loss() -> None:
    """scikit-learn from 1.5 on gives it 2.2e-16."""
    both = classes(["a", "b", "c"], a=[1, 1, 1], b=[1, 1, 1], c=[1, 1, 1])
    assert scorer.measure("log_loss", *both) == pytest.approx(math.log(3))
    assert scorer.measure("brier", *both) == pytest.approx(2 / 3)


def test_probabilities_rounded_to_three_digits_sum_to_one() -> None:
    both = classes(["a", "b"], a=[0.333, 0.333], b=[0.333, 0.333], c=[0.333, 0.333])
    assert scorer.measure("log_loss", *both, rows="reject") == pytest.approx(math.log(3))
    with pytest.raises(scorer.InvalidSubmission, match=r"sum to 0\.9 "):
        scorer.measure("log_loss", *classes(["a", "b"], a=[0.3] * 2, b=[0.6] * 2), normalize_rows=False)


def test_rows_and_normalize_rows_may_not_contradict() -> None:
    both = classes(["a", "b"], a=[0.5, 0.5], b=[0.5, 0.5])
    assert scorer.measure("log_loss", *both, rows="reject", normalize_rows=False) == pytest.approx(
        math.log(2)
    )
    with pytest.raises(ValueError, match="rows: reject contradicts normalize_rows: true"):
        scorer.measure("log_loss", *both, rows="reject", normalize_rows=True)


def test_a_row_that_sums_to_less_than_one_gains_nothing_in_kl_divergence() -> None:
    ids = ["a", "b"]
    truth = pd.DataFrame({"id": ids, "x": [0.5, 1.0], "y": [0.5, 0.0]})
    over = pd.DataFrame({"id": ids, "x": [0.5004, 1.0], "y": [0.5004, 0.0]})
    assert scorer.measure("kl_divergence", truth, over) == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(scorer.InvalidSubmission, match=r"sum to 1\.1"):
        scorer.measure("kl_divergence", truth, over.assign(x=[0.6, 1.0], y=[0.5, 0.0]))


def test_votes_are_divided_only_when_that_is_stated() -> None:
    votes = pd.DataFrame({"id": ["a"], "x": [3], "y": [1]})
    predicted = pd.DataFrame({"id": ["a"], "x": [0.75], "y": [0.25]})
    assert scorer.measure("kl_divergence", votes, predicted, normalize_truth=True) == pytest.approx(0.0)
    with pytest.raises(
        scorer.InvalidChallenge, match="sum to 4 instead of 1; for votes state normalize_truth"
    ):
        scorer.measure("kl_divergence", votes, predicted)


def test_bands_of_the_roc_curve_are_cut_where_they_say() -> None:
    """The ALASKA2 notebook drops the piece of the curve up to its first point inside a band."""
    both = frames([1, 1, 1, 0, 0], [0.5] * 5)
    bands: dict[str, Any] = {"tpr_thresholds": [0, 0.4, 1], "tpr_weights": [2, 1]}
    # The diagonal: 0.4 high and 0.8 wide on average, then 0.6 high and 0.3 wide.
    assert scorer.measure("roc_auc", *both, **bands) == pytest.approx((2 * 0.4 * 0.8 + 0.6 * 0.3) / 1.4)
    with pytest.raises(ValueError, match="must be stated together"):
        scorer.measure("roc_auc", *both, tpr_thresholds=[0, 1])
    with pytest.raises(ValueError, match="tpr_weights needs 2 numbers"):
        scorer.measure("roc_auc", *both, tpr_thresholds=[0, 0.4, 1], tpr_weights=[1])


def test_average_precision_without_a_one_is_the_challenges_mistake() -> None:
    with pytest.raises(scorer.InvalidChallenge, match="no row is 1"):
        scorer.measure("average_precision", *frames([0, 0], [0.1, 0.2]))


def test_tied_labels_all_rank_where_the_last_of_them_does() -> None:
    truth = pd.DataFrame({"id": ["a", "b"], "x": [1, 0], "y": [0, 0], "z": [0, 0]})
    scores = pd.DataFrame({"id": ["a", "b"], "x": [0.5, 9], "y": [0.5, 8], "z": [0.1, 7]})
    assert scorer.measure("lrap", truth, scores) == 0.5
    assert scorer.measure("lwlrap", truth, scores) == 0.5


def test_a_class_that_was_only_predicted_counts_as_the_challenge_says() -> None:
    both = frames(["a", "b"], ["a", "zz"])
    assert scorer.measure("fbeta", *both, average="macro") == 0.5
    explained = "union of truth and prediction (sklearn default)"
    assert scorer.measure("fbeta", *both, average="macro", labels=explained) == pytest.approx(1 / 3)


def test_nothing_to_find_and_nothing_called_is_perfect_in_lists() -> None:
    both = frames(["", ""], ["", ""])
    for average in ("micro", "macro", "samples"):
        assert scorer.measure("f1", *both, average=average, split=" ") == 1.0
    assert scorer.measure("recall", *frames(["", "a"], ["b", "a"]), average="samples") == 0.5


def test_a_probabilistic_f1_of_zeros_is_zero() -> None:
    both = frames([1, 0, 0], [0.0, -3.0, 0.0])
    assert scorer.measure("f1", *both, probabilistic=True) == 0.0
    with pytest.raises(ValueError, match="average: macro means nothing"):
        scorer.measure("f1", *both, probabilistic=True, average="macro")


def test_a_repeated_guess_takes_up_a_place() -> None:
    assert scorer.measure("top_k_accuracy", *frames(["a", "a"], ["b b a", "b a a"]), k=2) == 0.5
    assert scorer.measure("top_k_accuracy", *frames(["a"], [""]), k=2) == 0.0


def test_one_class_only_has_no_correlation() -> None:
    assert scorer.measure("mcc", *frames(["a", "b"], ["a", "a"])) == 0.0
    with pytest.raises(scorer.InvalidChallenge, match="every row has the same class"):
        scorer.measure("mcc", *frames(["a", "a"], ["a", "b"]))


def test_a_kappa_of_one_rating_on_both_sides_is_perfect_and_of_two_is_chance() -> None:
    for options in ({"weighting": "linear"}, {"weighting": "quadratic"}):
        ranged: dict[str, Any] = {**options, "min_rating": 1, "max_rating": 5}
        assert scorer.measure("cohen_kappa", *frames([2, 2], [2, 2]), **ranged) == 1.0
        assert scorer.measure("cohen_kappa", *frames([2, 2], [4, 4]), **ranged) == pytest.approx(0.0)
    assert scorer.measure("cohen_kappa", *frames(["a", "a"], ["a", "a"])) == 1.0
    with pytest.raises(ValueError, match="linear needs min_rating and max_rating"):
        scorer.measure("cohen_kappa", *frames([1, 2], [1, 2]), weighting="linear")


def test_a_matrix_must_make_the_right_answer_the_best() -> None:
    both = frames(["sick", "well"], ["well", "nonsense"])
    labels = ["sick", "well"]
    assert scorer.measure("expected_cost", *both, labels=labels, matrix=[[0, 10], [3, 0]]) == 6.5
    assert scorer.measure("utility", *both, labels=labels, matrix=[[5, -10], [-3, 1]]) == -6.5
    with pytest.raises(ValueError, match="row of well must be 0 where the answer is right"):
        scorer.measure("expected_cost", *both, labels=labels, matrix=[[0, 10], [3, 1]])
    with pytest.raises(ValueError, match="a wrong answer is worth more"):
        scorer.measure("utility", *both, labels=labels, matrix=[[5, 10], [0, 1]])
    with pytest.raises(ValueError, match="2 rows of 2 numbers"):
        scorer.measure("utility", *both, labels=labels, matrix=[[5, 10, 1]])


def test_noise_is_a_cluster_like_any_other() -> None:
    both = frames([0, 0, 1, 1], [-1, -1, 7, 7])
    for name in ("adjusted_rand", "nmi", "v_measure"):
        assert scorer.measure(name, *both) == pytest.approx(1.0)
        assert scorer.measure(name, *frames([0, 0, 1, 1], [3, 3, 3, 3])) == 0.0


def test_products_of_pairs_of_rows_need_more_than_64_bits() -> None:
    rng = np.random.default_rng(0)
    joined = np.repeat(np.arange(3), 30_000)
    value = scorer.measure("adjusted_rand", *frames(joined.tolist(), rng.permutation(joined).tolist()))
    assert abs(value) < 1e-3

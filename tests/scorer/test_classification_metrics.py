"""Decisions where definitions of labels, probabilities and clusters differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

import scorer
from scorer.metrics import METRICS


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


def test_two_words_for_one_parameter_may_not_both_be_stated() -> None:
    both = classes(["a", "b"], a=[0.5, 0.5], b=[0.5, 0.5])
    with pytest.raises(ValueError, match="normalize_rows is another word for rows; state one of them"):
        scorer.measure("log_loss", *both, rows="reject", normalize_rows=True)


def test_labels_of_a_log_loss_are_as_many_as_its_columns() -> None:
    both = classes(["a", "b"], a=[0.5, 0.5], b=[0.5, 0.5])
    assert scorer.measure("log_loss", *both, labels=["b", "a"]) == pytest.approx(math.log(2))
    assert scorer.measure("log_loss", *frames([1, 1], [0.5, 0.5]), labels=[0, 1]) == pytest.approx(
        math.log(2)
    )
    for labels, words in ((["a", "b", "c"], "3 labels are stated for 2"), (["a", "a"], "twice")):
        with pytest.raises(ValueError, match=words):
            scorer.measure("log_loss", *both, labels=labels)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        scorer.measure("log_loss", *frames([1, 1], [0.5, 0.5]), labels=["no", "yes"])


def test_a_loss_is_finite_for_the_smallest_eps_there_is() -> None:
    for name, eps in (("log_loss", 1e-16), ("kl_divergence", 1e-300)):
        truth = pd.DataFrame({"id": ["a", "b"], "x": [0, 1], "y": [1, 0]})
        wrong = truth.assign(x=truth["y"], y=truth["x"])
        assert scorer.measure(name, truth, wrong, eps=eps) == pytest.approx(-math.log(eps), rel=0.01)
        assert scorer.measure("log_loss", *frames([0, 1], [1, 0]), eps=1e-16) == pytest.approx(36.8, abs=0.1)
        with pytest.raises(ValueError, match="eps"):
            scorer.measure(name, truth, wrong, eps=eps / 10)


def test_rows_that_kaggle_takes_for_distributions_are_scored_as_they_stand() -> None:
    ids = ["a", "b"]
    truth = pd.DataFrame({"id": ids, "x": [0.5, 1.0], "y": [0.5, 0.0]})
    short = pd.DataFrame({"id": ids, "x": [0.499998, 1.0], "y": [0.499998, 0.0]})
    assert scorer.measure("kl_divergence", truth, short) == pytest.approx(-math.log(0.999996) / 2, rel=1e-9)
    over = truth.assign(x=[0.500002, 1.0], y=[0.500002, 0.0])
    assert scorer.measure("kl_divergence", truth, over) == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(scorer.InvalidSubmission, match=r"sum to 1\.0002 "):
        scorer.measure("kl_divergence", truth, over.assign(x=[0.5002, 1.0]))


def weighted(
    truth: Sequence[Any], predicted: Sequence[Any], weights: Sequence[float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    solution, submission = frames(truth, predicted)
    return solution.assign(w=weights), submission


def test_light_zeros_are_not_lost_beside_heavy_ones_in_an_area() -> None:
    rng = np.random.default_rng(5)
    truth, predicted = rng.integers(0, 2, 400), rng.normal(size=400).round(1)
    unweighted = frames(truth.tolist(), predicted.tolist())
    band: dict[str, Any] = {"tpr_thresholds": [0.2, 1], "tpr_weights": [1]}
    for heavy, light in ((1e8, 0.01), (1e12, 1e-3), (1e-3, 1e12)):
        both = weighted(truth.tolist(), predicted.tolist(), np.where(truth == 1, heavy, light).tolist())
        for cut in ({}, {"max_fpr": 0.3}, band):
            plain = scorer.measure("roc_auc", *unweighted, **cut)
            assert scorer.measure("roc_auc", *both, weight="w", **cut) == pytest.approx(plain, abs=1e-12)
    wrong = weighted([1, 0, 1, 1], [3, 4, 3, 1], [1, 0.1, 1, 3])
    assert scorer.measure("roc_auc", *wrong, weight="w") == 0.0


@pytest.mark.parametrize("weights", [[1e15, 1.0, 1e-9], [1e-200, 1e-205, 3e-210], [3e14, 1.0, 0.1]])
@pytest.mark.parametrize("name", ["mcc", "cohen_kappa"])
def test_agreement_beyond_chance_works_with_any_weights(name: str, weights: list[float]) -> None:
    perfect = weighted([0, 1, 2], [0, 1, 2], weights)
    assert scorer.measure(name, *perfect, weight="w") == 1.0
    wrong = weighted([0, 1, 2], [1, 2, 0], weights)
    assert -1.0 <= scorer.measure(name, *wrong, weight="w") < 0.0
    lone = weighted([0, 1, 1], [1, 1, 1], weights)
    assert scorer.measure(name, *lone, weight="w") == 0.0


@pytest.mark.parametrize("average", ["arithmetic", "geometric", "min", "max"])
def test_clusterings_work_with_the_lightest_weight(average: str) -> None:
    light = weighted([0, 1], [0, 1], [1.0, 5e-324])
    assert scorer.measure("nmi", *light, weight="w", average=average) == pytest.approx(1.0)


def test_only_the_labels_in_a_vocabulary_count() -> None:
    tags = frames(["a b", "b", "x"], ["a", "b y", "y"])
    listed: dict[str, Any] = {"split": " ", "vocabulary": ["b", "a"]}
    assert scorer.measure("f1", *tags, average="micro", split=" ") == pytest.approx(2 * 2 / (4 + 4))
    assert scorer.measure("f1", *tags, average="micro", **listed) == pytest.approx(2 * 2 / (3 + 2))
    assert scorer.measure("precision", *tags, average="macro", **listed) == 1.0
    assert scorer.measure("recall", *tags, average="samples", labels=["a", "b"]) == pytest.approx(2.5 / 3)
    one = frames(["a", "b", "x"], ["a", "x", "b"])
    assert scorer.measure("recall", *one, average="macro", labels=["a", "b"]) == 0.5
    with pytest.raises(ValueError, match="a list of labels means nothing"):
        scorer.measure("f1", *one, labels=["a", "b"])


def test_zero_division_is_zero_or_refused() -> None:
    both = frames([1, 0], [0, 0])
    assert scorer.measure("precision", *both, zero_division=0.0, pos_label=1) == 0.0
    with pytest.raises(ValueError, match="zero_division"):
        scorer.measure("precision", *both, zero_division=1)


def test_votes_are_divided_only_when_that_is_stated() -> None:
    votes = pd.DataFrame({"id": ["a"], "x": [3], "y": [1]})
    predicted = pd.DataFrame({"id": ["a"], "x": [0.75], "y": [0.25]})
    assert scorer.measure("kl_divergence", votes, predicted, normalize_truth=True) == pytest.approx(0.0)
    with pytest.raises(
        scorer.InvalidChallenge, match="sum to 4 instead of 1; for votes state normalize_truth"
    ):
        scorer.measure("kl_divergence", votes, predicted)


def test_bands_of_the_roc_curve_are_cut_at_their_thresholds() -> None:
    """The ALASKA2 notebook drops a piece of the curve.

    The one up to its first point inside a band.
    """
    both = frames([1, 1, 1, 0, 0], [0.5] * 5)
    bands: dict[str, Any] = {"tpr_thresholds": [0, 0.4, 1], "tpr_weights": [2, 1]}
    # The diagonal: 0.4 high and 0.8 wide on average, then 0.6 high and 0.3 wide.
    assert scorer.measure("roc_auc", *both, **bands) == pytest.approx((2 * 0.4 * 0.8 + 0.6 * 0.3) / 1.4)
    with pytest.raises(ValueError, match="must be stated together"):
        scorer.measure("roc_auc", *both, tpr_thresholds=[0, 1])
    with pytest.raises(ValueError, match="tpr_weights needs 2 numbers"):
        scorer.measure("roc_auc", *both, tpr_thresholds=[0, 0.4, 1], tpr_weights=[1])


def test_average_precision_without_a_one_is_an_error_of_the_challenge() -> None:
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
    assert scorer.measure("mcc", *frames(["a", "a"], ["a", "b"])) == 0.0
    assert METRICS["mcc"].needs_every_class


def test_a_kappa_of_one_rating_on_both_sides_is_perfect_and_of_two_is_chance() -> None:
    for options in ({"weighting": "linear"}, {"weighting": "quadratic"}):
        ranged: dict[str, Any] = {**options, "min_rating": 1, "max_rating": 5}
        assert scorer.measure("cohen_kappa", *frames([2, 2], [2, 2]), **ranged) == 1.0
        assert scorer.measure("cohen_kappa", *frames([2, 2], [4, 4]), **ranged) == pytest.approx(0.0)
    assert scorer.measure("cohen_kappa", *frames(["a", "a"], ["a", "a"])) == 1.0


def test_a_kappa_weighs_by_the_ratings_themselves_with_and_without_a_range() -> None:
    both = frames([1, 2, 9, 9], [2, 2, 9, 1])
    for weighting in ("linear", "quadratic"):
        ranged = scorer.measure("cohen_kappa", *both, weighting=weighting, min_rating=1.0, max_rating=9)
        assert scorer.measure("cohen_kappa", *both, weights=weighting) == pytest.approx(ranged, abs=1e-12)
    assert scorer.measure("cohen_kappa", *both, weights="quadratic") == pytest.approx(
        scorer.measure("qwk", *both), abs=1e-12
    )
    assert scorer.measure("cohen_kappa", *both, weights=None) == scorer.measure("cohen_kappa", *both)


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

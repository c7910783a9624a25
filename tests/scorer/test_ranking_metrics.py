"""Conventions of ranked lists where other implementations differ."""

from __future__ import annotations

import random

import pandas as pd
import pytest

import scorer
from tests.scorer.metric_cases.ranking import average_precision, ndcg, over_rows

LISTS = ["map_at_k", "mrr", "recall_at_k", "precision_at_k", "ndcg_at_k"]


def frames(truth: list[str], predicted: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    ids = [f"r{i}" for i in range(len(truth))]
    return pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted})


def measure(name: str, truth: list[str], predicted: list[str], **params: object) -> float:
    return scorer.measure(name, *frames(truth, predicted), **params)


@pytest.mark.parametrize("name", LISTS)
def test_an_item_named_twelve_times_counts_once(name: str) -> None:
    # MLE-Dojo's MAP@12 gives 12.0 here.
    once = measure(name, ["A", "B"], ["A x x x x x x x x x x x", "x"], k=12)
    assert measure(name, ["A", "B"], ["A A A A A A A A A A A A", "x"], k=12) == once
    assert once <= 0.5


def test_a_second_naming_takes_up_a_place() -> None:
    assert measure("map_at_k", ["A B"], ["A A B"], k=3) == pytest.approx((1 + 2 / 3) / 2)
    assert measure("recall_at_k", ["A B"], ["A A B"], k=2) == 0.5


def test_true_items_are_a_set() -> None:
    assert measure("map_at_k", ["A A B"], ["A B"], k=12) == 1.0
    assert measure("recall_at_k", ["A A B"], ["A"], k=12) == 0.5
    assert measure("ndcg_at_k", ["A:2 A:3 B:1"], ["A B"], graded=True) == 1.0


def test_more_true_items_than_k_can_all_be_right_unless_the_challenge_says_otherwise() -> None:
    assert measure("map_at_k", ["A B C D"], ["A B"], k=2) == 1.0
    assert measure("map_at_k", ["A B C D"], ["A B"], k=2, denominator="items") == 0.5
    assert measure("recall_at_k", ["A B C D"], ["A B"], k=2) == 0.5
    assert measure("recall_at_k", ["A B C D"], ["A B"], k=2, denominator="capped") == 1.0


@pytest.mark.parametrize("name", LISTS)
def test_a_row_without_true_items_scores_zero(name: str) -> None:
    assert measure(name, ["", "A"], ["A", "A"], k=1) == 0.5


@pytest.mark.parametrize("name", LISTS)
def test_naming_nothing_scores_zero(name: str) -> None:
    assert measure(name, ["A", "B C"], ["", ""], k=3) == 0.0


@pytest.mark.parametrize(
    ("gain", "expected"), [("linear", 0.9134015924715544), ("exponential", 0.8339912323981488)]
)
def test_gain_of_a_grade_is_itself_or_a_power_of_two(gain: str, expected: float) -> None:
    # edge/ndcg/gain: scikit-learn has the one, Kaggle and LightGBM the other.
    got = measure("ndcg_at_k", ["first:3 second:2"], ["second first"], gain=gain, graded=True)
    assert got == pytest.approx(expected, abs=1e-12)


def test_an_exponential_gain_may_be_spelt_as_its_formula() -> None:
    both = ["first:3 second:2"], ["second first"]
    assert measure("ndcg_at_k", *both, gain="2^rel-1", graded=True) == pytest.approx(0.8339912323981488)


@pytest.mark.parametrize("name", LISTS)
def test_k_is_a_whole_number_of_any_type_and_bounded(name: str) -> None:
    assert measure(name, ["A"], ["A"], k=1.0) == 1.0
    for wrong in (2.5, 2**63, 10**20, 0):
        with pytest.raises(ValueError, match="k: "):
            measure(name, ["A"], ["A"], k=wrong)


def test_order_of_the_list_leaves_no_ties_to_break() -> None:
    # edge/ndcg/ties: of two equal scores, scikit-learn takes the mean of both orders.
    assert measure("ndcg_at_k", ["A"], ["B A"]) == pytest.approx(0.6309297535714574, abs=1e-12)


def test_a_colon_is_part_of_an_item_unless_items_are_graded() -> None:
    assert measure("ndcg_at_k", ["go:0008150"], ["go"]) == 0.0
    assert measure("ndcg_at_k", ["go:0008150"], ["go:0008150"], graded=True) == 1.0


def test_long_lists_score_as_short_ones_do() -> None:
    # Lists of more than 16 true or 64 predicted items are searched another way.
    draw = random.Random(3)
    items = [f"i{number}" for number in range(150)]
    truth = [draw.sample(items, draw.choice([1, 3, 16, 17, 60])) for _ in range(60)]
    named = [draw.choices(items, k=draw.choice([0, 5, 64, 65, 300])) for _ in truth]
    both = frames([" ".join(row) for row in truth], [" ".join(row) for row in named])
    for k in (3, 40, 200):
        assert scorer.measure("map_at_k", *both, k=k) == pytest.approx(
            over_rows(average_precision, k=k)(*both)
        )
        assert scorer.measure("ndcg_at_k", *both, k=k) == pytest.approx(over_rows(ndcg, k=k)(*both))


@pytest.mark.parametrize("predicted", ["A B", "A B C D", "A B B", "A B D", ""])
def test_an_order_must_hold_exactly_the_items_of_its_row(predicted: str) -> None:
    with pytest.raises(scorer.InvalidSubmission) as refused:
        measure("kendall_tau", ["C B A", "A B C"], ["A B C", predicted])
    [problem] = refused.value.problems
    assert (problem.code, problem.id) == ("NOT_AN_ORDERING", "r1")


def test_an_order_that_names_an_item_twice_is_no_truth() -> None:
    with pytest.raises(scorer.InvalidChallenge):
        measure("kendall_tau", ["A B A"], ["A B A"])


def test_long_orders_weigh_more_than_short_ones() -> None:
    assert measure("kendall_tau", ["A B", "A B C D"], ["B A", "A B C D"]) == pytest.approx(
        1 - 4 * 1 / (2 + 12)
    )
    assert measure("kendall_tau", ["A", "B"], ["A", "B"]) == 1.0

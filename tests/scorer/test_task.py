"""Tests of modifiers, each against a simple computation.

Also of what is refused in a challenge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import scorer
from tests.scorer.conftest import IDS, TRUTH, USAGE, Write, csv_text

Floats = NDArray[np.float64]

random = np.random.default_rng(7)
A, B = random.uniform(1, 9, 20), random.uniform(1, 9, 20)
P, Q = A + random.normal(0, 2, 20), B + random.normal(0, 1, 20)
WEIGHTS: Floats = np.arange(20, dtype=np.float64) % 4 + 0.5
GROUPS = np.array(["x", "y", "y", "z"] * 5)
FLAGS = np.array(TRUTH, dtype=np.float64)
SPLITS = {"public": slice(0, 8), "private": slice(8, 20)}


def texts(values: Sequence[Any] | Floats) -> list[str]:
    return [str(value) for value in values]


def challenge(
    write: Write, metric: str, solution: Mapping[str, Any], *, columns: str, more: str = "", after: str = ""
) -> scorer.Challenge:
    yaml = f"title: Tiny\nmetric: {metric}\nsubmission: {{id: id, columns: [{columns}]{more}}}\n{after}"
    table = {"id": IDS, "Usage": USAGE, **solution}
    return scorer.load(write(yaml, header=tuple(table), columns=[texts(c) for c in table.values()]))


def file(columns: Mapping[str, Any]) -> bytes:
    table = {"id": IDS, **columns}
    return csv_text(tuple(table), *(texts(column) for column in table.values())).encode()


def assert_scores(
    found: scorer.Challenge, columns: Mapping[str, Any], value: Callable[[slice], float]
) -> None:
    report = scorer.score(found, file(columns))
    for split, rows in SPLITS.items():
        assert getattr(report, split) == pytest.approx(value(rows), rel=1e-12), split


def refusal(write: Write, metric: str, solution: Mapping[str, Any], **more: Any) -> list[scorer.Problem]:
    with pytest.raises(scorer.InvalidChallenge) as caught:
        challenge(write, metric, solution, **more)
    return list(caught.value.problems)


def rmse(truth: Floats, predicted: Floats) -> float:
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


def mae(truth: Floats, predicted: Floats, weights: Floats | None = None) -> float:
    return float(np.average(np.abs(truth - predicted), weights=weights))


def by_group(value: Callable[[Any], float], rows: slice) -> list[float]:
    """Return the metric of row numbers by group of `rows`."""
    own = np.arange(20)[rows]
    return [value(own[GROUPS[own] == group]) for group in np.unique(GROUPS[own])]


# --- columns --------------------------------------------------------------------------------------


def test_columns_are_averaged_unless_something_else_is_stated(write: Write) -> None:
    found = challenge(write, "rmse", {"a": A, "b": B}, columns="a, b")
    assert_scores(found, {"a": P, "b": Q}, lambda r: (rmse(A[r], P[r]) + rmse(B[r], Q[r])) / 2)


def test_column_weights_go_by_the_challenges_order_and_not_by_the_files(write: Write) -> None:
    metric = "{name: rmse, columns: weighted, column_weights: [3, 1]}"
    found = challenge(write, metric, {"b": B, "a": A}, columns="a, b")
    assert_scores(found, {"b": Q, "a": P}, lambda r: (3 * rmse(A[r], P[r]) + rmse(B[r], Q[r])) / 4)


def test_pooled_columns_are_one_long_column(write: Write) -> None:
    found = challenge(write, "{name: rmse, columns: pooled}", {"a": A, "b": B}, columns="a, b")
    truth, predicted = np.stack([A, B]), np.stack([P, Q])
    assert_scores(found, {"a": P, "b": Q}, lambda r: rmse(truth[:, r].ravel(), predicted[:, r].ravel()))


def test_a_rows_weight_counts_for_each_of_its_pooled_cells(write: Write) -> None:
    metric = "{name: mae, columns: pooled, weight: w}"
    found = challenge(write, metric, {"a": A, "b": B, "w": WEIGHTS}, columns="a, b")
    truth, predicted, weights = np.stack([A, B]), np.stack([P, Q]), np.stack([WEIGHTS, WEIGHTS])
    assert_scores(
        found,
        {"a": P, "b": Q},
        lambda r: mae(truth[:, r].ravel(), predicted[:, r].ravel(), weights[:, r].ravel()),
    )


# --- groups and weights ---------------------------------------------------------------------------


def test_groups_are_scored_separately_and_count_equally(write: Write) -> None:
    found = challenge(write, "{name: rmse, group_by: g}", {"a": A, "g": GROUPS}, columns="a")
    assert_scores(found, {"a": P}, lambda r: float(np.mean(by_group(lambda own: rmse(A[own], P[own]), r))))


def test_mean_minus_std_uses_the_population_standard_deviation(write: Write) -> None:
    metric = "{name: r2, group_by: g, group_aggregate: mean_minus_std}"
    found = challenge(write, metric, {"a": A, "g": GROUPS}, columns="a")

    def value(rows: slice) -> float:
        each = by_group(
            lambda r: 1 - float(np.sum((A[r] - P[r]) ** 2) / np.sum((A[r] - A[r].mean()) ** 2)), rows
        )
        return float(np.mean(each) - np.std(each, ddof=0))

    assert_scores(found, {"a": P}, value)


def test_a_score_of_groups_stays_within_its_bounds(write: Write) -> None:
    """The bound allows for uneven groups.

    If only one group of three is right, the mean minus the deviation is -0.14; the bound of accuracy was 0.
    """
    metric = "{name: accuracy, group_by: g, group_aggregate: mean_minus_std}"
    found = challenge(write, metric, {"a": ["yes"] * 20, "g": GROUPS}, columns="a")
    report = scorer.score(found, file({"a": np.where(GROUPS == "x", "yes", "no")}))
    low, high = found.task.bounds
    assert low <= report.public <= high


def test_spread_between_groups_is_never_rewarded(write: Write) -> None:
    """Lower is better for errors.

    Subtracting the deviation would reward large errors in one group.
    """
    metric = "{name: rmse, group_by: g, group_aggregate: mean_minus_std}"
    (problem,) = refusal(write, metric, {"a": A, "g": GROUPS}, columns="a")
    assert (problem.code, problem.line) == ("BAD_METRIC_PARAM", 2)


def test_a_weight_is_how_much_a_row_counts(write: Write) -> None:
    found = challenge(write, "{name: mae, weight: w}", {"a": A, "w": WEIGHTS}, columns="a")
    assert_scores(found, {"a": P}, lambda r: mae(A[r], P[r], WEIGHTS[r]))


def test_a_row_without_weight_does_not_count(write: Write) -> None:
    weights = np.where(np.arange(20) % 3 == 0, 0, 2)
    found = challenge(write, "{name: roc_auc, weight: w}", {"a": FLAGS, "w": weights}, columns="a")
    guess = FLAGS * 0.1 + 0.3
    wild = np.where(weights == 0, 1 - FLAGS, guess)
    assert scorer.score(found, file({"a": wild})).private == 1.0


def test_weights_count_within_groups_and_groups_count_alike(write: Write) -> None:
    metric = "{name: mae, group_by: g, weight: w}"
    found = challenge(write, metric, {"a": A, "g": GROUPS, "w": WEIGHTS}, columns="a")
    assert_scores(
        found, {"a": P}, lambda rows: float(np.mean(by_group(lambda r: mae(A[r], P[r], WEIGHTS[r]), rows)))
    )


# --- lists ----------------------------------------------------------------------------------------


def test_split_makes_lists_of_cells(write: Write) -> None:
    metric = '{name: map_at_k, k: 2, split: ";"}'
    found = challenge(write, metric, {"a": ["one word;two"] * 20}, columns="a")
    report = scorer.score(found, file({"a": ["one word;three"] * 8 + ["three;two;one word"] * 12}))
    assert (report.public, report.private) == (0.5, 0.25)


def test_take_first_scores_the_first_label_of_a_list(write: Write) -> None:
    metric = '{name: accuracy, split: " ", take: first}'
    found = challenge(write, metric, {"a": ["cat", "dog"] * 10}, columns="a")
    report = scorer.score(found, file({"a": ["cat dog", "cat dog"] * 4 + [" cat  cow", "dog"] * 6}))
    assert (report.public, report.private) == (0.5, 1.0)


# --- transforms and floors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "value", "greater_is_better", "bounds"),
    [
        (
            "{name: r2, transform: 1-x}",
            lambda y, p: np.sum((y - p) ** 2) / np.sum((y - y.mean()) ** 2),
            False,
            (0, math.inf),
        ),
        ("{name: pearson, transform: 2x-1}", lambda y, p: 2 * np.corrcoef(y, p)[0, 1] - 1, True, (-3, 1)),
        ("{name: mse, transform: sqrt}", rmse, False, (0, math.inf)),
        (
            "{name: mse, transform: log, floor: 1.0e-9}",
            lambda y, p: 2 * math.log(rmse(y, p)),
            False,
            (math.log(1e-9), math.inf),
        ),
        ("{name: mse, transform: 1-x}", lambda y, p: 1 - rmse(y, p) ** 2, True, (-math.inf, 1)),
        ("{name: mae, floor: 100}", lambda y, p: 100, False, (100, math.inf)),
    ],
)
def test_a_transform_changes_value_direction_and_bounds(
    write: Write,
    metric: str,
    value: Callable[[Floats, Floats], float],
    greater_is_better: bool,
    bounds: tuple[float, float],
) -> None:
    found = challenge(write, metric, {"a": A}, columns="a")
    assert_scores(found, {"a": P}, lambda r: value(A[r], P[r]))
    assert found.greater_is_better is greater_is_better
    assert found.task.bounds == pytest.approx(bounds)
    assert found.task.best == found.task.bounds[greater_is_better]


def test_a_transform_is_applied_to_each_group_and_column_before_they_are_averaged(write: Write) -> None:
    metric = "{name: mae, group_by: g, transform: log, floor: 1.0e-9}"
    found = challenge(write, metric, {"a": A, "b": B, "g": GROUPS}, columns="a, b")

    def value(rows: slice) -> float:
        each = by_group(lambda r: (math.log(mae(A[r], P[r])) + math.log(mae(B[r], Q[r]))) / 2, rows)
        return float(np.mean(each))

    assert_scores(found, {"a": P, "b": Q}, value)


@pytest.mark.parametrize(
    "metric", ["{name: mae, transform: log}", "{name: mae, transform: log, floor: 1.0e-9}"]
)
def test_the_logarithm_of_a_perfect_score_is_finite(write: Write, metric: str) -> None:
    """log(0) is -inf, which a board cannot show.

    Kaggle's champs competition ends at log(1e-9).
    """
    found = challenge(write, metric, {"a": A}, columns="a")
    report = scorer.score(found, file({"a": A}))
    assert report.public == report.private == found.task.best == math.log(1e-9)


def test_very_small_errors_are_not_zero(write: Write) -> None:
    """Targets may be nanometres given in metres.

    Their squared errors are far below 1e-12.
    """
    found = challenge(write, "mse", {"a": A * 1e-8}, columns="a")
    report = scorer.score(found, file({"a": P * 1e-8}))
    assert report.private == pytest.approx(1e-16 * rmse(A[8:], P[8:]) ** 2, rel=1e-12, abs=0)


def test_a_score_on_the_edge_of_its_bounds_never_steps_over(write: Write) -> None:
    """Correlations of a perfect file may come out as 1.0000000000000002."""
    metric = "{combine: [{name: pearson, transform: 1-x}, {name: spearman, transform: 1-x}]}"
    found = challenge(write, metric, {"a": A / 3}, columns="a")
    report = scorer.score(found, file({"a": A / 7 + 0.1}))
    assert min(report.public, report.private) >= found.task.best == 0.0


# --- columns of other names -----------------------------------------------------------------------


def test_truth_may_have_other_names_than_the_submission(write: Write) -> None:
    metric = "{name: rmse, truth: [was, had]}"
    found = challenge(write, metric, {"had": B, "was": A, "a": random.normal(size=20)}, columns="a, b")
    assert_scores(found, {"a": P, "b": Q}, lambda r: (rmse(A[r], P[r]) + rmse(B[r], Q[r])) / 2)


def test_truth_of_several_classes_may_be_one_column_of_names(write: Write) -> None:
    names = ["cat" if flag else "dog" for flag in FLAGS]
    metric = "{name: log_loss, truth: animal}"
    found = challenge(write, metric, {"animal": names, "note": ["x"] * 20}, columns="dog, cat")
    report = scorer.score(found, file({"cat": 0.2 + 0.6 * FLAGS, "dog": 0.8 - 0.6 * FLAGS}))
    assert report.public == pytest.approx(-math.log(0.8))


def test_columns_that_are_not_scored_are_required(write: Write) -> None:
    found = challenge(write, "{name: rmse, targets: [a]}", {"a": A}, columns="a, note")
    assert_scores(found, {"a": P, "note": Q}, lambda r: rmse(A[r], P[r]))
    with pytest.raises(scorer.InvalidSubmission, match="expected the columns id,a,note"):
        scorer.score(found, file({"a": P}))


# --- combine --------------------------------------------------------------------------------------


def test_combined_metrics_are_summed_with_their_coefficients(write: Write) -> None:
    metric = (
        "{combine: [{name: rmse, coefficient: 0.25, targets: [a]}, "
        "{name: mae, coefficient: 2, targets: [b], weight: w}, {name: r2, coefficient: -1, targets: [a]}]}"
    )
    found = challenge(write, metric, {"a": A, "b": B, "w": WEIGHTS}, columns="a, b")

    def value(r: slice) -> float:
        r2 = 1 - float(np.sum((A[r] - P[r]) ** 2) / np.sum((A[r] - A[r].mean()) ** 2))
        return 0.25 * rmse(A[r], P[r]) + 2 * mae(B[r], Q[r], WEIGHTS[r]) - r2

    assert_scores(found, {"a": P, "b": Q}, value)
    assert not found.greater_is_better
    assert found.task.bounds == (-1.0, math.inf)
    assert found.metric == "combine"
    assert [part["coefficient"] for part in found.metric_params["combine"]] == [0.25, 2.0, -1.0]


def test_combined_metrics_may_share_a_column_if_one_allows_more(write: Write) -> None:
    metric = "{combine: [{name: mse}, {name: log_loss, coefficient: 0.5}]}"
    found = challenge(write, metric, {"a": TRUTH}, columns="a")
    assert found.task.cells("a").words == "a number in [0, 1]"
    assert scorer.score(found, file({"a": [0.5] * 20})).public == pytest.approx(0.25 + math.log(2) / 2)


def test_a_score_of_zero_has_no_sign(write: Write) -> None:
    metric = "{combine: [{name: mse, coefficient: -1}, {name: mae, coefficient: -1}]}"
    found = challenge(write, metric, {"a": A}, columns="a")
    assert found.greater_is_better
    assert math.copysign(1, scorer.score(found, file({"a": A})).public) == 1.0


def test_side_metrics_have_their_own_modifiers(write: Write) -> None:
    solution = {"a": A, "g": GROUPS, "w": WEIGHTS}
    after = (
        "also: [{name: mae, weight: w}, {name: mse, group_by: g}, {combine: [{name: rmse}, {name: medae}]}]\n"
    )
    found = challenge(write, "rmse", solution, columns="a", after=after)
    also = scorer.score(found, file({"a": P})).also
    r = SPLITS["private"]
    medae = float(np.median(np.abs(A[r] - P[r])))
    expected = (
        mae(A[r], P[r], WEIGHTS[r]),
        float(np.mean(by_group(lambda own: rmse(A[own], P[own]) ** 2, r))),
        rmse(A[r], P[r]) + medae,
    )
    assert [also[name]["private"] for name in ("mae", "mse", "combine")] == pytest.approx(expected)


def test_the_digest_depends_on_modifiers_and_not_on_stated_defaults(write: Write) -> None:
    def digest(metric: str) -> str:
        solution = {"a": A, "b": B, "g": GROUPS}
        return challenge(write, metric, solution, columns="a, b").metric_digest

    assert digest("rmse") == digest("{name: rmse, columns: mean, group_aggregate: mean}")
    one, two = "{name: mae}, {name: mse}", "{name: mae}, {name: mse, coefficient: 2}"
    metrics = [
        "rmse",
        "{name: rmse, columns: pooled}",
        "{name: rmse, group_by: g}",
        "{name: rmse, floor: 0.1}",
    ]
    metrics += [f"{{combine: [{parts}]}}" for parts in (one, two)]
    assert len({digest(metric) for metric in metrics}) == len(metrics)


# --- refusals of challenge.yaml -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "line", "words"),
    [
        ("name: r2\n  transform: log", 4, "metric.transform: transform: log needs a floor of 0 or more"),
        ("name: r2\n  transform: sqrt\n  floor: -1", 4, "needs a floor of 0 or more"),
        ("name: accuracy\n  floor: 1", 4, "leaves nothing of a score up to 1"),
        ("name: mse\n  transform: x-1", 4, "'1-x', '2x-1', 'log' or 'sqrt', got 'x-1'"),
        ("name: mse\n  floor: .nan", 4, "finite number"),
        ("name: mse\n  take: first", 4, "take: first needs split"),
        ("name: mse\n  split: ' '", 2, "mse does not score lists"),
        ("name: map_at_k\n  k: 3\n  split: ' '\n  take: first", 2, "take: first means nothing"),
        ("name: r2\n  group_aggregate: mean_minus_std", 4, "group_aggregate needs group_by"),
        ("name: mse\n  column_weights: [1]", 4, "column_weights needs columns: weighted"),
        (
            "name: mse\n  columns: weighted\n  column_weights: [1, 2]",
            2,
            "needs column_weights with 1 numbers",
        ),
        ("name: mse\n  columns: weighted\n  column_weights: [0]", 2, "that are not all 0"),
        ("name: mse\n  columns: weighted\n  column_weights: [-1]", 5, "greater than or equal to 0"),
        ("name: brier\n  columns: pooled", 2, "scores all columns together"),
        ("name: rmsse\n  weights: w", 4, "rmsse has no parameter 'weights'"),
        ("name: adjusted_rand\n  weight: w", 4, "adjusted_rand takes no weights"),
        ("name: mse\n  targets: [a, a]", 4, "a is listed twice"),
        ("name: mse\n  targets: [gone]", 4, "the submission has no column gone"),
        ("name: haversine", 2, "haversine scores 2 columns"),
        ("combine: [{name: mse}]", 3, "two or more metrics"),
        ("combine:\n  - {name: mse}\n  - {name: r2}", 2, "some of the combined metrics rise and others fall"),
        (
            "combine:\n  - {name: mse}\n  - {name: r2, coefficient: -1}\n  greater_is_better: true",
            2,
            "contradicts",
        ),
        ("combine:\n  - {name: mse}\n  - {name: mae, coefficient: 0}", 5, "combine[2].coefficient"),
        ("combine:\n  - {name: mse}\n  - {name: r2, coefficient: .nan}", 5, "combine[2].coefficient"),
        ("combine:\n  - {name: mse}\n  - {name: mae, floor: x}", 5, "metric.combine[2].floor"),
        ("combine:\n  - {name: mse}\n  - {name: rmsee}", 5, "did you mean rmse?"),
        (
            "combine:\n  - {name: mse}\n  - {name: mae}\n  weight: w",
            6,
            "beside combine only greater_is_better",
        ),
        ("combine:\n  - {name: mse}\n  - {name: mae}\n  greater_is_better: 'no'", 6, "must be true or false"),
        (
            "combine:\n  - {name: log_loss}\n  - {name: accuracy, transform: 1-x}",
            2,
            "column a cannot hold both",
        ),
    ],
)
def test_a_modifier_without_effect_is_refused_with_its_line(
    write: Write, stated: str, line: int, words: str
) -> None:
    (problem,) = refusal(write, f"\n  {stated}", {"a": FLAGS}, columns="a")
    assert words in problem.message
    assert (problem.file, problem.line) == ("challenge.yaml", line)
    assert problem.code in ("BAD_METRIC_PARAM", "UNKNOWN_METRIC", "UNKNOWN_KEY", "WRONG_TYPE")


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.0e-3", "0.001"])
def test_a_number_may_be_written_with_an_exponent(write: Write, number: str) -> None:
    """YAML 1.1 reads 1e-3 as text."""
    found = challenge(write, f"{{name: rmse, floor: {number}}}", {"a": A}, columns="a")
    assert found.metric_params == {"floor": 0.001}


def test_every_bad_parameter_is_reported_at_once(write: Write) -> None:
    metric = "{name: fbeta, beta: -1, columns: all, colour: red, group_aggregate: max}"
    problems = refusal(write, metric, {"a": FLAGS}, columns="a")
    assert {problem.message.partition(": ")[0] for problem in problems} == {
        f"Line 2, metric.{name}" for name in ("beta", "columns", "colour", "group_aggregate")
    }


def test_a_side_metric_with_another_kind_of_truth_is_reported_as_bad_also(write: Write) -> None:
    problems = refusal(write, "mse", {"a": A}, columns="a", after="also: [rmse, roc_auc]\n")
    assert {(problem.code, problem.file, problem.line) for problem in problems} == {
        ("BAD_ALSO", "challenge.yaml", 4)
    }
    assert "Column a, line 2" in problems[0].message


# --- refusals of the solution ---------------------------------------------------------------------


@pytest.mark.parametrize("modifier", ["weight: w", "group_by: w"])
def test_a_column_named_by_a_modifier_must_exist(write: Write, modifier: str) -> None:
    (problem,) = refusal(write, f"{{name: mse, {modifier}}}", {"a": A}, columns="a")
    assert problem.message == "The column w, which mse asks for, is missing."
    assert (problem.code, problem.file) == ("MISSING_COLUMN", "private/solution.csv")


@pytest.mark.parametrize(
    ("modifier", "cell", "code"),
    [
        ("weight: w", "-1", "OUT_OF_RANGE"),
        ("weight: w", "", "EMPTY_VALUE"),
        ("weight: w", "inf", "NOT_FINITE"),
        ("weight: w", "many", "NOT_A_NUMBER"),
        ("group_by: w", " ", "EMPTY_VALUE"),
    ],
)
def test_a_bad_side_cell_is_reported_unless_its_row_is_ignored(
    write: Write, modifier: str, cell: str, code: str
) -> None:
    solution = {"a": A, "w": ["1", "1", cell, *["1"] * 17]}
    (problem,) = refusal(write, f"{{name: mse, {modifier}}}", solution, columns="a")
    assert (problem.code, problem.line, problem.column) == (code, 4, "w")
    solution["Usage"] = [*USAGE[:2], "Ignored", *USAGE[3:]]
    assert (
        challenge(write, f"{{name: mse, {modifier}}}", solution, columns="a").solution.n_rows["public"] == 7
    )


def test_weights_that_are_all_zero_in_a_split_leave_no_score(write: Write) -> None:
    weights = [1] * 8 + [0] * 12
    (problem,) = refusal(write, "{name: mse, weight: w}", {"a": A, "w": weights}, columns="a")
    assert (problem.code, problem.column) == ("METRIC_UNDEFINED", "w")
    assert problem.message == "mse on the Private rows: the weights in w are all 0."


@pytest.mark.parametrize("metric", ["mse", "pearson", "roc_auc"])
def test_weights_that_are_all_zero_in_a_group_leave_no_score(write: Write, metric: str) -> None:
    """It was noticed only when every submission failed."""
    solution = {"a": FLAGS, "g": ["x", "x", "y", "y"] * 5, "w": [1, 1, 0, 0] * 5}
    problems = refusal(write, f"{{name: {metric}, weight: w, group_by: g}}", solution, columns="a")
    assert {problem.code for problem in problems} == {"METRIC_UNDEFINED"}


def test_a_group_without_a_score_is_found_when_the_challenge_loads(write: Write) -> None:
    groups = ["x"] * 4 + ["y"] * 4 + ["x"] * 6 + ["y"] * 6
    flags = np.where(np.arange(20) < 14, FLAGS, 1)
    (problem,) = refusal(write, "{name: roc_auc, group_by: g}", {"a": flags, "g": groups}, columns="a")
    assert problem.code == "METRIC_UNDEFINED"
    assert 'roc_auc on the Private rows, group "y", column a:' in problem.message
    assert challenge(write, "roc_auc", {"a": flags}, columns="a")


@pytest.mark.parametrize("modifier", ["weight: Usage", "group_by: Usage", "truth: Usage"])
def test_no_metric_may_use_usage(write: Write, modifier: str) -> None:
    """It ended in a KeyError."""
    (problem,) = refusal(write, f"{{name: mse, {modifier}}}", {"a": A}, columns="a")
    assert (problem.code, problem.column) == ("MISSING_COLUMN", "Usage")


def test_the_id_may_be_a_group_of_one_row(write: Write) -> None:
    found = challenge(write, "{name: rmse, group_by: id}", {"a": A}, columns="a")
    assert_scores(found, {"a": P}, lambda r: mae(A[r], P[r]))


def test_a_refusal_does_not_reveal_which_rows_are_ignored(write: Write) -> None:
    """Lists with wrong items were accepted in ignored rows.

    That answered a free question about each row.
    """
    usage = ["Ignored", *USAGE[1:19], "Ignored"]
    found = challenge(write, "kendall_tau", {"a": ["x y z"] * 20, "Usage": usage}, columns="a")
    assert scorer.score(found, file({"a": ["x y z"] * 20})).rows["ignored"] == 2
    messages = set()
    for row in (0, 1, 19):
        sent = ["x y z"] * 20
        sent[row] = "x y w"
        with pytest.raises(scorer.InvalidSubmission) as caught:
            scorer.score(found, file({"a": sent}))
        messages.add(str(caught.value).partition("): ")[2])
    assert len(messages) == 1


# --- ids ------------------------------------------------------------------------------------------

USERS, ITEMS = ["1", "12", *IDS[2:]], ["23", "3", *["9"] * 18]


def paired(write: Write, *, more: str = "") -> scorer.Challenge:
    yaml = f"title: Pairs\nmetric: mae\nsubmission: {{id: [user, item], columns: [a]{more}}}\n"
    columns = (A.astype(str).tolist(), ITEMS, USERS, USAGE)
    return scorer.load(write(yaml, header=("a", "item", "user", "Usage"), columns=columns))


def test_an_id_may_have_several_columns(write: Write) -> None:
    found = paired(write)
    data = csv_text(("item", "a", "user"), ITEMS[::-1], texts(P[::-1]), USERS[::-1]).encode()
    report = scorer.score(found, data)
    assert report.private == pytest.approx(mae(A[8:], P[8:]))
    assert [notice.code for notice in report.notices] == ["NOTICE_COLUMN_ORDER"]


def test_problems_name_every_part_of_an_id(write: Write) -> None:
    values = ["word", *texts(P[1:])]
    data = csv_text(("user", "item", "a"), [*USERS, "12", "123"], [*ITEMS, "3", "0"], [*values, "1", "1"])
    with pytest.raises(scorer.InvalidSubmission) as caught:
        scorer.score(paired(write), data.encode())
    problems = {problem.code: problem for problem in caught.value.problems}
    assert set(problems) == {"NOT_A_NUMBER", "DUPLICATE_IDS", "UNKNOWN_IDS"}
    assert [problems[code].id for code in sorted(problems)] == ["(12, 3)", "(1, 23)", "(123, 0)"]
    assert problems["DUPLICATE_IDS"].column == "user+item"


def test_rows_with_unknown_ids_may_be_ignored(write: Write) -> None:
    found = challenge(write, "mae", {"a": A}, columns="a", more=", extra_ids: ignore")
    data = file({"a": P}) + b"999,5\nabc,6\n999,7\n"
    assert scorer.score(found, data).public == pytest.approx(mae(A[:8], P[:8]))
    with pytest.raises(scorer.InvalidSubmission) as caught:
        scorer.score(found, data.replace(b"\n20,", b"\n21,"))
    assert [problem.code for problem in caught.value.problems] == ["MISSING_IDS"]


def test_rows_with_unknown_ids_are_refused_by_default(write: Write) -> None:
    found = challenge(write, "mae", {"a": A}, columns="a")
    with pytest.raises(scorer.InvalidSubmission, match="1 id is not in the test set: 999"):
        scorer.score(found, file({"a": P}) + b"999,5\n")


def test_groups_that_differ_most_reach_the_declared_bound(write: Write) -> None:
    """The bound is (1 - sqrt(2)) / 2.

    Some 15 % of the groups score 1, the others 0.
    """
    ids, n_right = [f"r{number}" for number in range(1001)], 146
    rows = [(key, "a", key, "Private" if key == "r1000" else "Public") for key in ids]
    yaml = (
        "metric: {name: accuracy, group_by: g, group_aggregate: mean_minus_std}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    own = scorer.load(write(yaml, header=("id", "y", "g", "Usage"), columns=list(zip(*rows, strict=True))))
    assert own.task.bounds[0] == pytest.approx((1 - math.sqrt(2)) / 2)
    assert not own.task.truth_is_best
    sent = csv_text(("id", "y"), ids, ["a"] * n_right + ["b"] * (len(ids) - n_right))
    assert own.task.bounds[0] <= scorer.score(own, sent.encode()).public < own.task.bounds[0] + 1e-4

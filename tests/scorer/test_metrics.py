"""Every metric: published vectors, properties that hold for all, and a test that none was forgotten."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import scorer
from scorer.metrics import METRICS

VECTORS = Path(__file__).parent / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def frames(case: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A vector of plain lists as the two frames an organiser and a participant would have."""
    truth, predicted = case["y_true"], case["y_pred"]
    ids = [f"r{i}" for i in range(len(truth))]
    if isinstance(predicted[0], list):
        # Class columns are named after the labels, in the order in which the vector gives them.
        names = (
            list(dict.fromkeys(map(str, truth)))
            if isinstance(truth[0], str)
            else list(range(len(predicted[0])))
        )
        columns = {str(name): [row[i] for row in predicted] for i, name in enumerate(names)}
        return pd.DataFrame({"id": ids, "class": truth}), pd.DataFrame({"id": ids, **columns})
    return pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted})


BENHAMNER = [case for case in vectors("benhamner_metrics") if case["metric"] in METRICS]


@pytest.mark.parametrize("case", BENHAMNER, ids=[case["id"] for case in BENHAMNER])
def test_benhamner(case: dict[str, Any]) -> None:
    got = scorer.measure(case["metric"], *frames(case), **case["params"])
    if case["expected"] == "inf":
        # benhamner/Metrics does not clip, and no board can hold an infinity: Kaggle's eps is the convention.
        p = np.clip(np.array(case["y_pred"], dtype=float), 1e-15, 1 - 1e-15)
        expected = -np.mean(np.log(np.where(np.array(case["y_true"]) == 1, p, 1 - p)))
        assert got == pytest.approx(expected, abs=1e-3)
    else:
        assert got == pytest.approx(float(case["expected"]), abs=1e-8)


KAGGLE = [
    {**case, "metric": "rmse", "params": {"columns": "pooled"}}
    if case["metric"] == "rmse_pooled_columns"
    else case
    for case in vectors("kaggle_docstrings")
]
KAGGLE = [case for case in KAGGLE if case["metric"] in METRICS]


@pytest.mark.parametrize("case", KAGGLE, ids=[case["id"] for case in KAGGLE])
def test_kaggle_docstring(case: dict[str, Any]) -> None:
    solution, submission = pd.DataFrame(case["solution"]), pd.DataFrame(case["submission"])
    assert scorer.measure(case["metric"], solution, submission, **case["params"]) == pytest.approx(
        case["full_value"], abs=1e-12
    )


# The recommended answer of each published disagreement, as the name of a variant, a number or a refusal.
EDGES: dict[str, str | float | type[Exception]] = {
    "edge/logloss/zero_prob": "kaggle_eps_1e-15",
    "edge/logloss/rows_sum_half": "kaggle_legacy_renormalise",
    "edge/logloss/rows_all_ones": "kaggle_legacy_renormalise",
    "edge/logloss/row_all_zero": scorer.InvalidSubmission,
    "edge/logloss/one_class_in_fold": "with labels=[0,1]",
    "edge/logloss/class_order_10_before_2": "columns matched by name (2,10)",
    "edge/auc/one_class": scorer.InvalidChallenge,
    "edge/auc/ties": "all",
    "edge/qwk/missing_ratings": "fixed range 0..4",
    "edge/qwk/constant": 1.0,
    "edge/f1/unseen_predicted_class": "labels=truth only",
    "edge/f1/no_positive": 0.0,
    "edge/rmsle/negative": scorer.InvalidSubmission,
    "edge/rmse/overflow": scorer.InvalidSubmission,
    "edge/r2/constant_truth": "sklearn force_finite",
    "edge/accuracy/type_mix": "text compare",
}
# Our f1 is the fbeta with beta 1 of those cases; lists of labels are not among its inputs yet.
EDGE_CASES = {
    case["id"]: {**case, "metric": "f1"} if case["metric"] == "fbeta" else case
    for case in vectors("edge_conventions")
    if case["metric"] in {*METRICS, "fbeta"}
    and not isinstance(case["y_true"][0], list)
    and "transform" not in case["params"]
}


def test_every_edge_case_of_our_metrics_has_an_answer() -> None:
    assert set(EDGE_CASES) == set(EDGES)


@pytest.mark.parametrize("name", EDGES)
def test_edge_convention(name: str) -> None:
    case, answer = EDGE_CASES[name], EDGES[name]
    if isinstance(answer, type):
        with pytest.raises(answer):
            scorer.measure(case["metric"], *frames(case), **case["params"])
        return
    expected = case["variants"][answer] if isinstance(answer, str) else answer
    assert scorer.measure(case["metric"], *frames(case), **case["params"]) == pytest.approx(
        expected, abs=1e-12
    )


def test_float32_predictions_are_scored_as_float64() -> None:
    solution = pd.DataFrame({"id": ["a", "b"], "y": [1, 0]})
    wide = pd.DataFrame({"id": ["a", "b"], "y": np.array([0.1, 0.0], dtype=np.float32)})
    assert scorer.measure("log_loss", solution, wide) == pytest.approx(
        (-math.log(np.float64(np.float32(0.1))) + 1e-15) / 2
    )


def test_rows_of_probabilities_can_be_required_to_sum_to_one() -> None:
    solution, submission = frames({"y_true": [0, 1], "y_pred": [[0.25, 0.25], [0.5, 0.5]]})
    with pytest.raises(scorer.InvalidSubmission, match=r"sum to 0\.5"):
        scorer.measure("log_loss", solution, submission, rows="reject")


# --- where scikit-learn has the same convention, it must agree -------------------------------------

numbers = st.floats(-1e6, 1e6, allow_nan=False)
labels = st.sampled_from(["a", "b", "c"])


def pairs(truth: st.SearchStrategy[Any], predicted: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.tuples(truth, predicted), min_size=4, max_size=30).map(
        lambda rows: tuple(map(list, zip(*rows, strict=True)))
    )


REFERENCES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any, Any], float], dict[str, Any]]] = {
    "sse": (
        pairs(numbers, numbers),
        lambda t, p: float(sum((a - b) ** 2 for a, b in zip(t, p, strict=True))),
        {},
    ),
    "mse": (pairs(numbers, numbers), sklearn.metrics.mean_squared_error, {}),
    "rmse": (pairs(numbers, numbers), sklearn.metrics.root_mean_squared_error, {}),
    "mae": (pairs(numbers, numbers), sklearn.metrics.mean_absolute_error, {}),
    "rmsle": (pairs(numbers.map(abs), numbers.map(abs)), sklearn.metrics.root_mean_squared_log_error, {}),
    "r2": (pairs(st.integers(-50, 50), numbers), sklearn.metrics.r2_score, {}),
    "roc_auc": (pairs(st.integers(0, 1), st.integers(-3, 3)), sklearn.metrics.roc_auc_score, {}),
    "log_loss": (
        pairs(st.integers(0, 1), st.floats(1e-9, 1 - 1e-9)),
        lambda t, p: float(sklearn.metrics.log_loss(t, p, labels=[0, 1])),
        {},
    ),
    "accuracy": (pairs(labels, labels), sklearn.metrics.accuracy_score, {}),
    "balanced_accuracy": (pairs(labels, labels), sklearn.metrics.balanced_accuracy_score, {}),
    "f1": (
        pairs(labels, labels),
        lambda t, p: float(
            sklearn.metrics.f1_score(t, p, labels=sorted(set(t)), average="macro", zero_division=0)
        ),
        {"average": "macro"},
    ),
    "qwk": (
        pairs(st.integers(0, 4), st.integers(0, 4)),
        lambda t, p: float(
            sklearn.metrics.cohen_kappa_score(t, p, labels=[0, 1, 2, 3, 4], weights="quadratic")
        ),
        {"min_rating": 0, "max_rating": 4},
    ),
}


def as_frames(truth: Sequence[Any], predicted: Sequence[Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    ids = [f"r{i}" for i in range(len(truth))]
    return pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted})


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn remarks on classes that are only predicted
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_scikit_learn_agrees(name: str, data: st.DataObject) -> None:
    strategy, reference, params = REFERENCES[name]
    truth, predicted = data.draw(strategy)
    if name in ("roc_auc", "r2", "qwk"):
        assume(len(set(truth)) > 1)  # where they differ, the edge conventions above decide
    got = scorer.measure(name, *as_frames(truth, predicted), **params)
    assert got == pytest.approx(reference(truth, predicted), rel=1e-9, abs=1e-9)


# --- properties of every metric --------------------------------------------------------------------

anything = st.one_of(numbers, st.floats(-1e99, 1e99), st.integers(-5, 5))

PROPERTIES: dict[str, tuple[st.SearchStrategy[Any], dict[str, Any]]] = {
    **{name: (pairs(anything, anything), {}) for name in ("sse", "mse", "rmse", "mae", "r2")},
    "rmsle": (pairs(anything.map(abs), anything.map(abs)), {}),
    "roc_auc": (pairs(st.integers(0, 1), anything), {}),
    "log_loss": (pairs(st.integers(0, 1), st.floats(0, 1)), {}),
    "accuracy": (pairs(labels, st.sampled_from(["a", "b", "z"])), {}),
    "balanced_accuracy": (pairs(labels, st.sampled_from(["a", "b", "z"])), {}),
    "f1": (pairs(labels, st.sampled_from(["a", "b", "z"])), {"average": "macro"}),
    "qwk": (pairs(st.integers(1, 6), st.integers(1, 6)), {"min_rating": 1, "max_rating": 6}),
}


def test_no_metric_was_forgotten() -> None:
    """A new metric needs a property strategy, a reference or vector, and words."""
    assert set(PROPERTIES) == set(METRICS)
    assert set(REFERENCES) | {case["metric"] for case in BENHAMNER} >= set(METRICS)
    for metric in METRICS.values():
        assert metric.help
        assert len(metric.convention) > 20
        assert len(metric.bounds) == 2
        assert metric.bounds[0] < metric.bounds[1]
        assert all(field.description for field in metric.parameters.model_fields.values())


def measure_or_refuse(name: str, truth: Any, predicted: Any, params: dict[str, Any]) -> float | None:
    """The score; None where huge numbers overflow, which must be a refusal."""
    try:
        return scorer.measure(name, *as_frames(truth, predicted), **params)
    except scorer.InvalidSubmission as refusal:
        codes = [problem.code for problem in refusal.problems]
    assert codes == ["VALUE_TOO_LARGE"]
    return None


@pytest.mark.parametrize("name", PROPERTIES)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_what_holds_for_every_metric(name: str, data: st.DataObject) -> None:
    strategy, params = PROPERTIES[name]
    metric = METRICS[name]
    truth, predicted = data.draw(strategy)
    if metric.undefined is not None:
        assume(len(set(truth)) > 1)
    got = measure_or_refuse(name, truth, predicted, params)
    best = measure_or_refuse(name, truth, truth, params)
    assert best is not None
    assert best == pytest.approx(metric.best, abs=1e-9)
    if got is None:
        return
    assert math.isfinite(got)
    low, high = metric.bounds
    assert low - 1e-9 <= got <= high + 1e-9
    assert math.copysign(1.0, got) == 1.0 or got != 0.0  # never -0.0

    solution, submission = as_frames(truth, predicted)
    order = data.draw(st.permutations(range(len(truth))))
    shuffled = submission.iloc[order][["y", "id"]]
    assert scorer.measure(name, solution, shuffled, **params) == got
    assert scorer.measure(name, solution.iloc[order], submission, **params) == pytest.approx(
        got, rel=1e-9, abs=1e-9
    )


@given(
    rows=pairs(st.integers(0, 1), st.integers(-1000, 1000)),
    shift=st.integers(-1000, 1000),
)
@settings(max_examples=60, deadline=None)
def test_a_constant_added_to_all_scores_leaves_auc_alone(rows: Any, shift: int) -> None:
    truth, predicted = rows
    assume(len(set(truth)) > 1)
    one = scorer.measure("roc_auc", *as_frames(truth, predicted))
    assert scorer.measure("roc_auc", *as_frames(truth, [value + shift for value in predicted])) == one


@given(rows=pairs(st.integers(0, 1), st.floats(1e-9, 1 - 1e-9)))
@settings(max_examples=40, deadline=None)
def test_one_column_and_two_give_the_same_log_loss(rows: Any) -> None:
    truth, predicted = rows
    solution, submission = as_frames(truth, predicted)
    both = pd.DataFrame({"id": submission["id"], "1": submission["y"], "0": 1 - submission["y"]})
    one = scorer.measure("log_loss", solution, submission)
    assert scorer.measure("log_loss", solution, both) == pytest.approx(one, rel=1e-6, abs=1e-9)


# --- single conventions ---------------------------------------------------------------------------


def test_class_columns_may_be_a_label_column_or_one_hot() -> None:
    ids = ["a", "b", "c"]
    submission = pd.DataFrame({"id": ids, "dog": [0.2, 0.5, 0.1], "cat": [0.8, 0.5, 0.9]})
    label = pd.DataFrame({"id": ids, "animal": ["cat", "dog", "cat"]})
    hot = pd.DataFrame({"id": ids, "cat": [1, 0, 1], "dog": [0, 1, 0]})
    expected = -(math.log(0.8) + math.log(0.5) + math.log(0.9)) / 3
    assert scorer.measure("log_loss", label, submission) == pytest.approx(expected)
    assert scorer.measure("log_loss", hot, submission) == pytest.approx(expected)


def test_a_class_without_a_column_is_the_participants_mistake() -> None:
    label = pd.DataFrame({"id": ["a", "b", "c"], "animal": ["cat", "dog", "cow"]})
    submission = pd.DataFrame({"id": ["a", "b", "c"], "dog": [0.2, 0.5, 0.1], "cat": [0.8, 0.5, 0.9]})
    with pytest.raises(scorer.InvalidSubmission, match="found id,dog,cat"):
        scorer.measure("log_loss", label, submission)


def test_f1_of_the_positive_class() -> None:
    solution, submission = as_frames(["yes", "yes", "no", "no"], ["yes", "no", "yes", "no"])
    assert scorer.measure("f1", solution, submission, positive="yes") == pytest.approx(0.5)
    with pytest.raises(scorer.InvalidChallenge, match="the classes are no, yes; state positive"):
        scorer.measure("f1", solution, submission)
    with pytest.raises(scorer.InvalidChallenge, match="the classes are 0, 1, 2"):
        scorer.measure("f1", *as_frames([0, 1, 2], [0, 1, 2]))


@pytest.mark.parametrize("kind", [int, float, bool, lambda number: str(bool(number)), str])
def test_f1_finds_ones_however_they_are_typed(kind: Callable[[int], Any]) -> None:
    solution, submission = as_frames([kind(x) for x in [1, 1, 0]], [kind(x) for x in [1, 0, 0]])
    assert scorer.measure("f1", solution, submission) == pytest.approx(2 / 3)
    assert scorer.measure("f1", solution, submission, positive=1) == pytest.approx(2 / 3)


def test_frames_may_hold_any_type_that_means_the_number() -> None:
    truth = [1, 0, 1]
    same: list[list[Any]] = [[True, False, True], ["1", "0", "1.0"], [np.float32(1), np.int8(0), np.True_]]
    for predicted in same:
        assert scorer.measure("mse", *as_frames(truth, predicted)) == 0.0
        assert scorer.measure("log_loss", *as_frames(truth, predicted)) < 1e-9
    assert scorer.measure("mse", *as_frames([True, False], [1, 0])) == 0.0
    ratings: dict[str, Any] = {"min_rating": np.int64(0), "max_rating": np.int64(1)}
    assert scorer.measure("qwk", *as_frames(truth, truth), **ratings) == 1.0


def test_the_id_is_found_by_name_and_whole_floats_are_whole_numbers() -> None:
    solution = pd.DataFrame({"y": [0.5, 2.0], "id": [2**53 + 1, 7]})
    submission = pd.DataFrame({"id": pd.Series([7.0, 2**53 + 1], dtype=object), "y": [2.0, 0.5]})
    assert scorer.measure("mse", solution, submission) == 0.0


def test_adjusted_balanced_accuracy_gives_guessing_zero() -> None:
    solution, submission = as_frames(["a", "a", "b"], ["a", "a", "a"])
    assert scorer.measure("balanced_accuracy", solution, submission) == 0.5
    assert scorer.measure("balanced_accuracy", solution, submission, adjusted=True) == 0.0


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1.0"), ("True", "true"), (1, True), ("x", " x "), (0, -0.0)]
)
def test_labels_are_compared_in_one_spelling(one: Any, other: Any) -> None:
    expected = 0.0 if (one, other) == (1, True) else 1.0
    assert scorer.measure("accuracy", *as_frames([one], [other])) == expected


@pytest.mark.parametrize(("one", "other"), [("01", "1"), ("A", "a"), ("1.5", "1"), ("-", "-0")])
def test_other_spellings_are_other_labels(one: str, other: str) -> None:
    assert scorer.measure("accuracy", *as_frames([one], [other])) == 0.0


@pytest.mark.parametrize(
    ("value", "code"), [("2.5", "NOT_WHOLE"), ("5", "OUT_OF_RANGE"), ("-1", "OUT_OF_RANGE")]
)
def test_qwk_refuses_what_is_not_a_rating(value: str, code: str) -> None:
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.measure("qwk", *as_frames([0, 4], [value, "4.0"]), min_rating=0, max_rating=4)
    assert [problem.code for problem in refusal.value.problems] == [code]


def test_an_overflow_is_the_participants_and_says_nothing_of_splits() -> None:
    solution = pd.DataFrame(
        {"id": list("abcd"), "y": [1e-160, 2e-160, 0.0, 0.0], "Usage": ["Public", "Private"] * 2}
    )
    submission = pd.DataFrame({"id": list("abcd"), "y": [1e99, 0.0, 0.0, 0.0]})
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.measure("r2", solution, submission)
    (problem,) = refusal.value.problems
    assert problem.code == "VALUE_TOO_LARGE"
    assert "ublic" not in problem.message
    assert "rivate" not in problem.message


def test_digests_change_with_parameters_and_ignore_spelt_out_defaults() -> None:
    metric = METRICS["f1"]
    plain = metric.digest(metric.read_parameters({}))
    assert metric.digest(metric.read_parameters({"average": "binary"})) == plain
    assert metric.digest(metric.read_parameters({"average": "macro"})) != plain
    assert METRICS["mse"].digest(METRICS["mse"].read_parameters({})) != plain

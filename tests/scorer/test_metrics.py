"""Every metric: published vectors, a second implementation, general laws."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scorer
from scorer.challenges.modifiers import Modifiers
from scorer.challenges.task import Task, read_part
from scorer.metrics import METRICS
from tests.scorer import metric_cases
from tests.scorer.metric_cases import MetricCase

VECTORS = Path(__file__).parent / "vectors"

CASES: dict[str, list[MetricCase]] = {}
for module in iter_modules(metric_cases.__path__, metric_cases.__name__ + "."):
    for metric_name, own in import_module(module.name).CASES.items():
        CASES.setdefault(metric_name, []).extend(own)

SETTINGS = [(name, number) for name in sorted(CASES) for number in range(len(CASES[name]))]


def vectors(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["cases"]


# --- no metric is forgotten -------------------------------------------------------------------------


def test_every_metric_has_a_title_a_case_and_a_second_implementation() -> None:
    assert set(CASES) == set(METRICS)
    agreed = {case["metric"] for case in [*vectors("benhamner_metrics"), *vectors("kaggle_docstrings")]}
    agreed |= {name for name, cases in CASES.items() if any(case.reference for case in cases)}
    assert set(METRICS) <= agreed
    for metric in METRICS.values():
        assert len(metric.help) > 20
        assert len(metric.convention) > 20
        assert metric.bounds[0] < metric.bounds[1]
        assert all(field.description for field in metric.parameters.model_fields.values())
        assert all(name in metric.parameters.model_fields for name in metric.required)


def test_no_parameter_of_a_metric_has_the_name_of_a_modifier() -> None:
    taken = set(Modifiers.model_fields) | {"name", "file", "combine", "coefficient", "id", "target"}
    for metric in METRICS.values():
        assert not taken & set(metric.parameters.model_fields), metric.name


def test_every_parameter_but_the_simplest_is_tried_by_some_case() -> None:
    for name, metric in METRICS.items():
        tried = {parameter for case in CASES[name] for parameter in case.params}
        roles = {*metric.truth_roles, *metric.side_roles, *metric.predicted_roles}
        untried = set(metric.parameters.model_fields) - tried - roles - {"force_finite"}
        assert not untried, (name, untried)


# --- the laws ---------------------------------------------------------------------------------------


def measure(
    name: str, solution: pd.DataFrame, submission: pd.DataFrame, params: dict[str, Any]
) -> float | None:
    """Return the score; None where huge numbers overflow.

    An overflow must be a refusal.
    """
    try:
        return scorer.measure(name, solution, submission, **params)
    except scorer.InvalidSubmission as refusal:
        if [problem.code for problem in refusal.problems] != ["VALUE_TOO_LARGE"]:
            raise
    return None


@pytest.mark.parametrize(("name", "number"), SETTINGS)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")  # of the references, on odd data
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_the_laws_of_every_metric(name: str, number: int, data: st.DataObject) -> None:
    case, metric = CASES[name][number], METRICS[name]
    solution, submission = data.draw(case.frames)
    params = dict(case.params)
    near = {"rel": case.tolerance, "abs": case.tolerance}
    got = measure(name, solution, submission, params)

    if metric.attainable:
        best = measure(name, solution, case.perfect(solution, submission), params)
        assert best == pytest.approx(metric.best, abs=1e-9)
    if got is None:
        return
    assert math.isfinite(got)
    low, high = metric.bounds
    assert low - 1e-9 <= got <= high + 1e-9
    assert math.copysign(1.0, got) == 1.0 or got != 0.0  # never -0.0
    if case.reference is not None:
        assert got == pytest.approx(case.reference(solution, submission), **near)

    order = data.draw(st.permutations(range(len(solution))))
    shuffled = submission.iloc[list(order), ::-1].reset_index(drop=True)
    assert measure(name, solution, shuffled, params) == got
    turned = solution.iloc[list(order)].reset_index(drop=True)
    assert measure(name, turned, submission, params) == pytest.approx(got, **near)

    if metric.takes_weights and "weight" not in params:
        heavy = data.draw(st.integers(0, len(solution) - 1))
        weighted = solution.assign(how_much=np.where(np.arange(len(solution)) == heavy, 2, 1))
        repeated = [
            pd.concat([frame, frame.iloc[[heavy]].assign(id=["again"])], ignore_index=True)
            for frame in (
                solution.assign(id=solution["id"].astype(str)),
                submission.assign(id=submission["id"].astype(str)),
            )
        ]
        twice = measure(name, *repeated, params)
        assert measure(name, weighted, submission, {**params, "weight": "how_much"}) == pytest.approx(
            twice, **near
        )
        ones = solution.assign(how_much=1)
        assert measure(name, ones, submission, {**params, "weight": "how_much"}) == pytest.approx(got, **near)


# --- published vectors ------------------------------------------------------------------------------


def frames(case: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a vector of plain lists as solution and submission."""
    truth, predicted = case["y_true"], case["y_pred"]
    ids = [f"r{i}" for i in range(len(truth))]
    if isinstance(truth[0], list) and case["metric"] in ("kl_divergence", "lrap", "lwlrap"):
        names = [f"c{i}" for i in range(len(truth[0]))]
        both = [pd.DataFrame(rows, columns=names) for rows in (truth, predicted)]
        return both[0].assign(id=ids), both[1].assign(id=ids)
    if isinstance(predicted[0], list) and not isinstance(truth[0], list) and case["metric"] != "map_at_k":
        # Class columns are named after the labels, in the order in which the vector gives them.
        named = isinstance(truth[0], str)
        labels = list(dict.fromkeys(map(str, truth))) if named else list(range(len(predicted[0])))
        columns = {str(name): [row[i] for row in predicted] for i, name in enumerate(labels)}
        return pd.DataFrame({"id": ids, "class": truth}), pd.DataFrame({"id": ids, **columns})
    return pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted})


# A mean of kappas over essays is no metric of rows: y_true are kappas, there is no submission.
NOT_METRICS = {"mean_qwk_fisher"}
# Tied predictions in the order of the file, by which a constant file can win. Here they share the tie.
TIES_BY_ROW_ORDER = {f"benhamner/{name}" for name in ("gini/87", "gini/89", "gini/91")} | {
    f"benhamner/normalized_gini/{number}" for number in (88, 90, 92)
}
BENHAMNER = [
    case
    for case in vectors("benhamner_metrics")
    if case["metric"] not in NOT_METRICS and case["id"] not in TIES_BY_ROW_ORDER
]


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


# What these docstrings call by another name, or say in the notebook's code.
AS_WE_SAY_IT: dict[str, tuple[str, dict[str, Any]]] = {
    "rmse_pooled_columns": ("rmse", {"columns": "pooled"}),
    "stratified_cindex": (
        "c_index",
        {"time": "efs_time", "event": "efs", "group_by": "race_group", "group_aggregate": "mean_minus_std"},
    ),
}


@pytest.mark.parametrize("case", vectors("kaggle_docstrings"), ids=lambda case: case["id"])
def test_kaggle_docstring(case: dict[str, Any]) -> None:
    name, params = AS_WE_SAY_IT.get(case["metric"], (case["metric"], {}))
    solution, submission = pd.DataFrame(case["solution"]), pd.DataFrame(case["submission"])
    got = scorer.measure(name, solution, submission, **params, **case["params"])
    assert got == pytest.approx(case["full_value"], abs=1e-12)


# The answer to each published disagreement: the name of a variant, a number or a refusal.
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
    "edge/f1/empty_sets_row": "MLE-Dojo",
    "edge/f1/unknown_tags_free": "open vocabulary",
    "edge/mapk/duplicates": "kaggle/benhamner",
    "edge/mapk/empty_truth": "benhamner (0.0, counted)",
    "edge/smape/both_zero": "kaggle term=0",
    "edge/smape/truth_zero": "percent 0..200",
    "edge/mape/truth_zero": scorer.InvalidChallenge,
    "edge/rmsle/negative": scorer.InvalidSubmission,
    "edge/rmse/overflow": scorer.InvalidSubmission,
    "edge/r2/constant_truth": "sklearn force_finite",
    "edge/spearman/constant": 0.0,
    "edge/brier/binary_vs_multiclass": "binary (one column)",
    "edge/lrap/row_without_positive": "freesound skips row",
    "edge/jaccard/both_empty": 1.0,
    "edge/dice/both_empty": "hubmap",
    "edge/gini/ties_row_order": "2*AUC-1",
    "edge/accuracy/type_mix": "text compare",
    "edge/kl/nan_in_prediction": scorer.InvalidSubmission,
    "edge/champs/perfect": "kaggle floor 1e-9",
}
# Relevances per document and scores, where ndcg here takes ranked lists: see test_ranking_metrics.
OTHER_FORM = {"edge/ndcg/ties", "edge/ndcg/gain"}
EDGE_CASES = {case["id"]: case for case in vectors("edge_conventions")}


def test_every_edge_case_has_an_answer() -> None:
    assert set(EDGE_CASES) == set(EDGES) | OTHER_FORM


@pytest.mark.parametrize("name", EDGES)
def test_edge_convention(name: str) -> None:
    case, answer = EDGE_CASES[name], EDGES[name]
    params = dict(case["params"])
    if params.get("transform") == "log":
        params["floor"] = 1e-9  # Kaggle's, for champs-scalar-coupling
    if isinstance(answer, type):
        with pytest.raises(answer):
            scorer.measure(case["metric"], *frames(case), **params)
        return
    expected = case["variants"][answer] if isinstance(answer, str) else answer
    got = scorer.measure(case["metric"], *frames(case), **params)
    assert got == pytest.approx(expected, abs=1e-12)


def as_frames(truth: Sequence[Any], predicted: Sequence[Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    ids = [f"r{i}" for i in range(len(truth))]
    return pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted})


# --- single conventions ---------------------------------------------------------------------------


def test_class_columns_may_be_a_label_column_or_one_hot() -> None:
    ids = ["a", "b", "c"]
    submission = pd.DataFrame({"id": ids, "dog": [0.2, 0.5, 0.1], "cat": [0.8, 0.5, 0.9]})
    label = pd.DataFrame({"id": ids, "animal": ["cat", "dog", "cat"]})
    hot = pd.DataFrame({"id": ids, "cat": [1, 0, 1], "dog": [0, 1, 0]})
    expected = -(math.log(0.8) + math.log(0.5) + math.log(0.9)) / 3
    assert scorer.measure("log_loss", label, submission) == pytest.approx(expected)
    assert scorer.measure("log_loss", hot, submission) == pytest.approx(expected)


def test_a_class_without_a_column_is_an_error_of_the_submission() -> None:
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
    assert scorer.measure("accuracy", *as_frames([one], [other])) == 1.0


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


def test_an_overflow_is_a_refusal_that_names_no_split() -> None:
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


def test_digests_change_with_parameters_and_ignore_stated_defaults() -> None:
    def digest(name: str, **given: Any) -> str:
        return Task(("y",), (read_part(METRICS[name], given, ["y"]),)).digest()

    assert digest("f1", average="binary") == digest("f1", columns="mean") == digest("f1")
    assert len({digest("f1"), digest("f1", average="macro"), digest("f1", weight="w"), digest("mse")}) == 4

"""Truth with holes, columns and groups without a value, words for numbers: what a challenge may declare."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

import scorer
from scorer.challenges.prepared import open_, save
from scorer.resampling.resampling import read, standard_error
from scorer.resampling.units import value as resampled_value
from tests.scorer.conftest import IDS, USAGE, Write, csv_text

HOLES = pd.DataFrame({"id": [1, 2, 3, 4], "a": ["1", "2", "NA", "0"], "b": ["", "3", "1", "0"]})
GUESS = pd.DataFrame({"id": [1, 2, 3, 4], "a": [1.5, 2.5, 3, 4], "b": [1, 2, 3, 4]})


def folder(tmp_path: Path, metric: str, solution: str, *, columns: str = "a, b", sample: str = "") -> Path:
    yaml = f"title: T\nmetric: {metric}\nsubmission: {{id: id, columns: [{columns}]}}\n"
    for name, text in {
        "challenge.yaml": yaml,
        "private/solution.csv": solution,
        "public/sample_submission.csv": sample,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


WITH_HOLES = "id,a,b,Usage\n1,1,,Public\n2,2,3,Public\n3,NA,1,Private\n4,0,0,Private\n"
SENT = "id,a,b\n1,1.5,1\n2,2.5,2\n3,3,3\n4,4,4\n"


@pytest.mark.parametrize(
    "metric",
    [
        "{name: mae, truth_missing: skip}",
        # A metric that is no sum over rows takes another way.
        "{name: medae, truth_missing: skip}",
    ],
)
def test_cells_without_truth_are_left_out_of_their_column(tmp_path: Path, metric: str) -> None:
    report = scorer.score(scorer.load(folder(tmp_path, metric, WITH_HOLES)), SENT.encode())
    assert (report.public, report.private) == (0.75, 3.5)


def test_a_weight_per_target_leaves_the_same_cells_out(tmp_path: Path) -> None:
    solution = (
        "id,a,b,has_a,has_b,Usage\n1,1,9,1,0,Public\n2,2,3,1,1,Public\n3,9,1,0,1,Private\n4,0,0,1,1,Private\n"
    )
    metric = (
        "{combine: [{name: mae, targets: [a], weight: has_a, coefficient: 0.5}, "
        "{name: mae, targets: [b], weight: has_b, coefficient: 0.5}]}"
    )
    report = scorer.score(scorer.load(folder(tmp_path, metric, solution)), SENT.encode())
    assert (report.public, report.private) == (0.75, 3.5)


def test_holes_are_one_problem_a_column_in_words_for_the_organiser(tmp_path: Path) -> None:
    with pytest.raises(scorer.InvalidChallenge) as refusal:
        scorer.load(folder(tmp_path, "mae", WITH_HOLES))
    assert [(p.code, p.line, p.column, p.file) for p in refusal.value.problems] == [
        ("EMPTY_VALUE", 4, "a", "private/solution.csv"),
        ("EMPTY_VALUE", 2, "b", "private/solution.csv"),
    ]
    assert "truth_missing: skip" in str(refusal.value)
    assert "prediction" not in str(refusal.value)


def test_a_participant_must_predict_cells_without_truth(tmp_path: Path) -> None:
    challenge = scorer.load(folder(tmp_path, "{name: mae, truth_missing: skip}", WITH_HOLES))
    for spoilt in ("1,1.5,\n", "1,1.5,NA\n", "1,1.5,abc\n"):
        with pytest.raises(scorer.InvalidSubmission):
            scorer.score(challenge, SENT.replace("1,1.5,1\n", spoilt).encode())


@pytest.mark.parametrize(
    "metric",
    ["mae", "rmse", "mape", "r2", "pearson", "{name: rmse, columns: pooled}", "{name: mae, weight: w}"],
)
def test_leaving_cells_out_equals_a_table_without_them(write: Write, metric: str) -> None:
    """Of one column, where the rows can be taken out of the table altogether."""
    rng = np.random.default_rng(3)
    truth, guess, weight = rng.uniform(1, 9, 20), rng.uniform(1, 9, 20), rng.uniform(0.5, 2, 20)
    hole = np.arange(20) % 3 == 1
    ids = np.array([str(i) for i in range(20)])
    name = metric if metric.startswith("{") else f"{{name: {metric}}}"
    yaml = "title: T\nmetric: {}\nsubmission: {{id: id, columns: [y]}}\n"

    def value(rows: np.ndarray[Any, Any], cells: list[str], stated: str) -> tuple[float, float]:
        usage = np.array(USAGE)[rows].tolist()
        columns = (ids[rows].tolist(), cells, [repr(float(w)) for w in weight[rows]], usage)
        path = write(yaml.format(stated), header=("id", "y", "w", "Usage"), columns=columns)
        sent = csv_text(("id", "y"), ids[rows].tolist(), [repr(float(p)) for p in guess[rows]])
        report = scorer.score(scorer.load(path), sent.encode())
        return report.public, report.private

    every, rest = np.arange(20), np.flatnonzero(~hole)
    cells = ["" if hole[row] else repr(float(truth[row])) for row in every]
    skipped = value(every, cells, name.replace("}", ", truth_missing: skip}"))
    assert skipped == value(rest, [repr(float(truth[row])) for row in rest], name)


def test_labels_and_class_columns_may_have_holes(write: Write) -> None:
    truth = ["cat", "dog"] * 10
    truth[3] = truth[12] = ""
    yaml = "title: T\nmetric: {{name: {}, truth_missing: skip}}\nsubmission: {{id: id, columns: [{}]}}\n"
    labels = scorer.load(
        write(yaml.format("accuracy", "y"), header=("id", "y", "Usage"), columns=(IDS, truth, USAGE))
    )
    sent = csv_text(("id", "y"), IDS, ["dog"] * 20)
    report = scorer.score(labels, sent.encode())
    assert (report.public, report.private) == (3 / 7, 6 / 11)
    classes = write(
        yaml.format("log_loss", "dog, cat"), header=("id", "y", "Usage"), columns=(IDS, truth, USAGE)
    )
    sent = csv_text(("id", "dog", "cat"), IDS, ["0.8"] * 20, ["0.2"] * 20)
    report = scorer.score(scorer.load(classes), sent.encode())
    assert report.public == pytest.approx(-(3 * math.log(0.8) + 4 * math.log(0.2)) / 7)


def test_a_prepared_solution_keeps_its_holes(tmp_path: Path) -> None:
    challenge = scorer.load(folder(tmp_path / "c", "{name: mae, truth_missing: skip}", WITH_HOLES))
    save(challenge.solution, tmp_path / "saved")
    kept = open_(tmp_path / "saved", challenge.solution.tasks)
    assert scorer.score(challenge, SENT.encode(), solution=kept).private == 3.5


@pytest.mark.parametrize(
    "metric", ["{name: mae, truth_missing: skip}", "{name: roc_auc, truth_missing: skip}"]
)
def test_a_challenge_with_holes_passes_its_check(write: Write, metric: str) -> None:
    """The truth scores best, a hole in the truth is no hole in the check, and resamples have values."""
    a, b = (["0", "1", "1", "0"] * 5 for _ in range(2))
    a[2] = a[9] = b[2] = "NA"
    sample = csv_text(("id", "a", "b"), IDS, ["0.5", "0.4"] * 10, ["0.5", "0.6"] * 10)
    path = write(
        f"title: T\nmetric: {metric}\nsubmission: {{id: id, columns: [a, b]}}\n",
        header=("id", "a", "b", "Usage"),
        columns=(IDS, a, b, USAGE),
        files={"public/sample_submission.csv": sample},
    )
    challenge = scorer.load(path)
    assert scorer.check(challenge).problems == ()
    aligned = read(challenge, path / "public/sample_submission.csv")
    assert math.isfinite(standard_error(challenge.solution, aligned, challenge.solution.private, seed=0))
    assert resampled_value(challenge.solution, aligned, challenge.solution.private) == (
        scorer.score(challenge, path / "public/sample_submission.csv").private
    )


# --- columns and groups without a value -------------------------------------------------------------

ONE_CLASS = "id,a,b,Usage\n1,1,0,Public\n2,0,0,Public\n3,1,1,Private\n4,0,0,Private\n"
RANKED = "id,a,b\n1,.9,.1\n2,.5,.2\n3,.5,.3\n4,.4,.1\n"


def test_a_column_of_one_class_is_left_out_where_declared(tmp_path: Path) -> None:
    challenge = scorer.load(folder(tmp_path, "{name: roc_auc, undefined: skip}", ONE_CLASS))
    report = scorer.score(challenge, RANKED.encode())
    assert (report.public, report.private) == (1.0, 1.0)
    notices = {notice.code: notice.message for notice in scorer.check(challenge).notices}
    assert notices["NOTICE_LEFT_OUT"].startswith("roc_auc has no value on the Public rows for column b")


def test_a_column_of_one_class_is_refused_with_the_option_named(tmp_path: Path) -> None:
    with pytest.raises(scorer.InvalidChallenge) as refusal:
        scorer.load(folder(tmp_path, "roc_auc", ONE_CLASS))
    (problem,) = refusal.value.problems
    assert problem.code == "METRIC_UNDEFINED"
    assert "column b: every row is 0" in problem.message
    assert "metric: {name: roc_auc, undefined: skip}" in problem.message


def test_nothing_but_columns_of_one_class_is_refused(tmp_path: Path) -> None:
    solution = ONE_CLASS.replace("2,0,0", "2,1,0")
    with pytest.raises(scorer.InvalidChallenge, match=r"column a|column b"):
        scorer.load(folder(tmp_path, "{name: roc_auc, undefined: skip}", solution))


GROUPS = "id,y,user,Usage\n" + "".join(
    f"{i},{y},{user},{usage}\n"
    for i, (y, user, usage) in enumerate(
        [
            (1, "ann", "Public"),
            (0, "ann", "Public"),
            (1, "bob", "Public"),
            (1, "bob", "Public"),
            (1, "cyd", "Private"),
            (0, "cyd", "Private"),
            (0, "dan", "Private"),
            (0, "eve", "Private"),
        ]
    )
)
BY_GROUP = "id,y\n0,.1\n1,.9\n2,.5\n3,.6\n4,.7\n5,.2\n6,.1\n7,.9\n"


def test_groups_of_one_class_are_named_in_the_refusal(tmp_path: Path) -> None:
    with pytest.raises(scorer.InvalidChallenge) as refusal:
        scorer.load(folder(tmp_path, "{name: roc_auc, group_by: user}", GROUPS, columns="y"))
    messages = [problem.message for problem in refusal.value.problems]
    assert 'roc_auc on the Public rows, group "bob", column y: every row is 1' in messages[0]
    assert '2 of 3 groups ("dan", "eve"), column y: every row is 0' in messages[1]
    assert refusal.value.problems[1].count == 2


def test_groups_of_one_class_are_left_out_where_declared(tmp_path: Path) -> None:
    metric = "{name: roc_auc, group_by: user, undefined: skip}"
    challenge = scorer.load(folder(tmp_path, metric, GROUPS, columns="y"))
    report = scorer.score(challenge, BY_GROUP.encode())
    assert (report.public, report.private) == (0.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_mean_is_over_the_columns_and_groups_that_have_a_value(data: st.DataObject) -> None:
    n = data.draw(st.integers(4, 25))
    cells = {name: data.draw(st.lists(st.sampled_from("01"), min_size=n, max_size=n)) for name in "ab"}
    users = data.draw(st.lists(st.sampled_from("xyz"), min_size=n, max_size=n))
    scores = {name: data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)) for name in "ab"}
    ids = list(range(n))
    solution = pd.DataFrame({"id": ids, **cells, "user": users})
    by_group = []
    for user in sorted(set(users)):
        rows = [i for i in ids if users[i] == user]
        columns = [
            sklearn.metrics.roc_auc_score([int(cells[c][i]) for i in rows], [scores[c][i] for i in rows])
            for c in "ab"
            if len({cells[c][i] for i in rows}) == 2
        ]
        by_group += [np.mean(columns)] if columns else []

    def measured() -> float:
        frame = pd.DataFrame({"id": ids, **scores})
        return scorer.measure(
            "roc_auc", solution, frame, group_by="user", undefined="skip", targets=["a", "b"]
        )

    if by_group:
        assert measured() == pytest.approx(np.mean(by_group))
    else:
        with pytest.raises(scorer.InvalidChallenge):
            measured()


# --- words for numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "words"),
    [("{yes: 1, no: 0}", ("yes", "no")), ("{Y: 1, N: 0}", ("Y", "N")), ('{"1": 1, "-1": 0}', ("1", "-1.0"))],
)
def test_words_of_the_truth_are_the_declared_numbers(
    write: Write, stated: str, words: tuple[str, str]
) -> None:
    truth = [words[0], f" {words[1]} "] * 10
    metric = f"{{name: log_loss, truth_values: {stated}}}"
    yaml = f"title: T\nmetric: {metric}\nsubmission: {{id: id, columns: [y]}}\n"
    path = write(yaml, header=("id", "y", "Usage"), columns=(IDS, truth, USAGE))
    report = scorer.score(scorer.load(path), csv_text(("id", "y"), IDS, ["0.8", "0.2"] * 10).encode())
    assert report.public == pytest.approx(-math.log(0.8))


def test_words_without_a_declaration_are_refused_with_one(write: Write) -> None:
    yaml = "title: T\nmetric: log_loss\nsubmission: {id: id, columns: [y]}\n"
    path = write(yaml, header=("id", "y", "Usage"), columns=(IDS, ["yes", "no"] * 10, USAGE))
    with pytest.raises(scorer.InvalidChallenge, match=r"truth_values: \{yes: 1, no: 0\}"):
        scorer.load(path)


def test_a_word_that_is_not_declared_is_refused(write: Write) -> None:
    metric = "{name: log_loss, truth_values: {yes: 1, no: 0}}"
    yaml = f"title: T\nmetric: {metric}\nsubmission: {{id: id, columns: [y]}}\n"
    path = write(yaml, header=("id", "y", "Usage"), columns=(IDS, ["yes", "no", "maybe", "no"] * 5, USAGE))
    with pytest.raises(scorer.InvalidChallenge) as refusal:
        scorer.load(path)
    (problem,) = refusal.value.problems
    assert (problem.code, problem.line, problem.value, problem.count) == ("UNKNOWN_CLASS", 4, "maybe", 5)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("{name: accuracy, truth_values: {yes: 1}}", "compares a class label"),
        ("{name: log_loss, truth_values: {yes: 2}}", "2 is not 0 or 1"),
        ("{name: map_at_k, truth_missing: skip}", "an empty cell is an answer"),
        ("{name: log_loss, truth_values: {}}", "at least 1"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(write: Write, metric: str, words: str) -> None:
    yaml = f"title: T\nmetric: {metric}\nsubmission: {{id: id, columns: [y]}}\n"
    with pytest.raises(scorer.InvalidChallenge, match=words):
        scorer.load(write(yaml, header=("id", "y", "Usage"), columns=(IDS, ["1", "0"] * 10, USAGE)))


# --- classes in one column --------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), *[st.integers(1, 9)] * 3), min_size=3, max_size=30))
def test_one_against_rest_is_that_of_scikit_learn(rows: list[tuple[str, int, int, int]]) -> None:
    rows += [("a", 1, 2, 3), ("b", 3, 1, 2), ("c", 2, 3, 1)]
    ids = list(range(len(rows)))
    shares = np.array([row[1:] for row in rows]) / np.sum([row[1:] for row in rows], axis=1, keepdims=True)
    truth = [row[0] for row in rows]
    solution = pd.DataFrame({"id": ids, "class": truth})
    submission = pd.DataFrame({"id": ids} | dict(zip("abc", shares.T, strict=True)))
    expected = sklearn.metrics.roc_auc_score(truth, shares, multi_class="ovr", average="macro")
    assert scorer.measure("roc_auc", solution, submission) == pytest.approx(expected)
    assert scorer.measure("roc_auc", solution, submission, multi_class="ovr") == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.permutations([1, 2, 3])), min_size=1, max_size=30))
def test_top_k_of_scores_is_that_of_scikit_learn(rows: list[tuple[str, list[int]]]) -> None:
    ids = list(range(len(rows)))
    scores, truth = np.array([row[1] for row in rows]) / 6, [row[0] for row in rows]
    solution = pd.DataFrame({"id": ids, "class": truth})
    submission = pd.DataFrame({"id": ids} | dict(zip("abc", scores.T, strict=True)))
    for k in (1, 2):
        expected = sklearn.metrics.top_k_accuracy_score(truth, scores, k=k, labels=list("abc"))
        got = scorer.measure("top_k_accuracy", solution, submission, k=k, predictions="scores")
        assert got == pytest.approx(expected)


def test_a_constant_file_gets_chance_in_top_k_whatever_the_classes_are_called() -> None:
    for names in itertools.permutations("abc"):
        solution = pd.DataFrame({"id": [1, 2], "class": [names[0], names[0]]})
        submission = pd.DataFrame({"id": [1, 2], "a": 0.2, "b": 0.2, "c": 0.2})
        got = scorer.measure("top_k_accuracy", solution, submission, k=2, predictions="scores")
        assert got == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("metric", "sample"),
    [
        ("roc_auc", "0.2"),
        ("average_precision", "0.2"),
        ("{name: top_k_accuracy, k: 2, predictions: scores}", "0.2"),
        ("{name: log_loss, rows: independent}", "0.2"),
    ],
)
def test_a_challenge_with_one_column_of_classes_passes_its_check(
    write: Write, metric: str, sample: str
) -> None:
    names = ["cat", "dog", "cow", "dog"] * 5
    sent = csv_text(("id", "cat", "dog", "cow"), IDS, *[[sample] * 20] * 3)
    path = write(
        f"title: T\nmetric: {metric}\nsubmission: {{id: id, columns: [cat, dog, cow]}}\n",
        header=("id", "animal", "Usage"),
        columns=(IDS, names, USAGE),
        files={"public/sample_submission.csv": sent},
    )
    assert scorer.check(scorer.load(path)).problems == ()


def test_top_k_of_as_many_classes_is_refused(write: Write) -> None:
    metric = "{name: top_k_accuracy, k: 2, predictions: scores}"
    yaml = f"title: T\nmetric: {metric}\nsubmission: {{id: id, columns: [a, b]}}\n"
    path = write(yaml, header=("id", "y", "Usage"), columns=(IDS, ["a", "b"] * 10, USAGE))
    with pytest.raises(scorer.InvalidChallenge, match="k must be below"):
        scorer.load(path)

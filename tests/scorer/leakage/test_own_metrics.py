"""The audit judges the labels of own metrics as those of named ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import scorer
from scorer.leakage.audit import audit
from scorer.leakage.check import CHECKS
from scorer.report import Finding
from tests.scorer.leakage.planted import Plant, Planted

SAME, RENAMED, OTHER = "declared", "another name declared", "another name in the solution"
FORMS = (SAME, RENAMED, OTHER)


@pytest.fixture(autouse=True)
def only_checks_of_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the models of the sides of rows, in train or test, in public or private.

    They see no label, and take two thirds of an audit; test_split_checks.py tests them.
    """
    for code in ("adversarial_shift", "split_recoverable"):
        monkeypatch.delitem(CHECKS, code)


def own(p: Planted, form: str = SAME) -> Planted:
    """Give the challenge an own metric."""
    lines = (p.folder / "challenge.yaml").read_text().splitlines()
    metric = "metric: {file: metric.py, greater_is_better: true}"
    text = "\n".join(metric if line.startswith("metric:") else line for line in lines) + "\n"
    (p.folder / "private/metric.py").write_text(
        "def score(solution, submission, row_id_column_name):\n    return 1.0\n"
    )
    if form != SAME:
        text = text.replace("[target]", "[prediction]")
        rewrite(p, "public/sample_submission.csv", lambda t: t.rename(columns={"target": "prediction"}))
    if form == OTHER:
        rewrite(p, "private/solution.csv", lambda t: t.rename(columns={"target": "truth"}))
    (p.folder / "challenge.yaml").write_text(text)
    return p


def rewrite(p: Planted, file: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    table = pd.read_csv(p.folder / file)
    change(table).to_csv(p.folder / file, index=False)


def label_in_test(p: Planted) -> None:
    rewrite(p, "public/test.csv", lambda t: t.assign(target=p.test["target"]))


def leak_column(p: Planted) -> None:
    for file, side in (("train", p.train), ("test", p.test)):
        values = side["target"] * 3 + 1
        rewrite(p, f"public/{file}.csv", lambda t, values=values: t.assign(batch=values))


def solution_in_public(p: Planted) -> None:
    shutil.copy(p.folder / "private/solution.csv", p.public / "notes.csv")


def found(p: Planted) -> list[Finding]:
    return list(audit(scorer.load(p.folder)).findings)


def blocking(p: Planted) -> set[tuple[str, str]]:
    return {(one.code, one.scope) for one in found(p) if one.severity == "block"}


LEAKS = {
    "label_in_test": (label_in_test, "target_copy"),
    "leak_column": (leak_column, "target_copy"),
    "solution_in_public": (solution_in_public, "labels_in_public_file"),
}


@pytest.mark.parametrize(
    ("name", "leak"),
    [*((name, leak) for name in ("breast", "diabetes") for leak in LEAKS), ("wine", "label_in_test")],
)
def test_a_leak_of_an_own_metric_blocks_as_with_a_named_one(plant: Plant, name: str, leak: str) -> None:
    put, code = LEAKS[leak]
    named = plant(name)
    put(named)
    expected = blocking(named)
    assert code in {each for each, _ in expected}
    p = own(plant(name))
    put(p)
    assert blocking(p) == expected


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("form", [RENAMED, OTHER])
def test_a_leak_blocks_whatever_the_columns_of_the_solution_are_called(
    plant: Plant, form: str, leak: str
) -> None:
    put, code = LEAKS[leak]
    p = own(plant("breast"), form)
    rewrite(p, "private/solution.csv", lambda t: t.assign(weight=np.arange(len(t)) % 7 + 0.5))
    put(p)
    assert code in {each for each, _ in blocking(p)}


@pytest.mark.parametrize(
    ("name", "form"), [*(("breast", form) for form in FORMS), ("wine", FORMS[0]), ("diabetes", FORMS[-1])]
)
def test_a_sound_challenge_with_an_own_metric_has_no_other_findings(
    plant: Plant, name: str, form: str
) -> None:
    def loud(p: Planted) -> set[tuple[str, str]]:
        ignored = ("test_too_small", "oracle_budget")  # these run a named metric
        return {(f.code, f.scope) for f in found(p) if f.severity != "info" and f.code not in ignored}

    assert loud(own(plant(name), form)) == loud(plant(name)) == set()


def test_class_words_and_truth_values_are_labels_of_an_own_metric(plant: Plant) -> None:
    for words in (("benign", "malignant"), ("False", "True")):
        p = own(plant("breast"))
        for file in ("private/solution.csv", "public/train.csv"):
            rewrite(p, file, lambda t, words=words: t.assign(target=t["target"].map(dict(enumerate(words)))))
        material = p.material()
        assert material.train is not None
        assert [(t.kind, t.classes) for t in material.train.targets] == [("binary", words)]
        label_in_test(p)
        assert ("target_copy", "columns: target") in blocking(p)


def test_several_columns_of_an_own_metric_are_judged_each(plant: Plant) -> None:
    p = own(plant("diabetes"))
    text = (p.folder / "challenge.yaml").read_text().replace("[target]", "[low, high]")
    (p.folder / "challenge.yaml").write_text(text)
    spread = pd.Series(np.random.default_rng(0).normal(size=1000))
    for file in ("private/solution.csv", "public/train.csv", "public/sample_submission.csv"):
        rewrite(
            p,
            file,
            lambda t: t.assign(low=t["target"] - 50, high=spread[: len(t)].round(4)).drop(columns="target"),
        )
    hidden = pd.read_csv(p.folder / "private/solution.csv").set_index("id")["high"]
    rewrite(p, "public/test.csv", lambda t: t.assign(probe=hidden[t["id"]].to_numpy()))
    assert [target.name for target in p.material().hidden_targets] == ["low", "high"]
    assert ("target_copy", "columns: probe") in blocking(p)


def test_a_group_that_test_shows_is_a_feature_and_the_other_columns_are_labels(plant: Plant) -> None:
    p = own(plant("breast"), RENAMED)  # as in a stratified C-index
    group = dict(zip(p.test["id"], np.random.default_rng(3).choice(list("ABC"), len(p.test)), strict=True))
    for file in ("private/solution.csv", "public/test.csv"):
        rewrite(p, file, lambda t: t.assign(site=t["id"].map(group)))
    in_train = np.random.default_rng(4).choice(list("ABC"), len(p.train))
    rewrite(p, "public/train.csv", lambda t: t.assign(site=in_train))
    findings = found(p)
    assert {one.code for one in findings if one.severity != "info"} <= {"test_too_small"}
    assert any("column site stands in the test table as in the solution" in one.evidence for one in findings)
    assert [target.name for target in p.material().hidden_targets] == ["target"]
    leak_column(p)
    assert ("target_copy", "columns: batch") in blocking(p)


@pytest.mark.parametrize("cell", ["text {} of its own", "constant"])
def test_labels_that_cannot_be_judged_block_with_the_reason(plant: Plant, cell: str) -> None:
    p = own(plant("breast"))
    for file in ("private/solution.csv", "public/train.csv"):
        rewrite(p, file, lambda t: t.assign(target=[cell.format(key) for key in t["id"]]))
    (one,) = [one for one in found(p) if one.severity == "block"]
    assert one.code == "not_checked"
    assert "column target h" in one.evidence
    assert "override" in one.advice


def test_truth_only_of_ignored_rows_is_not_judged(plant: Plant) -> None:
    p = own(plant("breast"))
    table = pd.read_csv(p.folder / "private/solution.csv")
    table.loc[:4, "Usage"] = "Ignored"
    table["target"] = table["target"].astype(object)
    table.loc[:4, "target"] = ""
    table.to_csv(p.folder / "private/solution.csv", index=False)
    (target,) = p.material().hidden_targets
    assert np.flatnonzero(~target.known).tolist() == list(range(5))


@pytest.mark.parametrize("metric", ["own", "{name: map_at_k, k: 3, split: ' '}"])
@pytest.mark.parametrize("where", ["test", "notes"])
def test_truth_that_is_no_simple_column_is_searched_for_as_it_is_written(
    plant: Plant, where: str, metric: str
) -> None:
    p = plant("breast")
    if metric == "own":
        own(p)
    else:
        text = (p.folder / "challenge.yaml").read_text()
        (p.folder / "challenge.yaml").write_text(text.replace("metric: log_loss", f"metric: {metric}"))
    dice = np.random.default_rng(0)
    words = {key: f"w{dice.integers(40)} v{dice.integers(40)}" for key in p.ids}
    rewrite(p, "private/solution.csv", lambda t: t.assign(target=t["id"].map(words)))
    rewrite(p, "public/sample_submission.csv", lambda t: t.assign(target="w1 v1"))
    sound = blocking(p)
    assert {code for code, _ in sound} <= {"not_checked"}
    if where == "test":
        rewrite(p, "public/test.csv", lambda t: t.assign(answer=t["id"].map(words)))
    else:
        solution_in_public(p)
    assert blocking(p) - sound == {("labels_in_public_file", f"files: {where}.csv")}

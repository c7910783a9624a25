"""Checks of equal and near rows; sound tables give no finding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.scorer.leakage.tables import (
    GROUPED,
    REAL,
    Audit,
    by_patient,
    loud,
    mixed,
    real,
    renumbered,
    severities,
    split,
)
from tests.scorer.leakage.test_group_checks import series


@pytest.mark.parametrize("name", REAL)
def test_a_random_split_of_real_data_gives_no_finding(run_checks: Audit, name: str) -> None:
    table, kind = real(name)
    assert loud(run_checks(*split(table, 1), kind=kind)) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_split_of_a_mixed_table_gives_no_finding(run_checks: Audit, seed: int) -> None:
    assert loud(run_checks(*split(mixed(seed=seed), seed))) == []


def test_a_table_of_few_distinct_rows_gives_only_an_info(run_checks: Audit) -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({f"c{i}": rng.choice(list("abc"), 700) for i in range(4)})
    table["c1"] = np.where(rng.random(700) < 0.8, table["c0"], table["c1"])
    table["target"] = ((table["c0"] == "a") + rng.normal(size=700) > 0.3).astype(int)
    found = run_checks(*split(table))
    assert loud(found) == []
    assert severities(found, "duplicate_rows") == ["info"]
    assert severities(found, "conflicting_labels") == ["info"]


def test_a_rare_class_and_many_classes_give_no_row_blocks(run_checks: Audit) -> None:
    rng = np.random.default_rng(1)
    table = mixed(1500, 4)
    for seed in range(2):
        table["target"] = (rng.random(1500) < 0.012).astype(int)
        assert loud(run_checks(*split(table, seed), "row_order", "row_blocks", "id_signal")) == []
        table["target"] = [f"k{code}" for code in rng.integers(0, 60, 1500)]
        assert (
            loud(run_checks(*split(table, seed), "row_order", "row_blocks", "id_signal", kind="class")) == []
        )


def test_three_pairs_of_a_rare_class_at_one_distance_give_no_finding(run_checks: Audit) -> None:
    # Of 17 random rows in 1400, three pairs share one of the 37 distances in one file of forty; by a normal
    # law the p of one distance would be 2e-8.
    train, test = renumbered(*split(mixed(2000, 4)))
    train["target"] = 0
    train.loc[[40, 52, 400, 412, 900, 912, *range(101, 1400, 118)], "target"] = 1
    assert loud(run_checks(train, test, "row_blocks")) == []


def test_a_declared_clean_split_by_groups_gives_no_finding(run_checks: Audit) -> None:
    # A height belongs to one patient: its rows are alike, which is no evidence about the other side.
    train, test = by_patient(overlap=False, strength=4)
    heights = np.random.default_rng(3).normal(170, 12, 120).round()
    train, test = (s.assign(height=heights[s["patient"].str[1:].astype(int)]) for s in (train, test))
    assert loud(run_checks(train, test, more=GROUPED)) == []


def test_a_declared_clean_split_in_time_gives_no_finding(run_checks: Audit) -> None:
    table = series()
    found = run_checks(
        table[:560], table[560:], kind="number", more="split: {strategy: sequential, time: date}\n"
    )
    assert loud(found) == []
    assert "info" in severities(found, "row_blocks")


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes"])
def test_train_rows_copied_into_test_block(run_checks: Audit, name: str) -> None:
    table, kind = real(name)
    train, test = split(table)
    test.loc[[3, 5, 8], test.columns[1:]] = train.loc[[10, 20, 30], train.columns[1:]].to_numpy()
    found = run_checks(train, test.astype(train.dtypes), "duplicate_rows", kind=kind)
    assert severities(found, "duplicate_rows") == ["block"]
    assert found[0][2] is not None
    assert "First: test row 4 and train row 11." in found[0][2].evidence


def test_records_repeated_before_the_split_block(run_checks: Audit) -> None:
    table = mixed()
    repeated = pd.concat([table, table.sample(frac=0.1, random_state=1)])
    assert severities(run_checks(*split(repeated), "duplicate_rows"), "duplicate_rows")[0] == "block"


def test_rows_that_differ_only_in_case_spaces_digits_or_row_number_block(run_checks: Audit) -> None:
    train, test = split(mixed())
    copies = train.iloc[:6].assign(city=[f" {city.upper()} " for city in train["city"][:6]])
    copies["score"] = copies["score"].map(lambda value: float(f"{value:.9g}"))
    test = pd.concat([copies, test[6:]])
    train, test = renumbered(train, test)
    train.insert(1, "line", range(len(train)))
    test.insert(1, "line", range(len(train), len(train) + len(test)))
    assert severities(run_checks(train, test, "duplicate_rows"), "duplicate_rows") == ["block"]


def test_a_number_of_copies_that_predicts_the_target_warns(run_checks: Audit) -> None:
    train, test = split(mixed(900))
    test = pd.concat([test, test[test["target"] == 1].iloc[::3]]).sample(frac=1, random_state=0)
    found = run_checks(*renumbered(train, test), "duplicate_rows")
    assert severities(found, "duplicate_rows") == ["warn", "warn"]
    assert any("number of copies" in evidence for _, evidence in loud(found))


def test_rows_with_slightly_changed_numbers_warn(run_checks: Audit) -> None:
    for name in ("breast_cancer", "digits"):
        table, kind = real(name)
        copies = table.sample(frac=0.15, random_state=1)
        features = [c for c in copies if c != "target"]
        noise = np.random.default_rng(2).normal(size=copies[features].shape)
        copies[features] += 0.02 * noise * table[features].std().to_numpy()
        found = run_checks(*split(pd.concat([table, copies])), "near_duplicate_rows", kind=kind)
        assert severities(found, "near_duplicate_rows") == ["warn"], name


def test_rows_with_one_changed_cell_warn(run_checks: Audit) -> None:
    table = mixed()
    copies = table.sample(frac=0.1, random_state=1)
    copies["plan"] = "M"
    found = run_checks(*split(pd.concat([table, copies])), "near_duplicate_rows")
    assert "most often plan" in loud(found)[0][1]


def test_texts_with_one_added_word_warn(run_checks: Audit) -> None:
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(500)])
    texts = [" ".join(rng.choice(words, rng.integers(10, 30))) for _ in range(300)]
    table = pd.DataFrame({"body": texts, "target": rng.integers(0, 2, 300)})
    assert severities(run_checks(*split(table), "near_duplicate_rows"), "near_duplicate_rows") == [
        "not checked"
    ]
    copies = table.sample(frac=0.15, random_state=1)
    copies["body"] += " indeed"
    found = run_checks(*split(pd.concat([table, copies])), "near_duplicate_rows")
    assert "warn" in severities(found, "near_duplicate_rows")


def test_equal_rows_with_different_labels_are_reported(run_checks: Audit) -> None:
    table = mixed()
    copies = table.sample(frac=0.2, random_state=1)
    copies["target"] = 1 - copies["target"]
    found = run_checks(*split(pd.concat([table, copies])), "conflicting_labels")
    assert severities(found, "conflicting_labels") == ["warn"]


@pytest.mark.parametrize("n", [1, 2, 10, 40])
@pytest.mark.parametrize(
    "more", ["", "split: {strategy: grouped, group: one, time: when}\n", "split: {time: none}\n"]
)
def test_odd_tables_are_checked_without_a_crash(run_checks: Audit, n: int, more: str) -> None:
    columns = {
        "one": ["a"] * n,
        "empty": [""] * n,
        "huge": [(1e308, -1e308, 0.0)[i % 3] for i in range(n)],
        "half": [1.5 if i % 2 else "" for i in range(n)],
        "words": [("日本", "Ünï", "😀", "")[i % 4] for i in range(n)],
        "when": [f"{i % 28 + 1:02d}/03/2020" for i in range(n)],
    }
    for names in (list(columns), ["one"], []):
        train = pd.DataFrame({"id": [f"a{i}" for i in range(n)], **{c: columns[c] for c in names}})
        test = pd.concat([train] * 2).assign(id=[f"b{i}" for i in range(2 * n)])
        found = run_checks(train.assign(target=1), test.assign(target=[0, 1] * n), more=more)
        assert {code for code, severity, _ in found if severity == "block"} <= {
            "duplicate_rows",
            "group_overlap",
            "future_rows",
        }
        if n < 2:
            assert severities(found, "near_duplicate_rows")[0] == "not checked"

"""Checks of row order, ids and columns."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scorer.leakage.tables import REAL, Audit, loud, mixed, real, renumbered, severities, split


@pytest.mark.parametrize("name", REAL)
def test_a_sorted_test_file_warns(run_checks: Audit, name: str) -> None:
    table, kind = real(name)
    train, test = split(table)
    found = run_checks(*renumbered(train, test.sort_values("target")), "row_order", "id_signal", kind=kind)
    assert [code for code, _ in loud(found)] == ["row_order"]
    assert found[0][2] is not None
    assert found[0][2].picture is not None
    assert "hidden" in found[0][2].evidence


def test_a_sorted_train_file_warns_that_only_train_is_sorted(run_checks: Audit) -> None:
    train, test = split(mixed())
    found = run_checks(*renumbered(train.sort_values("target"), test), "row_order")
    assert "hidden test rows show no such order" in loud(found)[0][1]


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "diabetes"])
def test_blocks_and_cycles_of_like_rows_warn(run_checks: Audit, name: str) -> None:
    table, kind = real(name)
    train, test = split(table)
    rng = np.random.default_rng(1)
    in_order = np.argsort(test["target"].to_numpy() + 0.01 * rng.random(len(test)), kind="stable")
    blocks = np.array_split(in_order, 12)
    shuffled = test.iloc[np.concatenate([blocks[i] for i in rng.permutation(12)])]
    assert severities(run_checks(*renumbered(train, shuffled), "row_blocks", kind=kind), "row_blocks") == [
        "warn"
    ]
    fifths = np.array_split(in_order[: len(in_order) // 5 * 5], 5)
    cycle = test.iloc[np.stack([rng.permutation(part) for part in fifths], axis=1).ravel()]
    assert severities(run_checks(*renumbered(train, cycle), "row_blocks", kind=kind), "row_blocks") == [
        "warn"
    ]


def test_an_order_explained_by_a_public_column_gives_an_info(run_checks: Audit) -> None:
    train, test = (side.sort_values("age") for side in split(mixed(1500)))
    found = run_checks(*renumbered(train, test), "row_order", "row_blocks")
    assert loud(found) == []
    assert "info" in severities(found, "row_order")


@pytest.mark.parametrize("way", ["number", "prefix", "parity"])
def test_an_id_that_predicts_the_target_warns(run_checks: Audit, way: str) -> None:
    for name in ("wine", "diabetes"):
        table, kind = real(name)
        rng = np.random.default_rng(2)
        high = (table["target"] > table["target"].median()).astype(int)
        if way == "number":
            table = table.sort_values("target").reset_index(drop=True)
            ids = [str(5000 + 3 * i) for i in range(len(table))]
        elif way == "prefix":
            ids = [f"{'AB'[code]}{rng.integers(10**9):09d}" for code in high]
        else:
            ids = [str(2 * int(rng.integers(10**8)) + code) for code in high]
        train, test = split(table.assign(own=ids))
        train, test = (side.assign(id=side["own"]).drop(columns="own") for side in (train, test))
        assert "warn" in severities(run_checks(train, test, "id_signal", kind=kind), "id_signal"), name


def test_an_id_in_train_and_test_blocks(run_checks: Audit) -> None:
    train, test = split(mixed())
    test.loc[7, "id"] = train.loc[9, "id"]
    assert severities(run_checks(train, test, "id_overlap"), "id_overlap") == ["block"]


def test_ids_that_count_from_zero_in_both_tables_give_an_info(run_checks: Audit) -> None:
    train, test = split(mixed())
    for name in ("{}", "row_{}"):
        again = [side.assign(id=[name.format(i) for i in range(len(side))]) for side in (train, test)]
        assert severities(run_checks(*again, "id_overlap"), "id_overlap") == ["info"]


def test_constant_repeated_and_mixed_columns_warn(run_checks: Audit) -> None:
    table = mixed()
    table = table.assign(unit="mg", again=table["score"], odd=table["age"].astype(str), nothing=np.nan)
    table.loc[[4, 90, 200], "odd"] = "unknown"
    found = run_checks(*split(table), "constant_column")
    assert {evidence.split()[1] for _, evidence in loud(found)} == {"unit", "nothing", "again", "odd"}


def test_constant_pixels_give_an_info(run_checks: Audit) -> None:
    table, kind = real("digits")
    assert set(severities(run_checks(*split(table), "constant_column", kind=kind), "constant_column")) == {
        "info"
    }


def test_a_value_only_in_test_warns_and_rare_values_do_not(run_checks: Audit) -> None:
    rng = np.random.default_rng(0)
    table = mixed().assign(street=[f"street {int(code)}" for code in rng.zipf(1.6, 600) % 200])
    train, test = split(table)
    assert loud(run_checks(train, test, "new_categories")) == []
    test.loc[rng.random(len(test)) < 0.15, "city"] = "bern "
    assert severities(run_checks(train, test, "new_categories"), "new_categories") == ["warn"]

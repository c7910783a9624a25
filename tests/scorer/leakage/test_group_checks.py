"""Checks of groups and time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.scorer.leakage.tables import GROUPED, Audit, Result, by_patient, loud, severities


def series(n: int = 800, seed: int = 0) -> pd.DataFrame:
    """A number that remembers its last value, by the day."""
    rng = np.random.default_rng(seed)
    y = np.zeros(n)
    for i in range(1, n):
        y[i] = 0.9 * y[i - 1] + rng.normal()
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), unit="D")
    table = pd.DataFrame({"date": days.strftime("%Y-%m-%d"), "x": rng.normal(size=n), "target": y.round(4)})
    table.insert(0, "id", [f"r{i:05d}" for i in range(n)])
    return table


def test_a_declared_group_on_both_sides_blocks(run_checks: Audit) -> None:
    train, test = by_patient(overlap=False)
    test.loc[0, "patient"] = train.loc[0, "patient"]
    assert severities(run_checks(train, test, "group_overlap", more=GROUPED), "group_overlap") == ["block"]


def test_an_undeclared_group_on_both_sides_warns(run_checks: Audit) -> None:
    train, test = by_patient(overlap=True)
    numbered = [side.assign(patient=side["patient"].str[1:].astype(int)) for side in (train, test)]
    in_id = [
        side.assign(id=side["patient"] + "_" + side["id"]).drop(columns="patient") for side in (train, test)
    ]
    for sides in ((train, test), numbered, in_id):
        assert severities(run_checks(*sides, "group_overlap"), "group_overlap") == ["warn"]


def test_a_series_split_at_random_warns_and_one_split_in_time_does_not(run_checks: Audit) -> None:
    table = series()
    is_test = np.random.default_rng(1).random(len(table)) < 0.3
    found = run_checks(table[~is_test], table[is_test], "sequential_neighbours", kind="number")
    assert severities(found, "sequential_neighbours") == ["warn"]
    assert run_checks(table[:560], table[560:], "sequential_neighbours", kind="number") == []


def test_a_series_of_several_sensors_is_checked_sensor_by_sensor(run_checks: Audit) -> None:
    sensors = [series(150, seed).assign(sensor=f"s{seed}") for seed in range(8)]
    table = pd.concat(sensors).sort_values("date", kind="stable").reset_index(drop=True)
    table["id"] = [f"q{i}" for i in np.random.default_rng(0).permutation(len(table))]
    is_test = np.random.default_rng(1).random(len(table)) < 0.3
    found = run_checks(table[~is_test], table[is_test], "sequential_neighbours", kind="number")
    assert "within sensor" in loud(found)[0][1]


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%Y%m%d"])
def test_a_train_row_later_than_test_blocks_in_every_date_format(run_checks: Audit, form: str) -> None:
    table = series()
    table["date"] = pd.to_datetime(table["date"]).dt.strftime(form)
    train, test = pd.concat([table[:560], table[700:703]]), pd.concat([table[560:700], table[703:]])
    more = "split: {strategy: sequential, time: date}\n"
    assert severities(run_checks(train, test, "future_rows", kind="number", more=more), "future_rows") == [
        "block"
    ]
    assert run_checks(table[:560], table[560:], "future_rows", kind="number", more=more) == []
    at_random = "split: {strategy: random, time: date}\n"
    assert run_checks(train, test, "future_rows", kind="number", more=at_random) == []


def test_unreadable_dates_are_reported_as_not_checked(run_checks: Audit) -> None:
    table = series().assign(date="some day")
    more = "split: {strategy: sequential, time: date}\n"
    found = run_checks(table[:560], table[560:], "future_rows", kind="number", more=more)
    assert severities(found, "future_rows") == ["not checked"]


def test_a_test_of_few_groups_warns_only_if_groups_matter(run_checks: Audit) -> None:
    def few(strength: float) -> list[Result]:
        train, test = by_patient(overlap=False, n_patients=20, strength=strength)
        train, test = (pd.concat([side] * 10).reset_index(drop=True) for side in (train, test))
        rng = np.random.default_rng(2)
        for side, mark in ((train, "a"), (test, "b")):
            side["id"] = [f"{mark}{i}" for i in range(len(side))]
            side["a"] = rng.normal(size=len(side))
            if not strength:
                side["target"] = rng.integers(0, 2, len(side))
        return run_checks(train, test, "few_clusters", more=GROUPED)

    assert severities(few(3.0), "few_clusters") == ["warn"]
    assert few(0.0) == []

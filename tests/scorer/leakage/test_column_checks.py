"""Checks of columns find planted leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from tests.scorer.leakage.worlds import World, mixed, real, run, split, worst

COPIES: dict[str, Callable[[np.ndarray], Any]] = {
    "scaled": lambda y: 3.7 * y - 12,
    "ranked": rankdata,
    "logarithm": lambda y: np.round(np.log(y - y.min() + 1), 6),
    "turned over": lambda y: -y,
    "in words": lambda y: np.where(y > np.median(y), "high", "low"),
}


@pytest.mark.parametrize("form", COPIES)
@pytest.mark.parametrize("kind", ["binary", "number"])
def test_a_transformed_copy_of_the_target_blocks(tmp_path: Path, form: str, kind: str) -> None:
    world = mixed(kind)
    world.put("leak", COPIES[form](world.labels))
    assert worst(run(world.material(tmp_path / "c"), "target_copy"), "leak") == "block"


def test_a_copy_blocks_where_most_targets_are_equal(tmp_path: Path) -> None:
    # Ranks of the copy are chance among equal targets; the values themselves are not.
    world = mixed("number")
    for table in (world.train, world.test):
        table["target"] = table["target"].clip(lower=table["target"].median()).round(1)
    y = world.labels
    world.put("leak", y + world.rng.normal(size=len(y)) * 0.03 * y.std())
    assert worst(run(world.material(tmp_path / "c"), "target_copy"), "leak") == "block"


def test_a_one_hot_column_of_a_class_blocks(tmp_path: Path) -> None:
    world = real("wine")
    world.put("is_second", (world.labels == 1).astype(int))
    assert worst(run(world.material(tmp_path / "c"), "target_copy"), "is_second") == "block"


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_a_running_sum_and_a_shifted_target_block(tmp_path: Path, name: str) -> None:
    world = real(name)
    y, n = world.labels, len(world.train)
    world.put("total", np.r_[np.cumsum(y[:n]), np.cumsum(y[n:])])
    world.put("before", np.r_[0, y[: n - 1], 0, y[n:-1]])
    found = run(world.material(tmp_path / "c"), "target_copy")
    assert worst(found, "total") == "block"
    assert worst(found, "before") == "block"


def test_a_running_sum_made_before_the_split_blocks(tmp_path: Path) -> None:
    world = mixed("number")
    ids = np.r_[world.train["id"], world.test["id"]]
    total = np.empty(len(ids))
    order = np.argsort(ids)
    total[order] = np.cumsum(world.labels[order])
    world.put("total", total)
    assert worst(run(world.material(tmp_path / "c"), "target_copy"), "total") == "block"


def test_a_target_left_in_the_test_table_blocks(tmp_path: Path) -> None:
    world = mixed("class")
    world.target_stays = True
    assert worst(run(world.material(tmp_path / "c"), "target_copy"), "target") == "block"


@pytest.mark.parametrize(
    "world", [real("breast"), real("wine"), mixed("number")], ids=["two", "three", "number"]
)
def test_a_noisy_target_blocks(tmp_path: Path, world: World) -> None:
    y = world.labels
    world.put("leak", y + world.rng.normal(size=len(y)) * 0.12 * y.std())
    assert worst(run(world.material(tmp_path / "c"), "target_copy", "strong_feature"), "leak") == "block"


def test_a_word_that_predicts_the_label_blocks(tmp_path: Path) -> None:
    world = mixed()
    for table in (world.train, world.test):
        table["note"] += " status:" + table["target"].astype(str)
    found = run(world.material(tmp_path / "c"), "strong_feature")
    assert worst(found, "note") == "block"
    assert "status:" in found[0][1].evidence


def test_a_column_only_in_test_blocks_if_it_predicts_the_labels(tmp_path: Path) -> None:
    world = mixed()
    y = world.test["target"]
    world.test["extra"] = y + world.rng.normal(size=len(y)) * 0.4
    assert worst(run(world.material(tmp_path / "c"), "strong_feature"), "extra") == "block"


@pytest.mark.parametrize("form", ["absent", "empty", "constant", "other"])
def test_a_column_known_after_the_outcome_warns(tmp_path: Path, form: str) -> None:
    world = real("breast")
    y = world.labels
    world.put("leak", np.round(y + world.rng.normal(size=len(y)) * 0.5 * y.std(), 3))
    if form == "absent":
        del world.test["leak"]
    else:
        noise = world.rng.permutation(world.test["leak"])
        world.test["leak"] = {"empty": np.nan, "constant": 0.0, "other": noise}[form]
    assert worst(run(world.material(tmp_path / "c"), "post_outcome_feature"), "leak") == "warn"


def test_two_columns_that_name_one_person_warn_as_a_key(tmp_path: Path) -> None:
    world = mixed(n=1500)
    y = world.labels
    person = np.empty(len(y), dtype=int)
    person[np.lexsort((world.rng.random(len(y)), y))] = np.arange(len(y)) // 6
    names = world.rng.permutation(17 * 17)[person]
    world.put("first", [f"n{code}" for code in names // 17])
    world.put("second", [f"m{code}" for code in names % 17])
    assert worst(run(world.material(tmp_path / "c"), "pair_key"), "first") == "warn"


def test_coordinates_are_not_reported_as_a_key(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    north, east = (np.round(rng.uniform(0, 0.3, 1500), 2) for _ in range(2))
    hill = np.sin(20 * north) * np.cos(20 * east) + 0.3 * rng.normal(size=1500) > 0
    world = split(pd.DataFrame({"north": north, "east": east, "target": hill.astype(int)}))
    assert not run(world.material(tmp_path / "c"), "pair_key")


def test_missing_values_that_follow_the_label_or_the_table_warn(tmp_path: Path) -> None:
    world = mixed()
    n = len(world.train)
    gone = world.rng.random(len(world.is_high)) < np.where(world.is_high, 0.35, 0.1)
    world.train.loc[gone[:n], "score"] = np.nan
    world.test.loc[gone[n:], "score"] = np.nan
    world.train.loc[world.rng.random(n) < 0.2, "age"] = np.nan
    material = world.material(tmp_path / "c")
    assert worst(run(material, "missingness_signal"), "score") == "warn"
    assert worst(run(material, "missingness_shift"), "age") == "warn"
    assert worst(run(material, "missingness_signal"), "income") == "nothing"


def test_the_number_of_missing_values_that_follows_the_label_warns(tmp_path: Path) -> None:
    world = real("breast")
    names = [name for name in world.test if name not in ("id", "target")]
    for name in names:
        values = np.r_[world.train[name], world.test[name]]
        gone = world.rng.random(len(values)) < np.where(world.is_high, 0.06, 0.03)
        world.put(name, np.where(gone, np.nan, values))
    found = run(world.material(tmp_path / "c"), "missingness_signal")
    assert worst(found) == "warn"
    assert any("number of missing values" in one.evidence for _, one in found)


@pytest.mark.parametrize("way", ["decimals", "zeros", "case", "blanks"])
def test_a_number_format_that_follows_the_label_warns(tmp_path: Path, way: str) -> None:
    world = mixed()
    column = "colour" if way == "case" else "score"
    values = np.r_[world.train[column], world.test[column]]
    other: Callable[[Any], str] = {
        "decimals": lambda value: f"{value:.2f}",
        "zeros": lambda value: f"{value}0",
        "case": lambda value: str(value).upper(),
        "blanks": lambda value: f"{value} ",
    }[way]
    marked = world.is_high & (world.rng.random(len(values)) < 0.8)
    world.put(column, [other(v) if mark else str(v) for v, mark in zip(values, marked, strict=True)])
    assert worst(run(world.material(tmp_path / "c"), "number_format"), column) == "warn"


def test_significant_digits_are_not_reported_as_a_number_format(tmp_path: Path) -> None:
    # Instruments write four digits: large values, honestly so for one class, have fewer decimals.
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 1200)
    values = [f"{value:.4g}" for value in np.exp(rng.normal(size=1200) * 1.2 + y) * 40]
    assert not run(split(pd.DataFrame({"x": values, "target": y})).material(tmp_path / "c"), "number_format")


@pytest.mark.parametrize("form", ["plain", "without own", "smoothed", "scaled", "rounded"])
@pytest.mark.parametrize("kind", ["binary", "number"])
def test_a_mean_of_the_target_over_all_rows_blocks(tmp_path: Path, form: str, kind: str) -> None:
    world = mixed(kind)
    y = world.labels
    group = np.r_[world.train["city"], world.test["city"]]
    codes = pd.factorize(group)[0]
    sums, counts = np.bincount(codes, weights=y), np.bincount(codes)
    mean = (sums / counts)[codes]
    world.put(
        "encoded",
        {
            "plain": mean,
            "without own": (sums[codes] - y) / (counts[codes] - 1),
            "smoothed": (sums[codes] + 10 * y.mean()) / (counts[codes] + 10),
            "scaled": 100 * mean + 3,
            "rounded": np.round(mean, 3),
        }[form],
    )
    assert worst(run(world.material(tmp_path / "c"), "target_encoding"), "encoded") == "block"


def test_a_mean_of_the_target_over_train_alone_does_not_block(tmp_path: Path) -> None:
    world = mixed("number")
    means = world.train.groupby("city")["target"].mean()
    for table in (world.train, world.test):
        table["encoded"] = table["city"].map(means)
    assert worst(run(world.material(tmp_path / "c"), "target_encoding"), "encoded") == "info"

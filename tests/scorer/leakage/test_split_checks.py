"""Checks of splits find planted leaks; sound splits give no finding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

import scorer
from scorer.leakage.audit import audit
from scorer.leakage.material import gather
from tests.scorer.leakage.worlds import OWN, REAL, World, mixed, real, run, split, worst


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_test_rows_of_another_distribution_warn(tmp_path: Path, name: str) -> None:
    world = real(name)
    for column in [c for c in world.test if c not in ("id", "target")][:3]:
        world.test[column] = world.test[column] + 0.8 * world.train[column].std()
    assert worst(run(world.material(tmp_path / "c"), "adversarial_shift")) == "warn"


def test_a_counter_that_continues_in_test_blocks_unless_the_split_is_declared(tmp_path: Path) -> None:
    world = mixed()
    world.put("record", np.arange(len(world.labels)))
    found = run(world.material(tmp_path / "a"), "adversarial_shift")
    assert worst(found, "record") == "block"
    assert found[0][1].picture
    world.split = "{strategy: sequential, time: when}"
    assert worst(run(world.material(tmp_path / "b"), "adversarial_shift"), "record") == "info"


def test_labels_in_different_shares_warn(tmp_path: Path) -> None:
    world = mixed()
    high = world.is_high[len(world.train) :]
    world.usage = np.where(world.rng.random(len(high)) < np.where(high, 0.55, 0.2), "Public", "Private")
    assert worst(run(world.material(tmp_path / "a"), "label_shift"), "public") == "warn"
    world = mixed("number")
    keep = ~world.is_high[len(world.train) :] | (world.rng.random(len(world.test)) < 0.4)
    world.test, world.usage = world.test[keep].reset_index(drop=True), world.usage[keep]
    assert worst(run(world.material(tmp_path / "b"), "label_shift"), "train") == "warn"


RULES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "first rows": lambda test: np.arange(len(test)) < 0.3 * len(test),
    "every third row": lambda test: np.arange(len(test)) % 3 == 0,
    "blocks": lambda test: np.arange(len(test)) // 8 % 3 == 0,
    "last digit of the id": lambda test: test["id"] % 10 < 3,
    "some remainders of the id": lambda test: np.isin(test["id"] % 7, (1, 4)),
    "small ids": lambda test: test["id"].rank() < 0.3 * len(test),
    "md5 of the id": lambda test: [
        int(hashlib.md5(str(i).encode()).hexdigest(), 16) % 100 < 30 for i in test["id"]
    ],
    "a usual seed": lambda test: np.isin(
        np.arange(len(test)), train_test_split(np.arange(len(test)), train_size=0.3, random_state=42)[0]
    ),
    "a column": lambda test: test["age"] < 40,
}


@pytest.mark.parametrize("rule", RULES)
def test_public_rows_that_follow_a_rule_block(tmp_path: Path, rule: str) -> None:
    world = mixed(n=600)
    world.usage = np.where(RULES[rule](world.test), "Public", "Private")
    assert worst(run(world.material(tmp_path / "c"), "split_recoverable")) == "block"


@pytest.mark.parametrize("form", ["values", "order"])
def test_a_sample_submission_that_shows_the_public_rows_blocks(tmp_path: Path, form: str) -> None:
    world = mixed()
    sample = world.test[["id"]].assign(target=0)
    if form == "values":
        sample["target"] = (world.usage == "Public").astype(int)
    else:
        sample = sample.iloc[np.argsort(world.usage, kind="stable")]
    world.sample = sample
    assert worst(run(world.material(tmp_path / "c"), "split_recoverable"), "sample") == "block"


@pytest.mark.parametrize("form", ["values", "order"])
@pytest.mark.parametrize("name", ["breast", "diabetes"])
def test_a_sample_submission_made_of_the_labels_blocks(tmp_path: Path, form: str, name: str) -> None:
    world = real(name)
    truth = world.test[["id", "target"]]
    mostly = truth["target"].where(world.rng.random(len(truth)) < 0.6, world.rng.permutation(truth["target"]))
    world.sample = (
        truth.assign(target=mostly) if form == "values" else truth.sort_values("target").assign(target=1)
    )
    assert worst(run(world.material(tmp_path / "c"), "sample_signal")) == "block"


def test_separable_unscored_rows_warn(tmp_path: Path) -> None:
    world = mixed(n=1200)
    decoy = world.rng.random(len(world.test)) < 0.4
    world.usage[decoy] = "Ignored"
    assert not run(world.material(tmp_path / "a"), "decoys_separable")
    world.test.loc[decoy, "score"] = np.round(world.test.loc[decoy, "score"] * 3, 4)
    assert worst(run(world.material(tmp_path / "b"), "decoys_separable"), "score") == "warn"


@pytest.mark.parametrize("name", [name for name in REAL if name != "digits"])  # a benchmark judges it
def test_sound_splits_of_real_data_give_no_finding(tmp_path: Path, name: str) -> None:
    found = run(real(name, 5).material(tmp_path / "c"))
    assert [(code, one.where) for code, one in found if one.severity != "info"] == []


@pytest.mark.parametrize("kind", ["binary", "class", "number"])
def test_sound_splits_of_mixed_tables_give_no_finding(tmp_path: Path, kind: str) -> None:
    assert not run(mixed(kind, seed=4).material(tmp_path / "c"))


def speakers(*, declared: bool) -> World:
    """Return rows of few speakers with alike columns and labels.

    No speaker is in both train and test.
    """
    rng = np.random.default_rng(2)
    person = rng.integers(0, 60, 720)
    own = rng.normal(size=(60, 4))
    table = pd.DataFrame(np.round(own[person] + 0.3 * rng.normal(size=(720, 4)), 3), columns=list("abcd"))
    table["speaker"] = [f"s{code:02d}" for code in person]
    table["age"] = rng.integers(20, 70, 60)[person]
    # By chance of the few speakers the label goes with this gap; row by row it looks far beyond chance.
    table.loc[person % 8 == 0, "b"] = np.nan
    table["target"] = (own[:, 0] + rng.normal(size=60) > 0).astype(int)[person]
    world = split(table, in_test=person % 5 < 2)
    world.split = "{strategy: grouped, group: speaker}" if declared else "{strategy: random}"
    return world


def test_a_declared_split_by_group_gives_no_finding(tmp_path: Path) -> None:
    found = run(speakers(declared=True).material(tmp_path / "c"))
    assert [(code, one.where) for code, one in found if one.severity != "info"] == []


def test_a_declared_split_by_time_gives_an_info(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    day = np.arange(800)
    season = np.sin(day / 15)
    y = np.cumsum(rng.normal(size=800)) * 0.15 + 3 * season + 0.004 * day
    table = pd.DataFrame(
        {
            "day": day,
            "load": np.round(5 * season + 0.01 * day, 2),
            "year": day // 365,
            "target": np.round(y, 3),
        }
    )
    world = split(table, in_test=day >= 560)
    world.split = "{strategy: sequential, time: day}"
    world.usage = np.where(np.arange(240) < 72, "Public", "Private")
    found = run(world.material(tmp_path / "c"))
    assert {code for code, _ in found} >= {"adversarial_shift", "split_recoverable"}
    assert {one.severity for _, one in found} == {"info"}


ODD = ["ten rows", "one column", "one value", "all missing", "one class", "ids only"]


@pytest.mark.parametrize("case", [*ODD, "no train", "no test", "no sample"])
def test_odd_tables_are_checked_or_reported_without_a_crash(tmp_path: Path, case: str) -> None:
    world = mixed(n=16 if case == "ten rows" else 200)
    names = [name for name in world.train if name not in ("id", "target")]
    if case in ("one column", "ids only"):
        drop = names[1:] if case == "one column" else names
        world.train, world.test = world.train.drop(columns=drop), world.test.drop(columns=drop)
    if case in ("one value", "all missing"):
        for name in names:
            world.put(name, [7 if case == "one value" else ""] * len(world.labels))
    if case == "one class":
        world.test["target"] = 1
        world.train["target"] = 1
    if case == "ten rows":
        world.usage[:2] = ["Public", "Private"]
    folder = world.write(tmp_path / "c")
    if case.startswith("no "):
        name = {"no train": "train", "no test": "test", "no sample": "sample_submission"}[case]
        challenge = scorer.load(folder)
        (folder / f"public/{name}.csv").unlink()
    else:
        challenge = scorer.load(folder)
    result = audit(challenge)
    passport = {entry["code"]: entry["result"] for entry in result.passport}
    assert set(OWN) <= set(passport)
    assert not [f for f in result.blockers if f.code in OWN]
    unchecked = {
        "ten rows": "strong_feature",
        "no train": "adversarial_shift",
        "no test": "target_copy",
        "no sample": "sample_signal",
        "ids only": "adversarial_shift",
        "one column": "",
        "one value": "",
        "all missing": "",
        "one class": "",
    }[case]
    if unchecked:
        assert passport[unchecked] == "not checked"


def test_the_same_folder_gives_the_same_findings(tmp_path: Path) -> None:
    world = mixed()
    world.put("leak", world.labels + world.rng.normal(size=len(world.labels)) * 0.1)
    folder = world.write(tmp_path / "c")
    first, second = (run(gather(scorer.load(folder))) for _ in range(2))
    assert [(code, one.evidence) for code, one in first] == [(code, one.evidence) for code, one in second]

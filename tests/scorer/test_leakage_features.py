"""Columns that carry the target, and splits that can be seen from outside: what is planted is found, what is sound is not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split

import scorer
from scorer.leakage.audit import all_checks, audit
from scorer.leakage.check import CHECKS, Found
from scorer.leakage.material import Material, NotChecked, gather

all_checks()
OWN = [
    "target_copy",
    "strong_feature",
    "post_outcome_feature",
    "pair_key",
    "missingness_signal",
    "missingness_shift",
    "number_format",
    "target_encoding",
    "adversarial_shift",
    "label_shift",
    "split_recoverable",
    "sample_signal",
    "decoys_separable",
]
REAL = {
    "wine": load_wine,
    "breast": load_breast_cancer,
    "digits": load_digits,
    "diabetes": load_diabetes,
    "iris": load_iris,
}


@dataclass
class World:
    """A sound challenge in memory: change its tables, then write it."""

    train: pd.DataFrame
    test: pd.DataFrame
    usage: Any
    rng: np.random.Generator
    is_number: bool
    sample: pd.DataFrame | None = None
    split: str = "{strategy: random}"
    target_stays: bool = False

    @property
    def labels(self) -> np.ndarray:
        """Of train and then of test, as numbers."""
        y = pd.concat([self.train["target"], self.test["target"]])
        return (y if pd.api.types.is_numeric_dtype(y) else pd.factorize(y, sort=True)[0] + y.mul(0)).to_numpy(
            float
        )

    @property
    def is_high(self) -> np.ndarray:
        y = self.labels
        return y > np.median(y) if self.is_number else y == 1

    def put(self, name: str, values: Any) -> None:
        """A column over the rows of train and then of test."""
        n = len(self.train)
        self.train[name], self.test[name] = values[:n], values[n:]

    def write(self, folder: Path) -> Path:
        for name in ("public", "private"):
            (folder / name).mkdir(parents=True)
        metric = "rmse" if self.is_number else "accuracy"
        (folder / "challenge.yaml").write_text(
            f"format: 1\ntitle: Planted\nmetric: {metric}\nsubmission: {{id: id, columns: [target]}}\nsplit: {self.split}\n"
        )
        self.train.to_csv(folder / "public/train.csv", index=False)
        test = self.test if self.target_stays else self.test.drop(columns="target")
        test.to_csv(folder / "public/test.csv", index=False)
        sample = self.sample
        if sample is None:
            sample = self.test[["id"]].assign(target=self.train["target"].mode()[0])
        sample.to_csv(folder / "public/sample_submission.csv", index=False)
        self.test[["id", "target"]].assign(Usage=self.usage).to_csv(
            folder / "private/solution.csv", index=False
        )
        return folder

    def material(self, folder: Path) -> Material:
        return gather(scorer.load(self.write(folder)))


def split(table: pd.DataFrame, seed: int = 0, *, in_test: np.ndarray | None = None) -> World:
    """Rows in random order, ids without meaning, test and public rows drawn at random."""
    rng = np.random.default_rng(seed)
    table = table.copy()
    table.insert(0, "id", rng.permutation(10 * len(table))[: len(table)])
    if in_test is None:
        in_test = rng.permutation(len(table)) < 0.4 * len(table)
        order = rng.permutation(len(table))
        table, in_test = table.iloc[order], in_test[order]
    test = table[in_test].reset_index(drop=True)
    usage = np.where(rng.permutation(len(test)) < 0.3 * len(test), "Public", "Private")
    is_number = table["target"].nunique() > 20
    return World(table[~in_test].reset_index(drop=True), test, usage.astype(object), rng, is_number)


def real(name: str, seed: int = 0) -> World:
    data = REAL[name](as_frame=True)
    table = data.data.rename(columns=lambda column: column.replace(" ", "_"))
    return split(table.assign(target=data.target).iloc[:400], seed)


def mixed(kind: str = "binary", n: int = 900, seed: int = 0) -> World:
    """Numbers, dates, categories, words and gaps of a made-up register."""
    rng = np.random.default_rng(seed)
    words = ["red", "green", "blue", "dog", "cat", "house", "tree", "river", "lamp", "stone", "cloud", "wind"]
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "income": np.round(rng.lognormal(10, 0.5, n), 2),
            "score": np.round(rng.normal(size=n), 4),
            "colour": rng.choice(["red", "green", "Violet"], n, p=[0.5, 0.3, 0.2]),
            "city": rng.choice([f"Stadt {i} ü" for i in range(30)], n),
            "when": (pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "D")).strftime(
                "%Y-%m-%d"
            ),
            "note": [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(n)],
        }
    )
    z = 0.03 * (table["age"] - 50) + table["score"] + (table["colour"] == "red") + rng.normal(size=n)
    table.loc[rng.random(n) < 0.15, "income"] = np.nan
    table["target"] = {
        "number": np.round(z, 3),
        "binary": (z > z.quantile(0.7)).astype(int),
        "class": np.digitize(z, z.quantile([0.3, 0.6])),
    }[kind]
    return split(table, seed)


def run(material: Material, *codes: str) -> list[tuple[str, Found]]:
    """What the checks say; the reasons of what could not be checked are left out."""
    found = []
    with np.errstate(all="ignore"):
        for code in codes or OWN:
            for check in CHECKS[code]:
                if all(material.has(need) for need in check.needs):
                    with suppress(NotChecked):
                        found += [(code, one) for one in check.run(material)]
    return found


def worst(found: list[tuple[str, Found]], where: str = "") -> str:
    """The loudest severity said of a place."""
    said = {one.severity for _, one in found if where in one.where}
    return next((severity for severity in ("block", "warn", "info") if severity in said), "nothing")


# --- columns --------------------------------------------------------------------------------------

COPIES: dict[str, Callable[[np.ndarray], Any]] = {
    "scaled": lambda y: 3.7 * y - 12,
    "ranked": rankdata,
    "logarithm": lambda y: np.round(np.log(y - y.min() + 1), 6),
    "turned over": lambda y: -y,
    "in words": lambda y: np.where(y > np.median(y), "high", "low"),
}


@pytest.mark.parametrize("form", COPIES)
@pytest.mark.parametrize("kind", ["binary", "number"])
def test_a_copied_target_blocks_in_whatever_clothes(tmp_path: Path, form: str, kind: str) -> None:
    world = mixed(kind)
    world.put("leak", COPIES[form](world.labels))
    assert worst(run(world.material(tmp_path / "c"), "target_copy"), "leak") == "block"


def test_a_copy_blocks_where_most_targets_are_alike(tmp_path: Path) -> None:
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


def test_a_word_that_gives_the_label_away_blocks(tmp_path: Path) -> None:
    world = mixed()
    for table in (world.train, world.test):
        table["note"] += " status:" + table["target"].astype(str)
    found = run(world.material(tmp_path / "c"), "strong_feature")
    assert worst(found, "note") == "block"
    assert "status:" in found[0][1].evidence


def test_a_column_that_only_test_has_blocks_if_it_tells_the_labels(tmp_path: Path) -> None:
    world = mixed()
    y = world.test["target"]
    world.test["extra"] = y + world.rng.normal(size=len(y)) * 0.4
    assert worst(run(world.material(tmp_path / "c"), "strong_feature"), "extra") == "block"


@pytest.mark.parametrize("form", ["absent", "empty", "constant", "other"])
def test_what_only_train_knows_of_the_outcome_is_warned_of(tmp_path: Path, form: str) -> None:
    world = real("breast")
    y = world.labels
    world.put("leak", np.round(y + world.rng.normal(size=len(y)) * 0.5 * y.std(), 3))
    if form == "absent":
        del world.test["leak"]
    else:
        noise = world.rng.permutation(world.test["leak"])
        world.test["leak"] = {"empty": np.nan, "constant": 0.0, "other": noise}[form]
    assert worst(run(world.material(tmp_path / "c"), "post_outcome_feature"), "leak") == "warn"


def test_two_columns_that_name_one_person_are_a_key(tmp_path: Path) -> None:
    world = mixed(n=1500)
    y = world.labels
    person = np.empty(len(y), dtype=int)
    person[np.lexsort((world.rng.random(len(y)), y))] = np.arange(len(y)) // 6
    names = world.rng.permutation(17 * 17)[person]
    world.put("first", [f"n{code}" for code in names // 17])
    world.put("second", [f"m{code}" for code in names % 17])
    assert worst(run(world.material(tmp_path / "c"), "pair_key"), "first") == "warn"


def test_a_place_on_a_map_is_no_key(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    north, east = (np.round(rng.uniform(0, 0.3, 1500), 2) for _ in range(2))
    hill = np.sin(20 * north) * np.cos(20 * east) + 0.3 * rng.normal(size=1500) > 0
    world = split(pd.DataFrame({"north": north, "east": east, "target": hill.astype(int)}))
    assert not run(world.material(tmp_path / "c"), "pair_key")


def test_gaps_that_follow_the_label_or_the_table_are_warned_of(tmp_path: Path) -> None:
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


def test_gaps_that_follow_the_label_only_by_their_number_are_warned_of(tmp_path: Path) -> None:
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
def test_the_way_of_writing_is_warned_of_where_it_follows_the_label(tmp_path: Path, way: str) -> None:
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


def test_significant_digits_are_no_way_of_writing(tmp_path: Path) -> None:
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


# --- splits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_test_rows_of_another_kind_are_warned_of(tmp_path: Path, name: str) -> None:
    world = real(name)
    for column in [c for c in world.test if c not in ("id", "target")][:3]:
        world.test[column] = world.test[column] + 0.8 * world.train[column].std()
    assert worst(run(world.material(tmp_path / "c"), "adversarial_shift")) == "warn"


def test_a_counter_that_runs_on_in_test_blocks_until_the_split_is_declared(tmp_path: Path) -> None:
    world = mixed()
    world.put("record", np.arange(len(world.labels)))
    found = run(world.material(tmp_path / "a"), "adversarial_shift")
    assert worst(found, "record") == "block"
    assert found[0][1].picture
    world.split = "{strategy: sequential, time: when}"
    assert worst(run(world.material(tmp_path / "b"), "adversarial_shift"), "record") == "info"


def test_labels_in_other_shares_are_warned_of(tmp_path: Path) -> None:
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


def test_decoys_that_can_be_told_are_warned_of(tmp_path: Path) -> None:
    world = mixed(n=1200)
    decoy = world.rng.random(len(world.test)) < 0.4
    world.usage[decoy] = "Ignored"
    assert not run(world.material(tmp_path / "a"), "decoys_separable")
    world.test.loc[decoy, "score"] = np.round(world.test.loc[decoy, "score"] * 3, 4)
    assert worst(run(world.material(tmp_path / "b"), "decoys_separable"), "score") == "warn"


# --- silence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_sound_splits_of_real_data_are_silent(tmp_path: Path, name: str) -> None:
    found = run(real(name, 5).material(tmp_path / "c"))
    assert [(code, one.where) for code, one in found if one.severity != "info"] == []


@pytest.mark.parametrize("kind", ["binary", "class", "number"])
def test_sound_splits_of_mixed_tables_are_silent(tmp_path: Path, kind: str) -> None:
    assert not run(mixed(kind, seed=4).material(tmp_path / "c"))


def speakers(*, declared: bool) -> World:
    """Rows of few persons, whose columns and labels are alike; none is in both train and test."""
    rng = np.random.default_rng(2)
    person = rng.integers(0, 60, 720)
    own = rng.normal(size=(60, 4))
    table = pd.DataFrame(np.round(own[person] + 0.3 * rng.normal(size=(720, 4)), 3), columns=list("abcd"))
    table["speaker"] = [f"s{code:02d}" for code in person]
    table["age"] = rng.integers(20, 70, 60)[person]
    # By chance of the few persons the label goes with this gap, row by row far beyond chance.
    table.loc[person % 8 == 0, "b"] = np.nan
    table["target"] = (own[:, 0] + rng.normal(size=60) > 0).astype(int)[person]
    world = split(table, in_test=person % 5 < 2)
    world.split = "{strategy: grouped, group: speaker}" if declared else "{strategy: random}"
    return world


def test_a_declared_split_by_group_is_silent(tmp_path: Path) -> None:
    found = run(speakers(declared=True).material(tmp_path / "c"))
    assert [(code, one.where) for code, one in found if one.severity != "info"] == []


def test_a_declared_split_by_time_is_told_of_but_not_warned_of(tmp_path: Path) -> None:
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


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["ten rows", "one column", "one value", "all missing", "one class", "ids only", "no train", "no test", "no sample"])  # fmt: skip
def test_odd_tables_are_read_without_a_crash_and_never_passed_in_silence(tmp_path: Path, case: str) -> None:
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

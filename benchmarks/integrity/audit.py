"""Measure which planted leaks the data audit finds.

Sound splits are audited as well, for false alarms. Eight tables: five that come with scikit-learn, and three
drawn anew each time with numbers, categories, dates, texts and gaps (two classes, five classes, a number).
Each is shuffled, split at random and written as a challenge; then a leak of one kind and strength is planted,
or none. Sound sets are split at random, by class, by a declared group, or by a declared time. A leak is found
if a finding above info has one of the codes that fit.

    python benchmarks/integrity/audit.py             220 leaky and 300 sound sets, some minutes
    python benchmarks/integrity/audit.py --smoke     a few
    python benchmarks/integrity/audit.py --detail    also what each miss and each false alarm was
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from figure import Figure
from fixtures import Draft, usage
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

import scorer
from scorer.leakage.audit import all_checks, run_check
from scorer.leakage.material import NotChecked, gather
from scorer.report import Finding

TITLE = "The audit of a challenge's data"

SOUND = 300
STRENGTHS = 3
TURNS = 3
"""Tables for each kind and strength."""
Rng = np.random.Generator


# --- tables -----------------------------------------------------------------------------------------


@cache
def _bundled(name: str) -> tuple[pd.DataFrame, str]:
    load, metric = {
        "iris": (load_iris, "accuracy"),
        "wine": (load_wine, "accuracy"),
        "breast": (load_breast_cancer, "log_loss"),
        "digits": (load_digits, "accuracy"),
        "diabetes": (load_diabetes, "rmse"),
    }[name]
    # The scaled diabetes is centred over all rows, and so depends on the test.
    bunch = load(as_frame=True, **({"scaled": False} if name == "diabetes" else {}))
    table = bunch.data.rename(columns=lambda column: column.replace(" ", "_").replace("_(cm)", ""))
    table["target"] = bunch.target.astype(int)
    # Two equal flowers on both sides would be a true finding.
    return table.drop_duplicates(subset=list(table.columns[:-1])).reset_index(drop=True), metric


def _drawn(kind: str, rng: Rng) -> tuple[pd.DataFrame, str]:
    """Return customers with numbers, categories, dates, texts and gaps."""
    n = 900
    age = rng.normal(45, 14, n).clip(18, 90).round()
    income = rng.lognormal(10, 0.5, n).round(2)
    city = rng.choice(
        ["Ulm", "Köln", "Århus", "Lyon", "Gent", "Porto", "Turku"],
        n,
        p=[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05],
    )
    plan = rng.choice(["basic", "plus", "pro"], n, p=[0.5, 0.3, 0.2])
    visits = rng.poisson(6, n)
    score = rng.normal(size=n).round(3)
    words = np.array([
        "late", "order", "refund", "please", "thanks", "wrong", "size", "colour",
        "broken", "parcel", "nice", "quick", "never", "again", "invoice", "missing",
    ])  # fmt: skip
    notes = [" ".join(rng.choice(words, rng.integers(6, 14))) for _ in range(n)]
    days = rng.integers(0, 700, n)
    table = pd.DataFrame(
        {
            "age": age,
            "income": np.where(rng.random(n) < 0.08, np.nan, income),
            "city": city,
            "plan": np.where(rng.random(n) < 0.04, None, plan),
            "visits": visits,
            "score": score,
            "joined": (np.datetime64("2021-01-01") + days).astype(str),
            "note": notes,
        }
    )
    drive = (
        0.04 * (age - 45) + 0.5 * (plan == "pro") - 0.4 * (city == "Ulm") + 0.5 * score + 0.1 * (visits - 6)
    )
    if kind == "churn":
        return table.assign(target=(drive + rng.logistic(size=n) > 0.8).astype(int)), "roc_auc"
    if kind == "tier":
        cut = np.quantile(drive, [0.35, 0.6, 0.8, 0.92])
        names = np.array(["a-none", "b-low", "c-mid", "d-high", "e-top"])
        return table.assign(
            target=names[np.searchsorted(cut, drive + rng.normal(0, 0.5, n)).clip(0, 4)]
        ), "accuracy"
    return table.assign(target=(100 + 40 * drive + rng.normal(0, 30, n)).round(2)), "rmse"


BUNDLED = ("iris", "wine", "breast", "digits", "diabetes")
TABLES = (*BUNDLED, "churn", "tier", "spend")


def draft(name: str, rng: Rng, *, how: str = "random") -> Draft:
    """A sound challenge over one of the tables."""
    table, metric = _bundled(name) if name in BUNDLED else _drawn(name, rng)
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    if name == "digits":
        table = table[:1000]
    n = len(table)
    ids = rng.permutation(10 * n)[:n]
    table.insert(0, "id", [f"{name[0]}{number:05d}" for number in ids] if rng.random() < 0.5 else ids)
    share = rng.uniform(0.3, 0.5)
    split: dict[str, str] = {"strategy": how}
    in_test = rng.permutation(n) < round(share * n)
    if how == "stratified":
        strata = (
            pd.qcut(table["target"], 5, labels=False, duplicates="drop")
            if metric == "rmse"
            else table["target"]
        )
        place = pd.Series(rng.random(n)).groupby(np.asarray(strata)).rank(pct=True)
        in_test = (place <= share).to_numpy()
    elif how == "grouped":
        # Sites of some 15 rows each, with a level of their own in one column.
        site = rng.integers(0, max(8, n // 15), n)
        table["site"] = [f"site{number}" for number in site]
        column = next(c for c in table.columns[1:] if pd.api.types.is_float_dtype(table[c]) and c != "target")
        levels = rng.normal(0, 0.3 * table[column].std(), site.max() + 1)
        table[column] = (table[column] + levels[site]).round(4)
        in_test = np.isin(site, rng.permutation(site.max() + 1)[: round(share * (site.max() + 1))])
        split["group"] = "site"
    elif how == "sequential":
        day = np.sort(rng.integers(0, 365, n))
        table["day"] = (np.datetime64("2023-01-01") + day).astype(str)
        in_test = day > np.quantile(day, 1 - share)
        split["time"] = "day"
    train = table[~in_test].reset_index(drop=True)
    test = table[in_test].reset_index(drop=True)
    return Draft(train, test, ["target"], metric, _usage(test, metric, rng), rng, split=split)


def _usage(test: pd.DataFrame, metric: str, rng: Rng) -> NDArray[np.str_]:
    """Return a random Usage in which both sides have every class.

    Drawn again until then, since a challenge must have it.
    """
    while True:
        drawn = usage(rng, len(test), rng.uniform(0.3, 0.5))
        if metric == "rmse":
            return drawn
        sides = [set(test["target"][drawn == side]) for side in ("Public", "Private")]
        if sides[0] == sides[1]:
            return drawn


# --- leaks ------------------------------------------------------------------------------------------

Plant = Callable[[Draft, int], None]
"""Takes a sound draft and a strength: 0 strong, 1, 2 weak."""


@dataclass(frozen=True, slots=True)
class Leak:
    name: str
    codes: tuple[str, ...]
    group: str
    """The aim that it counts for."""
    plant: Plant


LEAKS: list[Leak] = []


def leak(name: str, *codes: str, group: str) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        LEAKS.append(Leak(name, codes, group, plant))
        return plant

    return register


def _numeric(d: Draft) -> list[str]:
    return [
        c for c in d.test.columns if c not in ("id", "target") and pd.api.types.is_numeric_dtype(d.test[c])
    ]


def _codes(d: Draft, side: pd.DataFrame) -> NDArray[np.float64]:
    """Return the target of either side as numbers, with one coding."""
    if pd.api.types.is_numeric_dtype(side["target"]):
        return side["target"].to_numpy(dtype=np.float64)
    kinds = sorted(set(d.train["target"]) | set(d.test["target"]))
    return side["target"].map({kind: float(i) for i, kind in enumerate(kinds)}).to_numpy()


def _noisy(d: Draft, values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """With a share of the entries exchanged among each other."""
    values = values.copy()
    wrong = np.flatnonzero(d.rng.random(len(values)) < share)
    values[wrong] = values[d.rng.permutation(wrong)]
    return values


def _is_number(d: Draft) -> bool:
    return d.metric == "rmse"


def _reordered(d: Draft, order: NDArray[np.int64]) -> None:
    d.test, d.usage = d.test.iloc[order].reset_index(drop=True), d.usage[order]


def _blurred_order(d: Draft, values: NDArray[np.float64], strength: int) -> NDArray[np.int64]:
    """Rows sorted by value, more or less."""
    ranks = pd.Series(values).rank(method="first").to_numpy() / len(values)
    return np.argsort(ranks + d.rng.normal(0, (0.0, 0.15, 0.35)[strength], len(values)))


@leak("exact duplicates of train rows in test", "duplicate_rows", group="exact")
def _(d: Draft, strength: int) -> None:
    n = max(3, round((0.3, 0.1, 0.03)[strength] * len(d.test)))
    rows = d.rng.permutation(len(d.test))[:n]
    copies = d.test.iloc[rows].copy()
    copies["id"] = d.train["id"].iloc[:n].to_numpy()
    d.train.iloc[:n] = copies.to_numpy()
    d.train = (
        d.train.sample(frac=1, random_state=strength)
        .infer_objects()
        .astype(d.test.dtypes.to_dict())
        .reset_index(drop=True)
    )


@leak("near duplicates of train rows in test", "near_duplicate_rows", "duplicate_rows", group="near")
def _(d: Draft, strength: int) -> None:
    n = max(6, round((0.4, 0.2, 0.1)[strength] * len(d.test)))
    rows = d.rng.permutation(len(d.test))[:n]
    copies = d.test.iloc[rows].reset_index(drop=True)
    for column in _numeric(d):
        spread = float(d.test[column].std())
        moved = copies[column] + d.rng.normal(0, 0.004 * spread, n)
        copies[column] = (
            moved if spread < 5 or not pd.api.types.is_integer_dtype(d.test[column]) else moved.round()
        )
        d.train[column] = d.train[column].astype(np.float64)
        d.test[column] = d.test[column].astype(np.float64)
    copies["id"] = d.train["id"].iloc[:n].to_numpy()
    d.train = (
        pd.concat([copies, d.train.iloc[n:]]).sample(frac=1, random_state=strength).reset_index(drop=True)
    )


@leak("test sorted by the label", "row_order", "row_blocks", group="order")
def _(d: Draft, strength: int) -> None:
    _reordered(d, _blurred_order(d, d.y, strength))


@leak("equal labels stand together", "row_blocks", "row_order", group="order")
def _(d: Draft, strength: int) -> None:
    y = _codes(d, d.test)
    kinds = pd.Series(y).rank(pct=True).mul(3.999).astype(int).to_numpy() if _is_number(d) else y.astype(int)
    blocks = (3, 6, 9)[strength]
    queues = {
        kind: list(d.rng.permutation(np.flatnonzero(kinds == kind))) for kind in np.unique(kinds).tolist()
    }
    order: list[int] = []
    while any(queues.values()):
        kind = d.rng.choice([k for k, queue in queues.items() if queue])
        size = max(2, len(y) // (len(queues) * blocks))
        order += queues[kind][:size]
        queues[kind] = queues[kind][size:]
    _reordered(d, np.array(order))


@leak("ids rise with the label", "id_signal", group="id")
def _(d: Draft, strength: int) -> None:
    for side in (d.train, d.test):
        order = _blurred_order(d, _codes(d, side), strength)
        numbers = np.empty(len(side), dtype=np.int64)
        numbers[order] = np.sort(d.rng.permutation(50_000)[: len(side)])
        side["id"] = numbers + (0 if side is d.train else 50_000)


@leak("ids begin with a letter by the label", "id_signal", group="id")
def _(d: Draft, strength: int) -> None:
    numbers = d.rng.permutation(90_000)[: len(d.train) + len(d.test)] + 10_000
    for side, own in ((d.train, numbers[: len(d.train)]), (d.test, numbers[len(d.train) :])):
        y = pd.Series(_noisy(d, _codes(d, side), (0.0, 0.15, 0.3)[strength])).rank(pct=True, method="average")
        letters = np.array(list("abcd"))[(y * 3.999).astype(int)]
        side["id"] = [f"{letter}{number}" for letter, number in zip(letters, own, strict=True)]


@leak("the target once more among the features", "target_copy", "strong_feature", group="target copy")
def _(d: Draft, strength: int) -> None:
    for side in (d.train, d.test):
        y = _codes(d, side)
        side["internal_code"] = (
            y * 3 + 7,
            np.log1p(y - min(0.0, y.min())) + 1,
            y + d.rng.normal(0, 0.01 * np.std(y), len(y)),
        )[strength]
    if not _is_number(d) and strength == 1:
        for side in (d.train, d.test):
            side["internal_code"] = [f"k{int(v)}" for v in _codes(d, side)]


@leak("a feature that nearly is the target", "strong_feature", "target_copy", group="target copy")
def _(d: Draft, strength: int) -> None:
    for side in (d.train, d.test):
        y = _codes(d, side)
        side["late_field"] = y + d.rng.normal(0, (0.03, 0.06, 0.1)[strength] * max(np.std(y), 0.5), len(y))


@leak("a feature that test does not have", "post_outcome_feature", "strong_feature", group="other")
def _(d: Draft, strength: int) -> None:
    y = _codes(d, d.train)
    d.train["closed_reason"] = (y + d.rng.normal(0, 0.1 * np.std(y), len(y))).round(3)
    if strength == 1:
        d.test["closed_reason"] = ""
    if strength == 2:
        d.test["closed_reason"] = 0.0


@leak("gaps where the label is high", "missingness_signal", group="missingness")
def _(d: Draft, strength: int) -> None:
    column = d.rng.choice(_numeric(d))
    for side in (d.train, d.test):
        high = pd.Series(_codes(d, side)).rank(pct=True) > 0.5
        p = np.where(high, (0.6, 0.4, 0.3)[strength], 0.04)
        side[column] = side[column].astype(np.float64).mask(d.rng.random(len(side)) < p)


@leak("more gaps in test than in train", "missingness_shift", "adversarial_shift", group="missingness")
def _(d: Draft, strength: int) -> None:
    column = d.rng.choice(_numeric(d))
    for side, p in ((d.train, 0.03), (d.test, (0.7, 0.4, 0.25)[strength])):
        side[column] = side[column].astype(np.float64).mask(d.rng.random(len(side)) < p)


def _side_file(write: Callable[[Draft, NDArray[np.float64]], dict[str, bytes]]) -> Plant:
    def plant(d: Draft, strength: int) -> None:
        d.files |= write(d, _noisy(d, _codes(d, d.test), (0.0, 0.03, 0.1)[strength]))

    return plant


def _csv(d: Draft, y: NDArray[np.float64]) -> bytes:
    return pd.DataFrame({"key": d.ids, "q": y}).sample(frac=1, random_state=1).to_csv(index=False).encode()


def _npy(y: NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, y)
    return stream.getvalue()


def _zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


SIDE_FILES: Mapping[str, Callable[[Draft, NDArray[np.float64]], dict[str, bytes]]] = {
    "labels by id in a CSV": lambda d, y: {"meta.csv": _csv(d, y)},
    "labels in order in an array": lambda _, y: {"cache/a.npy": _npy(y)},
    "labels backwards in a zipped text": lambda _, y: {
        "old.zip": _zipped("run/log.txt", "\n".join(f"{v:g}" for v in y[::-1]).encode())
    },
    "labels by id in JSON": lambda d, y: {
        "info.json": json.dumps({"rows": dict(zip(d.ids, y.tolist(), strict=True))}).encode()
    },
    "labels in a file for each row": lambda d, y: {
        f"rows/{i}.json": json.dumps({"v": v, "w": 1}).encode()
        for i, v in zip(d.ids, y.tolist(), strict=True)
    },
}
for _name, _write in SIDE_FILES.items():
    leak(_name, "labels_in_public_file", group="side file")(_side_file(_write))


@leak("dates of files follow the label", "file_metadata", group="file metadata")
def _(d: Draft, strength: int) -> None:
    order = _blurred_order(d, _codes(d, d.test), strength)
    for place, row in enumerate(order):
        d.files[f"images/{d.ids[row]}.png"] = b"\x89PNG"
        d.dates[f"images/{d.ids[row]}.png"] = 1.6e9 + 60.0 * place


@leak("one person on both sides, declared", "group_overlap", group="group")
def _(d: Draft, strength: int) -> None:
    n = len(d.train) + len(d.test)
    person = np.array([f"p{k}" for k in d.rng.integers(0, max(6, n // 12), n)])
    d.train["person"], d.test["person"] = person[: len(d.train)], person[len(d.train) :]
    if strength:  # most of the people are on one side
        alone = np.isin(
            d.test["person"], d.rng.permutation(np.unique(person))[: n // (14 if strength == 1 else 13)]
        )
        d.test.loc[alone, "person"] += "x"
    d.split = {"strategy": "grouped", "group": "person"}


@leak("one person on both sides, not declared", "group_overlap", group="group")
def _(d: Draft, strength: int) -> None:
    y = np.concatenate([_codes(d, d.train), _codes(d, d.test)])
    n = len(y)
    # A person's rows have like labels: people are stretches of the rows sorted by a blurred label.
    ranks = pd.Series(y).rank(method="first").to_numpy() / n + d.rng.normal(
        0, (0.02, 0.08, 0.15)[strength], n
    )
    people = max(6, n // 8)
    person = np.empty(n, dtype=np.int64)
    person[np.argsort(ranks)] = np.arange(n) * people // n
    names = d.rng.permutation(10_000)[:people]
    d.train["person"], d.test["person"] = (names[person[: len(d.train)]], names[person[len(d.train) :]])


@leak("test is another population", "adversarial_shift", group="shift")
def _(d: Draft, strength: int) -> None:
    columns = d.rng.permutation(_numeric(d))[:3]
    for column in columns:
        spread = float(d.train[column].astype(np.float64).std())
        d.test[column] = d.test[column].astype(np.float64) + (2.0, 1.3, 0.9)[strength] * spread


@leak("public and private have other labels", "label_shift", group="shift")
def _(d: Draft, strength: int) -> None:
    high = pd.Series(_codes(d, d.test)).rank(pct=True, method="average").to_numpy()
    order = np.argsort(high + d.rng.normal(0, (0.1, 0.25, 0.4)[strength], len(high)))
    n = int((d.usage == "Public").sum())
    drawn = np.full(len(high), "Private", dtype=d.usage.dtype)
    drawn[order[:n]] = "Public"
    _keep_classes(d, drawn)


def _keep_classes(d: Draft, drawn: NDArray[np.str_]) -> None:
    """Keep two rows of every class on both sides.

    Otherwise the folder would be refused before any audit.
    """
    if not _is_number(d):
        for kind in d.test["target"].unique():
            rows = d.rng.permutation(np.flatnonzero(d.test["target"] == kind))
            drawn[rows[:2]], drawn[rows[2:4]] = "Public", "Private"
    d.usage = drawn


@leak("the public rows can be recognised", "split_recoverable", group="split")
def _(d: Draft, strength: int) -> None:
    n = len(d.test)
    drawn = np.full(n, "Private", dtype="<U7")
    if strength == 0:
        drawn[: n // 3] = "Public"
    elif strength == 1:
        d.test["id"] = np.arange(n) + 1000
        d.test = d.test.sample(frac=1, random_state=3).reset_index(drop=True)
        drawn[(d.test["id"] % 3 == 0).to_numpy()] = "Public"
    else:
        column = d.rng.choice(_numeric(d))
        drawn[
            np.argsort(d.test[column].to_numpy() + d.rng.normal(0, 0.2 * float(d.test[column].std()), n))[
                : n // 3
            ]
        ] = "Public"
    _keep_classes(d, drawn)


@leak("the sample submission follows the label", "sample_signal", group="sample")
def _(d: Draft, strength: int) -> None:
    y = _codes(d, d.test)
    if d.metric == "accuracy":
        wrong = d.rng.random(len(y)) < (0.2, 0.4, 0.55)[strength]
        target = d.test["target"].to_numpy().copy()
        target[wrong] = d.rng.permutation(target[wrong])
        d.sample = d.test[["id"]].assign(target=target)
    else:
        z = (y - y.mean()) / y.std() + d.rng.normal(0, (0.3, 1.0, 1.6)[strength], len(y))
        d.sample = d.test[["id"]].assign(
            target=1 / (1 + np.exp(-z)) if not _is_number(d) else y.mean() + y.std() * z
        )


@leak("test lies before train in time, declared", "future_rows", group="time")
def _(d: Draft, strength: int) -> None:
    n, m = len(d.train), len(d.test)
    train = d.rng.integers(0, 500, n)
    test = np.where(d.rng.random(m) < (1.0, 0.3, 0.05)[strength], d.rng.integers(0, 500, m), 501)
    d.train["day"] = (np.datetime64("2020-01-01") + train).astype(str)
    d.test["day"] = (np.datetime64("2020-01-01") + test).astype(str)
    d.split = {"strategy": "sequential", "time": "day"}


@leak("a category's mean over all rows", "target_encoding", "strong_feature", group="other")
def _(d: Draft, strength: int) -> None:
    n = len(d.train) + len(d.test)
    y = np.concatenate([_codes(d, d.train), _codes(d, d.test)])
    if d.metric == "accuracy":  # of several classes a mean is one of a class
        y = (y == pd.Series(y).mode()[0]).astype(np.float64)
    shop = d.rng.integers(0, (60, 30, 15)[strength], n)
    means = pd.Series(y).groupby(shop).transform("mean").to_numpy()
    for name, column in (("shop", np.array([f"s{k}" for k in shop])), ("shop_mean", means)):
        d.train[name], d.test[name] = column[: len(d.train)], column[len(d.train) :]


@leak("test labels stand in train's rows by id", "id_overlap", group="id")
def _(d: Draft, strength: int) -> None:
    n = max(3, round((0.5, 0.1, 0.02)[strength] * len(d.test)))
    text = isinstance(d.test["id"].iloc[0], str)
    for side in (d.train, d.test):
        side["id"] = side["id"].astype(str) if text else side["id"]
    rows = d.rng.permutation(len(d.test))[:n]
    d.train.loc[d.train.index[:n], "id"] = d.test["id"].iloc[rows].to_numpy()


# --- running ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    kind: str
    table: str
    strength: int
    findings: tuple[Finding, ...]

    def loud(self) -> list[tuple[str, str]]:
        return [(f.code, f.severity) for f in self.findings if f.severity != "info"]

    @property
    def failures(self) -> list[str]:
        """Return the checks that failed, which the audit reports as findings."""
        return [f.evidence for f in self.findings if "failed (" in f.evidence]


def sound_run(home: Path, number: int) -> Run:
    name = TABLES[number % len(TABLES)]
    how = ("random", "random", "stratified", "random", "grouped", "sequential")[number // len(TABLES) % 6]
    planted = draft(name, np.random.default_rng([1, number]), how=how)
    return Run(f"sound, {how}", name, 0, planted.audit(home / "draft").findings)


def leaky_run(home: Path, number: int, strength: int, turn: int) -> Run:
    """Run one kind of leak with the checks that should find it.

    By the audit's own rules.
    """
    one = LEAKS[number]
    # Three tables of the eight for each kind and strength, another three each time.
    name = TABLES[(3 * number + STRENGTHS * strength + 4 * turn) % len(TABLES)]
    planted = draft(name, np.random.default_rng([2, number, strength, turn]))
    one.plant(planted, strength)
    folder = planted.write(home / "draft")
    try:
        material = gather(scorer.load(folder))
        findings: list[Finding] = []
        for code in one.codes:
            for check in all_checks()[code]:
                with contextlib.suppress(NotChecked):
                    findings += run_check(check, material)
    finally:
        shutil.rmtree(folder)
    return Run(one.name, name, strength, tuple(findings))


def large(rows: int, columns: int) -> Draft:
    """A table for the clock: numbers, some categories, two classes."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame({f"x{i}": rng.normal(size=rows).round(4) for i in range(columns - 5)})
    for i in range(5):
        table[f"c{i}"] = rng.choice([f"v{k}" for k in range(10**i + 2)], rows)
    table["target"] = (table["x0"] + table["x1"] + rng.normal(size=rows) > 0).astype(int)
    table.insert(0, "id", rng.permutation(rows))
    cut = round(0.7 * rows)
    test = table[cut:].reset_index(drop=True)
    return Draft(table[:cut], test, ["target"], "log_loss", usage(rng, len(test)), rng)


AIMS: Mapping[str, float] = {
    "exact": 0.95,
    "near": 0.95,
    "order": 0.95,
    "id": 0.95,
    "target copy": 0.95,
    "side file": 0.95,
    "shift": 0.95,
    "group": 0.95,
    "sample": 0.95,
    "missingness": 0.80,
    "split": 0.80,
}


def figures(*, smoke: bool, detail: bool = False) -> list[Figure]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        home = Path(folder)
        began = time.perf_counter()
        sound = [sound_run(home, number) for number in range(3 if smoke else SOUND)]
        each = (time.perf_counter() - began) / len(sound)
        turns = [(0, 0)] if smoke else [(s, t) for s in range(STRENGTHS) for t in range(TURNS)]
        leaky = [
            (one, leaky_run(home, number, strength, turn))
            for number, one in enumerate(LEAKS)
            for strength, turn in turns
        ]
        rows = 2_000 if smoke else 100_000
        clock = large(rows, 50).audit(home / "large").seconds
    failures = [words for run in [*sound, *(run for _, run in leaky)] for words in run.failures]
    return [
        *_detection(leaky, detail=detail),
        *_false_alarms(sound, detail=detail),
        Figure("checks that fell over", f"{len(failures)}", "0", not failures),
        Figure(f"audit of {rows:,} rows x 50 columns", f"{clock:.0f} s", "under 60 s", clock < 60),
        Figure("audit of a small table, with writing and reading it", f"{each:.2f} s"),
    ]


def _detection(leaky: list[tuple[Leak, Run]], *, detail: bool) -> list[Figure]:
    found: dict[str, list[bool]] = defaultdict(list)
    by_group: dict[str, list[bool]] = defaultdict(list)
    blocked: dict[str, list[bool]] = defaultdict(list)
    weak: dict[int, list[bool]] = defaultdict(list)
    for one, run in leaky:
        severities = [severity for code, severity in run.loud() if code in one.codes]
        hit = bool(severities)
        found[one.name].append(hit)
        by_group[one.group].append(hit)
        blocked[one.name].append("block" in severities)
        weak[run.strength].append(hit)
        if detail and not hit:
            print(
                f"missed: {one.name}, strength {run.strength}, {run.table}; reported "
                f"{sorted(set(run.loud()))}"
            )
    figures_ = []
    for group, hits in by_group.items():
        aim = AIMS.get(group)
        share = sum(hits) / len(hits)
        figures_.append(
            Figure(
                f"detection, {group}",
                f"{share:.2f} of {len(hits)}",
                f"{aim:.2f}" if aim else "",
                share >= aim if aim else None,
            )
        )
    for name, hits in found.items():
        figures_.append(
            Figure(f"  {name}", f"{sum(hits)} of {len(hits)}, {sum(blocked[name])} of them as blockers")
        )
    for strength, hits in sorted(weak.items()):
        words = ("strong", "middling", "weak")[strength]
        figures_.append(Figure(f"detection, {words} leaks", f"{sum(hits) / len(hits):.2f} of {len(hits)}"))
    return figures_


def _false_alarms(sound: list[Run], *, detail: bool) -> list[Figure]:
    warned: Counter[str] = Counter()
    blocking = 0
    quiet = 0
    for run in sound:
        loud = run.loud()
        warned.update({code for code, _ in loud})
        blocking += any(severity == "block" for _, severity in loud)
        quiet += not loud
        if detail:
            for finding in run.findings:
                if finding.severity != "info":
                    print(f"{run.kind}, {run.table}: {finding.severity} {finding.code}: {finding.evidence}")
    n = len(sound)
    found = [Figure("false alarms that block, of sound sets", f"{blocking} of {n}", "0", blocking == 0)]
    found += [
        Figure(
            f"  sound sets warned of: {code}",
            f"{count} of {n} ({count / n:.1%})",
            "about 1 %",
            count / n <= 0.015,
        )
        for code, count in warned.most_common()
    ]
    found.append(Figure("sound sets with any warning", f"{n - quiet} of {n} ({1 - quiet / n:.1%})"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds")
    parser.add_argument("--detail", action="store_true", help="what was missed and what was made up")
    given = parser.parse_args()
    began = time.perf_counter()
    print(TITLE)
    for figure in figures(smoke=given.smoke, detail=given.detail):
        verdict = {None: "", True: "met", False: "NOT MET"}[figure.met]
        print(f"{figure.name:<60}  {figure.value:<40}  {figure.aim:<12}  {verdict}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()

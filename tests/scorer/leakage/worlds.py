"""Challenges made of real and mixed tables, to plant leaks in columns and splits."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

import scorer
from scorer.leakage.check import CHECKS, Found
from scorer.leakage.material import Material, NotChecked, gather

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
    """A sound challenge in memory, to change and then write."""

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
        """Add a column over the rows of train, then test."""
        n = len(self.train)
        self.train[name], self.test[name] = values[:n], values[n:]

    def write(self, folder: Path) -> Path:
        for name in ("public", "private"):
            (folder / name).mkdir(parents=True)
        metric = "rmse" if self.is_number else "accuracy"
        (folder / "challenge.yaml").write_text(
            f"format: 1\ntitle: Planted\nmetric: {metric}\nsubmission: {{id: id, columns: "
            f"[target]}}\nsplit: {self.split}\n"
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
    """Split rows at random, with ids without meaning."""
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
    """Return the findings of checks.

    Checks that could not be made are left out.
    """
    found = []
    with np.errstate(all="ignore"):
        for code in codes or OWN:
            for check in CHECKS[code]:
                if all(material.has(need) for need in check.needs):
                    with suppress(NotChecked):
                        found += [(code, one) for one in check.run(material)]
    return found


def worst(found: list[tuple[str, Found]], where: str = "") -> str:
    """Return the worst severity reported of a place."""
    severities = {one.severity for _, one in found if where in one.where}
    return next((severity for severity in ("block", "warn", "info") if severity in severities), "nothing")

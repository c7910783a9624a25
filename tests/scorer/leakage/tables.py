"""Train and test frames written as a challenge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

from scorer.leakage.check import Found

CODES = (
    "duplicate_rows",
    "near_duplicate_rows",
    "conflicting_labels",
    "row_order",
    "row_blocks",
    "id_signal",
    "id_overlap",
    "constant_column",
    "new_categories",
    "group_overlap",
    "sequential_neighbours",
    "future_rows",
    "few_clusters",
)
METRICS = {"binary": "log_loss", "class": "accuracy", "number": "rmse"}
GROUPED = "split: {strategy: grouped, group: patient}\n"
Result = tuple[str, str, Found | None]
Audit = Callable[..., list[Result]]


def write(folder: Path, train: pd.DataFrame, test: pd.DataFrame, kind: str, more: str) -> None:
    (folder / "public").mkdir(parents=True)
    (folder / "private").mkdir()
    columns = "{id: id, columns: [target]}"
    (folder / "challenge.yaml").write_text(f"metric: {METRICS[kind]}\nsubmission: {columns}\n{more}")
    train.to_csv(folder / "public/train.csv", index=False)
    test.drop(columns="target").to_csv(folder / "public/test.csv", index=False)
    truth = test[["id", "target"]].copy()
    sample = truth.assign(target=0.5 if kind == "binary" else truth["target"].iloc[0])
    sample.to_csv(folder / "public/sample_submission.csv", index=False)
    order = np.random.default_rng(5).permutation(len(truth))
    truth["Usage"] = np.where(order < 0.4 * len(truth), "Public", "Private")
    truth.to_csv(folder / "private/solution.csv", index=False)


def severities(found: list[Result], code: str) -> list[str]:
    return [severity for own, severity, _ in found if own == code]


def loud(found: list[Result]) -> list[tuple[str, str]]:
    return [(code, one.evidence) for code, severity, one in found if one and severity in ("warn", "block")]


REAL = {
    "wine": (datasets.load_wine, "class"),
    "breast_cancer": (datasets.load_breast_cancer, "binary"),
    "digits": (datasets.load_digits, "class"),
    "diabetes": (datasets.load_diabetes, "number"),
    "iris": (datasets.load_iris, "class"),
}


def real(name: str) -> tuple[pd.DataFrame, str]:
    load, kind = REAL[name]
    bunch = load()
    table = pd.DataFrame(bunch.data, columns=[f"x{i}" for i in range(bunch.data.shape[1])])
    return table.assign(target=bunch.target), kind


def mixed(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Return numbers, words, dates and gaps with a target.

    The target depends on some of them.
    """
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "income": np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(10, 1, n).round(2)),
            "score": rng.normal(size=n),
            "ratio": rng.normal(size=n),
            "city": rng.choice(["Zürich", "Bern", "Genf"], n),
            "plan": rng.choice(list("ABCDEFGHIJKL"), n),
            "seen": (
                pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 700, n), unit="D")
            ).strftime("%Y-%m-%d"),
        }
    )
    z = 0.03 * table["age"] + table["score"] + (table["city"] == "Bern") + rng.normal(size=n)
    return table.assign(target=(z > z.median()).astype(int))


def split(table: pd.DataFrame, seed: int = 0, *, share: float = 0.3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shuffled, numbered, and cut at random."""
    rng = np.random.default_rng(seed)
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    table.insert(0, "id", [f"r{i:05d}" for i in range(len(table))])
    is_test = np.zeros(len(table), dtype=bool)
    is_test[rng.permutation(len(table))[: int(share * len(table))]] = True
    return table[~is_test].reset_index(drop=True), table[is_test].reset_index(drop=True)


def renumbered(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give ids unrelated to what was done to rows."""
    rng = np.random.default_rng(9)
    names = [f"{name:016x}" for name in rng.integers(0, 2**62, len(train) + len(test))]
    return train.assign(id=names[: len(train)]), test.assign(id=names[len(train) :])


def by_patient(
    *, overlap: bool, n_patients: int = 120, strength: float = 1.5, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return six rows a patient, with partly shared targets."""
    rng = np.random.default_rng(seed)
    patient = rng.permutation(np.repeat(np.arange(n_patients), 6))
    lean = strength * rng.normal(size=n_patients)
    table = pd.DataFrame({"a": rng.normal(size=len(patient)), "b": rng.integers(0, 50, len(patient))})
    table.insert(0, "patient", [f"P{code:03d}" for code in patient])
    table["target"] = (lean[patient] + table["a"] + rng.normal(size=len(patient)) > 0).astype(int)
    table.insert(0, "id", [f"r{i:05d}" for i in range(len(table))])
    is_test = rng.random(len(table)) < 0.3 if overlap else patient < 0.3 * n_patients
    return table[~is_test].reset_index(drop=True), table[is_test].reset_index(drop=True)

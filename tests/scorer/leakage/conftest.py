"""Fixtures that write challenges and run checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

import scorer
from scorer.leakage.audit import all_checks
from scorer.leakage.check import CHECKS
from scorer.leakage.material import NotChecked, gather
from tests.scorer.leakage.planted import Plant, Planted
from tests.scorer.leakage.tables import CODES, Audit, Result, write

all_checks()


@pytest.fixture
def run_checks(tmp_path: Path) -> Audit:
    """Write a challenge and run checks on it.

    Returns (code, severity, finding) for each.
    """
    count = 0

    def run_checks(
        train: pd.DataFrame, test: pd.DataFrame, *codes: str, kind: str = "binary", more: str = ""
    ) -> list[Result]:
        nonlocal count
        count += 1
        folder = tmp_path / f"c{count}"
        write(folder, train, test, kind, more)
        material = gather(scorer.load(folder))
        found: list[Result] = []
        for code in codes or CODES:
            for check in CHECKS[code]:
                try:
                    for need in check.needs:
                        if not material.has(need):
                            raise NotChecked(material.why_not(need))
                    with np.errstate(all="ignore"):  # as the audit runs them
                        found += [(code, one.severity, one) for one in check.run(material)]
                except NotChecked:
                    found.append((code, "not checked", None))
        return found

    return run_checks


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    count = iter(range(1000))

    def plant(name: str = "breast", **more: str) -> Planted:
        return Planted(tmp_path / f"{name}{next(count)}", *data(name), **more)

    def data(name: str) -> tuple[pd.DataFrame]:
        load = {
            "breast": load_breast_cancer,
            "wine": load_wine,
            "diabetes": load_diabetes,
            "digits": load_digits,
        }
        bunch = load[name](as_frame=True)
        return (bunch.data.iloc[:, :12].assign(target=bunch.target.astype(int)),)

    def with_metric(name: str = "breast", **more: str) -> Planted:
        metric = {"breast": "log_loss", "wine": "accuracy", "diabetes": "rmse", "digits": "accuracy"}[name]
        return plant(name, **{"metric": metric, **more})

    return with_metric

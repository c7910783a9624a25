"""Tests too small to mean anything, degenerate metrics, oracle budget."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scorer.leakage.check import CHECKS
from scorer.leakage.checks import power
from scorer.leakage.material import NotChecked
from tests.scorer.leakage.planted import Plant


def test_a_test_of_twenty_rows_warns_and_one_of_hundreds_does_not(plant: Plant) -> None:
    small = plant("wine")
    solution = pd.read_csv(small.folder / "private/solution.csv")
    solution["Usage"] = ["Private"] * 12 + ["Public"] * (len(solution) - 12)
    solution.to_csv(small.folder / "private/solution.csv", index=False)
    (found,) = power.test_too_small(small.material())
    assert (found.severity, "12 private rows" in found.evidence) == ("warn", True)
    assert [f.severity for f in power.test_too_small(plant("digits").material())] == []
    assert [f.severity for f in power.test_too_small(plant("breast").material())] == ["info"]


def test_a_constant_that_scores_best_blocks(plant: Plant) -> None:
    p = plant("wine")
    solution = pd.read_csv(p.folder / "private/solution.csv")
    solution["Usage"] = np.where(solution["target"] == 1, "Public", "Private")
    solution.to_csv(p.folder / "private/solution.csv", index=False)
    (found,) = power.metric_degenerate(p.material())
    assert (found.severity, found.where) == ("block", "public")
    for name in ("breast", "wine", "diabetes", "digits"):
        assert list(power.metric_degenerate(plant(name).material())) == []


def test_the_oracle_budget_warns_only_within_the_competitions_own_limits(plant: Plant) -> None:
    ends = "competition: {daily_limit: 5, duration_days: 30, public_score: exact}\n"
    assert [f.severity for f in power.oracle_budget_check(plant("breast", extra=ends).material())] == ["warn"]
    assert [f.severity for f in power.oracle_budget_check(plant("breast").material())] == ["info"]
    few = "competition: {daily_limit: 1, duration_days: 1, total_limit: 1}\n"
    assert list(power.oracle_budget_check(plant("digits", extra=few).material())) == []


def test_an_own_metric_is_reported_as_not_checked(plant: Plant) -> None:
    p = plant(extra="")
    text = (p.folder / "challenge.yaml").read_text()
    (p.folder / "challenge.yaml").write_text(
        text.replace("metric: log_loss", "metric: {file: metric.py, greater_is_better: true}")
    )
    (p.folder / "private/metric.py").write_text(
        "def score(solution, submission, row_id_column_name):\n    return 1.0\n"
    )
    with pytest.raises(NotChecked, match="own function"):
        list(power.metric_degenerate(p.material()))


def test_every_title_has_a_readable_length() -> None:
    for code in (
        "labels_in_public_file",
        "file_metadata",
        "test_too_small",
        "oracle_budget",
        "metric_degenerate",
    ):
        assert 20 < len(CHECKS[code][0].title) < 160

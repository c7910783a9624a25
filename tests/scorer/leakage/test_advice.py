"""Tests that advice fits the declared split, and that texts of the template are reported."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scorer
from scorer.leakage.audit import audit
from scorer.leakage.statistics import variance_by_group

CHALLENGES = Path(__file__).resolve().parents[3] / "challenges"


def ordered(folder: Path, strategy: str | None, n: int = 300) -> scorer.Challenge:
    """Labels that follow the rows and the ids of both tables, in periods of two."""
    rng = np.random.default_rng(0)
    (folder / "public").mkdir(parents=True)
    (folder / "private").mkdir()
    y = (np.arange(2 * n) % 2) ^ (rng.random(2 * n) < 0.1)
    table = pd.DataFrame({"id": np.arange(2 * n), "x": rng.normal(size=2 * n).round(3), "y": y.astype(int)})
    table[:n].to_csv(folder / "public/train.csv", index=False)
    table[n:].drop(columns="y").to_csv(folder / "public/test.csv", index=False)
    table[n:][["id"]].assign(y=0.5).to_csv(folder / "public/sample_submission.csv", index=False)
    usage = np.where(np.arange(n) % 3 == 0, "Public", "Private")
    table[n:][["id", "y"]].assign(Usage=usage).to_csv(folder / "private/solution.csv", index=False)
    split = "" if strategy is None else f"split: {{strategy: {strategy}}}\n"
    (folder / "challenge.yaml").write_text(f"metric: log_loss\nsubmission: {{id: id, columns: [y]}}\n{split}")
    return scorer.load(folder)


def advice_about_order(challenge: scorer.Challenge) -> list[tuple[str, str]]:
    codes = ("row_order", "row_blocks", "id_signal")
    return [(f.severity, f.advice) for f in audit(challenge).findings if f.code in codes]


@pytest.mark.parametrize("strategy", ["sequential", "time", "chronological", "ordered", "random", None])
def test_only_splits_that_are_not_in_time_are_advised_to_shuffle(
    strategy: str | None, tmp_path: Path
) -> None:
    found = advice_about_order(ordered(tmp_path / "c", strategy))
    assert len(found) >= 3
    shuffles = [bool(re.search("huffl|at random|Assign ids", advice)) for _, advice in found]
    assert all(shuffles) if strategy in ("random", None) else not any(shuffles)
    # The hidden rows' order still reveals labels.
    assert any(severity == "warn" for severity, _ in found)


def test_digits_keeps_its_order_of_collection() -> None:
    found = advice_about_order(scorer.load(CHALLENGES / "digits"))
    assert found
    assert all(severity == "info" and advice.startswith("Keep the order.") for severity, advice in found)


def test_texts_of_the_template_are_reported_once_the_data_are_others(tmp_path: Path) -> None:
    scorer.scaffold(tmp_path / "new")
    assert not [f for f in audit(scorer.load(tmp_path / "new")).findings if f.code == "template_texts"]
    ordered(tmp_path / "own", None)
    description = (tmp_path / "new/description.md").read_text()
    (tmp_path / "own/description.md").write_text(description.replace("\n", " "))
    yaml = tmp_path / "own/challenge.yaml"
    summary = "Predict how likely each patient is to respond, and be honest about how sure you are."
    yaml.write_text(f'summary: "{summary}"\n' + yaml.read_text())
    found = [f for f in audit(scorer.load(tmp_path / "own")).findings if f.code == "template_texts"]
    assert sorted(f.scope for f in found) == ["challenge: challenge.yaml", "challenge: description.md"]
    assert any("Two hundred patients" in f.evidence for f in found)
    (tmp_path / "own/description.md").write_text("# Ours\n\nThree hundred patients of our own.\n")
    yaml.write_text(yaml.read_text().replace(summary, "Predict y."))
    assert not [f for f in audit(scorer.load(tmp_path / "own")).findings if f.code == "template_texts"]


def test_variance_by_group_is_that_of_the_one_way_analysis() -> None:
    values, groups = np.array([1.0, 2.0, 3.0, 6.0, 7.0]), np.array([0, 0, 1, 1, 1])
    between, within, size = variance_by_group(values, groups)
    assert between == pytest.approx(2 * (1.5 - 3.8) ** 2 + 3 * (16 / 3 - 3.8) ** 2)
    assert within == pytest.approx((0.5 + 26 / 3) / 3)
    assert size == pytest.approx(5 - 13 / 5)

"""`heldout challenge from-table`: from one table to an open competition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tests.servers import heldout


def test_one_command_opens_a_competition_and_posts_the_baselines(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    size = rng.normal(size=150).round(3)
    kind = np.where(size + rng.normal(size=150) * 0.5 > 0, "big", "small")
    pd.DataFrame({"size": size, "kind": kind}).to_csv(tmp_path / "things.csv", index=False, sep=";")
    data = tmp_path / "data"
    assert heldout(data, "db", "upgrade").returncode == 0
    wanted = ("challenge", "from-table", "things.csv", "--target", "kind")
    made = heldout(data, *wanted, "--open", "--json")
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert report["published"]["competitions"] == ["things"]
    assert [one["name"] for one in report["baselines"]][:2] == ["Constant", "Linear model"]
    assert len(report["baselines"]) == 8
    assert "seed" not in made.stdout
    (row,) = json.loads(heldout(data, "competition", "list", "--json").stdout)
    assert (row["slug"], row["phase"], row["metric"]) == ("things", "open", "log_loss")
    again = heldout(data, *wanted)
    assert (again.returncode, "not an empty folder" in again.stderr) == (2, True)


def test_without_a_target_the_command_says_what_to_state(tmp_path: Path) -> None:
    pd.DataFrame({"a": range(30), "price": range(30)}).to_csv(tmp_path / "t.csv", index=False)
    done = heldout(tmp_path / "data", "challenge", "from-table", "t.csv")
    assert done.returncode == 2
    assert "State the column to predict with --target COLUMN; the table has a, price." in done.stderr
    assert '--target "price" (its name)' in done.stderr
    both = heldout(tmp_path / "data", "challenge", "from-table", "t.csv", "--random", "--time", "a")
    assert (both.returncode, "--time and --random exclude each other" in both.stderr) == (2, True)
    assert not (tmp_path / "t").exists()

"""Measure the audit of a challenge's data: time of each check and peak memory, for wide and long tables.

The baseline is pandas.read_csv of the same public tables in the same process. Each shape has a process of its
own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import _common as common
import numpy as np
import pandas as pd

import scorer
from scorer.leakage.audit import all_checks, audit

SHAPES = {"wide": (3_000, 2_000), "long": (1_000_000, 50), "both": (20_000, 300)}
SMOKE = {"wide": (300, 60), "long": (5_000, 8)}
LISTED = 6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--smoke", action="store_true", help="small tables")
    arguments.add_argument("--only", choices=[*SHAPES], help="one shape")
    arguments.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.here:
        folder, rows, columns = asked.here
        print(json.dumps(measured(Path(folder), int(rows), int(columns))))
        return
    about = common.machine()
    shapes = SMOKE if asked.smoke else SHAPES
    lines: list[list[object]] = []
    slowest: list[list[object]] = []
    for name, (n_rows, n_columns) in shapes.items():
        if asked.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory(prefix="heldout-bench-") as folder:
            command = [sys.executable, __file__, "--here", folder, str(n_rows), str(n_columns)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        shape = f"{n_rows:,} x {n_columns:,}"
        ratio = found["audit"] / found["baseline"]
        lines.append(
            [
                shape,
                f"{found['baseline']:.1f}",
                f"{found['audit']:.1f}",
                f"{found['cpu']:.1f}",
                f"{ratio:.1f}",
                f"{found['peak_mb']:.0f}",
                found["findings"],
            ]
        )
        slowest += [[shape, code, f"{seconds:.1f}"] for code, seconds in found["checks"][:LISTED]]
    print(about)
    common.print_table(
        "Audit of a challenge's data",
        ["rows x columns", "pandas.read_csv s", "audit s", "CPU s", "ratio", "peak MB", "findings"],
        lines,
    )
    common.print_table("Its slowest checks", ["rows x columns", "check", "s"], slowest)


def measured(folder: Path, n_rows: int, n_columns: int) -> dict[str, object]:
    write(folder, n_rows, n_columns)
    began = time.perf_counter()
    for name in ("train.csv", "test.csv"):
        pd.read_csv(folder / "public" / name)
    baseline = time.perf_counter() - began
    challenge = scorer.load(folder)
    marks: list[tuple[str, float]] = []
    began, cpu = time.perf_counter(), time.process_time()
    result = audit(challenge, progress=lambda words: marks.append((words, time.perf_counter())))
    ended = time.perf_counter()
    marks.append(("end", ended))
    checks = [(words.partition(": ")[2] or words, later - at) for (words, at), (_, later) in pairwise(marks)]
    return {
        "baseline": baseline,
        "audit": ended - began,
        "cpu": time.process_time() - cpu,
        "peak_mb": common.own_peak_mb(),
        "findings": sum(one.severity != "info" for one in result.findings),
        "checks": sorted(checks, key=lambda one: -one[1]),
    }


def write(folder: Path, n_rows: int, n_columns: int) -> None:
    """Write a sound challenge: numbers, counts and words, a tenth of all cells missing, one binary label."""
    rng = np.random.default_rng(7)
    n_train = n_rows * 7 // 10
    columns: dict[str, object] = {}
    signal = np.zeros(n_rows)
    for number in range(n_columns):
        numbers = rng.normal(size=n_rows)
        if number < 5:
            signal += numbers
        if number % 5 == 3:
            columns[f"count_{number}"] = np.floor(np.abs(numbers) * 10)
        elif number % 5 == 4:
            columns[f"word_{number}"] = np.array(["ash", "beech", "cedar", "oak"])[
                np.digitize(numbers, [-1, 0, 1])
            ]
        else:
            numbers[rng.random(n_rows) < 0.1] = np.nan
            columns[f"number_{number}"] = numbers.round(3)
    label = (np.nan_to_num(signal) + rng.normal(size=n_rows) * 2 > 0).astype(int)
    ids = rng.permutation(n_rows)
    frame = pd.DataFrame({"id": ids, **columns})
    (folder / "public").mkdir()
    (folder / "private").mkdir()
    frame[:n_train].assign(y=label[:n_train]).to_csv(folder / "public/train.csv", index=False)
    frame[n_train:].to_csv(folder / "public/test.csv", index=False)
    usage = np.where(rng.random(n_rows - n_train) < 0.3, "Public", "Private")
    truth = pd.DataFrame({"id": ids[n_train:], "y": label[n_train:], "Usage": usage})
    truth.to_csv(folder / "private/solution.csv", index=False)
    sample = pd.DataFrame({"id": ids[n_train:], "y": 0.5})
    sample.to_csv(folder / "public/sample_submission.csv", index=False)
    (folder / "challenge.yaml").write_text("title: Bench\nmetric: log_loss\nsubmission: {columns: [y]}\n")


if __name__ == "__main__":
    all_checks()  # importing them is no part of the measured time
    main()

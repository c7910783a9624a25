"""Measure seconds and peak memory of audit, scan and report.

Each in a process of its own.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from figure import Figure

TITLE = "Cost of the audit, the scan and the report"


def figures(*, smoke: bool) -> list[Figure]:
    sizes = (
        [("audit 2k x 10", "audit", 2_000, 10, 60)]
        if smoke
        else [("audit 100k x 50", "audit", 100_000, 50, 60), ("audit 1M x 50", "audit", 1_000_000, 50, 300)]
    )
    boards = [("8 teams x 500 rows", 8, 500)] if smoke else [("200 teams x 20,000 rows", 200, 20_000)]
    found = []
    for name, what, n, d, limit in sizes:
        seconds, megabytes = _alone(what, str(n), str(d))
        found.append(Figure(name, f"{seconds:.0f} s, {megabytes:.0f} MB", f"{limit} s", seconds <= limit))
    for name, teams, rows in boards:
        for what in ("scan", "report"):
            seconds, megabytes = _alone(what, str(teams), str(rows))
            found.append(
                Figure(f"{what}, {name}", f"{seconds:.0f} s, {megabytes:.0f} MB", "60 s", seconds <= 60)
            )
    return found


def _alone(*arguments: str) -> tuple[float, float]:
    """Return the child's own seconds and its peak memory.

    Without the time to make the data.
    """
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=True, env={**os.environ}
    )
    seconds, megabytes = done.stdout.split()[-2:]
    return float(seconds), float(megabytes)


# -- the child -----------------------------------------------------------------------------------


def _audit(folder: Path, n: int, d: int) -> float:
    import scorer
    from scorer.leakage.audit import audit

    rng = np.random.default_rng(0)
    n_test = n // 3
    values = rng.normal(size=(n, d)).astype(np.float32)
    columns: dict[str, object] = {f"x{k}": values[:, k].round(4) for k in range(d - 6)}
    columns |= {f"n{k}": rng.integers(0, 50, n) for k in range(3)}
    columns |= {f"c{k}": np.array(list("abcdefgh"))[rng.integers(0, 8, n)] for k in range(3)}
    y = (rng.random(n) < 1 / (1 + np.exp(-values[:, 0] - values[:, 1]))).astype(int)
    frame = pd.DataFrame({"id": rng.permutation(n), **columns})
    _write(folder, frame[n_test:].assign(y=y[n_test:]), frame[:n_test], y[:n_test], rng)
    challenge = scorer.load(folder)
    began = time.perf_counter()
    audit(challenge)
    return time.perf_counter() - began


def _write(
    folder: Path, train: pd.DataFrame, test: pd.DataFrame, y: np.ndarray, rng: np.random.Generator
) -> None:
    for part in ("public", "private"):
        (folder / part).mkdir(parents=True)
    (folder / "challenge.yaml").write_text("metric: log_loss\nsubmission: {id: id, columns: [y]}\n")
    train.to_csv(folder / "public/train.csv", index=False)
    test.to_csv(folder / "public/test.csv", index=False)
    ids = test[["id"]]
    ids.assign(y=0.5).to_csv(folder / "public/sample_submission.csv", index=False)
    usage = np.where(rng.random(len(ids)) < 0.3, "Public", "Private")
    ids.assign(y=y, Usage=usage).to_csv(folder / "private/solution.csv", index=False)


def _board(folder: Path, n_teams: int, n_rows: int, what: str) -> float:
    import scorer
    from scorer.overfitting import close_report, scan
    from scorer.overfitting.close_teams import BoardFile

    rng = np.random.default_rng(0)
    n = 2 * n_rows
    x = rng.normal(size=(n, 6))
    y = (rng.random(n) < 1 / (1 + np.exp(-x.sum(axis=1)))).astype(int)
    frame = pd.DataFrame({"id": rng.permutation(n), **{f"x{k}": x[:, k].round(4) for k in range(6)}})
    _write(folder, frame[n_rows:].assign(y=y[n_rows:]), frame[:n_rows], y[:n_rows], rng)
    challenge = scorer.load(folder)
    ids, signal = frame.id.to_numpy()[:n_rows], x[:n_rows]
    files: list[list[scan.File]] = []
    for team in range(n_teams):
        taste = rng.normal(1.0, 0.3, size=6)
        own = []
        # A quarter of the teams has sent enough files to be tested for probing.
        for number in range(12 if team % 4 == 0 and what == "scan" else 1):
            logit = signal @ (taste + rng.normal(0, 0.05, size=6)) + rng.normal(0, 0.3, size=n_rows)
            path = folder / f"{team}_{number}.csv"
            pd.DataFrame({"id": ids, "y": (1 / (1 + np.exp(-logit))).round(5)}).to_csv(path, index=False)
            report = scorer.score(challenge, path)
            own.append(scan.File(100 * team + number, path, report.public, report.private))
        files.append(own)
    began = time.perf_counter()
    if what == "scan":
        teams = [scan.Team(t + 1, f"t{t}", False, own, own[-1].submission_id) for t, own in enumerate(files)]
        found = scan.scan(challenge, teams, progress=lambda _share, _words: None)
        assert not any("read again" in note for note in found.not_judged)
    else:
        standing = [
            BoardFile(str(t), f"t{t}", own[-1].path, True, True, scores=(own[-1].public, own[-1].private))
            for t, own in enumerate(files)
        ]
        close_report.close_report(challenge, standing, progress=lambda _share, _words: None, seed=0)
    return time.perf_counter() - began


def _child(what: str, first: int, second: int) -> None:
    with tempfile.TemporaryDirectory(prefix="heldout-cost-") as folder:
        home = Path(folder, "c")
        seconds = _audit(home, first, second) if what == "audit" else _board(home, first, second, what)
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

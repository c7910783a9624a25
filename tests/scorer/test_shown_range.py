"""Tests of public scores of metrics without a worst value."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scorer
from scorer.challenges.solution import truth_as_predictions
from scorer.release import modes
from scorer.release.benchmark_figures import benchmark_figures
from scorer.scoring import evaluate

ENDLESS = [
    "mae",
    "mse",
    "rmse",
    "sse",
    "mape",
    "msle",
    "rmspe",
    "r2",
    "explained_variance",
    "rae",
    "rse",
    "rrse",
]
MIDDLE, REACH = 150.0, 200.0


def _numbers(folder: Path, metric: str, *, also: str = "", n: int = 180) -> scorer.Challenge:
    """A challenge of labels from 25 to 346, every third test row public."""
    rng = np.random.default_rng(4)
    (folder / "private").mkdir(parents=True)
    (folder / "public").mkdir()
    rows = pd.DataFrame({"id": range(n), "y": rng.integers(25, 347, n)})
    rows.assign(Usage=np.where(np.arange(n) % 3 == 0, "Public", "Private")).to_csv(
        folder / "private/solution.csv", index=False
    )
    rows[["id"]].assign(y=MIDDLE).to_csv(folder / "public/sample_submission.csv", index=False)
    text = f"metric: {metric}\nsubmission: {{id: id, columns: [y]}}\n"
    (folder / "challenge.yaml").write_text(text + (f"also: [{also}]\n" if also else ""))
    return scorer.load(folder)


class Board:
    """Shown scores of files, and how many there were."""

    def __init__(self, challenge: scorer.Challenge, step: float, limits: modes.Range) -> None:
        self.solution, self.step, self.limits, self.files = challenge.solution, step, limits, 0

    def __call__(self, moved: dict[int, float]) -> float:
        self.files += 1
        file = np.full(len(self.solution.ids), MIDDLE)
        for row, by in moved.items():
            file[row] += by
        exact = evaluate(self.solution, {"y": file}, self.solution.vocabulary)["public"]
        return modes.rounded(modes.within(exact, self.limits), self.step)


def _read_by_sizes(board: Board) -> tuple[dict[int, bool], dict[int, float]]:
    """The attack: which rows are public, 20 a file, and then two labels a file.

    A row moved by M adds M^2 - 2 M (label - middle) to the sum of squares if it is public. Sizes that double,
    large against the square root of the step, leave one digit each.
    """
    base, n = board({}), len(board.solution.ids)
    public: dict[int, bool] = {}
    for start in range(0, n, 20):
        rows = range(start, min(n, start + 20))
        sizes = {row: 1e10 * 2.0 ** (row - start) for row in rows}
        left = board(sizes) - base
        for row in reversed(rows):
            public[row] = left > sizes[row] ** 2 / 2
            left -= sizes[row] ** 2 if public[row] else 0.0
    labels: dict[int, float] = {}
    near = 2.0 * board.step
    far = 8.0 * REACH * near
    known = [row for row, is_public in public.items() if is_public]
    for first, second in zip(known[::2], known[1::2], strict=False):
        left = board({first: near, second: far}) - base
        labels[second] = round(MIDDLE + (far * far + near * near - left) / (2 * far))
        left -= far * far - 2 * far * (labels[second] - MIDDLE)
        labels[first] = round(MIDDLE + (near * near - left) / (2 * near))
    return public, labels


@pytest.mark.parametrize("is_limited", [False, True])
def test_sizes_of_predictions_read_a_rounded_sse_only_without_a_limit(
    tmp_path: Path, is_limited: bool
) -> None:
    # 23 files read 53 of 53 public rows and 38 exact labels off the demo's board.
    challenge = _numbers(tmp_path / "sse", "sse")
    figures = benchmark_figures(challenge)
    board = Board(challenge, figures["step"], tuple(figures["range"]) if is_limited else modes.UNLIMITED)
    public, labels = _read_by_sizes(board)
    solution = challenge.solution
    truth = truth_as_predictions(solution)
    assert truth is not None
    right = sum(public[row] for row in np.flatnonzero(solution.public).tolist())
    exact = sum(label == np.asarray(truth["y"])[row] for row, label in labels.items())
    assert board.files <= 41
    if is_limited:
        assert (right, exact) == (0, 0)
    else:
        assert (right, sum(public.values()), exact) == (60, 60, 60)


@pytest.mark.parametrize("metric", ENDLESS)
def test_every_metric_without_a_worst_value_has_a_limit_at_which_hostile_files_look_alike(
    metric: str, tmp_path: Path
) -> None:
    challenge = _numbers(tmp_path / metric, metric)
    figures = benchmark_figures(challenge)
    greater = challenge.task.greater_is_better
    limit = figures["range"][0 if greater else 1]
    board = Board(challenge, figures["step"], tuple(figures["range"]))
    # The benchmark, here the sample submission, is shown as before.
    assert board({}) == modes.rounded(figures["public"], figures["step"])
    hostile = [
        dict.fromkeys(rows, size) for rows in ((0,), (3,), (0, 3), (0, 3, 6)) for size in (1e7, 1e12, 1e40)
    ]
    assert {board(moved) for moved in hostile} == {modes.rounded(limit, figures["step"])}
    levels = abs(limit - challenge.task.best) / figures["step"]
    (cost,) = [cost for cost in figures["costs"] if cost["mode"] == "rounded"]
    assert levels < 2000
    assert cost["submissions"] >= 60 / math.log2(levels + 2)


def test_side_metric_without_a_worst_value_has_a_limit_too(tmp_path: Path) -> None:
    figures = benchmark_figures(_numbers(tmp_path / "side", "pearson", also="sse"))
    low, high = figures["also_ranges"]["sse"]
    assert low is None
    assert high > 0
    assert figures["range"] == [None, None]


@pytest.mark.parametrize("metric", ["spearman", "{name: accuracy}"])
def test_metrics_with_a_worst_value_have_no_limit(metric: str, tmp_path: Path) -> None:
    assert benchmark_figures(_numbers(tmp_path / "bounded", metric))["range"] == [None, None]


def test_log_loss_has_no_limit_because_it_is_clipped(tmp_path: Path) -> None:
    figures = benchmark_figures(scorer.load(scorer.scaffold(tmp_path / "new")))
    assert figures["range"] == [None, None]


def test_own_metric_is_rounded_by_its_scale_and_limited(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    _numbers(folder, "sse")
    (folder / "private/metric.py").write_text(
        "def score(solution, submission, row_id_column_name):\n"
        "    return float(((solution['y'] - submission['y']) ** 2).sum())\n"
    )
    (folder / "challenge.yaml").write_text(
        "metric: {file: metric.py, greater_is_better: false}\nsubmission: {id: id, columns: [y]}\n"
    )
    challenge = scorer.load(folder)
    figures = benchmark_figures(challenge, allow_weak_sandbox=True)
    # One row in 60 is a step of .02 of a score of half a million: no rounding at all.
    assert figures["step"] > 1000
    assert figures["range"] == [None, pytest.approx(2 * figures["public"], rel=0.1)]


@pytest.mark.parametrize(
    ("benchmark", "best", "greater", "expected"),
    [
        (10.0, 0.0, False, (None, 20.0)),
        (0.5, 1.0, True, (-1.1, None)),
        (0.0, 0.0, False, (None, 1.6)),
        (-7.0, None, True, (-8.6, None)),
    ],
)
def test_limits_leave_twice_the_benchmark_or_sixteen_steps(
    benchmark: float, best: float | None, greater: bool, expected: modes.Range
) -> None:
    assert modes.shown_range(benchmark, best, 0.1, greater_is_better=greater) == expected

"""Measure what predictions of very different size read off an unbounded metric.

On the bundled challenge diabetes: sse, 177 test rows of which 53 are public, labels 25 to 346. A squared
error has no worst value, so rows predicted at 1e11, 2e11, 4e11, ... above a constant leave a digit each in
the score, at any step. The attacker knows the metric, the step and the range of the train labels.

    sizes     files of 25 rows at sizes that double: which of them are public; then two known public rows a
              file at sizes that spell their labels
    one row   own, for scores with a limit: one row a file, as far off as the limit allows
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figure import Figure
from numpy.typing import NDArray

import scorer
from scorer.challenges.solution import truth_as_predictions
from scorer.release import modes
from scorer.release.benchmark_figures import benchmark_figures
from scorer.scoring import evaluate

TITLE = "Rows and labels that sizes of predictions read off sse (53 public of 177 rows)"

DIABETES = Path(__file__).resolve().parents[2] / "challenges" / "diabetes"
MIDDLE, REACH = 150.0, 200.0
"""A constant prediction, and what no label is further from it than."""
ROWS_A_FILE = 25
"""Of the doubling sizes: their squares span 4^25, about what 53 bits hold."""

FloatArray = NDArray[np.float64]


@dataclass
class Read:
    """What an attack knows after so many files."""

    files: int
    public: NDArray[np.bool_]
    labels: FloatArray
    """nan where unknown."""


class Oracle:
    """The shown public scores of files, counted."""

    def __init__(self, *, step: float, limits: modes.Range) -> None:
        self.step, self.limits, self.files = step, limits, 0
        self.challenge = scorer.load(DIABETES)
        solution = self.challenge.solution
        truth = truth_as_predictions(solution)
        assert truth is not None
        self.truth: FloatArray = np.asarray(truth["progression"], dtype=np.float64)
        self.public: NDArray[np.bool_] = solution.public
        self.n = len(self.truth)

    def __call__(self, predictions: FloatArray) -> float:
        self.files += 1
        solution = self.challenge.solution
        exact = evaluate(solution, {"progression": predictions}, solution.vocabulary)["public"]
        return modes.rounded(modes.within(exact, self.limits), self.step) if self.step else exact


def by_sizes(shown: Oracle) -> Read:
    base = shown(np.full(shown.n, MIDDLE))
    public = np.zeros(shown.n, dtype=np.bool_)
    labels = np.full(shown.n, np.nan)
    # The largest size times what its label leaves open stays below the square of the smallest.
    first = 16 * REACH * 2.0**ROWS_A_FILE + math.sqrt(8 * shown.step)
    for rows in np.array_split(np.arange(shown.n), math.ceil(shown.n / ROWS_A_FILE)):
        sizes = first * 2.0 ** np.arange(len(rows))
        file = np.full(shown.n, MIDDLE)
        file[rows] += sizes
        left = shown(file) - base
        for row, size in zip(rows[::-1], sizes[::-1], strict=True):
            if left > size * size / 2:
                public[row] = True
                left -= size * size
    found = np.flatnonzero(public)
    near = 2.0 * max(shown.step, 1.0)
    far = 8.0 * REACH * near
    for place in range(0, len(found), 2):
        rows = found[place : place + 2]
        file = np.full(shown.n, MIDDLE)
        file[rows] += np.array([near, far])[: len(rows)]
        left = shown(file) - base
        for row, size in [*zip(rows, (near, far), strict=False)][::-1]:
            others = near * near if len(rows) == 2 and size == far else 0.0
            off = (size * size - (left - others)) / (2 * size)
            labels[row] = round(MIDDLE + off)
            left -= size * size - 2 * size * (labels[row] - MIDDLE)
    return Read(shown.files, public, labels)


def row_by_row(shown: Oracle, room: float) -> Read:
    """Move one row a file so far that the score stays `room` above the constant's."""
    base = shown(np.full(shown.n, MIDDLE))
    far = math.sqrt(REACH**2 + room) - REACH
    public = np.zeros(shown.n, dtype=np.bool_)
    labels = np.full(shown.n, np.nan)
    for row in range(shown.n):
        file = np.full(shown.n, MIDDLE)
        file[row] += far
        rise = shown(file) - base
        if rise != 0.0:
            public[row] = True
            labels[row] = MIDDLE + (far * far - rise) / (2 * far)
    return Read(shown.files, public, labels)


def figures(*, smoke: bool) -> list[Figure]:
    known = benchmark_figures(scorer.load(DIABETES))
    step, (low, high) = known["step"], known["range"]
    settings: list[tuple[str, float, modes.Range]] = [
        ("exact", 0.0, modes.UNLIMITED),
        (f"rounded to {step:g}, no limit", step, modes.UNLIMITED),
        (f"rounded to {step:g}, limit {high:g} (ours)", step, (low, high)),
    ]
    attacks: list[tuple[str, Callable[[Oracle], Read]]] = [("sizes", by_sizes)]
    found = []
    for name, own_step, limits in settings:
        for attack, run in attacks:
            found += _figures(f"{name}, {attack}", run, own_step, limits, is_ours=limits[1] is not None)
    if not smoke:
        name, own_step, limits = settings[-1]
        room = high - known["public"] - step
        found += _figures(
            f"{name}, one row", lambda shown: row_by_row(shown, room), own_step, limits, is_ours=False
        )
    return found


def _figures(
    name: str, run: Callable[[Oracle], Read], step: float, limits: modes.Range, *, is_ours: bool
) -> list[Figure]:
    shown = Oracle(step=step, limits=limits)
    read = run(shown)
    rows = int((read.public & shown.public).sum())
    wrong = int((read.public & ~shown.public).sum())
    known = np.abs(read.labels - shown.truth)[shown.public & ~np.isnan(read.labels)]
    exact = int((known == 0.0).sum())
    close = f", {len(known)} within {np.median(known):.0f} in the median" if len(known) and not exact else ""
    words = f"{rows} public rows ({wrong} wrong), {exact} exact labels{close} in {read.files} files"
    return [Figure(name, words, "no label" if is_ours else "", exact == 0 if is_ours else None)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="without the attack by single rows")
    print(TITLE)
    for figure in figures(smoke=parser.parse_args(arguments).smoke):
        verdict = {None: "", True: "met", False: "NOT MET"}[figure.met]
        print(f"{figure.name:<60}  {figure.value:<60}  {figure.aim:<10}  {verdict}")


if __name__ == "__main__":
    main()

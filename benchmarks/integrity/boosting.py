"""Measure climbing the public board without looking at data.

The figure is public minus private accuracy. 4,000 public and 8,000 private rows with two even classes, and
files that are coin flips, so that every private score is one half and all that the public one is above it is
overfitting. Only whether a row is right matters, so a file is drawn as that.

    flip        send k random files, turn those below one half round, vote with all
    keep        send k random files, vote with those at one half or above (Blum and Hardt's own attack)
    shown       against a ladder: vote with the files that were shown
    climb       own, against a ladder: turn a few fresh rows of the shown file round, and go on from there if
                that is shown

Rounding, the ladder and their steps are `scorer.release.modes`.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass

import numpy as np
from figure import Figure
from numpy.typing import NDArray

from scorer.release import modes

TITLE = "Boosting coin flips on the public board (4,000 public rows)"

Right = NDArray[np.int8]
"""1 where a file is right, 0 where it is wrong; shape (n_files, n_rows) or (n_rows,)."""

N_PUBLIC, N_PRIVATE, N_FILES = 4000, 8000, 500
ERROR = 0.5 / math.sqrt(N_PUBLIC)
"""The standard error of a benchmark that is right half of the time."""


@dataclass(frozen=True)
class Gap:
    """Public accuracy, less private, on average over the repetitions."""

    public: float
    gap: float
    shown: float
    """The last score the ladder showed, less private; 0 without a ladder."""


def draw(rng: np.random.Generator, n_files: int) -> tuple[Right, Right]:
    """Return files as right or wrong on public and private rows."""
    right = rng.integers(0, 2, (n_files, N_PUBLIC + N_PRIVATE), dtype=np.int8)
    return right[:, :N_PUBLIC], right[:, N_PUBLIC:]


def constant(rng: np.random.Generator, n_rows: int) -> Right:
    """Return the benchmark: always one of two even classes.

    It is right on exactly half of the rows.
    """
    return rng.permutation(np.arange(n_rows, dtype=np.int8) % 2)


def vote(files: Right, rng: np.random.Generator, signs: NDArray[np.float64]) -> Right:
    """Return the majority of the files.

    Those with sign -1 are inverted and those with 0 left out; ties are coin flips.
    """
    margin = signs @ (2.0 * files - 1.0)
    coins = rng.integers(0, 2, files.shape[1])
    return np.where(margin == 0, coins, margin > 0).astype(np.int8)


def boost(
    files: tuple[Right, Right], signs: NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, float]:
    public, private = (float(vote(part, rng, signs).mean()) for part in files)
    return public, private


class Ladder:
    """A team's state and the platform's rule.

    In accuracy, or in error where lower is better.
    """

    def __init__(self, *, c: float, step: float, leader: Right | None) -> None:
        self.c, self.step, self.leader = c, step, leader
        self.released = 0.0 if leader is None else float(leader.mean())

    def submit(self, right: Right) -> bool:
        if self.leader is None:  # the published ladder: the first file always counts
            shown: float | None = modes.rounded(float(right.mean()), self.step)
        else:
            difference = right - self.leader
            n_changed = float(np.abs(difference).sum())
            variance = (n_changed - float(difference.sum()) ** 2 / len(right)) / (len(right) - 1)
            shown = modes.ladder_release(
                float(right.mean()),
                self.released,
                math.sqrt(variance / len(right)),
                c=self.c,
                step=self.step,
                greater_is_better=True,
            )
        if shown is None:
            return False
        self.released, self.leader = shown, right
        return True


def through_ladder(
    seeds: int, n_files: int, *, c: float, step: float, from_infinity: bool = False, seed: int = 4
) -> Gap:
    """Random files; the vote of those shown."""
    outcomes = []
    for i in range(seeds):
        rng = np.random.default_rng([seed, i])
        files = draw(rng, n_files)
        ladder = Ladder(c=c, step=step, leader=None if from_infinity else constant(rng, N_PUBLIC))
        signs = np.array([float(ladder.submit(right)) for right in files[0]])
        public, private = boost(files, signs, rng)
        outcomes.append((public, public - private, ladder.released - 0.5))
    return Gap(*np.mean(outcomes, axis=0))


def openly(seeds: int, n_files: int, *, step: float, flip: bool, seed: int = 4) -> Gap:
    """Return random files and their rounded scores' signs.

    Above one half, below it, or on it.
    """
    outcomes = []
    for i in range(seeds):
        rng = np.random.default_rng([seed, i])
        files = draw(rng, n_files)
        shown = np.array([modes.rounded(float(right.mean()), step) for right in files[0]])
        signs = np.sign(shown - 0.5) if flip else (shown >= 0.5).astype(float)
        public, private = boost(files, signs, rng)
        outcomes.append((public, public - private, 0.0))
    return Gap(*np.mean(outcomes, axis=0))


def climb(seeds: int, n_files: int, *, c: float, step: float, n_turned: int, seed: int = 4) -> Gap:
    """Rows are turned in one random order, round and round."""
    outcomes = []
    for i in range(seeds):
        rng = np.random.default_rng([seed, i])
        ladder = Ladder(c=c, step=step, leader=constant(rng, N_PUBLIC))
        order = rng.permutation(N_PUBLIC)
        for j in range(n_files):
            assert ladder.leader is not None
            file = ladder.leader.copy()
            rows = order[np.arange(j * n_turned, (j + 1) * n_turned) % N_PUBLIC]
            file[rows] = 1 - file[rows]
            ladder.submit(file)
        assert ladder.leader is not None
        public = float(ladder.leader.mean())
        # Nothing was learnt of private rows: the constant is right on half of them, turned or not.
        outcomes.append((public, public - 0.5, ladder.released - 0.5))
    return Gap(*np.mean(outcomes, axis=0))


def figures(*, smoke: bool) -> list[Figure]:
    seeds = 2 if smoke else 20
    step = modes.rounding_step(N_PUBLIC, ERROR)
    c = modes.LADDER_C
    slack = 0.012
    found = []

    def gap(name: str, measured: Gap, aim: str = "", met: bool | None = None) -> None:
        words = f"{measured.gap:.3f}"
        if measured.shown:
            words += f" (shown {measured.shown:+.3f})"
        found.append(Figure(f"k={N_FILES}, {name}: public minus private", words, aim, met))

    naive = openly(seeds, N_FILES, step=1 / N_PUBLIC, flip=True)
    gap("exact, flip", naive, ".111", abs(naive.gap - 0.111) <= slack)
    gap("exact, keep", openly(seeds, N_FILES, step=1 / N_PUBLIC, flip=False))
    gap(f"rounded to our {step:g}, flip", openly(seeds, N_FILES, step=step, flip=True))
    gap("rounded to 0.01, flip", openly(seeds, N_FILES, step=0.01, flip=True))
    for rungs in (c,) if smoke else (1.0, 2.0, 3.0):
        ladder = through_ladder(seeds, N_FILES, c=rungs, step=step)
        is_ours = rungs == c
        name = f"ladder, {'ours: ' if is_ours else ''}c={rungs:g}, step {step:g}, shown"
        gap(name, ladder, "under .012" if is_ours else "", abs(ladder.gap) < 0.012 if is_ours else None)
    published = through_ladder(seeds, N_FILES, c=1.0, step=step, from_infinity=True)
    gap(f"ladder from infinity, c=1, step {step:g}, shown", published)
    for rungs in (c,) if smoke else (1.0, 2.0, 3.0):
        tried = {
            n: climb(seeds, N_FILES, c=rungs, step=step, n_turned=n)
            for n in ((8,) if smoke else (4, 8, 12, 16, 24, 40))
        }
        n, best = max(tried.items(), key=lambda item: item[1].gap)
        gap(f"ladder, c={rungs:g}, step {step:g}, own climb by {n} rows", best)

    reps = 5
    keep = openly(reps, 400, step=1 / N_PUBLIC, flip=False, seed=400)
    shown = through_ladder(reps, 400, c=1.0, step=1 / N_PUBLIC, from_infinity=True, seed=400)
    for name, measured, theirs in (
        ("exact, keep", keep, 0.42745),
        ("ladder from infinity, shown", shown, 0.48425),
    ):
        loss = 1 - measured.public
        found.append(
            Figure(
                f"Blum and Hardt's figure, k=400, {name}: public loss",
                f"{loss:.4f}",
                f"{theirs} +- .012",
                abs(loss - theirs) <= slack,
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds: two repetitions")
    given = parser.parse_args()
    began = time.perf_counter()
    print(TITLE)
    for figure in figures(smoke=given.smoke):
        verdict = {None: "", True: "met", False: "NOT MET"}[figure.met]
        print(f"{figure.name:<75}  {figure.value:<24}  {figure.aim:<18}  {verdict}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()

"""Find copies on boards that are too small to show what is usual.

`scorer.overfitting.copies` reads its line off the tail of a board's resemblances, which needs 20 teams.
On fewer, every pair is tested by itself: a copy is nearer to its source than every other file of the board
is, in nearly every row. The hypothesis of a pair is that some third file, of a team or a baseline, is
nearer to one of the two than the other is, in 15 % or more of the rows in which their distances differ.
Rows being independent, the number of rows then has an exact binomial tail. A pair must pass it against
every third file and from both sides, so their number needs no correction; pairs and the two scales do
(Bonferroni). Independent teams of like skill are nearer in half of the rows, and even models of one family
seldom in 85 %: benchmarks/integrity/copies.py counts false pairs and planted copies. Three copies that
differ hide each other, as none is nearest in most rows. No hidden label is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from scorer.overfitting.views import normal_scores
from scorer.reading.columns import FloatArray

MIN_TEAMS = 5
"""Each file is then compared with three others at least."""
NEARER = 0.85
"""Share of rows in which chance or a like model may be nearer."""
ALPHA = 0.05
"""Boards of independent teams on which any pair may be found; far fewer are, see the benchmark."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Two teams whose files are nearer to each other than to all others."""

    first: int
    second: int
    share: float
    """Least share of deciding rows, over all third files and both sides."""
    n_rows: int
    """Deciding rows there."""
    p: float
    """Largest of the exact binomial tails, times the number of pairs and scales."""


@dataclass(frozen=True, slots=True)
class SmallBoard:
    pairs: tuple[Nearest, ...]
    n_undecidable: int
    """Pairs whose files differ from others in too few rows to be found, however alike they are."""
    n_pairs: int


def rows_needed(n_teams: int) -> int:
    """Return how many deciding rows a pair needs at least."""
    return math.ceil(math.log(ALPHA / _n_tests(n_teams)) / math.log(NEARER))


def nearest_pairs(finals: FloatArray, baselines: FloatArray, *, skipped: Sequence[int] = ()) -> SmallBoard:
    """Return the pairs of files that are nearer than chance allows.

    Parameters
    ----------
    finals, baselines
        Shapes (n_teams, n_rows, k) and (n_baselines, n_rows, k): views on the same rows, finite.
    skipped
        Teams that are in no pair: their files are a baseline's.
    """
    n_teams = len(finals)
    every = np.concatenate([finals, baselines])
    ranked = np.array([normal_scores(view) for view in every]).reshape(every.shape)
    shares = np.ones((2, n_teams, n_teams))
    tails = np.zeros((2, n_teams, n_teams))
    deciding = np.full((2, n_teams, n_teams), np.inf)
    has_ranks = np.array([_is_smooth(view) for view in finals])
    for scale, views in enumerate((every, ranked)):
        for one in range(n_teams):
            distances = np.abs(views - views[one]).sum(axis=2)
            for other in range(n_teams):
                if scale == 1 and not (has_ranks[one] and has_ranks[other]):
                    tails[scale, one, other], deciding[scale, one, other] = 1.0, 0.0
                    continue
                nearer = (distances[other] < distances).sum(axis=1)
                rows = nearer + (distances[other] > distances).sum(axis=1)
                third = np.setdiff1d(np.arange(len(every)), (one, other))
                tail = stats.binom.sf(nearer[third] - 1, rows[third], NEARER)
                worst = third[int(tail.argmax())]
                tails[scale, one, other] = tail.max()
                shares[scale, one, other] = nearer[worst] / max(1, rows[worst])
                deciding[scale, one, other] = rows[worst]
    n_pairs = n_teams * (n_teams - 1) // 2
    found, undecidable = [], 0
    for first in range(n_teams):
        for second in range(first + 1, n_teams):
            if first in skipped or second in skipped:
                continue
            sides = [(first, second), (second, first)]
            by_scale = [max(tails[scale][side] for side in sides) for scale in (0, 1)]
            scale = int(np.argmin(by_scale))
            side = max(sides, key=lambda pair: tails[scale][pair])
            p = min(1.0, by_scale[scale] * _n_tests(n_teams))
            undecidable += int(deciding[:, *side].max() < rows_needed(n_teams))
            if p <= ALPHA:
                found.append(
                    Nearest(first, second, float(shares[scale][side]), int(deciding[scale][side]), p)
                )
    found.sort(key=lambda pair: (pair.p, pair.first, pair.second))
    return SmallBoard(tuple(found), undecidable, n_pairs)


def _is_smooth(view: FloatArray) -> bool:
    """Return whether ranks mean something: hardly any values are equal.

    Midranks of tied values depend on how often each occurs, so two files of labels with equal counts would be
    near in every row.
    """
    return all(len(np.unique(column)) >= 0.9 * len(column) for column in view.T)


def _n_tests(n_teams: int) -> int:
    """Return the number of pairs times the number of scales."""
    return n_teams * (n_teams - 1)

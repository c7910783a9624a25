"""Measure what the close statistics report of boards with known truth.

Honest boards, and some with one cheater. Boards are simulated. A team is right on a row if a margin is above
0, and its log loss falls with it; the margin is the sum of the team's skill, of the row's difficulty for all,
of five directions in which families of models differ, and of the team's own noise, so that every team's model
is its own and all are correlated as real ones are: two teams of 94 % disagree on 6 % of the rows. The score
of each team on infinitely many rows is then known exactly. Each honest board has 200 teams with one file, 300
public and 700 private rows.

    python benchmarks/integrity/boards.py [--smoke]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from figure import Figure
from numpy.typing import NDArray
from scipy import stats

from scorer.overfitting import board

TITLE = "Board tests: what chance does to a whole board"

FloatArray = NDArray[np.float64]

N_TEAMS, N_PUBLIC, N_PRIVATE = 200, 300, 700
N_RESPLITS, N_DRAWS = 199, 400
SHARED, FAMILY, OWN = 0.82, 0.12, 0.06  # of the margin's variance
N_FAMILIES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """Values by team and row, shape (T, n).

    The first N_PUBLIC rows are public.
    """

    rows: FloatArray
    truth: FloatArray
    """What each team scores on endless rows, shape (T,)."""
    greater_is_better: bool

    @property
    def public(self) -> FloatArray:
        return np.asarray(self.rows[:, :N_PUBLIC].mean(axis=1))

    @property
    def private(self) -> FloatArray:
        return np.asarray(self.rows[:, N_PUBLIC:].mean(axis=1))

    def redealt(self, n: int, seed: int) -> tuple[FloatArray, FloatArray]:
        """Return values on both parts of n re-splits, each (T, n)."""
        rng = np.random.default_rng(seed)
        n_rows = self.rows.shape[1]
        is_public = np.zeros((n_rows, n))
        for i in range(n):
            is_public[rng.permutation(n_rows)[:N_PUBLIC], i] = 1.0
        sums = self.rows @ is_public
        whole = self.rows.sum(axis=1, keepdims=True)
        return sums / N_PUBLIC, (whole - sums) / (n_rows - N_PUBLIC)

    def gaps(self, seed: int) -> board.Gaps:
        return board.gaps(
            self.public,
            self.private,
            *self.redealt(N_RESPLITS, seed),
            greater_is_better=self.greater_is_better,
        )


def margins(rng: np.random.Generator, n_teams: int, n_rows: int) -> tuple[FloatArray, FloatArray]:
    """Return skills, shape (T,), and margins, shape (T, n).

    The margins have variance 1 around the skills.
    """
    skill = rng.normal(1.6, 0.15, n_teams)
    taste = rng.normal(size=(n_teams, N_FAMILIES))
    taste *= math.sqrt(FAMILY) / np.linalg.norm(taste, axis=1, keepdims=True)
    spread = math.sqrt(SHARED) * rng.normal(size=n_rows) + taste @ rng.normal(size=(N_FAMILIES, n_rows))
    own = math.sqrt(OWN) * rng.normal(size=(n_teams, n_rows))
    return skill, skill[:, None] + spread + own


def accuracy(seed: int, n_teams: int = N_TEAMS) -> Board:
    """An honest board of right and wrong."""
    skill, margin = margins(np.random.default_rng(seed), n_teams, N_PUBLIC + N_PRIVATE)
    return Board((margin > 0.0).astype(np.float64), np.asarray(stats.norm.cdf(skill)), True)


def log_loss(seed: int, n_teams: int = N_TEAMS) -> Board:
    """An honest board of log losses: log(1 + exp(-3 margin))."""
    skill, margin = margins(np.random.default_rng(seed), n_teams, N_PUBLIC + N_PRIVATE)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    expected = np.logaddexp(0.0, -3.0 * (skill[:, None] + nodes)) @ weights / weights.sum()
    return Board(np.logaddexp(0.0, -3.0 * margin), expected, False)


def best_of(k: int, seed: int) -> Board:
    """Let every team keep the best on public of k files.

    The files share nine tenths of the team's own noise. Nothing is dishonest; public scores are a little too
    good for all.
    """
    rng = np.random.default_rng(seed)
    skill, margin = margins(rng, N_TEAMS, N_PUBLIC + N_PRIVATE)
    kept = np.empty_like(margin)
    for team in range(N_TEAMS):
        jitter = rng.normal(size=(k, margin.shape[1])) * math.sqrt(OWN / 10)
        right = margin[team] + jitter > 0.0
        kept[team] = right[int(right[:, :N_PUBLIC].sum(axis=1).argmax())]
    return Board(kept, np.asarray(stats.norm.cdf(skill)), True)


def with_cheater(honest: Board, share: float, seed: int) -> Board:
    """Let team 0 know the labels of a share of public rows."""
    known = np.random.default_rng(seed).permutation(N_PUBLIC)[: round(share * N_PUBLIC)]
    rows = honest.rows.copy()
    rows[0, known] = 1.0 if honest.greater_is_better else 0.0
    return Board(rows, honest.truth, honest.greater_is_better)


# --- figures ----------------------------------------------------------------------------------------------


def figures(*, smoke: bool) -> list[Figure]:
    n_honest, n_cheated, n_covered = (8, 4, 3) if smoke else (300, 100, 100)
    found = []
    for name, make in (("accuracy", accuracy), ("log loss", log_loss)):
        found += _size_and_power(name, make, n_honest, n_cheated)
    found += _selection(2 if smoke else 40)
    for name, make in (("accuracy", accuracy), ("log loss", log_loss)):
        found += _coverage(name, make, n_covered)
    found += _shake_up(2 if smoke else 40)
    return found


def _size_and_power(name: str, make: Callable[[int], Board], n_honest: int, n_cheated: int) -> list[Figure]:
    honest = [make(seed).gaps(seed) for seed in range(n_honest)]
    rejected = sum(gaps.p <= 0.05 for gaps in honest)
    median = sum(gaps.p_median <= 0.05 for gaps in honest)
    above = float(np.mean([np.mean(gaps.centred > board.SUSPICIOUS_Z) for gaps in honest]))
    found = [
        Figure(
            f"{name}: honest boards rejected at 5 %, largest gap",
            _share(rejected, n_honest),
            "5 %",
            _holds(rejected, n_honest, 0.05),
        ),
        Figure(
            f"{name}: honest boards rejected at 5 %, median gap",
            _share(median, n_honest),
            "5 %",
            _holds(median, n_honest, 0.05),
        ),
        Figure(
            f"{name}: honest teams with a centred gap above {board.SUSPICIOUS_Z}",
            f"{100 * above:.2f} % of {n_honest * N_TEAMS:,}",
        ),
    ]
    for share in (1.0, 0.3):
        cheated = [with_cheater(make(10_000 + seed), share, seed).gaps(seed) for seed in range(n_cheated)]
        caught = sum(gaps.p <= 0.05 for gaps in cheated)
        seen = sum(gaps.centred[0] > board.SUSPICIOUS_Z for gaps in cheated)
        words = f"{name}: one of {N_TEAMS} teams knows {share:.0%} of the public labels"
        full = share == 1.0
        found.append(
            Figure(
                f"{words}, board rejected",
                _share(caught, n_cheated),
                "90 %" if full else "",
                caught >= 0.9 * n_cheated if full else None,
            )
        )
        found.append(Figure(f"{words}, that team pointed at", _share(seen, n_cheated)))
    return found


def _selection(n: int) -> list[Figure]:
    kept = [best_of(25, 20_000 + seed).gaps(seed) for seed in range(n)]
    return [
        Figure(
            "all teams keep the best of 25 files: rejected by the largest gap",
            _share(sum(gaps.p <= 0.05 for gaps in kept), n),
            "5 % or less",
            sum(gaps.p <= 0.05 for gaps in kept) <= 0.05 * n + 2 * math.sqrt(0.05 * 0.95 * n),
        ),
        Figure(
            "all teams keep the best of 25 files: rejected by the median gap",
            _share(sum(gaps.p_median <= 0.05 for gaps in kept), n),
        ),
    ]


def _coverage(name: str, make: Callable[[int], Board], n: int) -> list[Figure]:
    tied = jointly = 0
    n_tied, n_jointly, covered = [], [], []
    for seed in range(n):
        drawn = make(30_000 + seed)
        rng = np.random.default_rng(seed)
        weights = rng.multinomial(N_PRIVATE, np.full(N_PRIVATE, 1 / N_PRIVATE), N_DRAWS).T / N_PRIVATE
        replicates = drawn.rows[:, N_PUBLIC:] @ weights
        places = board.places(drawn.private, replicates, greater_is_better=drawn.greater_is_better)
        best = int((drawn.truth if drawn.greater_is_better else -drawn.truth).argmax())
        tied += int(places.tied[best] or places.rank[best] == 1)
        jointly += int(places.may_be_best[best])
        n_tied.append(int(places.tied.sum()))
        n_jointly.append(int(places.may_be_best.sum()))
        true_rank = board.ranks(drawn.truth, greater_is_better=drawn.greater_is_better)
        covered.append(np.mean((places.rank_low <= true_rank) & (true_rank <= places.rank_high)))
    return [
        Figure(
            f"{name}: the truly best team is among those tied with the first",
            f"{_share(tied, n)}, {np.median(n_tied):.0f} teams tied in the median",
        ),
        Figure(
            f"{name}: the truly best team is among those that may be best",
            f"{_share(jointly, n)}, {np.median(n_jointly):.0f} teams in the median",
            "95 %",
            jointly >= 0.95 * n - 2 * math.sqrt(0.95 * 0.05 * n),
        ),
        Figure(f"{name}: true ranks inside their 90 % interval", f"{100 * float(np.mean(covered)):.0f} %"),
    ]


def _shake_up(n: int) -> list[Figure]:
    moves, taus, kept, low = [], [], [], 0
    for seed in range(n):
        drawn = accuracy(40_000 + seed)
        found = board.shake_up(drawn.public, drawn.private, *drawn.redealt(99, seed), greater_is_better=True)
        moves.append(found.mean_move)
        taus.append(found.kendall)
        kept.append(found.top_kept)
        low += found.p <= 0.05
    return [
        Figure(
            f"shake-up of honest boards, {N_PUBLIC} public rows",
            f"mean move {100 * float(np.mean(moves)):.1f} % of the board, tau {np.mean(taus):.2f}, "
            f"{np.mean(kept):.1f} of the top 10 stay",
        ),
        Figure(
            "honest boards with a shake-up called unusual at 5 %", _share(low, n), "5 %", _holds(low, n, 0.05)
        ),
    ]


def _share(count: int, n: int) -> str:
    return f"{100 * count / n:.1f} % of {n}"


def _holds(count: int, n: int, level: float) -> bool:
    """Return whether so few rejections fit a correct test.

    Below the 99 % quantile of what a test of the right size rejects.
    """
    return count <= int(stats.binom.ppf(0.99, n, level))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds: some boards of each kind")
    given = parser.parse_args()
    began = time.perf_counter()
    print(TITLE)
    for figure in figures(smoke=given.smoke):
        verdict = {None: "", True: "met", False: "NOT MET"}[figure.met]
        print(f"{figure.name:<84}  {figure.value:<66}  {figure.aim:<12}  {verdict}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()

"""What chance does to a whole board.

Ties with the first place, rank intervals, the shake-up and the gap.

All functions take numbers only: values of shape (T,) in the metric's own unit and direction, and
replicates of shape (T, B) on resamples that are the same for all teams, so that each comparison is paired. A
bootstrap (`replicates`) shows the same models on other rows like these; a re-split (`null_*`)
deals the scored rows out anew into public and private ones, which is all that honest boards differ by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from scorer.reading.columns import FloatArray
from scorer.resampling.engines import placements

Mask = NDArray[np.bool_]
IntArray = NDArray[np.intp]

TOP = 10
"""Places that matter for prizes."""

_TIED_FROM = 0.05
"""Share of the resamples in which the leader is not ahead, from which a team is tied with it."""

_SURELY_NEAR, _SURELY_FAR = 1.6, 8.0
"""Standard errors of a lead that is chance at 95 % with one competitor, and is not with thousands."""

SUSPICIOUS_Z = 2.33
"""Of a single team's centred gap: an organiser should check it. benchmarks/integrity/boards.py counts how
many honest teams are above it."""


def ranks(values: FloatArray, *, greater_is_better: bool) -> IntArray:
    """Return ranks, 1 for the best.

    Equal values share the better rank; the next rank counts all of them.

    Shape (T,), or (T, B) ranked within each column.
    """
    oriented = -values if greater_is_better else values
    return np.asarray(stats.rankdata(oriented, method="min", axis=0), dtype=np.intp)


# --- ties with the first ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """How certain the places of a board are; shapes (T,)."""

    rank: IntArray
    tied: Mask
    """Tied for first within noise: the leader is not ahead of it in 5 % of the resamples or more. The leader
    itself is tied only if another team is."""
    may_be_best: Mask
    """Cannot be excluded as the truly best at 95 % for the whole board. This allows for the leader being the
    luckiest of all (multiple comparisons with the best; Hsu, Annals of Statistics 1981)."""
    p_first: FloatArray
    """Share of resamples in which the team comes first; shared where several do."""
    rank_low: IntArray
    rank_high: IntArray
    """The 90 % interval of the rank over resamples."""

    @property
    def words(self) -> str:
        n = int(self.tied.sum())
        if len(self.rank) == 1:
            return "There is one team, so nothing to compare."
        best = float(self.p_first[self.rank == 1].max())
        chance = (
            "On other test rows of the same kind the winner would come first again in about "
            f"{_percent(best)} of cases."
        )
        if n == 0:
            return (
                f"The first place is clear of noise: no other team's distance to it could be chance. {chance}"
            )
        return (
            f"{n} teams are tied for first within noise: on other test rows of the same kind each of them "
            f"might be ahead. {chance}"
        )


def places(values: FloatArray, replicates: FloatArray, *, greater_is_better: bool) -> Places:
    """Return ranks with ties and intervals.

    From the values (T,) and paired bootstrap replicates (T, B).
    """
    sign = 1.0 if greater_is_better else -1.0
    points, drawn = sign * values, sign * replicates
    # A matrix product may round the rows of equal files differently: differences in the last digits are
    # ignored.
    largest = float(np.abs(drawn).max(initial=0.0))
    if largest > 0.0:
        drawn = np.round(drawn, int(np.clip(11 - math.floor(math.log10(largest)), -300, 300)))
    rank = ranks(values, greater_is_better=greater_is_better)
    leader = int(points.argmax())
    tied = (drawn[leader] <= drawn).mean(axis=1) >= _TIED_FROM
    tied |= rank == 1
    if tied.sum() == 1:
        tied[leader] = False
    first = drawn == drawn.max(axis=0)
    spread = ranks(drawn, greater_is_better=True)
    return Places(
        rank,
        np.asarray(tied),
        _may_be_best(points, drawn),
        np.asarray((first / first.sum(axis=0)).mean(axis=1)),
        np.quantile(spread, 0.05, axis=1, method="lower").astype(np.intp),
        np.quantile(spread, 0.95, axis=1, method="higher").astype(np.intp),
    )


def _may_be_best(points: FloatArray, drawn: FloatArray, *, level: float = 0.95) -> Mask:
    """Whether a team may truly be the best.

    No team's lead over it, in standard errors, exceeds the largest of such leads by chance.
    """
    errors = drawn - drawn.mean(axis=1, keepdims=True)
    products = errors @ errors.T / max(1, drawn.shape[1] - 1)
    own = np.diag(products)
    total = own[:, None] + own[None, :]
    squares = total - 2.0 * products
    same = squares <= 1e-9 * total  # the same predictions, but for rounding
    spread = np.sqrt(np.where(same, 1.0, squares))
    lead = points[None, :] - points[:, None]
    ahead = np.where(same, 0.0, lead / spread)
    furthest = ahead.max(axis=1)
    found: Mask = np.asarray(furthest <= _SURELY_NEAR)
    found &= ~(same & (lead > 1e-12 * np.abs(points).max())).any(axis=1)  # always and exactly that much ahead
    for i in np.flatnonzero((furthest > _SURELY_NEAR) & (furthest <= _SURELY_FAR)).tolist():
        # Compared with all others, not only with those ahead: which teams are ahead is chance as well.
        others = np.flatnonzero(~same[i])
        by_chance = (errors[others] - errors[i]) / spread[i, others, None]
        found[i] = furthest[i] <= np.quantile(by_chance.max(axis=0), level)
    return found


# --- the top in pairs -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Top:
    """The winner against each of the next places."""

    teams: IntArray
    """Positions of the first ten, best first."""
    p: FloatArray
    """Two-sided, of the second, third, ... against the first."""
    holm: FloatArray
    """The same, corrected for their number."""
    test: str
    """bootstrap, McNemar or DeLong."""

    @property
    def words(self) -> str:
        if not len(self.p):
            return "There is one team, so nothing to compare."
        how = {
            "bootstrap": "a paired bootstrap",
            "McNemar": "McNemar's exact test",
            "DeLong": "DeLong's test",
        }[self.test]
        text = f"First against second: p = {_p(float(self.p[0]))} by {how}."
        clear = int(np.sum(self.holm < 0.05))
        return text + (
            f" Corrected for looking at {len(self.p)} teams, the winner is clearly ahead of {clear} of them."
        )


def bootstrap_p(a: FloatArray, b: FloatArray, difference: float) -> float:
    """Return the two-sided p of value(a) - value(b) = `difference`.

    From both teams' paired replicates of shape (B,): normal, with the replicates' standard deviation. 1 if
    the difference is 0.
    """
    spread = float(np.std(a - b, ddof=1))
    if difference == 0.0:
        return 1.0
    if spread == 0.0:
        return 0.0
    return float(2.0 * stats.norm.sf(abs(difference) / spread))


def mcnemar(right: Mask, other: Mask) -> float:
    """Return the two-sided exact p of McNemar's test.

    Of two files' right rows, shapes (n_rows,): min(1, 2 P(Bin(b + c, 1/2) <= min(b, c))), where b and c count
    the rows that only one of them has right.
    """
    only, also = int(np.sum(right & ~other)), int(np.sum(other & ~right))
    if only + also == 0:
        return 1.0
    return min(1.0, 2.0 * float(stats.binom.cdf(min(only, also), only + also, 0.5)))


@dataclass(frozen=True, slots=True)
class DeLong:
    """Two areas under the ROC curve on the same rows."""

    area: float
    other: float
    se_difference: float
    p: float
    """Two-sided."""


def delong(scores: FloatArray, others: FloatArray, positive: Mask) -> DeLong:
    """Return DeLong, DeLong and Clarke-Pearson's paired test.

    Biometrics 1988, by midranks, O(n log n).

    Scores of shape (n_rows,), higher for the positives. Needs two positives and two negatives (ValueError).
    """
    if positive.sum() < 2 or (~positive).sum() < 2:
        raise ValueError("DeLong's test needs at least two rows of each class")
    beaten, beating = placements(scores, positive)
    beaten2, beating2 = placements(others, positive)
    area, other = float(beaten.mean()), float(beaten2.mean())
    variance = float(np.var(beaten - beaten2, ddof=1)) / len(beaten) + float(
        np.var(beating - beating2, ddof=1)
    ) / len(beating)
    se = float(np.sqrt(variance))
    if area == other:
        return DeLong(area, other, se, 1.0)
    return DeLong(area, other, se, float(2.0 * stats.norm.sf(abs(area - other) / se)) if se > 0.0 else 0.0)


def holm(p: Sequence[float] | FloatArray) -> FloatArray:
    """Return p corrected by Holm's step-down method, same order.

    Scandinavian Journal of Statistics 1979.
    """
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    stepped = np.minimum(1.0, np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)))
    found = np.empty_like(given)
    found[order] = stepped
    return found


# --- public against private -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class ShakeUp:
    """How far ranks moved from the public to the private board.

    Compared with honest boards of the same files.
    """

    mean_move: float
    """Mean of |public rank - private rank| / T."""
    kendall: float
    """tau-b of the two rankings."""
    top_kept: int
    """Of the public top 10, how many are in the private one."""
    top: int
    """10, or the number of teams if there are fewer."""
    null_mean_move: tuple[float, float, float]
    """5 %, 50 % and 95 % quantiles over re-splits; likewise below."""
    null_kendall: tuple[float, float, float]
    null_top_kept: tuple[float, float, float]
    p: float
    """One-sided, of a mean move at least this large."""

    @property
    def words(self) -> str:
        low, middle, high = self.null_mean_move
        text = (
            f"Teams moved by {_percent(self.mean_move)} of the board on average, and {self.top_kept} of "
            f"the public top {self.top} stayed there. "
            "If the same files met public and private rows dealt out at random, the move would be "
            f"{_percent(middle)} ({_percent(low)} to {_percent(high)} in nine boards of ten): "
        )
        if self.p < 0.05:
            return (
                text + "more than chance usually does. "
                "The two parts may differ, or files were fitted to the public one."
            )
        return text + "this much is noise, and no sign of anything else."


def shake_up(
    public: FloatArray,
    private: FloatArray,
    null_public: FloatArray,
    null_private: FloatArray,
    *,
    greater_is_better: bool,
) -> ShakeUp:
    """Compare ranks on both parts with those of re-splits.

    Values are (T,) on both parts and (T, R) on those of R random re-splits of the same rows.
    """
    observed = _moves(public, private, greater_is_better=greater_is_better)
    drawn = np.array(
        [
            _moves(a, b, greater_is_better=greater_is_better)
            for a, b in zip(null_public.T, null_private.T, strict=True)
        ]
    )
    quantiles = np.quantile(drawn, [0.05, 0.5, 0.95], axis=0).T.tolist()
    mean_move, kendall, kept = observed
    p = float((1 + np.sum(drawn[:, 0] >= mean_move)) / (1 + len(drawn)))
    first, second, third = (tuple(found) for found in quantiles)
    return ShakeUp(mean_move, kendall, int(kept), min(TOP, len(public)), first, second, third, p)


def _moves(public: FloatArray, private: FloatArray, *, greater_is_better: bool) -> tuple[float, float, float]:
    before = ranks(public, greater_is_better=greater_is_better)
    after = ranks(private, greater_is_better=greater_is_better)
    n = len(public)
    tau = float(stats.kendalltau(before, after).statistic) if len(set(before.tolist())) > 1 else 1.0
    if np.isnan(tau):  # all teams alike on one part
        tau = 0.0
    top = min(TOP, n)
    kept = np.sum((before <= top) & (after <= top))
    return float(np.mean(np.abs(before - after))) / n, tau, min(float(top), float(kept))


@dataclass(frozen=True, slots=True, eq=False)
class Gaps:
    """How much better files are on public than on private rows.

    Compared with re-splits of the same rows.

    For organisers. A gap of half the board means that the parts differ; one team far from the median may know
    the public rows.
    """

    z: FloatArray
    """Shape (T,): the gap in units of its spread over re-splits; positive where public looks better."""
    centred: FloatArray
    """z minus the board's median z."""
    largest: float
    """The statistic: the largest centred z."""
    p: float
    """Of a largest gap at least this large, for the whole board."""
    median: float
    p_median: float
    """One-sided, of a median z at least this large: the board is fitted to the public rows, or they are
    easier."""

    @property
    def words(self) -> str:
        text = (
            f"The largest gap of a single team is {self.largest:.1f} standard deviations above the board's "
            f"median (p = {_p(self.p)})"
        )
        text += (
            "; so far off by chance is one board in twenty or fewer."
            if self.p < 0.05
            else ", which honest boards reach."
        )
        if self.p_median < 0.05:
            text += f" The board as a whole does better on public rows (p = {_p(self.p_median)})."
        return text + " Small fits to few public rows cannot be seen by this test."


def gaps(
    public: FloatArray,
    private: FloatArray,
    null_public: FloatArray,
    null_private: FloatArray,
    *,
    greater_is_better: bool,
) -> Gaps:
    """Compare public and private values with those of re-splits.

    Values are (T,), one file per team, on both parts, and (T, R) on those of R random re-splits.

    Spreads and medians are taken over the re-splits and the real split together, so that under exchangeable
    rows every one of the R + 1 is equally likely to have the largest statistic and p is exact.
    """
    sign = 1.0 if greater_is_better else -1.0
    gap = sign * np.concatenate([(public - private)[:, None], null_public - null_private], axis=1)
    spread = gap.std(axis=1, ddof=1, keepdims=True)
    middle = gap.mean(axis=1, keepdims=True)
    z = np.divide(gap - middle, spread, out=np.zeros_like(gap), where=spread > 0.0)
    medians = np.median(z, axis=0)
    centred = z - medians
    largest = centred.max(axis=0)
    n = gap.shape[1]
    return Gaps(
        z[:, 0],
        centred[:, 0],
        float(largest[0]),
        float(np.sum(largest >= largest[0])) / n,
        float(medians[0]),
        float(np.sum(medians >= medians[0])) / n,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"


def _p(p: float) -> str:
    return "below .001" if p < 0.001 else f"{p:.3f}".removeprefix("0") if p < 1 else "1"

"""Statistics that several checks use.

All p values are log10, so that 1e-400 is still a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from scorer.leakage.frame import Codes, Mask, Rows, dense_codes
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray

MIN_ROWS = 20
"""Labelled rows below which a check has no power."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How strongly a score and a target are associated."""

    auc: float
    """0.5 for none to 1 for all; of a number 0.5 + |rho| / 2, of classes the best one against the rest."""
    log10p: float
    detail: str = ""
    """The class it is about, for targets of several."""


NONE = Strength(0.5, 0.0)


def log10p_of_z(z: float) -> float:
    """Return the log10 two-sided p of any normal deviate."""
    return min(0.0, (math.log(2.0) + float(special.log_ndtr(-abs(z)))) / math.log(10.0))


def corrected(log10p: float, n_tests: float) -> float:
    """Return a p value corrected for `n_tests` (Bonferroni)."""
    return min(0.0, log10p + math.log10(max(1.0, n_tests)))


def area_under_curve(score: FloatArray, positive: Mask) -> tuple[float, float]:
    """Return the AUC of a score and its z.

    z under no association, by midranks, with the variance corrected for ties.
    """
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if not n1 or not n0:
        return 0.5, 0.0
    n = n1 + n0
    order = np.argsort(score)
    ordered = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(starts, append=n)
    midranks = starts + (counts + 1) / 2
    auc = (
        float(midranks @ np.add.reduceat(positive[order].astype(np.int64), starts)) - n1 * (n1 + 1) / 2
    ) / (n1 * n0)
    ties = float(np.sum(counts.astype(np.float64) ** 3 - counts)) / (n * (n - 1))
    variance = (n + 1 - ties) / (12.0 * n1 * n0)
    return auc, 0.0 if variance <= 0 else (auc - 0.5) / math.sqrt(variance)


def association(score: FloatArray, target: Target) -> Strength:
    """Return how strongly a score and a target are associated.

    By ranks, so that no scale matters. Rows where either is nan are left out.
    """
    known = ~(np.isnan(score) | np.isnan(target.values))
    score, y = score[known], target.values[known]
    if len(y) < 8 or score.min() == score.max() or y.min() == y.max():
        return NONE
    if target.kind == "number":
        rho = float(stats.spearmanr(score, y).statistic)
        if math.isnan(rho):
            return NONE
        z = rho * math.sqrt(len(y) - 1)
        # The exact form for strong ones: the normal one stops at sqrt(n).
        t = math.inf if abs(rho) >= 1 - 1e-12 else abs(rho) * math.sqrt((len(y) - 2) / (1 - rho * rho))
        exact = -300.0 if math.isinf(t) else float(stats.t.logsf(t, len(y) - 2) + math.log(2)) / math.log(10)
        return Strength(0.5 + abs(rho) / 2, min(log10p_of_z(z), exact, 0.0))
    classes = np.unique(y)
    if len(classes) == 2:
        auc, z = area_under_curve(score, y == classes[1])
        return Strength(max(auc, 1 - auc), log10p_of_z(z))
    best = NONE
    for code in classes:
        auc, z = area_under_curve(score, y == code)
        found = Strength(max(auc, 1 - auc), corrected(log10p_of_z(z), len(classes)), target.name_of(code))
        if (found.log10p, -found.auc) < (best.log10p, -best.auc):
            best = found
    return best


def association_of_codes(codes: NDArray[np.int64], target: Target) -> Strength:
    """Return how strongly unordered values and a target are associated.

    Chi-squared over classes, Kruskal-Wallis over numbers.

    The effect is out of fold: each value is scored by the mean of the other rows with that value, so that
    values of one row cannot look strong. Negative codes are missing and form a value of their own.
    """
    y = target.values
    known = ~np.isnan(y)
    dense, _ = dense_codes(codes[known])
    y = y[known]
    if len(y) < 8 or dense.max(initial=0) == 0 or y.min() == y.max():
        return NONE
    levels = (
        [(y, "")]
        if target.kind == "number"
        else [
            ((y == code).astype(np.float64), target.name_of(code))
            for code in np.unique(y)[-1 if target.kind == "binary" else 0 :]
        ]
    )
    found = [
        corrected(_log10p_of_groups(dense, values, is_number=target.kind == "number"), len(levels))
        for values, _ in levels
    ]
    strongest = int(np.argmin(found))
    if found[strongest] >= NONE.log10p:
        return NONE
    values, name = levels[strongest]
    alone = Target(target.name, "number" if target.kind == "number" else "binary", values, target.classes)
    # Leaving one row out makes rows of the rarer value alike: the effect must have the right direction.
    effect = association(leave_one_out_means(dense, values), alone)
    return Strength(effect.auc, found[strongest], name)


def leave_one_out_means(codes: NDArray[np.int64], values: FloatArray) -> FloatArray:
    """Return the mean of the other rows with a row's code.

    Drawn a little towards the overall mean.
    """
    counts = np.bincount(codes)
    sums = np.bincount(codes, weights=values)
    n = len(values)
    overall = (values.sum() - values) / max(1, n - 1)
    return np.asarray((sums[codes] - values + overall) / counts[codes])


def _log10p_of_groups(codes: NDArray[np.int64], values: FloatArray, *, is_number: bool) -> float:
    """Return log10 p of equal mean ranks in all groups.

    Small groups are pooled, and left out if still too small. Chi-squared needs about five rows of each kind
    in a group: with rare positives, chance gives a group of five rows with one of them every day.
    """
    mean = float(values.mean())
    least = 5.0 if is_number else 5.0 / max(1e-9, min(mean, 1.0 - mean))
    counts = np.bincount(codes)
    pooled = np.where(counts[codes] >= least, codes, counts.size)
    kept = np.bincount(pooled)[pooled] >= least
    _, groups = np.unique(pooled[kept], return_inverse=True)
    n = len(groups)
    k = int(groups.max(initial=-1)) + 1
    if k < 2:
        return 0.0
    ranks = stats.rankdata(values[kept]) if is_number else values[kept]
    spread = float(ranks.var())
    if spread == 0:
        return 0.0
    sizes = np.bincount(groups)
    means = np.bincount(groups, weights=ranks) / sizes
    statistic = float((sizes * (means - ranks.mean()) ** 2).sum() / spread) * (n - 1) / n
    return log10p_of_chi2(statistic, k - 1)


def log10p_of_chi2(statistic: float, freedom: int) -> float:
    """Return the log10 upper tail of any chi-squared."""
    logp = float(stats.chi2.logsf(statistic, freedom))
    if math.isinf(logp):  # an asymptote of the incomplete gamma function
        half = statistic / 2
        logp = -half + (freedom / 2 - 1) * math.log(half) - float(special.gammaln(freedom / 2))
    return min(0.0, logp / math.log(10.0))


def z_of_auc(auc: float, n1: int, n0: int) -> float:
    """Return an AUC's z under no association."""
    return (auc - 0.5) / math.sqrt((n1 + n0 + 1) / (12.0 * n1 * n0)) if n1 and n0 else 0.0


def runs_z(labels: NDArray[np.int64]) -> float:
    """Return z of the number of runs (Wald-Wolfowitz).

    Negative where equal labels stand together more than by chance.

    For several classes: runs of equal neighbours against their expectation over all orders.
    """
    n = len(labels)
    if n < 8:
        return 0.0
    counts = np.bincount(np.unique(labels, return_inverse=True)[1]).astype(np.float64)
    s2, s3 = float((counts**2).sum()), float((counts**3).sum())
    mean = (n * (n + 1) - s2) / n
    variance = (s2 * (s2 + n * (n + 1)) - 2 * n * s3 - n**3) / (n * n * (n - 1))
    runs = 1 + int(np.count_nonzero(labels[1:] != labels[:-1]))
    return 0.0 if variance <= 0 else (runs - mean) / math.sqrt(variance)


def lag_one_z(values: FloatArray) -> float:
    """Return z of rank autocorrelation, positive for like neighbours."""
    n = len(values)
    if n < 8:
        return 0.0
    ranks = stats.rankdata(values)
    ranks = ranks - ranks.mean()
    total = float((ranks**2).sum())
    if total == 0:
        return 0.0
    r = float((ranks[1:] * ranks[:-1]).sum()) / total
    return (r + 1 / (n - 1)) * math.sqrt(n)


def standardised(values: FloatArray, known: NDArray[np.bool_]) -> Iterator[NDArray[np.float32]]:
    mean, spread = values[known].mean(), values[known].std()
    if spread > 0:
        # Missing ones add nothing to a product, so the others count for more.
        scaled = np.where(known, (values - mean) / spread, 0.0) / math.sqrt(known.mean())
        yield scaled.astype(np.float32)


def log10p_of_codes(codes: Codes, target: Target) -> float:
    """Return log10 p of one test of codes against a target.

    Chi-squared for classes, Kruskal-Wallis for numbers. Rare classes and codes are pooled until about 3
    rows are expected in a cell: below that chi-squared gives false alarms.
    """
    known = target.known
    y = target.values[known]
    _, group, sizes = np.unique(codes[known], return_inverse=True, return_counts=True)
    if len(y) < 20 or y.min() == y.max() or len(sizes) < 2:
        return 0.0
    if target.kind == "number":
        group = np.where(sizes[group] >= 5, group, len(sizes))
        _, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
        ranks = stats.rankdata(y)
        if len(sizes) < 2 or sizes.min() < 3:
            return 0.0
        means = np.bincount(group, weights=ranks) / sizes
        statistic = float((sizes * (means - ranks.mean()) ** 2).sum() / ranks.var()) * (len(y) - 1) / len(y)
        return log10p_of_chi2(statistic, len(sizes) - 1)
    _, label, counts = np.unique(y, return_inverse=True, return_counts=True)
    label = np.where(counts[label] >= 3 * len(sizes), label, len(counts))
    counts = np.bincount(label)
    label = np.where(counts[label] >= 3 * len(sizes), label, int(counts.argmax()))
    _, label, counts = np.unique(label, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return 0.0
    least = 3 * len(y) / counts.min()
    group = np.where(sizes[group] >= least, group, len(sizes))
    sizes = np.bincount(group)
    group = np.where(sizes[group] >= least, group, int(sizes.argmax()))
    _, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return 0.0
    cells = np.bincount(group * len(counts) + label, minlength=len(sizes) * len(counts))
    table = cells.reshape(len(sizes), len(counts))
    expected = np.outer(sizes, counts) / len(y)
    statistic = float(((table - expected) ** 2 / expected).sum())
    return log10p_of_chi2(statistic, (len(sizes) - 1) * (len(counts) - 1))


def beyond_chance(right: float, commonest: float, n: int) -> float:
    return (float(right) - float(commonest)) / (n - float(commonest)) if n > commonest else 0.0


def pearson(x: FloatArray, y: FloatArray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return float((x * y).sum()) / scale if scale > 0 else 0.0


def correlation_of_known(a: FloatArray, b: FloatArray) -> tuple[float, int]:
    """Return |r| (0 if nearly constant) and the number of rows."""
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = a[known], b[known]
    n = len(a)
    if n < MIN_ROWS:
        return 0.0, n
    rare = min(n - commonest_count(a), n - commonest_count(b))
    return (abs(pearson(a, b)), n) if rare >= 10 else (0.0, n)


def commonest_count(values: FloatArray) -> int:
    return int(np.unique(values, return_counts=True)[1].max(initial=0))


def log10p_of_r(r: float, n: int) -> float:
    r = min(abs(r), 1 - 1e-12)
    t = r * math.sqrt((n - 2) / (1 - r * r))
    return float(stats.t.logsf(t, n - 2) + math.log(2)) / math.log(10)


def log10p_of_arrangement(counts: Rows) -> float:
    """Return the log10 chance of groups of these sizes."""
    ways = special.gammaln(counts.sum() + 1) - special.gammaln(counts + 1).sum()
    return min(0.0, -(float(ways) - float(special.gammaln(len(counts) + 1))) / math.log(10))


def log10p_of_fisher(both: int, missing: int, positives: int, n: int) -> float:
    """Return twice the smaller hypergeometric tail, as log10."""
    k = np.arange(max(0, missing + positives - n), min(missing, positives) + 1)
    cells = np.array([k, missing - k, positives - k, n - missing - positives + k])
    logs = -special.gammaln(cells + 1.0).sum(axis=0)
    whole = special.logsumexp(logs)
    tail = min(special.logsumexp(logs[k >= both]), special.logsumexp(logs[k <= both])) - whole
    return min(0.0, (float(tail) + math.log(2)) / math.log(10))


def log10p_of_count(k: float, expected: float) -> float:
    """Return the log10 chance of k or more events.

    Poisson; for fractions of counts its gamma form.
    """
    if k <= expected or k <= 0:
        return 0.0
    if expected <= 0:
        expected = 1e-30
    p = float(stats.gamma.logcdf(expected, k))
    if not math.isfinite(p):  # its leading term
        p = k * math.log(expected) - expected - float(special.gammaln(k + 1))
    return min(0.0, p / math.log(10))


def variance_by_group(values: FloatArray, groups: Codes) -> tuple[float, float, float]:
    """Return the mean squares between and within groups, and the typical size of a group.

    One-way analysis of variance; groups are 0 to k - 1, each with rows, and fewer than rows. The intraclass
    correlation is (between - within) / (between + (size - 1) within).
    """
    sizes = np.bincount(groups).astype(np.float64)
    n, k = float(sizes.sum()), len(sizes)
    means = np.bincount(groups, weights=values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (k - 1)
    within = float(((values - means[groups]) ** 2).sum()) / (n - k)
    return between, within, (n - float((sizes**2).sum()) / n) / (k - 1)

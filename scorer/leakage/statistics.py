"""The few statistics many checks share. All p values are log10, so that 1e-400 is still a number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from scorer.leakage.material import Target
from scorer.reading.columns import FloatArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Strength:
    """How strongly a score and a target go together."""

    auc: float
    """0.5 for none to 1 for all; of a number 0.5 + |rho| / 2, of classes the best one against the rest."""
    log10p: float
    detail: str = ""
    """The class it is about, for targets of several."""


NONE = Strength(0.5, 0.0)


def log10p_of_z(z: float) -> float:
    """log10 of the two-sided p of a standard normal deviate; finite for any z."""
    return min(0.0, (math.log(2.0) + float(special.log_ndtr(-abs(z)))) / math.log(10.0))


def corrected(log10p: float, n_tests: float) -> float:
    """Bonferroni: what remains of a p value that is the best of so many."""
    return min(0.0, log10p + math.log10(max(1.0, n_tests)))


def area_under_curve(score: FloatArray, positive: Mask) -> tuple[float, float]:
    """AUC of the score for the positives and its z under no association (midranks, variance corrected for ties)."""
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if not n1 or not n0:
        return 0.5, 0.0
    ranks = stats.rankdata(score)
    n = n1 + n0
    auc = (float(ranks[positive].sum()) - n1 * (n1 + 1) / 2) / (n1 * n0)
    _, counts = np.unique(ranks, return_counts=True)
    ties = float(np.sum(counts.astype(np.float64) ** 3 - counts)) / (n * (n - 1))
    variance = (n + 1 - ties) / (12.0 * n1 * n0)
    return auc, 0.0 if variance <= 0 else (auc - 0.5) / math.sqrt(variance)


def association(score: FloatArray, target: Target) -> Strength:
    """Of any score with a target, by ranks, so that no scale matters. Rows where either is nan are left out."""
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
    """Of an unordered value with a target: chi-squared over classes, Kruskal-Wallis over numbers.

    The effect is out of fold: each value is scored by the mean of the other rows with that value, so
    that values of one row cannot look strong. Negative codes are missing and form a value of their own.
    """
    y = target.values
    known = ~np.isnan(y)
    _, dense = np.unique(codes[known], return_inverse=True)
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
    best = NONE
    for values, name in levels:
        score = leave_one_out_means(dense, values)
        number = Target(
            target.name, "number" if target.kind == "number" else "binary", values, target.classes
        )
        effect = association(score, number)
        log10p = corrected(_log10p_of_groups(dense, values, is_number=target.kind == "number"), len(levels))
        # Leaving one out makes rows of the rarer value look alike: the effect must point the right way.
        if log10p < best.log10p:
            best = Strength(effect.auc, log10p, name)
    return best


def leave_one_out_means(
    codes: NDArray[np.int64], values: FloatArray, *, prior_weight: float = 1.0
) -> FloatArray:
    """Of each row the mean value of the other rows with its code, drawn a little towards the overall mean."""
    counts = np.bincount(codes)
    sums = np.bincount(codes, weights=values)
    n = len(values)
    overall = (values.sum() - values) / max(1, n - 1)
    return np.asarray((sums[codes] - values + prior_weight * overall) / (counts[codes] - 1 + prior_weight))


def _log10p_of_groups(codes: NDArray[np.int64], values: FloatArray, *, is_number: bool) -> float:
    """Whether the mean rank differs between groups; small ones are pooled, and left out if still too small.

    Chi-squared needs about five rows of each kind in a group: with rare positives a group of five rows and
    one of them would be a sensation that chance brings every day.
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
    """log10 of the upper tail of chi-squared; finite however large the statistic."""
    logp = float(stats.chi2.logsf(statistic, freedom))
    if math.isinf(logp):  # an asymptote of the incomplete gamma function
        half = statistic / 2
        logp = -half + (freedom / 2 - 1) * math.log(half) - float(special.gammaln(freedom / 2))
    return min(0.0, logp / math.log(10.0))


def out_of_fold_means(
    score: FloatArray, values: FloatArray, *, bins: int = 16, folds: int = 5, seed: int = 0
) -> FloatArray:
    """A single number as a predictor without a model: of each row the mean value of its quantile bin in the other
    folds. Missing scores are a bin of their own. Shape (n,)."""
    n = len(score)
    missing = np.isnan(score)
    binned = np.zeros(n, dtype=np.int64)
    if not missing.all():
        edges = np.unique(np.quantile(score[~missing], np.linspace(0, 1, bins + 1)[1:-1]))
        binned[~missing] = 1 + np.searchsorted(edges, score[~missing], side="right")
    fold = np.random.default_rng(seed).permutation(n) % folds
    out = np.empty(n)
    overall = float(values.mean())
    for number in range(folds):
        inside = fold != number
        sums = np.bincount(binned[inside], weights=values[inside], minlength=bins + 2)
        counts = np.bincount(binned[inside], minlength=bins + 2)
        means = (sums + overall) / (counts + 1)
        out[~inside] = means[binned[~inside]]
    return out


def boosted_auc(
    features: FloatArray, positive: Mask, *, folds: int = 3, seed: int = 0, trees: int = 25, depth: int = 3
) -> tuple[float, FloatArray]:
    """Cross-validated AUC of small boosted trees, and the out-of-fold scores; one thread, seeded.

    features: shape (n, d), nan where missing.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold

    scores = np.zeros(len(positive))
    folds = min(folds, int(positive.sum()), int((~positive).sum()))
    if folds < 2:
        return 0.5, scores
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, positive):
        model = HistGradientBoostingClassifier(
            max_iter=trees,
            max_depth=depth,
            early_stopping=False,
            random_state=seed,
            min_samples_leaf=max(5, min(20, len(train) // 20)),
        )
        model.fit(features[train], positive[train])
        scores[test] = model.predict_proba(features[test])[:, 1]
    return area_under_curve(scores, positive)[0], scores


def z_of_auc(auc: float, n1: int, n0: int) -> float:
    """(AUC - .5) / its standard error under no association."""
    return (auc - 0.5) / math.sqrt((n1 + n0 + 1) / (12.0 * n1 * n0)) if n1 and n0 else 0.0


def runs_z(labels: NDArray[np.int64]) -> float:
    """Wald-Wolfowitz: z of the number of runs; negative where equal labels stand together more than by chance.

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
    """z of the lag-1 autocorrelation of ranks; positive where neighbours are alike."""
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

"""How well columns separate rows of two sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from scorer.leakage.check import ALARM
from scorer.leakage.column_power import association_of_values
from scorer.leakage.frame import Codes, Mask
from scorer.leakage.pool import Column, Pool
from scorer.leakage.statistics import (
    NONE,
    Strength,
    area_under_curve,
    association,
    corrected,
    log10p_of_z,
    z_of_auc,
)
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray

_MODEL_ROWS = 20_000
"""Rows of each side in a model of membership."""
_MODEL_COLUMNS = 200
APART = 0.6
"""AUC of a model from which a difference matters."""
FAR_APART = 0.95
_SURE_Z = 5.0
MIN_SIDE = 8


@dataclass(frozen=True, slots=True)
class Separation:
    auc: float
    log10p: float
    columns: list[tuple[str, Strength]]
    """Each alone, the strongest first."""
    is_sure: bool


def separation_of(
    pool: Pool, names: Sequence[str], member: Mask, groups: Codes | None, rows: Mask | None = None
) -> Separation:
    """Return how well columns separate `member` rows from the others.

    Groups are kept whole and counted once.
    """
    used = np.ones(pool.n, dtype=np.bool_) if rows is None else rows
    inside = member[used]
    own_groups = None if groups is None else groups[used]
    columns = {name: pool.column(name).take(used) for name in names}
    side = Target("side", "binary", inside.astype(np.float64), ("out", "in"))
    single: list[tuple[str, Strength]] = []
    for name, column in columns.items():
        if own_groups is None:
            single += [(name, strength) for strength in _alone(column, side)]
        else:
            scores = np.where(column.missing, np.nan, column.numbers if column.is_numeric else column.codes)
            means, target = _means(scores, own_groups, inside)
            single.append((name, association(means, target)))
    best: dict[str, Strength] = {}
    for name, strength in single:
        if name not in best or strength.log10p < best[name].log10p:
            best[name] = strength
    ranked = sorted(best.items(), key=lambda one: (-one[1].auc, one[1].log10p))
    n1, n0 = n_units(inside, own_groups)
    # Chosen at random where there are too many: columns chosen on all rows would look good on held-out rows
    # too.
    kept = [name for name, _ in ranked]
    if len(kept) > _MODEL_COLUMNS:
        kept = np.random.default_rng(pool.seed).choice(kept, _MODEL_COLUMNS, replace=False).tolist()
    matrix = np.column_stack([view for name in kept for view in _views(columns[name])])
    auc, z = 0.5, 0.0
    # Trees find any difference in large tables; in small ones a line finds many small differences better.
    for scores in _membership_scores(matrix, inside, own_groups, pool.seed):
        member, score = inside, scores
        if own_groups is not None:
            score, target = _means(scores, own_groups, inside)
            member = target.values == 1
        own = area_under_curve(score, member)[0]
        if own > auc:
            auc, z = own, z_of_auc(own, n1, n0)
    log10p = corrected(log10p_of_z(z), 2) if z > 0 else 0.0
    sure = auc > APART and z > _SURE_Z
    if ranked:
        strongest = min(ranked, key=lambda one: one[1].log10p)[1]
        alone = corrected(strongest.log10p, 3 * len(ranked))
        if alone <= -ALARM and strongest.auc >= APART:
            sure, log10p, auc = True, min(alone, log10p), max(auc, strongest.auc)
    return Separation(auc, log10p, ranked, sure)


def _alone(column: Column, side: Target) -> Iterator[Strength]:
    if column.is_numeric:
        yield association(column.numbers, side)
        yield _by_one_cut(column.numbers, side)
    elif column.kind == "text":
        for view in _views(column):
            yield association(view, side)
    else:
        yield association_of_values(column.codes, side)
    if column.missing.any() and not column.missing.all():
        yield association(column.missing.astype(np.float64), side)


def _by_one_cut(scores: FloatArray, side: Target) -> Strength:
    """Return the AUC of the best single threshold.

    Kolmogorov-Smirnov: it finds a spread where ranks find nothing.
    """
    known = ~np.isnan(scores)
    inside = side.values[known] == 1
    parts = scores[known][inside], scores[known][~inside]
    if min(map(len, parts)) < MIN_SIDE:
        return NONE
    distance = float(stats.ks_2samp(*parts, method="asymp").statistic)
    n = len(parts[0]) * len(parts[1]) / (len(parts[0]) + len(parts[1]))
    return Strength(0.5 + distance / 2, min(0.0, (math.log(2) - 2 * n * distance**2) / math.log(10)))


def _views(column: Column) -> list[FloatArray]:
    """Return a column as numbers for a model.

    Its numbers, its place in the alphabet, or for text what can be counted.
    """
    if column.is_numeric:
        return [column.numbers]
    if column.kind == "category":
        return [np.where(column.missing, np.nan, column.codes.astype(np.float64))]
    names = list(column.written_names)
    used = np.unique(column.written)
    ways: tuple[Callable[[str], float], ...] = (
        len,
        lambda text: len(text.split()),
        lambda text: sum(map(str.isdigit, text)) / (len(text) + 1),
        lambda text: sum(map(str.isupper, text)) / (len(text) + 1),
        lambda text: len(text.encode("utf-8", "replace")) - len(text),
    )
    views = []
    for way in ways:
        values = np.full(len(names), np.nan)
        values[used] = [way(names[code]) for code in used]
        views.append(values[column.written])
    return views


def _means(scores: FloatArray, groups: Codes, inside: Mask) -> tuple[FloatArray, Target]:
    """Return means of groups and the side of each."""
    units, dense = np.unique(2 * groups + inside, return_inverse=True)
    known = ~np.isnan(scores)
    sums = np.bincount(dense[known], weights=scores[known], minlength=len(units))
    counts = np.bincount(dense[known], minlength=len(units))
    return sums / counts, Target("side", "binary", (units % 2).astype(np.float64), ("out", "in"))


def n_units(inside: Mask, groups: Codes | None) -> tuple[int, int]:
    if groups is None:
        return int(inside.sum()), int((~inside).sum())
    units = np.unique(2 * groups + inside)
    return int((units % 2 == 1).sum()), int((units % 2 == 0).sum())


def _membership_scores(
    features: FloatArray, inside: Mask, groups: Codes | None, seed: int
) -> Iterator[FloatArray]:
    """Yield out-of-fold scores of two models of membership.

    Small boosted trees, and a linear rule over normal scores; a group is in one fold.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    parts = [np.flatnonzero(inside), np.flatnonzero(~inside)]
    rows = np.sort(
        np.concatenate([rng.choice(part, min(len(part), _MODEL_ROWS), replace=False) for part in parts])
    )
    x, y = features[rows], inside[rows]
    x = x[
        :,
        [
            len(np.unique(column[~np.isnan(column)])) > 1 or 0 < np.isnan(column).sum() < len(column)
            for column in x.T
        ],
    ]
    if not x.shape[1]:
        return
    if groups is None:
        splits = StratifiedKFold(3, shuffle=True, random_state=seed).split(x, y)
    else:
        splits = StratifiedGroupKFold(3, shuffle=True, random_state=seed).split(x, y, groups[rows])
    folds = [(train, test) for train, test in splits if len(np.unique(y[train])) == 2 and len(test)]
    normal = np.column_stack([_normal_scores(column) for column in x.T])
    for linear in (False, True):
        # Rows outside the sample get the middle score, which favours neither side.
        scores = np.full(len(inside), 0.5)
        for train, test in folds:
            if linear:
                if min(y[train].sum(), (~y[train]).sum()) < 2:
                    continue
                line = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(
                    normal[train], y[train]
                )
                scores[rows[test]] = special.expit(line.decision_function(normal[test]))
                continue
            trees = HistGradientBoostingClassifier(
                max_iter=25,
                max_depth=3,
                early_stopping=False,
                random_state=seed,
                min_samples_leaf=max(5, min(20, len(train) // 20)),
            )
            # The trees are small: their threads would mostly wait for each other, and on busy cores for long.
            with threadpool_limits(limits=1):
                scores[rows[test]] = trees.fit(x[train], y[train]).predict_proba(x[test])[:, 1]
        yield scores


def _normal_scores(values: FloatArray) -> FloatArray:
    """Return ranks as normal deviates; 0 where missing."""
    known = ~np.isnan(values)
    scores = np.zeros(len(values))
    if known.any():
        scores[known] = special.ndtri((stats.rankdata(values[known]) - 0.5) / known.sum())
    return scores


def side_histogram(column: Column, member: Mask, names: tuple[str, str]) -> dict[str, Any]:
    """Return a picture of both sides' shares by value or tenth."""
    if column.is_numeric and column.n_levels > 12:
        known = ~column.missing
        edges = np.unique(np.quantile(column.numbers[known], np.linspace(0, 1, 21)))
        bins = np.clip(np.searchsorted(edges, column.numbers, side="right") - 1, 0, max(0, len(edges) - 2))
        labels = [f"{value:.4g}" for value in edges[:-1]]
    else:
        known = ~column.missing
        kept, counts = np.unique(column.codes[known], return_counts=True)
        kept = np.sort(kept[np.argsort(-counts)][:20])
        known = known & np.isin(column.codes, kept)
        bins = np.searchsorted(kept, column.codes)
        first = [int(np.flatnonzero(column.codes == code)[0]) for code in kept]
        labels = [column.written_names[column.written[row]][:40] for row in first]
    shares = [
        np.bincount(bins[known & part], minlength=len(labels)) / max(1, int(part.sum()))
        for part in (member, ~member)
    ]
    return {
        "kind": "bars",
        "title": f"{column.name} in {names[0]} and {names[1]}",
        "x_title": column.name,
        "y_title": f"share of {names[0]} minus share of {names[1]}",
        "x": labels,
        "y": np.round(shares[0] - shares[1], 5).tolist(),
        "text": f"Bars above zero are values that {names[0]} has more often, below zero {names[1]}.",
    }

"""Can it be told from what is public on which side of a split a row is, and do the sides differ?

Three splits: train from test, public from private, scored from Ignored rows. A split that is declared
to be in time shifts by nature, so what is found then is told and no more; of one that is declared to be
by group, whole groups are what is compared.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import special, stats

from scorer.leakage.check import ALARM, AUC_FLOOR, BLOCK, Found, NotChecked, Severity, check
from scorer.leakage.material import Codes, Frame, Mask, Material, Rows, Side, Target
from scorer.leakage.pool import Column, Pool, association_of_values, pool_of
from scorer.leakage.statistics import (
    NONE,
    Strength,
    area_under_curve,
    association,
    corrected,
    lag_one_z,
    log10p_of_chi2,
    log10p_of_z,
    runs_z,
    z_of_auc,
)
from scorer.reading.columns import FloatArray
from scorer.wording import ID_JOINT

_MODEL_ROWS = 20_000
"""Rows of each side that a model of membership sees."""
_MODEL_COLUMNS = 200
_SOFT_ALARM = 3.0
"""-log10 of the corrected p from which a difference of labels is told: it only warns, and small tests matter most."""
_APART = 0.6
"""AUC of a model from which a difference matters."""
_FAR_APART = 0.95
_SURE_Z = 5.0
_MIN_SIDE = 8
_ORDER_ROWS = 200_000
"""Rows from the start of a file in which an order is looked for."""
_STEPS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 20, 25, 50, 100)
_SEEDS = (*range(11), 42, 99, 100, 101, 123, 256, 666, 777, 1000, 1234, 1337, 2020, 2021, 2022, 2023, 2024, 2025, 2026, 12345, 31415)  # fmt: skip
"""What people type for random_state."""
_KINDS = 5
"""Of evidence on membership: order, ids, seeds, sample, columns. p values are corrected for these, and for how many
ways of each are tried."""
_SHUFFLE = "Draw the public rows by a secret random permutation: not by position, id, hash, date or a seed that can be guessed."


# --- 21 -------------------------------------------------------------------------------------------


@check("adversarial_shift", scope="split", needs=("train", "test"), cost="columns x n", blocks=True)
def adversarial_shift(material: Material) -> Iterator[Found]:
    """Train and test rows can be told apart by their columns.

    effect: cross-validated AUC of a small boosted model for train against test, or of one column where that is more.
    """
    pool = pool_of(material)
    names = [name for name in pool.shared if name not in pool.declared]
    if not names:
        raise NotChecked("train and test have no feature in common")
    sides = pool.is_train
    units = sides if pool.groups is None else pool.by_group(np.zeros(pool.n))[1]
    n1, n0 = int(units.sum()), int((~units).sum())
    if min(n1, n0) < _MIN_SIDE:
        what = "rows" if pool.groups is None else f"values of {material.group}"
        raise NotChecked(f"there are only {n1} {what} in train and {n0} in test")
    found = _apart(pool, names, ~sides, pool.groups)
    if not found.is_sure:
        return
    top = found.columns[:3]
    listed = ", ".join(f"{name} {strength.auc:.3f}" for name, strength in top)
    severity: Severity = "warn"
    by_time = material.is_sequential
    if found.auc > _FAR_APART and top and top[0][1].auc > _FAR_APART:
        severity = "block" if not material.is_grouped else "warn"
    if by_time or (material.is_grouped and pool.groups is None):
        severity = "info"
    words = ""
    if by_time:
        words = " The split is declared to be in time, so time itself and drift are expected."
    elif material.is_grouped:
        words = " Whole groups were compared."
    elif severity == "block":
        words = " If the split is meant to be in time or by group, declare it in challenge.yaml (split: strategy, time or group)."
    yield Found(
        f"a model tells train from test rows with AUC {found.auc:.3f} (0.5 if both were drawn alike); columns alone: {listed}{pool.sampling}.{words}",
        f"Look at {top[0][0]} first: {'is it a counter, a date, or prepared differently?' if top else ''} A score on such a test measures the shift too.",
        effect=found.auc,
        log10p=found.log10p,
        severity=severity,
        where=top[0][0],
        picture=_histogram(pool.column(top[0][0]), sides, ("train", "test")),
    )


@dataclass(frozen=True, slots=True)
class _Apart:
    auc: float
    log10p: float
    columns: list[tuple[str, Strength]]
    """Each alone, the strongest first."""
    is_sure: bool


def _apart(
    pool: Pool, names: Sequence[str], member: Mask, groups: Codes | None, rows: Mask | None = None
) -> _Apart:
    """How well rows inside and outside `member` can be told apart by columns; groups are kept whole and counted."""
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
    n1, n0 = _n_units(inside, own_groups)
    # At random where there are too many: chosen by how they do on all rows, they would do well on held-out ones too.
    kept = [name for name, _ in ranked]
    if len(kept) > _MODEL_COLUMNS:
        kept = np.random.default_rng(pool.seed).choice(kept, _MODEL_COLUMNS, replace=False).tolist()
    matrix = np.column_stack([view for name in kept for view in _views(columns[name])])
    auc, z = 0.5, 0.0
    # Trees see any difference in large tables; in small ones a line sees more of many small ones.
    for scores in _membership_scores(matrix, inside, own_groups, pool.seed):
        member, score = inside, scores
        if own_groups is not None:
            score, target = _means(scores, own_groups, inside)
            member = target.values == 1
        own = area_under_curve(score, member)[0]
        if own > auc:
            auc, z = own, z_of_auc(own, n1, n0)
    log10p = corrected(log10p_of_z(z), 2) if z > 0 else 0.0
    sure = auc > _APART and z > _SURE_Z
    if ranked:
        strongest = min(ranked, key=lambda one: one[1].log10p)[1]
        alone = corrected(strongest.log10p, 3 * len(ranked))
        if alone <= -ALARM and strongest.auc >= _APART:
            sure, log10p, auc = True, min(alone, log10p), max(auc, strongest.auc)
    return _Apart(auc, log10p, ranked, sure)


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
    """The AUC of the best single threshold (Kolmogorov-Smirnov), which sees a spread where order sees nothing."""
    known = ~np.isnan(scores)
    inside = side.values[known] == 1
    parts = scores[known][inside], scores[known][~inside]
    if min(map(len, parts)) < _MIN_SIDE:
        return NONE
    distance = float(stats.ks_2samp(*parts, method="asymp").statistic)
    n = len(parts[0]) * len(parts[1]) / (len(parts[0]) + len(parts[1]))
    return Strength(0.5 + distance / 2, min(0.0, (math.log(2) - 2 * n * distance**2) / math.log(10)))


def _views(column: Column) -> list[FloatArray]:
    """A column as numbers for a model: itself, its place in the alphabet, or of text what can be counted."""
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
    """Means of groups (a group on both sides counts on each) and which side each is on."""
    units, dense = np.unique(2 * groups + inside, return_inverse=True)
    known = ~np.isnan(scores)
    sums = np.bincount(dense[known], weights=scores[known], minlength=len(units))
    counts = np.bincount(dense[known], minlength=len(units))
    return sums / counts, Target("side", "binary", (units % 2).astype(np.float64), ("out", "in"))


def _n_units(inside: Mask, groups: Codes | None) -> tuple[int, int]:
    if groups is None:
        return int(inside.sum()), int((~inside).sum())
    units = np.unique(2 * groups + inside)
    return int((units % 2 == 1).sum()), int((units % 2 == 0).sum())


def _membership_scores(
    features: FloatArray, inside: Mask, groups: Codes | None, seed: int
) -> Iterator[FloatArray]:
    """Out-of-fold scores of small boosted trees and of a linear rule over normal scores; groups are in one fold."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

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
        # Rows beyond the sample are nobody's: in the middle they keep out of the way.
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
            scores[rows[test]] = trees.fit(x[train], y[train]).predict_proba(x[test])[:, 1]
        yield scores


def _normal_scores(values: FloatArray) -> FloatArray:
    """Ranks as normal deviates; 0 where missing."""
    known = ~np.isnan(values)
    scores = np.zeros(len(values))
    if known.any():
        scores[known] = special.ndtri((stats.rankdata(values[known]) - 0.5) / known.sum())
    return scores


def _histogram(column: Column, member: Mask, names: tuple[str, str]) -> dict[str, Any]:
    """Shares of both sides by value or by tenth of the values, as a picture."""
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


# --- 22 -------------------------------------------------------------------------------------------


@check("label_shift", scope="split", needs=("hidden",), cost="n log n")
def label_shift(material: Material) -> Iterator[Found]:
    """The target is distributed otherwise in train, public or private rows.

    effect: largest difference of a class's share, or the Kolmogorov-Smirnov distance of a number.
    """
    listed = material.listed
    train = material.train
    compared: list[tuple[str, Target, Target, Codes | None, Codes | None]] = []
    groups = _file_groups(material)
    solution = material.challenge.solution
    for target in material.hidden_targets:
        usage = np.asarray(solution.usage)
        public, private = np.asarray(usage == 1), np.asarray(usage == 2)
        own = None
        if listed is not None and listed.public is not None and listed.private is not None:
            target = next(t for t in listed.targets if t.name == target.name)
            public, private, own = listed.public, listed.private, groups.get(listed.name)
        compared.append(
            (
                "public and private rows",
                target.take(public),
                target.take(private),
                None if own is None else own[public],
                None if own is None else own[private],
            )
        )
        labels = None if train is None else next((t for t in train.targets if t.name == target.name), None)
        if labels is not None:
            scored = public | private
            compared.append(
                (
                    "train and scored test rows",
                    labels,
                    target.take(scored),
                    groups.get("train"),
                    None if own is None else own[scored],
                )
            )
    for words, first, second, first_groups, second_groups in compared:
        shift = _shift(first, second, first_groups, second_groups)
        if shift is None:
            continue
        effect, log10p, seen = shift
        if corrected(log10p, len(compared)) > -_SOFT_ALARM:
            continue
        clustered = material.is_grouped and (first_groups is None or second_groups is None)
        calm = material.is_sequential or clustered
        why = (
            " The split is in time: a drift may explain it."
            if material.is_sequential
            else " The groups of the rows are not known here, so this may be chance of a few groups."
            if clustered
            else ""
        )
        yield Found(
            f"{first.name} differs between {words}: {seen} (p = {10 ** max(log10p, -300):.1g}).{why}",
            "Draw the split again, stratified by the target; else scores of the two sides cannot be compared, and a constant submission tells of it.",
            effect=effect,
            log10p=log10p,
            severity="info" if calm else "warn",
            where=words,
        )


def _file_groups(material: Material) -> dict[str, Codes]:
    """Of each table, its rows' groups, if the challenge declares a column of them."""
    found: dict[str, Codes] = {}
    if material.group is None:
        return found
    for side in material.sides:
        if material.group in side.frame:
            texts = side.frame.texts(material.group)
        elif material.group in side.id_names:
            texts = side.ids[side.id_names.index(material.group)]
        else:
            continue
        found[side.name] = _codes(texts)
    return found


def _codes(texts: pa.Array) -> Codes:
    return np.asarray(texts.dictionary_encode().indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _shift(
    first: Target, second: Target, first_groups: Codes | None, second_groups: Codes | None
) -> tuple[float, float, str] | None:
    """Effect, log10 p and words of a difference of distributions; None where it is too small to matter."""
    if min(int(first.known.sum()), int(second.known.sum())) < _MIN_SIDE:
        return None
    grouped = first_groups is not None and second_groups is not None
    a, b = first.values[first.known], second.values[second.known]
    if first.kind == "number":
        test = stats.ks_2samp(a, b, method="asymp")
        effect = float(test.statistic)
        n = len(a) * len(b) / (len(a) + len(b))
        # Kolmogorov's tail, which is a number long after the library's has become 0.
        log10p = min(0.0, (math.log(2) - 2 * n * effect**2) / math.log(10))
        if grouped:
            log10p = _between_groups(first, second, first_groups, second_groups, None)
        seen = f"medians {np.median(a):.4g} and {np.median(b):.4g}, largest difference of the distributions {effect:.3f}"
        return (effect, log10p, seen) if effect >= 0.05 else None
    n_classes = max(len(first.classes), len(second.classes))
    counts = np.stack([np.bincount(side.astype(np.int64), minlength=n_classes) for side in (a, b)]).astype(
        np.float64
    )
    shares = counts / counts.sum(axis=1, keepdims=True)
    expected = counts.sum(axis=0) * counts.sum(axis=1, keepdims=True) / counts.sum()
    rare = expected.min(axis=0) < 5
    pooled = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    pooled = pooled[:, pooled.sum(axis=0) > 0]
    if pooled.shape[1] < 2:
        return None
    means = pooled.sum(axis=0) * pooled.sum(axis=1, keepdims=True) / pooled.sum()
    log10p = log10p_of_chi2(float(((pooled - means) ** 2 / means).sum()), pooled.shape[1] - 1)
    gaps = np.abs(shares[0] - shares[1])
    code = int(gaps.argmax())
    if grouped:
        hots = [code] if n_classes == 2 else list(range(min(n_classes, 30)))
        log10p = corrected(
            min(_between_groups(first, second, first_groups, second_groups, hot) for hot in hots), len(hots)
        )
    ratio = max(shares[0, code], shares[1, code]) / max(1e-12, min(shares[0, code], shares[1, code]))
    if gaps[code] < 0.02 and ratio < 1.3:
        return None
    name = (first if len(first.classes) >= len(second.classes) else second).name_of(code)
    return float(gaps[code]), log10p, f"class {name} is {shares[0, code]:.1%} and {shares[1, code]:.1%}"


def _between_groups(
    first: Target, second: Target, first_groups: Codes | None, second_groups: Codes | None, code: int | None
) -> float:
    """log10 p of a difference where groups were drawn, by the means of groups."""
    assert first_groups is not None
    assert second_groups is not None
    means = []
    for target, groups in ((first, first_groups), (second, second_groups)):
        values = target.values[target.known]
        values = values if code is None else (values == code).astype(np.float64)
        _, dense = np.unique(groups[target.known], return_inverse=True)
        means.append(np.bincount(dense, weights=values) / np.bincount(dense))
    if min(map(len, means)) < _MIN_SIDE:
        return 0.0
    both = np.concatenate(means)
    return log10p_of_z(area_under_curve(both, np.arange(len(both)) < len(means[0]))[1])


# --- 23 -------------------------------------------------------------------------------------------


@check("split_recoverable", scope="split", needs=(), cost="columns x n", blocks=True)
def split_recoverable(material: Material) -> Iterator[Found]:
    """Which test rows are public follows from their order, ids, columns or the sample submission.

    effect: AUC of membership, or of its regularity on that scale.
    """
    rows = _test_rows(material)
    public, private = rows.public, rows.private
    if min(int(public.sum()), int(private.sum())) < _MIN_SIDE:
        raise NotChecked(
            f"there are only {int(public.sum())} public and {int(private.sum())} private rows that a public file names"
        )
    if material.is_sequential:
        order = _times(material, rows)
        auc = area_under_curve(order[public | private], public[public | private])[0]
        if max(auc, 1 - auc) > 0.9:
            yield Found(
                f"public rows are the {'later' if auc > 0.5 else 'earlier'} ones (AUC {max(auc, 1 - auc):.3f} of time), as a split in time may have it; then everybody knows which rows count on which board.",
                "Nothing, if the rules say so.",
                effect=max(auc, 1 - auc),
                severity="info",
            )
            return
    yield from _membership(material, rows, public, private, ("public", "private"), _SHUFFLE, loudest="block")


@check("decoys_separable", scope="split", needs=(), cost="columns x n")
def decoys_separable(material: Material) -> Iterator[Found]:
    """Test rows that do not count can be told from those that do.

    effect: AUC of being scored.
    """
    rows = _test_rows(material)
    scored = rows.public | rows.private
    ignored = ~scored
    if not ignored.any():
        return
    if min(int(scored.sum()), int(ignored.sum())) < _MIN_SIDE:
        raise NotChecked(f"there are only {int(ignored.sum())} ignored and {int(scored.sum())} scored rows")
    advice = "Make unscored rows in the same way as the others, or say openly which they are: who can tell them apart wastes no effort on them."
    yield from _membership(
        material,
        rows,
        scored,
        ignored,
        ("scored", "ignored"),
        advice,
        loudest="info" if material.is_sequential else "warn",
    )


@dataclass(frozen=True, eq=False)
class _TestRows:
    """The test rows in the order that participants see."""

    side: Side
    public: Mask
    private: Mask
    groups: Codes | None


def _test_rows(material: Material) -> _TestRows:
    side = material.listed
    if side is None and material.test is not None and material.test.public is not None:
        side = material.test
    if (
        side is None
        and material.sample_places is not None
        and material.sample is not None
        and (material.sample_places >= 0).all()
    ):
        # The truth may be of any form: membership needs only the ids.
        usage = np.asarray(material.challenge.solution.usage)[material.sample_places]
        names = tuple(n for n in material.challenge.solution.id_columns if n in material.sample)
        n = len(material.sample)
        side = Side(
            "sample submission",
            "public/sample_submission.csv",
            material.sample.without(material.sample.names),
            tuple(material.sample.texts(name) for name in names),
            names,
            (),
            usage == 1,
            usage == 2,
            np.arange(n),
            n,
        )
    if side is None or side.public is None or side.private is None:
        raise NotChecked(material.why_not("listed"))
    return _TestRows(side, side.public, side.private, _file_groups(material).get(side.name))


def _times(material: Material, rows: _TestRows) -> FloatArray:
    if material.time is not None and material.time in rows.side.frame:
        return np.nan_to_num(rows.side.frame.feature(material.time).scores)
    return np.arange(len(rows.side), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Sign:
    """One way in which membership shows."""

    where: str
    words: str
    effect: float
    log10p: float
    picture: dict[str, Any] | None = None


def _membership(
    material: Material,
    rows: _TestRows,
    inside: Mask,
    outside: Mask,
    names: tuple[str, str],
    advice: str,
    *,
    loudest: Severity,
) -> Iterator[Found]:
    """Everything by which one part of the test rows can be told from another, strongest of each kind."""
    signs: list[_Sign] = []
    held = inside | outside
    order = np.arange(len(rows.side))
    units = _one_of_each(rows.groups, inside, held)
    # Where whole groups are on one side, neighbours in a file are alike by design: one row speaks for each.
    used = order[held if units is None else units]
    member = inside[used]
    if min(int(member.sum()), int((~member).sum())) >= _MIN_SIDE:
        signs += _kept(_in_order("the row order of " + rows.side.file, used.astype(np.float64), member))
        signs += _kept(_in_seeds(held, inside, rows.side.file), 8 * len(_SEEDS))
        signs += _kept(_in_ids(rows.side, used, member))
        signs += _kept(_in_sample(material, rows, used, inside))
    signs += _in_columns(material, inside, outside, names)
    for sign in signs:
        severity: Severity = "warn" if loudest == "block" else loudest
        # A small test cannot be surer of a rule that holds in every row.
        certain = sign.effect >= _APART and (sign.log10p <= -BLOCK or sign.effect >= _FAR_APART)
        if loudest == "block" and certain and (sign.where[:7] != "column " or sign.effect >= _FAR_APART):
            severity = "block"
        if material.is_sequential or (material.is_grouped and sign.where.startswith("column ")):
            severity = "info" if severity == "warn" else severity
        yield Found(
            f"{sign.words} tells {names[0]} from {names[1]} rows (AUC {sign.effect:.3f}, p = {10 ** max(sign.log10p, -300):.1g}).",
            advice,
            effect=sign.effect,
            log10p=sign.log10p,
            severity=severity,
            where=sign.where.removeprefix("column "),
            picture=sign.picture,
        )


def _one_of_each(groups: Codes | None, inside: Mask, held: Mask) -> Rows | None:
    """The first row of each group, if nearly all groups are on one side only."""
    if groups is None:
        return None
    rows = np.flatnonzero(held)
    own = groups[rows]
    values, first, counts = np.unique(own, return_index=True, return_counts=True)
    dense = np.searchsorted(values, own)
    share = np.bincount(dense, weights=inside[rows]) / counts
    several = counts > 1
    whole = np.isin(share, (0.0, 1.0))
    if not several.any() or whole[several].mean() < 0.9:
        return None
    return np.sort(rows[first])


def _kept(signs: Iterator[_Sign], n_tests: int = 0) -> list[_Sign]:
    """The surest of one kind, if it is sure and strong enough; n_tests: how many were tried, if not all are given."""
    found = list(signs)
    n_tests = _KINDS * max(n_tests, len(found))
    sure = [s for s in found if corrected(s.log10p, n_tests) <= -ALARM and s.effect >= AUC_FLOOR]
    if not sure:
        return []
    best = min(sure, key=lambda sign: (-round(sign.effect, 2), sign.log10p))
    return [_Sign(best.where, best.words, best.effect, corrected(best.log10p, n_tests), best.picture)]


def _in_order(where: str, position: FloatArray, member: Mask) -> Iterator[_Sign]:
    """Whether membership follows a position: early or late, in blocks, or every so many rows.

    position: shape (n,), distinct numbers; whole ones are also looked at by their remainders.
    """
    auc, z = area_under_curve(position, member)
    picture = _along(position, member, where)
    yield _Sign(where, where, max(auc, 1 - auc), log10p_of_z(z), picture)
    sequence = member[np.argsort(position, kind="stable")].astype(np.int64)
    n, n1 = len(sequence), int(sequence.sum())
    expected = 1 + 2 * n1 * (n - n1) / n
    runs = 1 + int(np.count_nonzero(np.diff(sequence)))
    z = runs_z(sequence)
    regular = "blocks in " if z < 0 else "a regular pattern in "
    yield _Sign(
        where, f"{regular}{where}", min(1.0, 0.5 + abs(runs / expected - 1) / 2), log10p_of_z(z), picture
    )
    whole = position.astype(np.int64)
    if (whole == position).all():
        side = Target("side", "binary", member.astype(np.float64), ("out", "in"))
        for step in _STEPS:
            yield from _by_remainder(where, where, whole % step, step, side)


def _by_remainder(where: str, words: str, remainder: Codes, step: int, side: Target) -> Iterator[_Sign]:
    """Remainders one by one, where there are rows enough of each, and below or above some remainder."""
    strengths = [association(remainder.astype(np.float64), side)]
    if len(remainder) >= 5 * step:
        strengths.append(association_of_values(remainder, side))
    best = min(strengths, key=lambda strength: strength.log10p)
    yield _Sign(where, f"{words} modulo {step}", best.auc, corrected(best.log10p, 2))


def _along(position: FloatArray, member: Mask, where: str) -> dict[str, Any]:
    ordered = member[np.argsort(position, kind="stable")].astype(np.float64)
    parts = np.array_split(ordered, min(60, len(ordered)))
    return {
        "kind": "line",
        "title": "Share of such rows along the order",
        "x_title": where,
        "y_title": "share",
        "x": [round((i + 0.5) / len(parts), 4) for i in range(len(parts))],
        "y": [round(float(p.mean()), 4) for p in parts],
        "text": "A level line is what a random split looks like.",
    }


def _in_seeds(held: Mask, inside: Mask, file: str) -> Iterator[_Sign]:
    """Whether a usual recipe with a usual seed gives just this split of a file's rows."""
    n = len(inside)
    if n > _ORDER_ROWS:
        return
    member = inside[held]
    for base, size in ((held, int(held.sum())), (np.ones(n, dtype=np.bool_), n))[: 1 if held.all() else 2]:
        pick = held[base]
        for seed in _SEEDS:
            for words, score in _recipes(seed, size):
                z = _quick_z(score[pick], member)
                if abs(z) > 4.5:
                    auc = area_under_curve(score[pick], member)[0]
                    yield _Sign("seed", f"{words} over the rows of {file}", max(auc, 1 - auc), log10p_of_z(z))


def _recipes(seed: int, n: int) -> Iterator[tuple[str, FloatArray]]:
    old = np.random.RandomState(seed)
    yield f"numpy.random.RandomState({seed}).rand", old.rand(n)
    places = np.empty(n)
    places[np.random.RandomState(seed).permutation(n)] = np.arange(n)
    yield f"train_test_split with random_state={seed}", places
    yield f"numpy.random.default_rng({seed}).random", np.random.default_rng(seed).random(n)
    places = np.empty(n)
    places[np.random.default_rng(seed).permutation(n)] = np.arange(n)
    yield f"numpy.random.default_rng({seed}).permutation", places


def _quick_z(score: FloatArray, member: Mask) -> float:
    """z of the difference of means, which for evenly spread scores is as good as ranks and needs no sorting."""
    n1 = int(member.sum())
    n0 = len(member) - n1
    spread = float(score.std())
    if not n1 or not n0 or spread == 0:
        return 0.0
    return float(score[member].mean() - score[~member].mean()) / (spread * math.sqrt(1 / n1 + 1 / n0))


def _in_ids(side: Side, used: Rows, member: Mask) -> Iterator[_Sign]:
    if not side.ids:
        return
    rng = np.random.default_rng(0)
    if len(used) > 50_000:
        kept = np.sort(rng.choice(len(used), 50_000, replace=False))
        used, member = used[kept], member[kept]
    columns = [column.take(pa.array(used)).to_pylist() for column in side.ids]
    texts = [ID_JOINT.join(key) for key in zip(*columns, strict=True)]
    target = Target("side", "binary", member.astype(np.float64), ("out", "in"))
    for name, column in zip(side.id_names, columns, strict=True):
        numbers = _whole_numbers(column)
        if numbers is not None and len(np.unique(numbers)) == len(numbers):
            yield from _in_order(f"the id {name}", numbers, member)
        for words, cut in _CUTS.items():
            codes = np.unique(
                np.array([cut(text) for text in column], dtype=np.object_).astype(str), return_inverse=True
            )[1]
            if codes.max() < len(codes) / 5:
                strength = association_of_values(codes.astype(np.int64), target)
                yield _Sign(f"the id {name}", f"{words} of the id {name}", strength.auc, strength.log10p)
    ordered = np.argsort(np.argsort(np.array(texts, dtype=np.object_), kind="stable")).astype(np.float64)
    auc, z = area_under_curve(ordered, member)
    yield _Sign("the ids", "the ids' alphabetical order", max(auc, 1 - auc), log10p_of_z(z))
    for words, share, remainder in _hashes(texts):
        auc, z = area_under_curve(share, member)
        yield _Sign("the ids", f"{words} of the id", max(auc, 1 - auc), log10p_of_z(z))
        for step in (2, 3, 4, 5, 10, 100):
            yield from _by_remainder("the ids", f"{words} of the id", remainder % step, step, target)


_CUTS: dict[str, Callable[[str], str]] = {
    "the first character": lambda text: text[:1],
    "the first two characters": lambda text: text[:2],
    "the first three characters": lambda text: text[:3],
    "the last character": lambda text: text[-1:],
    "the last two characters": lambda text: text[-2:],
    "the length": lambda text: str(len(text)),
    "the part before the first sign": lambda text: next(
        (text[:i] for i, c in enumerate(text) if not c.isalnum()), ""
    ),
    "zeros in front": lambda text: str(len(text) - len(text.lstrip("0"))),
}


def _whole_numbers(texts: Sequence[str]) -> FloatArray | None:
    """The digits that each id ends with, as numbers; None if some have none."""
    found = np.empty(len(texts))
    for i, text in enumerate(texts):
        head = text.rstrip("0123456789")
        digits = text[len(head) :]
        if not digits or len(digits) > 15:
            return None
        found[i] = int(digits)
    return found


def _hashes(texts: Sequence[str]) -> Iterator[tuple[str, FloatArray, Codes]]:
    """Every text's hash in its usual forms: as a part of the largest possible one, and its remainder by 300. Shape (n,)."""
    data = [text.encode("utf-8", "surrogatepass") for text in texts]
    for name in ("md5", "sha1", "sha256"):
        digests = [hashlib.new(name, one, usedforsecurity=False).digest() for one in data]
        whole = [int.from_bytes(digest, "big") for digest in digests]
        yield _hash(name, whole, 8 * len(digests[0]))
        # Also usual: only the first eight hexadecimal digits, or the last byte.
        yield _hash(f"the beginning of {name}", [int.from_bytes(digest[:4], "big") for digest in digests], 32)
        yield _hash(f"the last byte of {name}", [digest[-1] for digest in digests], 8)
    yield _hash("crc32", [zlib.crc32(one) for one in data], 32)
    if all(text.isascii() and text.isdigit() and len(text) < 19 for text in texts):
        yield _hash(
            "crc32 (as 64-bit numbers)", [zlib.crc32(int(text).to_bytes(8, "little")) for text in texts], 32
        )


def _hash(name: str, values: Sequence[int], bits: int) -> tuple[str, FloatArray, Codes]:
    return (
        name,
        np.array([value / 2**bits for value in values]),
        np.array([value % 300 for value in values], dtype=np.int64),
    )


def _in_sample(material: Material, rows: _TestRows, used: Rows, inside: Mask) -> Iterator[_Sign]:
    """Whether the values or the order of the sample submission follow membership."""
    sample, places = material.sample, material.sample_places
    if sample is None or places is None:
        return
    solution = material.challenge.solution
    usage = np.asarray(solution.usage)
    of_rows = _sample_rows(material, rows.side)
    if of_rows is None:
        return
    at = of_rows[used]
    member = inside[used][at >= 0]
    at = at[at >= 0]
    if min(int(member.sum()), int((~member).sum())) < _MIN_SIDE or len(usage) == 0:
        return
    if not (np.diff(at) > 0).all():
        yield from _in_order("the row order of the sample submission", at.astype(np.float64), member)
    target = Target("side", "binary", member.astype(np.float64), ("out", "in"))
    names = [name for name in sample.names if name not in solution.id_columns]
    for name, words, scores, codes in _sample_values(sample, names):
        best = association(scores[at], target)
        if codes is not None:
            best = min(best, association_of_values(codes[at], target), key=lambda strength: strength.log10p)
        yield _Sign(
            "the sample submission",
            f"{words} of column {name} of the sample submission",
            best.auc,
            best.log10p,
        )


def _sample_rows(material: Material, side: Side) -> Rows | None:
    """Of each row of a side the sample submission's row with its ids; -1 where there is none, None without ids."""
    sample = material.sample
    if sample is None or not side.ids or any(name not in sample for name in side.id_names):
        return None
    if side.name == "sample submission":
        return np.arange(len(side), dtype=np.int64)
    own = pd.Index(
        [
            ID_JOINT.join(key)
            for key in zip(*(sample.texts(name).to_pylist() for name in side.id_names), strict=True)
        ]
    )
    if not own.is_unique:
        return None
    wanted = [ID_JOINT.join(key) for key in zip(*(column.to_pylist() for column in side.ids), strict=True)]
    return np.asarray(own.get_indexer(pd.Index(wanted)), dtype=np.int64)


def _sample_values(
    sample: Frame, names: Sequence[str]
) -> Iterator[tuple[str, str, FloatArray, Codes | None]]:
    """What may be read off a sample submission's columns, row by row: values, and how they are written."""
    for name in names:
        feature = sample.feature(name)
        written = _codes(feature.texts)
        if written.max(initial=0) == 0:
            continue
        repeats = written.max() + 1 <= max(2, len(written) / 5)
        yield name, "the values", feature.scores, written if repeats else None
        lengths = np.array(
            [len(text) for text in feature.texts.dictionary_encode().dictionary.to_pylist()], dtype=np.float64
        )
        yield name, "the number of characters", lengths[written], None


def _in_columns(material: Material, inside: Mask, outside: Mask, names: tuple[str, str]) -> list[_Sign]:
    """Whether the test table's columns tell the two parts apart."""
    test = material.test
    if test is None or test.public is None or len(test) != len(inside):
        return []
    pool = _pool_of_test(material)
    assert pool.test is not None
    held = (inside | outside)[pool.test.rows]
    member = inside[pool.test.rows]
    columns = [name for name in test.frame.names if name not in pool.declared]
    whole = {name: pool.column(name) for name in columns}
    n1, n0 = _n_units(member[held], None if pool.groups is None else pool.groups[held])
    if not columns or min(n1, n0) < _MIN_SIDE:
        return []
    signs = []
    found = _apart(pool, columns, member, pool.groups, held)
    sampling = pool.sampling
    if found.is_sure and found.columns:
        name, strength = found.columns[0]
        picture = _histogram(whole[name].take(held), member[held], names)
        if strength.auc > _APART and corrected(strength.log10p, 3 * len(columns)) <= -ALARM:
            signs.append(
                _Sign(
                    f"column {name}",
                    f"column {name} alone{sampling}",
                    strength.auc,
                    corrected(strength.log10p, 3 * len(columns)),
                    picture,
                )
            )
        if found.auc > max(_APART, strength.auc + 0.02):
            signs.append(
                _Sign("column values", f"a small model of all columns{sampling}", found.auc, found.log10p)
            )
    if pool.groups is None:
        # Rows that were made up draw each value from those that are there: nothing of theirs is unique.
        alone = np.zeros(len(pool.test))
        for column in whole.values():
            counts = np.bincount(column.codes + 1, minlength=2)
            counts[0] = 2
            alone += counts[column.codes + 1] == 1
        side = Target("side", "binary", member[held].astype(np.float64), ("out", "in"))
        strength = association(alone[held], side)
        log10p = corrected(strength.log10p, _KINDS * len(columns))
        if log10p <= -BLOCK and strength.auc >= _APART:
            signs.append(
                _Sign(
                    "column values that come once",
                    f"the number of values of a row that no other row has{sampling}",
                    strength.auc,
                    log10p,
                )
            )
    return signs


def _pool_of_test(material: Material) -> Pool:
    """The pool's test rows without train."""
    pool = pool_of(material)
    assert pool.test is not None
    groups = None if pool.groups is None else pool.groups[~pool.is_train]
    return Pool(None, pool.test, pool.declared, groups, pool.folds[~pool.is_train], pool.seed)


# --- 24 -------------------------------------------------------------------------------------------


@check("sample_signal", scope="challenge", needs=("sample", "hidden"), cost="n log n", blocks=True)
def sample_signal(material: Material) -> Iterator[Found]:
    """The sample submission's values, their writing or its row order go with the hidden labels.

    effect: AUC (of a number 0.5 + |rho| / 2).
    """
    sample, places = material.sample, material.sample_places
    assert sample is not None
    if places is None or not (places >= 0).any():
        raise NotChecked("the sample submission's ids are not those of the solution")
    known = places >= 0
    targets = [
        Target(t.name, t.kind, np.where(known, t.values[np.maximum(places, 0)], np.nan), t.classes)
        for t in material.hidden_targets
    ]
    names = [name for name in sample.names if name not in material.challenge.solution.id_columns]
    values = list(_sample_values(sample, names))
    n_tests = max(1, 2 * len(values) * len(targets))
    best: dict[str, tuple[Strength, str, Target]] = {}
    for name, words, scores, codes in values:
        for target in targets:
            wanted = target
            if target.kind == "class" and name in target.classes:
                hot = np.where(np.isnan(target.values), np.nan, target.values == target.classes.index(name))
                wanted = Target(f"class {name}", "binary", hot, ("other", name))
            strength = association(scores, wanted)
            if codes is not None:
                by_code = association_of_values(codes, wanted)
                strength = by_code if by_code.log10p < strength.log10p else strength
            if name not in best or strength.log10p < best[name][0].log10p:
                best[name] = strength, words, wanted
    for name, (strength, words, target) in best.items():
        log10p = corrected(strength.log10p, n_tests)
        if log10p > -ALARM or strength.auc < AUC_FLOOR:
            continue
        yield Found(
            f"{words} of column {name} of the sample submission go with the hidden {target.name}: AUC {strength.auc:.3f}.",
            "Write one constant into every row of the sample submission.",
            effect=strength.auc,
            log10p=log10p,
            where=name,
            severity="block",
        )
    if _is_in_the_order_of_test(material):
        return
    for target in targets:
        strength = association(np.arange(len(sample), dtype=np.float64), target)
        words = "the row order of the sample submission"
        y = target.values[target.known]
        z = lag_one_z(y) if target.kind == "number" else -runs_z(y.astype(np.int64))
        if z > 0 and log10p_of_z(z) < strength.log10p:
            n = len(y)
            effect = min(1.0, 0.5 + z / math.sqrt(n) / 2)
            strength, words = (
                Strength(effect, log10p_of_z(z)),
                "blocks in the row order of the sample submission",
            )
        log10p = corrected(strength.log10p, 2 * len(targets))
        if log10p <= -ALARM and strength.auc >= AUC_FLOOR and not material.is_sequential:
            yield Found(
                f"{words} go with the hidden {target.name} (AUC {strength.auc:.3f}), and it is not the order of the test table.",
                "List the ids in the test table's order, or in a random one.",
                effect=strength.auc,
                log10p=log10p,
                where="row order",
                severity="block",
            )


def _is_in_the_order_of_test(material: Material) -> bool:
    """Then what its order tells is told of the test table."""
    test = material.test
    if test is None or not test.ids:
        return False
    at = _sample_rows(material, test)
    if at is None:
        return False
    at = at[at >= 0]
    return len(at) > 0 and bool((np.diff(at) > 0).all())

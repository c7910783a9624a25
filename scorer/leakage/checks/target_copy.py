"""Columns that are a transformed copy of the target."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from scorer.leakage.check import ALARM, BLOCK, Found, check
from scorer.leakage.frame import Codes, Mask, Rows, dense_codes
from scorer.leakage.material import Material, Side
from scorer.leakage.pool import ROWS, Column, is_drift, labelled_test, pool_of
from scorer.leakage.statistics import (
    MIN_ROWS,
    area_under_curve,
    association_of_codes,
    beyond_chance,
    corrected,
    correlation_of_known,
    log10p_of_arrangement,
    log10p_of_r,
    pearson,
)
from scorer.leakage.target import Target, in_numbers, numbers_of_classes
from scorer.reading.columns import FloatArray

_SAME = 0.995
"""|correlation| from which a column is a transformed copy of the target."""
_FORMS = 12
"""Forms of the target that are tried; p values are corrected for them and for the columns."""


@check("target_copy", scope="columns", needs=("test", "hidden"), cost="columns x n log n", blocks=True)
def target_copy(material: Material) -> Iterator[Found]:
    """A transformed copy of the target among the test columns.

    Scaled, ranked, one-hot, summed or shifted.

    effect: |correlation| with the target or its form; for classes the agreement beyond chance.
    """
    pool = pool_of(material)
    test = labelled_test(material, pool)
    names = [name for name in test.frame.names if name not in pool.declared]
    ordered = list(_orders(material))
    for target in test.targets:
        if int(target.known.sum()) < 8:
            continue
        n_tests = _FORMS * max(1, len(names))
        for name in names:
            copy = _copy_of(pool.column(name).of_test, target)
            where_in = "test"
            if copy is not None and corrected(copy.log10p, n_tests) > -BLOCK and name in pool.shared:
                both = pool.target(target.name)
                again = None if both is None else _copy_of(pool.column(name), both)
                copy, where_in = (copy, "test") if again is None else (again, "train and test")
            drift = copy is not None and is_drift(material, name, target.name)
            if copy is None:
                copy = _copy_in_order(name, target.name, ordered)
                where_in = "test"
            if copy is None:
                continue
            log10p = corrected(copy.log10p, n_tests)
            if log10p > -ALARM:
                continue
            yield Found(
                f"column {name} is {copy.form} {target.name} in the {where_in} rows: {copy.words}"
                f"{test.sampling}.{' Both follow time, so this may be a common trend.' if drift else ''}",
                f"Drop {name} from the public tables, or explain in the override how it is known before "
                "the outcome.",
                effect=copy.effect,
                log10p=log10p,
                where=name,
                severity="block" if log10p <= -BLOCK and not drift else "warn",
                picture=None
                if copy.picture is None
                else {**copy.picture, "x_title": name, "y_title": target.name},
            )


@dataclass(frozen=True, slots=True)
class _Copy:
    form: str
    """The words before the target's name, such as 'the running sum of'."""
    words: str
    effect: float
    log10p: float
    picture: Mapping[str, Any] | None = None


def _copy_of(column: Column, target: Target) -> _Copy | None:
    if target.kind != "number":
        return _copy_of_classes(column, target)
    known = target.known & ~column.missing
    n = int(known.sum())
    if n < 8 or n < 0.05 * int(target.known.sum()):
        return None
    y = target.values[known]
    if column.is_numeric:
        x = column.numbers[known]
        for form, values in (("as good as", y), ("as good as the absolute value of", np.abs(y))):
            if form != "as good as" and (y.min() >= 0 or y.max() <= 0):
                continue
            effect = _same_order_or_line(x, values)
            if effect is not None:
                words = f"|correlation| {effect:.4f} over {n:,} rows"
                points = np.linspace(0, n - 1, min(n, 300)).astype(np.int64)
                picture = {
                    "kind": "points",
                    "title": "A column that follows the target",
                    "x": x[points].tolist(),
                    "y": y[points].tolist(),
                    "text": "The points lie on one curve.",
                }
                return _Copy(form, words, effect, log10p_of_r(effect, n), picture)
    return _copy_in_bins(column.codes[known], y)


def _same_order_or_line(x: FloatArray, y: FloatArray) -> float | None:
    """Return |r| if it is above `_SAME`, else None.

    Of ranks, or of the values with and without the outer rows.
    """
    if len(np.unique(x)) < 3 or len(np.unique(y)) < 3:
        return None
    rho = abs(pearson(stats.rankdata(x), stats.rankdata(y)))
    if rho > _SAME:
        return rho
    r = abs(pearson(x, y))
    if r <= _SAME:
        return None
    # A few far outliers make any two columns look linear.
    low, high = np.quantile(y, (0.02, 0.98))
    inner = (y >= low) & (y <= high)
    return r if inner.sum() >= 8 and abs(pearson(x[inner], y[inner])) > _SAME else None


def _copy_in_bins(codes: Codes, y: FloatArray) -> _Copy | None:
    """Return a copy if few values stand for intervals.

    Such as the sign of a number or its decile.
    """
    levels, dense, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if not 2 <= len(levels) <= 50 or counts.min() < 3 or len(y) - counts.max() < 10:
        return None
    order = np.argsort([np.median(y[dense == level]) for level in range(len(levels))])
    effect = 1.0
    for low, high in itertools.pairwise(order):
        both = (dense == low) | (dense == high)
        effect = min(effect, area_under_curve(y[both], dense[both] == high)[0])
        if effect < _SAME:
            return None
    log10p = log10p_of_arrangement(counts)
    return _Copy(
        "a binning of",
        f"its {len(levels)} values are intervals of the target (each two neighbours apart with AUC "
        f"{effect:.4f})",
        effect,
        log10p,
    )


def _copy_of_classes(column: Column, target: Target) -> _Copy | None:
    known = target.known
    y = target.values[known].astype(np.int64)
    n = len(y)
    classes, dense_y = np.unique(y, return_inverse=True)
    if n < 8 or len(classes) < 2:
        return None
    missing = column.missing[known]
    dense_x, _ = dense_codes(column.codes[known])
    n_levels = int(dense_x.max()) + 1
    counts = np.bincount(dense_y)
    if 2 <= n_levels <= 2 * len(classes) + 3:
        table = np.bincount(dense_x * len(classes) + dense_y, minlength=n_levels * len(classes))
        table = table.reshape(n_levels, len(classes))
        there = beyond_chance(table.max(axis=1).sum(), counts.max(), n)
        back = beyond_chance(table.max(axis=0).sum(), table.sum(axis=1).max(), n)
        if min(there, back) >= 0.97:
            effect = min(there, back)
            log10p = _agreement_log10p(effect, counts, dense_x, target, known)
            return _Copy(
                "as good as",
                f"its values and the classes correspond in {there:.1%} of rows beyond chance",
                effect,
                log10p,
            )
        if n_levels == 2 and len(classes) > 2:
            for code in range(len(classes)):
                hot = dense_y == code
                rate = abs(float(dense_x[hot].mean()) - float(dense_x[~hot].mean()))
                # For a rare class mere frequency gives agreement: both directions must agree.
                right = max((dense_x == hot).sum(), (dense_x != hot).sum())
                sizes = np.array([hot.sum(), (~hot).sum()])
                if rate >= 0.98 and beyond_chance(right, sizes.max(), n) >= 0.97:
                    log10p = _agreement_log10p(rate, sizes, dense_x, target, known)
                    name = target.name_of(classes[code])
                    return _Copy(
                        f"an indicator of class {name} of",
                        f"agreement {rate:.4f} over {n:,} rows",
                        rate,
                        log10p,
                    )
    if column.is_numeric and not missing.all():
        held = ~missing
        x, own = column.numbers[known][held], dense_y[held]
        if len(x) < max(8, 0.05 * n) or x.min() == x.max():
            return None
        hot_counts = np.bincount(own, minlength=len(classes))
        for code in np.flatnonzero(hot_counts >= 3)[:50]:
            if code == 0 and len(classes) == 2:
                continue
            r = abs(pearson(x, (own == code).astype(np.float64)))
            if r > _SAME:
                name = target.name_of(classes[code])
                return _Copy(
                    f"an indicator of class {name} of",
                    f"|correlation| {r:.4f} over {len(x):,} rows",
                    r,
                    max(
                        log10p_of_r(r, len(x)),
                        log10p_of_arrangement(np.array([hot_counts[code], len(x) - hot_counts[code]])),
                    ),
                )
        if len(classes) > 2:
            means = np.bincount(own, weights=x, minlength=len(classes)) / np.maximum(hot_counts, 1)
            within = float(((x - means[own]) ** 2).sum())
            total = float(((x - x.mean()) ** 2).sum())
            eta = 1 - within / total
            near = np.abs(x[:, None] - means[None, :]).argmin(axis=1) if len(classes) <= 200 else own * 0
            right = beyond_chance((near == own).sum(), hot_counts.max(), len(x))
            if eta > _SAME**2 and right >= 0.97:
                log10p = log10p_of_arrangement(hot_counts)
                return _Copy(
                    "a number for each class of",
                    f"the classes make up {eta:.2%} of its variance",
                    math.sqrt(eta),
                    log10p,
                )
    return None


def _agreement_log10p(effect: float, counts: Rows, codes: Codes, target: Target, known: Mask) -> float:
    """Return log10 p of an agreement of classes.

    Few arrangements agree fully; where some rows differ, chi-squared is conservative.
    """
    if effect >= 1 - 1e-12:
        return log10p_of_arrangement(counts)
    return association_of_codes(codes, target.take(known)).log10p


def _orders(material: Material) -> Iterator[tuple[str, dict[str, FloatArray], dict[str, FloatArray]]]:
    """Yield row orders in which a sum or shift may be computed."""
    test = material.test
    if test is None or not test.targets:
        return
    yield ("in the file's order", *_columns_in_order([test], np.arange(min(len(test), ROWS))))
    train = material.train
    if train is None or not train.targets:
        return
    keys: list[tuple[str, FloatArray]] = []
    if material.time is not None and all(material.time in side.frame for side in (train, test)):
        keys.append(
            (
                f"in the order of {material.time}",
                np.concatenate([side.frame.feature(material.time).numbers for side in (train, test)]),
            )
        )
    if len(train.ids) == len(test.ids) == 1:
        ids = [_id_numbers(side.ids[0]) for side in (train, test)]
        if ids[0] is not None and ids[1] is not None and not np.intersect1d(ids[0], ids[1]).size:
            keys.append(("in the order of the ids of train and test", np.concatenate([ids[0], ids[1]])))
    for words, key in keys:
        if not np.isnan(key).any():
            yield (words, *_columns_in_order([train, test], np.argsort(key, kind="stable")[: 2 * ROWS]))


def _columns_in_order(
    sides: Sequence[Side], order: Rows
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Return numeric columns and targets over rows in an order.

    Those that all sides have; the sides follow each other.
    """
    starts = np.cumsum([0, *map(len, sides)])
    parts = [np.sort(order[(order >= a) & (order < b)]) for a, b in itertools.pairwise(starts)]
    taken = [side.take(part - start) for side, part, start in zip(sides, parts, starts[:-1], strict=True)]
    # Rows are sorted within sides now; this puts them back in order.
    back = np.searchsorted(np.concatenate(parts), order)
    columns = {}
    for name in taken[-1].frame.names:
        values = [_as_ordered(side, name) for side in taken if name in side.frame]
        known = [one for one in values if one is not None]
        if len(known) == len(taken):
            columns[name] = np.concatenate(known)[back]
    targets = {}
    for target in taken[-1].targets:
        same = [next((t for t in side.targets if t.name == target.name), None) for side in taken]
        found = [_plain(t) for t in same if t is not None]
        if len(found) == len(taken):
            targets[target.name] = np.concatenate(found)[back]
    return columns, targets


def _as_ordered(side: Side, name: str) -> FloatArray | None:
    """Return a column as numbers, or None.

    If it holds classes of the target, these are numbered as in `_plain`.
    """
    feature = side.frame.feature(name)
    if feature.is_numeric:
        return feature.numbers
    for target in side.targets:
        places = {word: code for code, word in enumerate(sorted(target.classes))}
        codes = np.array([places.get(word.strip(), -1) for word in feature.names.to_pylist()])
        if len(codes) and target.classes and (codes >= 0).sum() >= max(2, len(codes) - 1):
            return np.where(feature.missing | (codes[feature.codes] < 0), np.nan, codes[feature.codes])
    return None


def _plain(target: Target) -> FloatArray:
    """Return a target as numbers.

    Of classes their own numbers, as 0 and 1 may be coded the other way round, else the alphabet's.
    """
    if target.kind == "number":
        return target.values
    numbers = numbers_of_classes(target)
    if numbers is None:
        ordered = sorted(target.classes)
        numbers = np.array([ordered.index(name) for name in target.classes], dtype=np.float64)
    return in_numbers(target.values, numbers)


def _id_numbers(texts: pa.Array) -> FloatArray | None:
    """Return the number each id is or ends with, or None."""
    try:
        digits = pc.struct_field(pc.extract_regex(texts, r"(?P<number>\d{1,15})\D*$"), "number")
        if digits.null_count:
            return None
        return np.asarray(pc.cast(digits, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    except pa.ArrowException:
        return None


def _copy_in_order(
    name: str, target: str, orders: Sequence[tuple[str, dict[str, FloatArray], dict[str, FloatArray]]]
) -> _Copy | None:
    for words, columns, targets in orders:
        x, y = columns.get(name), targets.get(target)
        if x is None or y is None or len(x) < MIN_ROWS:
            continue
        place = np.arange(1, len(x) + 1, dtype=np.float64)
        steps = np.diff(x)
        mean_steps = np.diff(x * place)
        for form, got, want in (
            ("the running sum of", steps, y[1:]),
            ("the running sum of the rows before of", steps, y[:-1]),
            ("the running mean of", mean_steps, y[1:]),
        ):
            r, n = correlation_of_known(got, want)
            if r > _SAME:
                return _Copy(
                    form, f"its steps {words} and the target have |correlation| {r:.4f}", r, log10p_of_r(r, n)
                )
        for lag in (1, -1, 2, -2, 3, -3, 7, -7, 12, -12, 24, -24):
            a, b = (x[lag:], y[:-lag]) if lag > 0 else (x[:lag], y[-lag:])
            r, n = correlation_of_known(a, b)
            # Any shift of two smooth series correlates: their steps must correlate too.
            if r > _SAME and correlation_of_known(np.diff(a), np.diff(b))[0] > 0.98:
                side = "before" if lag > 0 else "after"
                return _Copy(
                    f"the value {abs(lag)} row{'s' * (abs(lag) > 1)} {side} of",
                    f"|correlation| {r:.4f} {words}",
                    r,
                    log10p_of_r(r, n),
                )
    return None

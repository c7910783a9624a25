"""Does a column of the tables carry the target, or say how a row came to be where it is?

Train and test are looked at together wherever both are labelled: what holds of a data set does not
hang on how it was split, so a strong but honest column is as strong in every split. Where a split is
declared to be by group, rows of one group are not taken for independent; where it is declared to be in
time, only what train tells of test counts.

`Pool` lines the two tables up; splits.py uses it too.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import special, stats

from scorer.leakage.check import ALARM, AUC_FLOOR, BLOCK, Found, NotChecked, Severity, check
from scorer.leakage.material import Codes, Feature, Mask, Material, Rows, Side, Target, joint_codes
from scorer.leakage.statistics import (
    NONE,
    Strength,
    area_under_curve,
    association,
    association_of_codes,
    corrected,
    log10p_of_z,
)
from scorer.reading.columns import FloatArray

ROWS = 30_000
"""Rows of each table that are looked at; what depends on every row of a value says so."""
MIN_ROWS = 20
"""Labelled rows below which nothing can be told."""

_SAME = 0.995
"""|correlation| from which a column is the target in other clothes."""
_STRONG = 0.985
"""AUC from which a single column is taken for a leak until somebody says otherwise. On the bundled data sets
honest columns reach .976."""
_LEADING = 0.97
"""And from which one that is far ahead of all others is warned of."""
_FORMS = 12
"""In which the target is looked for: what p values of a copy are corrected for, beside the columns."""
_FOLDS = 5
_SOFT_ALARM = 3.0
"""-log10 of the corrected p from which gaps and pairs are told of: they only warn, and show little in small tables."""
_PAIR_COLUMNS = 20
_PAIR_ROWS = 100_000
_PAIR_GAIN = 0.2


# --- 26 -------------------------------------------------------------------------------------------


@check("target_copy", scope="columns", needs=("test", "hidden"), cost="columns x n log n", blocks=True)
def target_copy(material: Material) -> Iterator[Found]:
    """The target in other clothes among the test columns: scaled, ranked, one-hot, summed up, shifted.

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
            drift = copy is not None and _is_drift(material, name, target.name)
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
                f"Drop {name} from the public tables, or explain in the override how it is known before the outcome.",
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
    """'the same as', 'the logarithm of' ... : what comes before the target's name."""
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
                    "title": "A column that goes with the target",
                    "x": x[points].tolist(),
                    "y": y[points].tolist(),
                    "text": "The points lie on one curve.",
                }
                return _Copy(form, words, effect, _log10p_of_r(effect, n), picture)
    return _copy_in_bins(column.codes[known], y)


def _same_order_or_line(x: FloatArray, y: FloatArray) -> float | None:
    """|r| of ranks, or of the values with and without the outer rows, if it is above `_SAME`."""
    if len(np.unique(x)) < 3 or len(np.unique(y)) < 3:
        return None
    rho = abs(_r(stats.rankdata(x), stats.rankdata(y)))
    if rho > _SAME:
        return rho
    r = abs(_r(x, y))
    if r <= _SAME:
        return None
    # A few far outliers make a line of anything.
    low, high = np.quantile(y, (0.02, 0.98))
    inner = (y >= low) & (y <= high)
    return r if inner.sum() >= 8 and abs(_r(x[inner], y[inner])) > _SAME else None


def _copy_in_bins(codes: Codes, y: FloatArray) -> _Copy | None:
    """Whether few values stand for intervals of a number, such as its sign or its decile."""
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
    log10p = _log10p_of_arrangement(counts)
    return _Copy(
        "a binning of",
        f"its {len(levels)} values are intervals of the target (each two neighbours apart with AUC {effect:.4f})",
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
    _, dense_x = np.unique(column.codes[known], return_inverse=True)
    n_levels = int(dense_x.max()) + 1
    counts = np.bincount(dense_y)
    if 2 <= n_levels <= 2 * len(classes) + 3:
        table = np.bincount(dense_x * len(classes) + dense_y, minlength=n_levels * len(classes))
        table = table.reshape(n_levels, len(classes))
        there = _beyond_chance(table.max(axis=1).sum(), counts.max(), n)
        back = _beyond_chance(table.max(axis=0).sum(), table.sum(axis=1).max(), n)
        if min(there, back) >= 0.97:
            effect = min(there, back)
            log10p = _agreement_log10p(effect, counts, dense_x, target, known)
            return _Copy(
                "as good as",
                f"its values and the classes go with each other in {there:.1%} of rows beyond chance",
                effect,
                log10p,
            )
        if n_levels == 2 and len(classes) > 2:
            for code in range(len(classes)):
                hot = dense_y == code
                rate = abs(float(dense_x[hot].mean()) - float(dense_x[~hot].mean()))
                # A rare class must not be named for its commonness: both directions count.
                if rate >= 0.98 and _beyond_chance(table.max(axis=1).sum() if len(classes) == 2 else max((dense_x == hot).sum(), (dense_x != hot).sum()), max(hot.sum(), (~hot).sum()), n) >= 0.97:  # fmt: skip
                    log10p = _agreement_log10p(rate, np.array([hot.sum(), (~hot).sum()]), dense_x, target, known)  # fmt: skip
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
            r = abs(_r(x, (own == code).astype(np.float64)))
            if r > _SAME:
                name = target.name_of(classes[code])
                return _Copy(
                    f"an indicator of class {name} of",
                    f"|correlation| {r:.4f} over {len(x):,} rows",
                    r,
                    max(
                        _log10p_of_r(r, len(x)),
                        _log10p_of_arrangement(np.array([hot_counts[code], len(x) - hot_counts[code]])),
                    ),
                )
        if len(classes) > 2:
            means = np.bincount(own, weights=x, minlength=len(classes)) / np.maximum(hot_counts, 1)
            within = float(((x - means[own]) ** 2).sum())
            total = float(((x - x.mean()) ** 2).sum())
            eta = 1 - within / total
            near = np.abs(x[:, None] - means[None, :]).argmin(axis=1) if len(classes) <= 200 else own * 0
            right = _beyond_chance((near == own).sum(), hot_counts.max(), len(x))
            if eta > _SAME**2 and right >= 0.97:
                log10p = _log10p_of_arrangement(hot_counts)
                return _Copy(
                    "a number for each class of",
                    f"the classes make up {eta:.2%} of its variance",
                    math.sqrt(eta),
                    log10p,
                )
    return None


def _agreement_log10p(effect: float, counts: Rows, codes: Codes, target: Target, known: Mask) -> float:
    """Of all arrangements only so many agree fully; where a few rows differ, chi-squared is on the safe side."""
    if effect >= 1 - 1e-12:
        return _log10p_of_arrangement(counts)
    return association_of_codes(codes, target.take(known)).log10p


def _beyond_chance(right: float, commonest: float, n: int) -> float:
    return (float(right) - float(commonest)) / (n - float(commonest)) if n > commonest else 0.0


def _r(x: FloatArray, y: FloatArray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return float((x * y).sum()) / scale if scale > 0 else 0.0


def _log10p_of_r(r: float, n: int) -> float:
    r = min(abs(r), 1 - 1e-12)
    t = r * math.sqrt((n - 2) / (1 - r * r))
    return float(stats.t.logsf(t, n - 2) + math.log(2)) / math.log(10)


def _log10p_of_arrangement(counts: Rows) -> float:
    """log10 of the chance that a random order puts groups of these sizes where they are, up to their names."""
    ways = special.gammaln(counts.sum() + 1) - special.gammaln(counts + 1).sum()
    return min(0.0, -(float(ways) - float(special.gammaln(len(counts) + 1))) / math.log(10))


def _orders(material: Material) -> Iterator[tuple[str, dict[str, FloatArray], dict[str, FloatArray]]]:
    """Rows one after the other in the ways a sum or a shift may have been computed: numbers by column, and targets."""
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
                np.concatenate([_numbers(side, material.time) for side in (train, test)]),
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
    """Numeric columns and targets that all sides have, over these rows of the sides one after the other."""
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
    """A column as numbers: itself, or if it holds classes of the target, these as `_plain` has them."""
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
    """A number; of classes their own numbers, for 0 and 1 may be held the other way round, else the alphabet's."""
    if target.kind == "number":
        return target.values
    numbers = _numbers_of_classes(target)
    if numbers is None:
        ordered = sorted(target.classes)
        numbers = np.array([ordered.index(name) for name in target.classes], dtype=np.float64)
    return _in_numbers(target.values, numbers)


def _numbers(side: Side, name: str) -> FloatArray:
    return side.frame.feature(name).numbers


def _id_numbers(texts: pa.Array) -> FloatArray | None:
    """The number that each id is or ends with; None if some have none."""
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
            r, n = _same(got, want)
            if r > _SAME:
                return _Copy(
                    form,
                    f"its steps {words} and the target have |correlation| {r:.4f}",
                    r,
                    _log10p_of_r(r, n),
                )
        for lag in (1, -1, 2, -2, 3, -3, 7, -7, 12, -12, 24, -24):
            a, b = (x[lag:], y[:-lag]) if lag > 0 else (x[:lag], y[-lag:])
            r, n = _same(a, b)
            # Of two smooth series any shift correlates: their steps must go together too.
            if r > _SAME and _same(np.diff(a), np.diff(b))[0] > 0.98:
                side = "before" if lag > 0 else "after"
                return _Copy(
                    f"the value {abs(lag)} row{'s' * (abs(lag) > 1)} {side} of",
                    f"|correlation| {r:.4f} {words}",
                    r,
                    _log10p_of_r(r, n),
                )
    return None


def _same(a: FloatArray, b: FloatArray) -> tuple[float, int]:
    """|r| where both are known, 0 where that says nothing, and the number of rows."""
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = a[known], b[known]
    n = len(a)
    if n < MIN_ROWS:
        return 0.0, n
    rare = min(n - _commonest(a), n - _commonest(b))
    return (abs(_r(a, b)), n) if rare >= 10 else (0.0, n)


def _commonest(values: FloatArray) -> int:
    return int(np.unique(values, return_counts=True)[1].max(initial=0))


def _is_drift(material: Material, name: str, target_name: str) -> bool:
    """In a split by time: whether a column agrees with a target in its course, but not from one row to the next.

    Two smooth series have few independent rows, so that they agree means little; a copy agrees in its steps.
    """
    test = material.test
    if not material.is_sequential or test is None or name not in test.frame:
        return False
    side = test.take(np.arange(min(len(test), ROWS)))
    target = next((t for t in side.targets if t.name == target_name), None)
    if target is None:
        return False
    order = np.arange(len(side))
    if material.time is not None and material.time in side.frame:
        order = np.argsort(_numbers(side, material.time), kind="stable")
    x, y = side.frame.feature(name).scores[order], target.values[order]
    if target.kind == "number":
        return _same(np.diff(x), np.diff(y))[0] < 0.9
    steps, changes = np.diff(x), np.diff(y)
    held = (changes != 0) & ~np.isnan(steps) & ~np.isnan(changes)
    if held.sum() < 10:
        return True
    # Of several classes the numbers are names: a step is right if it goes as it mostly does between these two.
    pairs = np.unique(np.column_stack([y[:-1], y[1:]])[held], axis=0, return_inverse=True)[1].ravel()
    up = np.bincount(pairs, weights=np.sign(steps[held]))
    return float(np.abs(up).sum() / held.sum()) < 0.9


# --- 10 and 11 ------------------------------------------------------------------------------------


@check("strong_feature", scope="columns", needs=(), cost="columns x n log n", blocks=True)
def strong_feature(material: Material) -> Iterator[Found]:
    """A single column that by itself nearly gives the target away.

    effect: AUC out of fold; of a number 0.5 + |correlation of ranks| / 2, of classes 0.5 + agreement beyond
    the commonest class / 2.
    """
    pool = pool_of(material)
    powers = _powers_of(material, pool)
    for target, found in powers.items():
        n_tests = max(1, len(found))
        ranked = sorted(found, key=lambda one: -one.best.effect)
        for one in ranked:
            log10p = corrected(one.best.log10p, n_tests)
            if log10p > -ALARM:
                continue
            others = [other for other in ranked if other is not one]
            next_best = f"{others[0].best.effect:.3f}, {others[0].name}" if others else "there is no other"
            severity, words = _verdict(
                material, target, one, log10p, [other.best.effect for other in others], n_tests
            )
            if severity is None:
                continue
            yield Found(
                f"column {one.name}: alone it orders the labels of {target} with {pool.measure(target)} "
                f"{one.best.effect:.3f} in {one.where} (next best: {next_best}){one.best.detail}{words}{pool.sampling}.",
                f"Ask how {one.name} is measured and when. If it is known only after the outcome, or made from it, drop it; if it is honest, the task is very easy.",
                effect=one.best.effect,
                log10p=log10p,
                severity=severity,
                where=one.name,
                picture={
                    "kind": "bars",
                    "title": f"What each column tells alone of {target}",
                    "x_title": "column",
                    "y_title": pool.measure(target),
                    "x": [r.name for r in ranked[:10]],
                    "y": [round(r.best.effect, 4) for r in ranked[:10]],
                    "text": f"{one.name} reaches {one.best.effect:.3f}.",
                },
            )


@dataclass(frozen=True, slots=True)
class Power:
    """What one column alone tells of a target."""

    effect: float
    """0.5 for nothing to 1 for all; see `strong_feature`."""
    error: float
    """Its standard error."""
    log10p: float
    detail: str = ""


_NOTHING = Power(0.5, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class _ColumnPower:
    name: str
    train: Power | None
    """Among train's rows; None where train lacks the column or the labels."""
    test: Power | None
    """Among the test rows."""
    carried: Power | None
    """In the test rows, as train would have it."""
    pooled: Power | None
    """In the rows of both."""

    @property
    def best(self) -> Power:
        return self.pooled or self.test or _NOTHING

    @property
    def where(self) -> str:
        return (
            "the rows of train and test"
            if self.pooled and self.train and self.test
            else "the test rows"
            if self.test
            else "the train rows"
        )


def _verdict(
    material: Material, target: str, one: _ColumnPower, log10p: float, others: Sequence[float], n_tests: int
) -> tuple[Severity | None, str]:
    best = one.best
    if one.test is not None and one.train is None and material.train is not None and material.train.targets:
        # Nobody can learn what train does not have: whatever it says of the labels is a leak.
        if best.effect >= 0.75 and log10p <= -BLOCK:
            return "block", ", and train does not have it"
        return ("warn", ", and train does not have it") if best.effect >= 0.6 else (None, "")
    if best.effect > _STRONG and log10p <= -BLOCK:
        if _is_drift(material, one.name, target):
            return "info", ", as two smooth courses in time may"
        if others and others[0] > _STRONG and one.test is not None and len(others) > 1:
            # One column that tells all is a leak; several are an easy task, as irises are, or copies, which
            # target_copy looks for.
            return "warn", ", as others do too: the task may just be easy"
        return "block", ""
    if (
        one.test is not None
        and one.train is not None
        and not material.is_sequential
        and not material.is_grouped
    ):
        gap = one.test.effect - one.train.effect
        error = math.hypot(one.test.error, one.train.error)
        if gap > max(0.08, 6 * error) and corrected(one.test.log10p, n_tests) <= -BLOCK:
            words = f"; in the test rows {one.test.effect:.3f}, in train only {one.train.effect:.3f}"
            return ("block" if one.test.effect > _STRONG else "warn"), words
    lead = best.effect - others[0] if others else 0.0
    if others and best.effect > _LEADING and lead > max(0.05, 6 * math.sqrt(2) * best.error):
        return "warn", ", far ahead of all others"
    if others and best.effect > 0.85 and lead > max(0.1, 6 * math.sqrt(2) * best.error):
        return "info", ", ahead of all others"
    return None, ""


@check("post_outcome_feature", scope="columns", needs=("train_target", "test"), cost="columns x n log n")
def post_outcome_feature(material: Material) -> Iterator[Found]:
    """A column that train knows and test does not, or not in the same way: known only after the outcome.

    effect: AUC in train (as in strong_feature).
    """
    pool = pool_of(material)
    train, test = pool.train, pool.test
    assert train is not None
    assert test is not None
    calm = material.is_sequential or material.is_grouped
    told: set[str] = set()
    for target in train.targets:
        rows = pool.independent(pool.train_target(target.name))
        for name in train.frame.names:
            if name in told or name in pool.declared:
                continue
            column = pool.column(name)
            loss = _loss_in_test(name, column, pool, len(test))
            if loss is None:
                continue
            words, is_null = loss
            power = _power(column.take(rows), pool.train_target(target.name).take(rows), pool.folds[rows])
            log10p = corrected(power.log10p, len(train.frame.names))
            tells = log10p <= -ALARM and power.effect >= AUC_FLOOR
            told.add(name)
            yield Found(
                f"column {name} {words}; in train it alone tells {target.name} with {pool.measure(target.name)} {power.effect:.3f}{pool.sampling}.",
                f"Drop {name} from train: nobody can use it, or it shows what was known only afterwards."
                if tells
                else f"Drop {name} from train, or give it in test as well.",
                effect=power.effect,
                log10p=log10p if tells else None,
                severity="info" if not tells or (calm and not is_null) else "warn",
                where=name,
            )
    for target_name, found in _powers_of(material, pool).items():
        for one in found:
            if one.train is None or one.carried is None or one.name in told:
                continue
            gap = one.train.effect - one.carried.effect
            error = math.hypot(one.train.error, one.carried.error)
            z = gap / error if error > 0 else 0.0
            # The larger of the two differences to be expected of hundreds of columns stays far below 5.
            if z <= 6 or gap <= (0.2 if calm else 0.08):
                continue
            yield Found(
                f"column {one.name} tells {target_name} with {pool.measure(target_name)} {one.train.effect:.3f} in train, "
                f"but what train tells of it reaches only {one.carried.effect:.3f} in test (z = {z:.1f}){pool.sampling}.",
                f"Find out what {one.name} means in train: it may have been filled in after the outcome. Make both tables the same way.",
                effect=one.train.effect,
                log10p=corrected(log10p_of_z(z), len(found)),
                severity="info" if calm else "warn",
                where=one.name,
            )


def _loss_in_test(name: str, column: Column, pool: Pool, n_test: int) -> tuple[str, bool] | None:
    """How a column of train is lost in test, in words, and whether wholly; None if it is not."""
    train = column.of_train
    if train.n_levels < 2 and not (0 < train.missing.mean() < 1):
        return None
    if name not in pool.shared:
        return "is in train and not in test", True
    test = column.of_test
    if test.missing.all():
        chance = n_test * math.log10(max(1e-300, float(train.missing.mean())))
        return ("is empty in every row of test", True) if chance < -BLOCK else None
    codes = test.codes
    if len(np.unique(codes)) == 1:
        share = float((train.codes == codes[0]).mean())
        chance = n_test * math.log10(share) if share > 0 else -math.inf
        if chance < -BLOCK:
            return f"has one single value in test, which {share:.1%} of train's rows have", False
    return None


_POWERS: WeakKeyDictionary[Material, dict[str, list[_ColumnPower]]] = WeakKeyDictionary()


def _powers_of(material: Material, pool: Pool) -> dict[str, list[_ColumnPower]]:
    """By target, of every column that test has, what it tells alone; computed once for a material."""
    if material not in _POWERS:
        if not any(side.targets for side in material.sides):
            raise NotChecked(material.lacking.get("hidden") or material.why_not("train_target"))
        _POWERS[material] = {target: _powers(material, pool, target) for target in pool.target_names}
        if not any(_POWERS[material].values()):
            del _POWERS[material]
            raise NotChecked(f"there are fewer than {MIN_ROWS} independent labelled rows with a column")
    return _POWERS[material]


def _powers(material: Material, pool: Pool, target_name: str) -> list[_ColumnPower]:
    target = pool.any_target(target_name)
    rows = pool.independent(target)
    on_train, on_test = rows & pool.is_train, rows & ~pool.is_train
    n_train, n_test = int(on_train.sum()), int(on_test.sum())
    found = []
    for name in pool.names:
        if name in pool.declared:
            continue
        column = pool.column(name)
        in_test = name in pool.test_names
        train = test = carried = pooled = None
        if name in pool.train_names and n_train >= MIN_ROWS:
            train = _power(column.take(on_train), target.take(on_train), pool.folds[on_train])
        if in_test and n_test >= MIN_ROWS:
            test = _power(column.take(on_test), target.take(on_test), pool.folds[on_test])
        if name in pool.shared and train is not None and test is not None:
            forward = np.where(pool.is_train, 0, 1)
            carried = _power(column.take(rows), target.take(rows), forward[rows], judged=~pool.is_train[rows])
            pooled = (
                carried
                if material.is_sequential
                else _power(column.take(rows), target.take(rows), pool.folds[rows])
            )
        elif name in pool.shared and n_train + n_test >= MIN_ROWS:
            pooled = _power(column.take(rows), target.take(rows), pool.folds[rows])
        if (in_test or pool.test is None) and (train or test or pooled):
            found.append(
                _ColumnPower(name, train, test, carried, pooled or (train if pool.test is None else None))
            )
    return found


def _power(column: Column, target: Target, folds: Rows, *, judged: Mask | None = None) -> Power:
    """What a column tells of a target in rows that its statistics were not made of.

    folds: of each row its fold; a row is judged by the rows of all other folds. judged: rows that count (all).
    """
    y = target.values
    n = len(y)
    counted = np.ones(n, dtype=np.bool_) if judged is None else judged
    if n < MIN_ROWS or counted.sum() < 8 or len(np.unique(y[counted])) < 2:
        return _NOTHING
    found = [
        _power_of_bins(bins, target, folds, counted) for bins in _bins_of(column, target, n) if bins.max() > 0
    ]
    if column.is_numeric and target.kind == "class":
        if any(power.effect > 0.8 for power in found):
            found.append(_power_of_cuts(column, target, folds, counted))
    elif column.is_numeric:
        # Bins are coarse: where order is all, the order itself says more.
        held = counted & ~column.missing
        if held.sum() >= max(MIN_ROWS, 0.9 * counted.sum()):
            strength = association(column.numbers[held], target.take(held))
            found.append(Power(strength.auc, _error(strength.auc, target.take(held)), strength.log10p))
    if column.kind == "text":
        found.append(_power_of_words(column, target, counted))
    return max(found, key=lambda power: power.effect, default=_NOTHING)


def _bins_of(column: Column, target: Target, n: int) -> Iterator[Codes]:
    """A column as few codes: its values where they repeat, and its quantiles; 0 where missing."""
    if n == 0:
        return
    n_bins = 64 if target.kind == "number" else max(16, 4 * len(target.classes))
    n_bins = int(np.clip(n // 20, 2, n_bins))
    _, dense, counts = np.unique(column.codes, return_inverse=True, return_counts=True)
    if len(counts) <= max(16, n // 20):
        # Values of few rows say little each: they are one.
        rare = counts[dense] < (5 if len(counts) > 2 else 1)
        yield np.where(column.missing, 0, np.where(rare, 1, dense + 2))
    if column.is_numeric and len(counts) > n_bins:
        known = ~column.missing
        edges = np.unique(np.quantile(column.numbers[known], np.linspace(0, 1, n_bins + 1)[1:-1]))
        bins = np.zeros(n, dtype=np.int64)
        bins[known] = 1 + np.searchsorted(edges, column.numbers[known], side="right")
        yield bins


def _power_of_bins(bins: Codes, target: Target, folds: Rows, counted: Mask) -> Power:
    _, bins = np.unique(bins, return_inverse=True)
    _, folds = np.unique(folds, return_inverse=True)
    n_bins, n_folds = int(bins.max()) + 1, int(folds.max()) + 1
    cell = folds * n_bins + bins
    sizes = np.bincount(cell, minlength=n_folds * n_bins).reshape(n_folds, n_bins)
    others = sizes.sum(axis=0) - sizes
    if target.kind == "class":
        classes, y = np.unique(target.values, return_inverse=True)
        k = len(classes)
        table = np.bincount(cell * k + y, minlength=n_folds * n_bins * k).reshape(n_folds, n_bins, k)
        outside = table.sum(axis=0) - table
        overall = outside.sum(axis=1, keepdims=True) / np.maximum(outside.sum(axis=(1, 2))[:, None, None], 1)
        guess = (outside + overall).argmax(axis=2)
        right = guess[folds, bins] == y
        right, y = right[counted], y[counted]
        n = len(y)
        base = int(np.bincount(y).max())
        if base == n:
            return _NOTHING
        share = float(right.mean())
        effect = 0.5 + max(0.0, _beyond_chance(int(right.sum()), base, n)) / 2
        error = math.sqrt(max(share * (1 - share), 1 / n) / n) / (2 * (1 - base / n))
        p = association_of_codes(bins[counted], target.take(counted)).log10p
        return Power(effect, error, p)
    values = stats.rankdata(target.values) if target.kind == "number" else target.values
    sums = np.bincount(cell, weights=values, minlength=n_folds * n_bins).reshape(n_folds, n_bins)
    outside = sums.sum(axis=0) - sums
    overall = outside.sum(axis=1, keepdims=True) / np.maximum(others.sum(axis=1, keepdims=True), 1)
    score = ((outside + overall) / (others + 1))[folds, bins][counted]
    own = target.take(counted)
    if target.kind == "binary":
        auc, z = area_under_curve(score, own.values == 1)
        return Power(max(auc, 0.5), _error(auc, own), log10p_of_z(z) if auc > 0.5 else 0.0)
    ranks = values[counted]
    spread = float(((ranks - ranks.mean()) ** 2).sum())
    explained = 1 - float(((ranks - score) ** 2).sum()) / spread if spread else 0.0
    r = math.sqrt(max(0.0, explained))
    strength = association(score, own)
    return Power(
        0.5 + r / 2, max((1 - r * r) / math.sqrt(len(ranks)) / 2, 1e-6), strength.log10p if r else 0.0
    )


def _power_of_cuts(column: Column, target: Target, folds: Rows, counted: Mask) -> Power:
    """As `_power_of_bins` for classes, with bins cut where the classes change: quantiles mix what lies close."""
    from sklearn.tree import DecisionTreeClassifier

    used = ~column.missing
    x, y = column.numbers[:, None], target.values
    guess = np.full(len(y), -1.0)
    for fold in np.unique(folds[counted]):
        train, test = used & (folds != fold), used & (folds == fold) & counted
        if not train.any() or not test.any():
            continue
        tree = DecisionTreeClassifier(
            max_leaf_nodes=4 * len(target.classes), min_samples_leaf=3, random_state=0
        )
        guess[test] = tree.fit(x[train], y[train]).predict(x[test])
    right, y = (guess == y)[counted], y[counted]
    n, base = len(y), int(np.unique(y, return_counts=True)[1].max())
    share = float(right.mean())
    if base == n:
        return _NOTHING
    effect = 0.5 + max(0.0, _beyond_chance(int(right.sum()), base, n)) / 2
    error = math.sqrt(max(share * (1 - share), 1 / n) / n) / (2 * (1 - base / n))
    return Power(effect, error, association(column.numbers[counted], target.take(counted)).log10p)


def association_of_values(codes: Codes, target: Target) -> Strength:
    """As `association_of_codes`, but the effect is out of five folds and keeps its direction.

    Where one row is left out at a time, rows of one value are ordered by their own labels, backwards; of few
    values that alone is an AUC far from .5. And where values have few rows each, the out-of-fold score is
    surer than chi-squared, which must pool them. Shape of codes (n,); rows without a label are left out.
    """
    known = target.known
    own = target.take(known)
    if len(own) < 8 or own.values.min() == own.values.max():
        return NONE
    strength = association_of_codes(codes, target)
    if target.kind == "class":
        # The class that the p value is about, against the rest.
        code = next((c for c in np.unique(own.values) if own.name_of(c) == strength.detail), own.values.max())
        own = Target(
            target.name, "binary", (own.values == code).astype(np.float64), ("other", own.name_of(code))
        )
    elif target.kind == "binary":
        own = replace(own, values=(own.values == own.values.max()).astype(np.float64))
    n = len(own)
    folds = np.random.default_rng(0).permutation(n) % _FOLDS
    power = _power_of_bins(codes[known], own, folds, np.ones(n, dtype=np.bool_))
    return Strength(power.effect, corrected(min(strength.log10p, power.log10p), 2), strength.detail)


def _error(auc: float, target: Target) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982), or half of that of a correlation."""
    n = len(target)
    if target.kind == "number":
        r = min(1.0, 2 * abs(auc - 0.5))
        return max((1 - r * r) / math.sqrt(n) / 2, 1e-6)
    n1 = int((target.values == 1).sum())
    n0 = n - n1
    if not n1 or not n0:
        return 1.0
    auc = max(auc, 1 - auc)
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = (auc * (1 - auc) + (n1 - 1) * (q1 - auc**2) + (n0 - 1) * (q2 - auc**2)) / (n1 * n0)
    return max(math.sqrt(max(variance, 0.0)), 0.25 / min(n1, n0))


_WORD = re.compile(r"\S+")
_WORD_ROWS = 5_000


def _power_of_words(column: Column, target: Target, counted: Mask) -> Power:
    """The strongest single word of a text; of classes the best against the rest, so a label's name is found."""
    if target.kind == "number":
        return _NOTHING
    rows = np.flatnonzero(counted & ~column.missing)[:_WORD_ROWS]
    if len(rows) < MIN_ROWS:
        return _NOTHING
    y = target.values[rows]
    holding: dict[str, list[int]] = {}
    for place, text in enumerate(column.texts.take(pa.array(rows)).to_pylist()):
        for word in set(_WORD.findall(text.lower()[:2000])):
            holding.setdefault(word, []).append(place)
    classes, dense = np.unique(y, return_inverse=True)
    sizes = np.bincount(dense)
    if len(classes) < 2:
        return _NOTHING
    if target.kind == "binary":
        best, chosen = 0.5, ""
        for word, places in holding.items():
            if len(places) >= 5:
                held = np.bincount(dense[places], minlength=2) / sizes
                auc = 0.5 + abs(held[1] - held[0]) / 2
                if auc > best:
                    best, chosen = float(auc), word
        n1, n0 = int(sizes[1]), int(sizes[0])
        z = (best - 0.5) * 2 * math.sqrt(n1 * n0 / (n1 + n0))
        words = f"; the word {chosen[:40]!r} does it" if chosen else ""
        return Power(best, _error(best, target.take(rows)), corrected(log10p_of_z(z), len(holding)), words)
    # A word for each class: what they tell together is what the best word of each row says.
    guess = np.full(len(rows), -1)
    sure = np.zeros(len(rows))
    for places in holding.values():
        if len(places) >= 5:
            counts = np.bincount(dense[places], minlength=len(classes))
            code = int(counts.argmax())
            purity = counts[code] / len(places) * counts[code] / sizes[code]
            stronger = np.array(places)[sure[places] < purity]
            guess[stronger], sure[stronger] = code, purity
    right = int((guess == dense).sum())
    effect = 0.5 + max(0.0, _beyond_chance(right, int(sizes.max()), len(rows))) / 2
    # Chosen among all words of the same rows: only near certainty means anything.
    if effect < _LEADING:
        return _NOTHING
    return Power(effect, 0.01, _log10p_of_arrangement(sizes), "; single words do it")


# --- 12 -------------------------------------------------------------------------------------------


@check("pair_key", scope="columns", needs=("train_target", "test"), cost="pairs of columns x n log n")
def pair_key(material: Material) -> Iterator[Found]:
    """Two columns that together name the same thing in train and test, and so carry its label over.

    effect: gain in agreement beyond chance (of a number in explained variance of ranks), from knowing the pair.
    """
    pool = pool_of(material)
    train, test = material.train, material.test
    assert train is not None
    assert test is not None
    if len(train) < 50:
        raise NotChecked(f"train has only {len(train)} rows, too few for pairs of values to come again")
    names = _keys(pool)
    train, test = train.sampled(_PAIR_ROWS, seed=material.seed), test.sampled(_PAIR_ROWS, seed=material.seed)
    codes: dict[str, tuple[Codes, Codes]] = {}
    for name in names:
        own, other = joint_codes(train.frame.feature(name), test.frame.feature(name))
        codes[name] = own + 1, other + 1
    for target in train.targets:
        known = target.known
        y = _classes_or_ranks(target.take(known), target.kind)
        if y is None:
            continue
        alone = {name: _left_out(codes[name][0][known], y) for name in names}
        n_pairs = max(1, len(names) * (len(names) - 1) // 2)
        gains: list[tuple[float, float, str, str, Codes, FloatArray]] = []
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                pair, test_pair = _paired(codes[a], codes[b])
                pair = pair[known]
                sizes = np.bincount(pair)
                again = sizes[pair] >= 2
                if len(sizes) <= len(pair) / 20 or again.sum() < max(50, 0.2 * len(pair)):
                    continue
                seen = np.zeros(max(len(sizes), int(test_pair.max(initial=0)) + 1), dtype=np.bool_)
                seen[pair] = True
                overlap = float(seen[test_pair].mean())
                if overlap < 0.2:
                    continue
                skill = _skill(_left_out(pair, y)[again], y[again])
                before = max(_skill(alone[name][again], y[again]) for name in (a, b))
                if skill - max(0.0, before) > _PAIR_GAIN:
                    gains.append((skill - max(0.0, before), overlap, a, b, pair, np.array([skill, before])))
        gains.sort(key=lambda one: -one[0])
        for gain, overlap, a, b, pair, (skill, before) in gains[:3]:
            # A place on a map is a pair too: where neighbours tell as much, it is no key.
            rows, guess = _model_of_two(train, (a, b), known, y, material.seed)
            rows_again = np.bincount(pair)[pair[rows]] >= 2
            guess, rows = guess[rows_again], rows[rows_again]
            smooth = _skill(guess, y[rows])
            better = _losses(guess, y[rows]) - _losses(_left_out(pair, y)[rows], y[rows])
            # The rows of a key stand and fall together: keys are what is counted.
            _, dense = np.unique(pair[rows], return_inverse=True)
            each = np.bincount(dense, weights=better) / np.bincount(dense)
            spread = float(each.std())
            z = float(each.mean()) / spread * math.sqrt(len(each)) if spread > 0 else 0.0
            log10p = corrected(log10p_of_z(z), n_pairs) if z > 0 else 0.0
            if skill - smooth <= _PAIR_GAIN / 2 or log10p > -_SOFT_ALARM:
                continue
            yield Found(
                f"columns {a} and {b}: rows of train that share both tell each other's {target.name} with {skill:.2f} of what can be "
                f"told beyond chance (the columns alone {max(0.0, before):.2f}, a model of the two {max(0.0, smooth):.2f}), "
                f"and {overlap:.0%} of test rows share both with a train row{train.sampling}.",
                f"If {a} and {b} name one thing (a user, a place, an order), split by it (split: group) or coarsen one of them.",
                effect=gain,
                log10p=log10p,
                where=f"{a}, {b}",
                severity="warn",
            )


def _keys(pool: Pool) -> list[str]:
    """Columns whose values come again, those of most values first."""
    found = []
    for name in pool.shared:
        train = pool.column(name).of_train
        held = int((~train.missing).sum())
        if name not in pool.declared and 2 <= train.n_levels <= 0.9 * held:
            found.append((train.n_levels, name))
    return [name for _, name in sorted(found, reverse=True)[:_PAIR_COLUMNS]]


def _paired(a: tuple[Codes, Codes], b: tuple[Codes, Codes]) -> tuple[Codes, Codes]:
    """Two columns' codes as one dense code, in train and in test."""
    width = 1 + max(int(b[0].max(initial=0)), int(b[1].max(initial=0)))
    n = len(a[0])
    joined = np.concatenate([a[0] * width + b[0], a[1] * width + b[1]])
    values, dense = np.unique(joined[:n], return_inverse=True)
    places = np.minimum(np.searchsorted(values, joined[n:]), len(values) - 1)
    return dense, np.where(values[places] == joined[n:], places, len(values))


def _classes_or_ranks(target: Target, kind: str) -> FloatArray | None:
    """Shape (n, classes) of 0 and 1, at most the 30 commonest; or (n, 1) of ranks. None if all are equal."""
    y = target.values
    if len(y) < MIN_ROWS or y.min() == y.max():
        return None
    if kind == "number":
        return stats.rankdata(y)[:, None] / len(y)
    codes, counts = np.unique(y, return_counts=True)
    return np.column_stack([y == code for code in codes[np.argsort(-counts)][:30]]).astype(np.float64)


def _left_out(codes: Codes, y: FloatArray) -> FloatArray:
    """Of each row the mean of the other rows with its code, drawn slightly towards the overall mean; shape of y."""
    counts = np.bincount(codes)[codes][:, None]
    sums = np.column_stack([np.bincount(codes, weights=column)[codes] for column in y.T])
    return np.asarray((sums - y + 0.1 * y.mean(axis=0)) / (counts - 1 + 0.1))


def _skill(guess: FloatArray, y: FloatArray) -> float:
    """Agreement beyond the commonest class, or explained variance."""
    if len(y) < 8:
        return 0.0
    if y.shape[1] == 1:
        spread = float(((y - y.mean()) ** 2).sum())
        return 1 - float(((y - guess) ** 2).sum()) / spread if spread else 0.0
    right = int((guess.argmax(axis=1) == y.argmax(axis=1)).sum())
    return _beyond_chance(right, float(y.sum(axis=0).max()), len(y))


def _losses(guess: FloatArray, y: FloatArray) -> FloatArray:
    """Of each row: whether the class is wrong, or the squared error."""
    if y.shape[1] == 1:
        return np.asarray((guess[:, 0] - y[:, 0]) ** 2, dtype=np.float64)
    return np.asarray(guess.argmax(axis=1) != y.argmax(axis=1), dtype=np.float64)


def _model_of_two(
    side: Side, names: Sequence[str], known: Mask, y: FloatArray, seed: int
) -> tuple[Rows, FloatArray]:
    """What a small model says from two columns, out of fold: at most 20,000 places in `y`, and guesses like it."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.model_selection import KFold

    rows = np.arange(len(y))
    if len(rows) > 20_000:
        rows = np.sort(np.random.default_rng(seed).choice(rows, 20_000, replace=False))
    x = np.column_stack([side.frame.feature(name).scores[known][rows] for name in names])
    wanted = y[rows]
    guess = np.zeros_like(wanted)
    for train, test in KFold(3, shuffle=True, random_state=seed).split(x):
        settings = {
            "max_iter": 50,
            "max_depth": 4,
            "early_stopping": False,
            "random_state": seed,
            "min_samples_leaf": max(3, min(10, len(train) // 20)),
        }
        if wanted.shape[1] == 1:
            model = HistGradientBoostingRegressor(**settings).fit(x[train], wanted[train, 0])
            guess[test, 0] = model.predict(x[test])
            continue
        codes = wanted.argmax(axis=1)
        if len(np.unique(codes[train])) < 2:
            continue
        model = HistGradientBoostingClassifier(**settings).fit(x[train], codes[train])
        guess[np.ix_(test, model.classes_)] = model.predict_proba(x[test])
    return rows, guess


# --- 13, 14 and 15 --------------------------------------------------------------------------------


@check("missingness_signal", scope="columns", needs=(), cost="columns x n log n")
def missingness_signal(material: Material) -> Iterator[Found]:
    """Whether a value is missing goes with the target: by column, by number in a row, by pattern.

    effect: odds ratio of a class where the value is missing; of a number, AUC of the target for being missing.
    """
    pool = pool_of(material)
    if not pool.target_names:
        raise NotChecked(material.lacking.get("hidden") or material.why_not("train_target"))
    holes = {
        name: pool.column(name).missing & pool.has(name) for name in pool.names if name not in pool.declared
    }
    holes = {
        name: missing
        for name, missing in holes.items()
        if missing.any() and not missing[pool.has(name)].all()
    }
    if not holes:
        return
    for target_name in pool.target_names:
        target = pool.any_target(target_name)
        rows = pool.independent(target, tightly=False)
        if rows.sum() < MIN_ROWS:
            raise NotChecked(f"there are fewer than {MIN_ROWS} independent labelled rows")
        n_tests = len(holes) + 2
        told = False
        for name, missing in holes.items():
            own = rows & pool.has(name)
            best = max(
                (_hole(missing[part], target.take(part)) for part in _parts(material, pool, own)),
                key=lambda hole: -hole.log10p,
            )
            log10p = corrected(best.log10p, 2 * n_tests if material.is_sequential else n_tests)
            if log10p > -_SOFT_ALARM or not best.is_strong:
                continue
            told = True
            yield Found(
                f"column {name} is missing in {missing[own].mean():.1%} of rows, and that goes with {target_name}: {best.words}{pool.sampling}.",
                f"If {name} is missing because of how the rows were collected (two sources joined, a form filled in afterwards), fill it alike or drop it; if the gap itself is honest knowledge, leave it.",
                effect=best.effect,
                log10p=log10p,
                severity="warn",
                where=name,
                picture={
                    "kind": "bars",
                    "title": f"Share of rows without {name}",
                    "x_title": target_name,
                    "y_title": "share missing",
                    **_missing_by_target(missing[own], target.take(own)),
                },
            )
        if told or len(holes) < 2:
            continue
        matrix = np.column_stack([missing[rows] for missing in holes.values()])
        counts = matrix.sum(axis=1).astype(np.float64)
        own_target = target.take(rows)
        by_number = association(counts, own_target)
        by_pattern = association_of_values(_pattern(matrix), own_target)
        for strength, words in (
            (by_number, "the number of missing values in a row"),
            (by_pattern, "which values of a row are missing together"),
        ):
            log10p = corrected(strength.log10p, n_tests)
            if log10p <= -_SOFT_ALARM and strength.auc >= AUC_FLOOR:
                yield Found(
                    f"{words} goes with {target_name}: AUC {strength.auc:.3f}{pool.sampling}.",
                    "Look at how rows of different labels came to be: two sources joined leave such traces.",
                    effect=strength.auc,
                    log10p=log10p,
                    severity="warn",
                )
                break


@dataclass(frozen=True, slots=True)
class _Hole:
    log10p: float
    effect: float
    is_strong: bool
    words: str


def _hole(missing: Mask, target: Target) -> _Hole:
    """How being missing goes with a target; exact for classes, by ranks for numbers."""
    n, m = len(missing), int(missing.sum())
    none = _Hole(0.0, 1.0, False, "")
    if m < 3 or n - m < 3:
        return none
    if target.kind == "number":
        if m < 8 or n - m < 8:
            return none
        auc, z = area_under_curve(target.values, missing)
        words = f"the target is larger where it is missing with probability {auc:.2f}"
        return _Hole(log10p_of_z(z), max(auc, 1 - auc), max(auc, 1 - auc) >= 0.57, words)
    best = none
    for name, hot in target.hot:
        both, positives = int((missing & hot).sum()), int(hot.sum())
        if not 0 < positives < n:
            continue
        log10p = corrected(_log10p_of_fisher(both, m, positives, n), max(1, len(target.classes) - 1))
        if log10p < best.log10p:
            odds = (
                (both + 0.5)
                * (n - m - positives + both + 0.5)
                / ((m - both + 0.5) * (positives - both + 0.5))
            )
            odds = max(odds, 1 / odds)
            words = f"class {name} is {both / m:.1%} where it is missing and {(positives - both) / (n - m):.1%} elsewhere"
            best = _Hole(log10p, odds, odds > 1.5, words)
    return best


def _log10p_of_fisher(both: int, missing: int, positives: int, n: int) -> float:
    """Twice the smaller tail of the hypergeometric distribution."""
    law = stats.hypergeom(n, positives, missing)
    tail = min(float(law.logsf(both - 1)), float(law.logcdf(both)))
    if math.isinf(tail) or math.isnan(tail):
        expected = missing * positives / n
        variance = expected * (1 - positives / n) * (n - missing) / max(1, n - 1)
        return log10p_of_z((both - expected) / math.sqrt(variance)) if variance > 0 else 0.0
    return min(0.0, (tail + math.log(2)) / math.log(10))


def _parts(material: Material, pool: Pool, rows: Mask) -> list[Mask]:
    """Train and test rows apart where they may differ by intent, else together."""
    if not material.is_sequential:
        return [rows]
    return [rows & pool.is_train, rows & ~pool.is_train]


def _missing_by_target(missing: Mask, target: Target) -> dict[str, Any]:
    if target.kind == "number":
        edges = np.unique(np.quantile(target.values, np.linspace(0, 1, 11)))
        bins = np.clip(np.searchsorted(edges, target.values, side="right") - 1, 0, max(0, len(edges) - 2))
        names = [f"{edges[code]:.4g}" for code in np.unique(bins)]
    else:
        codes, bins = np.unique(target.values, return_inverse=True)
        names = [target.name_of(code) for code in codes]
    _, bins = np.unique(bins, return_inverse=True)
    shares = np.bincount(bins, weights=missing) / np.bincount(bins)
    return {
        "x": names[:30],
        "y": np.round(shares, 4).tolist()[:30],
        "text": f"The share runs from {shares.min():.1%} to {shares.max():.1%}.",
    }


def _pattern(matrix: Mask) -> Codes:
    """Rows of a matrix of flags as codes, equal rows alike; the first 500 columns are enough to tell them apart."""
    weights = np.random.default_rng(0).random(min(500, matrix.shape[1]))
    return np.asarray(np.unique(matrix[:, : len(weights)] @ weights, return_inverse=True)[1])


@check("missingness_shift", scope="columns", needs=("train", "test"), cost="columns x n")
def missingness_shift(material: Material) -> Iterator[Found]:
    """Values are missing more often in train than in test, or the other way round.

    effect: difference of the shares.
    """
    pool = pool_of(material)
    for name in pool.shared:
        if name in pool.declared:
            continue
        column = pool.column(name)
        missing = column.missing.astype(np.float64)
        weights, sides = pool.by_group(missing)
        n1, n0 = int(sides.sum()), int((~sides).sum())
        a, b = float(missing[pool.is_train].mean()), float(missing[~pool.is_train].mean())
        if min(n1, n0) < 8 or abs(a - b) <= 0.05:
            continue
        if pool.groups is None:
            both, total = int(missing[pool.is_train].sum()), int(missing.sum())
            log10p = _log10p_of_fisher(both, total, n1, n1 + n0)
        else:
            log10p = log10p_of_z(area_under_curve(weights, sides)[1])
        log10p = corrected(log10p, len(pool.shared))
        if log10p > -ALARM:
            continue
        is_meant = material.is_sequential
        yield Found(
            f"column {name} is missing in {a:.1%} of train rows and {b:.1%} of test rows{pool.sampling}."
            f"{' The split is by time, which may explain it.' if is_meant else ''}",
            "Prepare both tables by the same steps; a gap that only one side has tells where a row is from.",
            effect=abs(a - b),
            log10p=log10p,
            severity="info" if is_meant else "warn",
            where=name,
            picture={
                "kind": "bars",
                "title": f"Share of rows without {name}",
                "x_title": "table",
                "y_title": "share missing",
                "x": ["train", "test"],
                "y": [round(a, 4), round(b, 4)],
                "text": f"{a:.1%} in train, {b:.1%} in test.",
            },
        )


@check("number_format", scope="columns", needs=(), cost="columns x n log n")
def number_format(material: Material) -> Iterator[Found]:
    """How values are written (decimals, zeros, case, blanks) goes with the target, beyond what they say.

    effect: AUC of the way of writing for the target, among rows of about the same value.
    """
    pool = pool_of(material)
    if not pool.target_names:
        raise NotChecked(material.lacking.get("hidden") or material.why_not("train_target"))
    for target_name in pool.target_names:
        target = pool.any_target(target_name)
        rows = pool.independent(target, tightly=False)
        if rows.sum() < MIN_ROWS:
            raise NotChecked(f"there are fewer than {MIN_ROWS} independent labelled rows")
        for name in pool.names:
            own = rows & pool.has(name)
            if name in pool.declared or own.sum() < MIN_ROWS:
                continue
            column = pool.column(name).take(own)
            best = NONE
            for way, strata in _ways(column):
                for kind, values in way.items():
                    found = _within(values, strata, target.take(own))
                    if found.log10p < best.log10p:
                        best = replace(found, detail=kind)
            log10p = corrected(best.log10p, 10 * len(pool.names))
            if log10p > -BLOCK or best.auc < 0.58:
                continue
            yield Found(
                f"column {name}: {best.detail} goes with {target_name} among rows of about the same value (AUC {best.auc:.3f}){pool.sampling}.",
                f"Write {name} in one way in all rows: round to the same decimals, strip blanks, use one case. Different ways often mean different sources.",
                effect=best.auc,
                log10p=log10p,
                severity="warn",
                where=name,
            )


def _ways(column: Column) -> Iterator[tuple[dict[str, FloatArray], Codes]]:
    """How each cell is written, and which rows are comparable: of about the same value."""
    distinct = column.written_names
    codes = column.written
    if (
        len(distinct) > 0
        and column.missing.any()
        and len({distinct[c] for c in np.unique(codes[column.missing])}) > 1
    ):
        yield {"the word for nothing": codes.astype(np.float64)}, np.where(column.missing, 0, -1)
    if column.is_numeric:
        yield (
            {
                kind: np.array([way(text) for text in distinct], dtype=np.float64)[codes]
                for kind, way in _OF_NUMBERS.items()
            },
            _strata(column),
        )
        return
    styles = {
        kind: np.array([way(text) for text in distinct], dtype=np.float64)[codes]
        for kind, way in _OF_WORDS.items()
    }
    folded: dict[str, int] = {}
    same = np.array(
        [
            folded.setdefault(" ".join(unicodedata.normalize("NFKC", t).casefold().split()), len(folded))
            for t in distinct
        ]
    )
    if column.kind == "text":
        styles = {kind: values for kind, values in styles.items() if kind != "case"}
        yield styles, np.where(column.missing, -1, 0)
    else:
        yield styles, np.where(column.missing, -1, same[codes])


def _decimals(text: str) -> float:
    mantissa = text.strip().lower().partition("e")[0]
    return float(len(mantissa.partition(".")[2]))


def _trailing_zeros(text: str) -> float:
    places = text.strip().lower().partition("e")[0].partition(".")[2]
    return float(len(places) - len(places.rstrip("0")))


_OF_NUMBERS: dict[str, Callable[[str], float]] = {
    "the number of decimals": _decimals,
    "the number of zeros at the end": _trailing_zeros,
    "writing with an exponent, a sign or zeros in front": lambda text: float(
        "e" in text.lower() or text.strip()[:1] == "+" or bool(re.match(r"-?0\d", text.strip()))
    ),
    "blanks around the value": lambda text: float(text != text.strip()),
}
_OF_WORDS: dict[str, Callable[[str], float]] = {
    "blanks around or inside the value": lambda text: float(text != " ".join(text.split())),
    "case": lambda text: float(text.isupper()) - float(text.islower()),
    "the encoding of letters": lambda text: float(
        unicodedata.normalize("NFC", text) != text or "\ufffd" in text or "Ã" in text
    ),
}


def _strata(column: Column) -> Codes:
    """Rows of about the same value and of the same digits before the point; -1 where missing.

    Instruments of so many significant digits change their decimals at powers of ten, and what is
    large there may be honestly so: rows are only compared on one side of such a step.
    """
    known = ~column.missing
    strata = np.full(len(known), -1, dtype=np.int64)
    x = column.numbers[known]
    if not len(x):
        return strata
    decade = np.floor(np.log10(np.maximum(np.abs(x), 1e-12))) + 13
    key = decade * np.where(x < 0, -1, 1)
    order = np.lexsort((x, key))
    fine = np.empty(len(x), dtype=np.int64)
    fine[order] = np.arange(len(x)) // 30
    _, strata[known] = np.unique(np.column_stack([key, fine]), axis=0, return_inverse=True)
    return strata


def _within(values: FloatArray, strata: Codes, target: Target) -> Strength:
    """Whether something goes with a target inside strata; the exact mean and variance of all orders within them."""
    used = strata >= 0
    values, y, strata = values[used], target.values[used], strata[used]
    if len(y) < MIN_ROWS or values.min() == values.max():
        return NONE
    raw = values
    _, strata = np.unique(strata, return_inverse=True)
    sizes = np.bincount(strata)
    values = values - (np.bincount(strata, weights=values) / sizes)[strata]
    squares = np.bincount(strata, weights=values**2)
    moving = squares[strata] > 1e-12
    # Of fewer than ten rows that are written otherwise no sum is near normal.
    if not moving.any() or moving.sum() - _commonest(raw[moving]) < 10:
        return NONE
    if target.kind == "number":
        levels = [("", stats.rankdata(y))]
    else:
        levels = [(target.name_of(c), (y == c).astype(np.float64)) for c in np.unique(y)]
        levels = levels[1:] if len(levels) == 2 else levels
    best = NONE
    for name, wanted in levels:
        wanted = wanted - (np.bincount(strata, weights=wanted) / sizes)[strata]
        own = np.bincount(strata, weights=wanted**2)
        variance = float((squares * own / np.maximum(sizes - 1, 1)).sum())
        if variance <= 0:
            continue
        z = float((values * wanted).sum()) / math.sqrt(variance)
        if target.kind == "number":
            auc = 0.5 + abs(_r(values[moving], wanted[moving])) / 2
        else:
            hot = (
                y
                == (
                    np.unique(y)[-1] if len(levels) == 1 else np.unique(y)[[n for n, _ in levels].index(name)]
                )
            )[moving]
            auc = area_under_curve(values[moving], hot)[0]
        log10p = corrected(log10p_of_z(z), len(levels))
        if log10p < best.log10p:
            best = Strength(max(auc, 1 - auc), log10p, name)
    return best


# --- 27 -------------------------------------------------------------------------------------------

_ENCODED = 30
"""Columns that may have been replaced by a mean of the target."""
_LOOKED_AT = 2_000
"""Rows at which a suspected mean is compared; the mean itself is of all rows."""


@check(
    "target_encoding",
    scope="columns",
    needs=("train_target", "test", "hidden"),
    cost="categories x numbers x n",
    blocks=True,
)
def target_encoding(material: Material) -> Iterator[Found]:
    """A number that is the mean of the target over the rows of a category, hidden labels included.

    effect: share of rows in which it is just that, or the correlation over the categories.
    """
    pool = pool_of(material)
    labelled_test(material, pool)
    train, test = material.train, material.test
    assert train is not None
    assert test is not None
    rows = np.sort(np.random.default_rng(material.seed).permutation(pool.n)[:_LOOKED_AT])
    places = pool.rows_in_files[rows]
    in_train = pool.is_train[rows]
    places = np.where(in_train, places, places + len(train))
    keys = _categories(pool)
    numbers = {
        name: number for name in pool.test_names if (number := _Number.of(pool, name, rows)) is not None
    }
    told: set[str] = set()
    for target in test.targets:
        own = next((t for t in train.targets if t.name == target.name), None)
        if own is None:
            continue
        y = np.concatenate([own.values, target.values])
        for key in keys:
            a, b = joint_codes(train.frame.feature(key), test.frame.feature(key))
            codes = np.concatenate([a, b]) + 1
            for words, values in _levels_of_target(y, target):
                means = _Means.of(codes, values, len(train), places)
                for name, number in numbers.items():
                    if name == key or name in told:
                        continue
                    encoded = _encoding(number, means)
                    if encoded is None:
                        continue
                    told.add(name)
                    form, effect, leaks = encoded
                    yield Found(
                        f"column {name} is {form} of {words} over the rows of each {key}"
                        + (
                            ", hidden labels included."
                            if leaks
                            else ", in train only: each row's own label is in it."
                        ),
                        f"Compute {name} from train's labels alone, out of fold; or leave it out, whoever wants it can make it.",
                        effect=effect,
                        severity="block" if leaks else "info",
                        where=name,
                    )


def _categories(pool: Pool) -> list[str]:
    found = []
    for name in pool.shared:
        column = pool.column(name)
        n_levels = column.n_levels
        if 2 <= n_levels <= min(pool.n / 2, 20_000) and (column.kind != "number" or n_levels <= pool.n / 5):
            # Words first, then whole numbers: a measurement is rarely what a mean was taken over.
            found.append((column.is_numeric, n_levels, name))
    return [name for _, _, name in sorted(found)[:_ENCODED]]


def _levels_of_target(y: FloatArray, target: Target) -> Iterator[tuple[str, FloatArray]]:
    """What a mean may have been taken of: a number, or each class, or classes that are numbers."""
    if target.kind == "number":
        yield target.name, y
        return
    for code in range(min(10, len(target.classes))):
        yield f"class {target.name_of(code)} of {target.name}", np.where(np.isnan(y), np.nan, y == code)
    numbers = _numbers_of_classes(target)
    if numbers is not None and not np.isin(numbers, (0.0, 1.0)).all():
        yield target.name, _in_numbers(y, numbers)


def _numbers_of_classes(target: Target) -> FloatArray | None:
    try:
        return np.array([float(name) for name in target.classes]) if target.classes else None
    except ValueError:
        return None


def _in_numbers(codes: FloatArray, numbers: FloatArray) -> FloatArray:
    inside = ~np.isnan(codes) & (codes < len(numbers))
    return np.where(inside, numbers[np.where(inside, codes, 0).astype(np.int64)], np.nan)


@dataclass(frozen=True, eq=False)
class _Means:
    """Means of a target over the values of a category, at the rows that are looked at."""

    codes: Codes
    everywhere: FloatArray
    of_test: FloatArray
    of_train: FloatArray
    without_own: FloatArray
    """Over all rows but the own."""
    sums: FloatArray
    counts: FloatArray
    overall: float

    @classmethod
    def of(cls, codes: Codes, y: FloatArray, n_train: int, places: Rows) -> _Means:
        known = ~np.isnan(y)
        train = np.arange(len(y)) < n_train
        k = int(codes.max()) + 1

        def total(rows: Mask) -> tuple[FloatArray, FloatArray]:
            sums = np.bincount(codes[rows], weights=y[rows], minlength=k).astype(np.float64)
            return sums, np.bincount(codes[rows], minlength=k).astype(np.float64)

        at = codes[places]
        sums, counts = total(known)
        test_sums, test_counts = total(known & ~train)
        own, held = np.nan_to_num(y[places]), known[places]
        return cls(
            at,
            (sums / counts)[at],
            (test_sums / test_counts)[at],
            ((sums - test_sums) / (counts - test_counts))[at],
            np.where(held, (sums[at] - own) / (counts[at] - 1), np.nan),
            sums[at],
            counts[at],
            float(y[known].mean()),
        )


@dataclass(frozen=True, eq=False)
class _Number:
    """A numeric column at the rows that are looked at."""

    x: FloatArray
    used: Mask
    """Which of the rows `x` is of."""
    tolerance: float
    """Half a unit of the last decimal written."""

    @classmethod
    def of(cls, pool: Pool, name: str, rows: Rows) -> _Number | None:
        column = pool.column(name)
        if not column.is_numeric:
            return None
        used = pool.has(name)[rows] & ~column.missing[rows]
        x = column.numbers[rows][used]
        if len(x) < MIN_ROWS or x.min() == x.max():
            return None
        written = np.unique(column.written[rows][used][:200])
        decimals = max(_decimals(column.written_names[code]) for code in written)
        return cls(x, used, max(0.51 * 10.0 ** -min(decimals, 12.0), 1e-9 * float(np.abs(x).max())))


def _encoding(number: _Number, means: _Means) -> tuple[str, float, bool] | None:
    """Which mean a column is, the share of rows in which it is, and whether that takes hidden labels."""
    x, used, tolerance = number.x, number.used, number.tolerance
    forms = {
        "the mean, in train only,": means.of_train,
        "the mean": means.everywhere,
        "the mean in the test rows": means.of_test,
        "the mean without the own row": means.without_own,
    }
    shares = {form: _fits(x, values[used], tolerance) for form, values in forms.items()}
    in_train = shares.pop("the mean, in train only,")
    form = max(shares, key=lambda one: shares[one])
    if shares[form] > in_train:
        return form, shares[form], True
    if in_train:
        return "the mean", in_train, False
    codes = means.codes[used]
    first = np.full(int(codes.max()) + 1, np.nan)
    first[codes[::-1]] = x[::-1]
    if np.abs(x - first[codes]).max() > tolerance:
        return None
    # One value for each category, but scaled, drawn to the overall mean, or its odds.
    places = np.unique(codes, return_index=True)[1]
    x = x[places]
    everywhere, train = means.everywhere[used][places], means.of_train[used][places]
    sums, counts = means.sums[used][places], means.counts[used][places]
    both = np.isfinite(everywhere) & np.isfinite(train)
    if both.sum() < 8 or np.abs(everywhere - train)[both].max() < 1e-9:
        return None
    x, everywhere, train, sums, counts = x[both], everywhere[both], train[both], sums[both], counts[both]
    pull = means.overall - x
    weight = float(((x * counts - sums) * pull).sum() / max((pull * pull).sum(), 1e-300))
    if weight > 0:
        share = _fits(x, (sums + weight * means.overall) / (counts + weight), 2 * tolerance)
        if share > 0.98:
            return "the mean, drawn to the overall mean,", share, True
    for measure in (_r, lambda a, b: _r(stats.rankdata(a), stats.rankdata(b))):
        with_test, without = abs(measure(x, everywhere)), abs(measure(x, train))
        if with_test > 0.999 and 1 - with_test < 0.3 * (1 - without):
            return (
                f"a function (|correlation| {with_test:.5f}, with train alone {without:.5f}) of the mean",
                with_test,
                True,
            )
        if without > 0.9999 and 1 - without < 0.3 * (1 - with_test):
            return "a function of the mean", without, False
    return None


def _fits(x: FloatArray, values: FloatArray, tolerance: float) -> float:
    """Share of rows in which two columns agree; 0 where that could be chance."""
    known = np.isfinite(values)
    if known.sum() < 0.5 * len(x):
        return 0.0
    x, values = x[known], values[known]
    if (np.abs(x[:50] - values[:50]) <= tolerance).sum() < 0.8 * len(x[:50]):
        return 0.0
    spread = float(values.max() - values.min())
    if spread <= 20 * tolerance:
        return 0.0
    agree = np.abs(x - values) <= tolerance
    share = float(agree.mean())
    if share <= 0.98:
        return 0.0
    telling = len(np.unique(np.round(values[agree] / (4 * tolerance))))
    return share if telling * math.log10(spread / (2 * tolerance)) >= BLOCK else 0.0


# --- the two tables as one ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column over the rows of train and then of test; missing in rows of a table that lacks it."""

    name: str
    kind: str
    """As of material.Feature, of both tables together."""
    numbers: FloatArray
    """nan where missing, and everywhere for words."""
    codes: Codes
    """Of the distinct values in their order, the alphabet's for words; -1 where missing."""
    missing: Mask
    written: Codes
    """Of the cells as written, into `written_names`."""
    written_names: Sequence[str]
    in_train: Mask

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("number", "time")

    @property
    def n_levels(self) -> int:
        return len(np.unique(self.codes[self.codes >= 0]))

    @property
    def texts(self) -> pa.Array:
        return pa.array([self.written_names[code] for code in self.written], pa.string())

    @property
    def of_train(self) -> Column:
        return self.take(self.in_train)

    @property
    def of_test(self) -> Column:
        return self.take(~self.in_train)

    def take(self, rows: Mask | Rows) -> Column:
        return replace(
            self,
            numbers=self.numbers[rows],
            codes=self.codes[rows],
            missing=self.missing[rows],
            written=self.written[rows],
            in_train=self.in_train[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Train and test, at most `ROWS` of each, as one table: rows of train first."""

    train: Side | None
    test: Side | None
    declared: frozenset[str]
    """The columns that the split is by, which are meant to differ."""
    groups: Codes | None
    """Of the declared group column; None if none is declared or it is not in both tables."""
    folds: Rows
    """Rows of one group are in one fold."""
    seed: int
    _columns: dict[str, Column] = field(default_factory=dict, repr=False)

    @property
    def n(self) -> int:
        return sum(len(side) for side in (self.train, self.test) if side is not None)

    @property
    def is_train(self) -> Mask:
        return np.arange(self.n) < (0 if self.train is None else len(self.train))

    @property
    def rows_in_files(self) -> Rows:
        return np.concatenate([side.rows for side in (self.train, self.test) if side is not None])

    @property
    def train_names(self) -> list[str]:
        return [] if self.train is None else self.train.frame.names

    @property
    def test_names(self) -> list[str]:
        return [] if self.test is None else self.test.frame.names

    @property
    def shared(self) -> list[str]:
        there = set(self.test_names)
        return [name for name in self.train_names if name in there]

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.train_names, *self.test_names]))

    @property
    def sampling(self) -> str:
        """Words for evidence: empty if every row was looked at."""
        sides = [side for side in (self.train, self.test) if side is not None and side.is_sample]
        parts = [f"{len(side):,} of {side.n_total:,} {side.name} rows" for side in sides]
        return f" (a random {' and '.join(parts)})" if parts else ""

    def has(self, name: str) -> Mask:
        """Rows of the tables that have a column."""
        return np.where(self.is_train, name in self.train_names, name in self.test_names)

    def column(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = _pooled(
                name, [s for s in (self.train, self.test) if s is not None], self.is_train
            )
        return self._columns[name]

    @property
    def target_names(self) -> list[str]:
        sides = [side for side in (self.train, self.test) if side is not None]
        return list(dict.fromkeys(target.name for side in sides for target in side.targets))

    def any_target(self, name: str) -> Target:
        """Over all rows; nan where a table has no labels."""
        found = [
            None if side is None else next((t for t in side.targets if t.name == name), None)
            for side in (self.train, self.test)
        ]
        sides = [side for side in (self.train, self.test) if side is not None]
        values = [
            target.values if target is not None else np.full(len(side), np.nan)
            for side, target in zip(
                sides,
                [f for f, s in zip(found, (self.train, self.test), strict=True) if s is not None],
                strict=True,
            )
        ]
        held = [target for target in found if target is not None]
        # Train's classes begin with those of the hidden labels, so its list names both.
        widest = max(held, key=lambda target: len(target.classes))
        return replace(widest, values=np.concatenate(values))

    def target(self, name: str) -> Target | None:
        """As `any_target`, if both tables have labels."""
        sides = (self.train, self.test)
        if all(side is not None and any(t.name == name for t in side.targets) for side in sides):
            return self.any_target(name)
        return None

    def train_target(self, name: str) -> Target:
        """As `any_target`, without the hidden labels."""
        target = self.any_target(name)
        return replace(target, values=np.where(self.is_train, target.values, np.nan))

    def measure(self, name: str) -> str:
        kind = self.any_target(name).kind
        return "AUC" if kind == "binary" else "strength (0.5 for none, 1 for all)"

    def independent(self, target: Target, *, tightly: bool = True) -> Mask:
        """Labelled rows; one of each group where the rows of a group have nearly one label (tightly) or at all alike
        ones, for then the groups are what was drawn and not the rows."""
        known = target.known
        if self.groups is None or not known.any():
            return known
        if _alike_in_groups(target.take(known), self.groups[known]) <= (0.9 if tightly else 0.1):
            return known
        order = np.random.default_rng(self.seed).permutation(np.flatnonzero(known))
        one = np.zeros(self.n, dtype=np.bool_)
        one[order[np.unique(self.groups[order], return_index=True)[1]]] = True
        return one

    def by_group(self, values: FloatArray) -> tuple[FloatArray, Mask]:
        """What is drawn independently and whether it is of train: rows, or the means of groups."""
        if self.groups is None:
            return values, self.is_train
        units, dense = np.unique(2 * self.groups + self.is_train, return_inverse=True)
        means = np.asarray(np.bincount(dense, weights=values) / np.bincount(dense), dtype=np.float64)
        return means, np.asarray(units % 2 == 1, dtype=np.bool_)


def _alike_in_groups(target: Target, groups: Codes) -> float:
    """Intraclass correlation of a target (of classes the largest of one class against the rest)."""
    _, groups, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n, k = len(groups), len(sizes)
    if k < 2 or n <= k:
        return 1.0 if n <= k else 0.0
    levels = (
        [stats.rankdata(target.values)]
        if target.kind == "number"
        else [hot.astype(np.float64) for _, hot in target.hot]
    )
    largest = 0.0
    typical = (n - float((sizes**2).sum()) / n) / (k - 1)
    for values in levels[:30]:
        means = np.bincount(groups, weights=values) / sizes
        between = float((sizes * (means - values.mean()) ** 2).sum()) / (k - 1)
        within = float(((values - means[groups]) ** 2).sum()) / (n - k)
        total = between + (typical - 1) * within
        largest = max(largest, (between - within) / total if total > 0 else 0.0)
    return largest


_POOLS: WeakKeyDictionary[Material, Pool] = WeakKeyDictionary()


def pool_of(material: Material) -> Pool:
    """The material's tables as one, made once; raises NotChecked if there is neither."""
    if material not in _POOLS:
        if material.train is None and material.test is None:
            raise NotChecked(f"{material.why_not('train')}, and {material.why_not('test')}")
        train, test = (
            None if side is None else side.sampled(ROWS, seed=material.seed)
            for side in (material.train, material.test)
        )
        sides = [side for side in (train, test) if side is not None]
        declared = frozenset(name for name in (material.group, material.time) if name is not None)
        groups = _groups(sides, material.group)
        n = sum(len(side) for side in sides)
        order = np.random.default_rng(material.seed).permutation(
            n if groups is None else int(groups.max()) + 1
        )
        _POOLS[material] = Pool(
            train,
            test,
            declared,
            groups,
            (order if groups is None else order[groups]) % _FOLDS,
            material.seed,
        )
    return _POOLS[material]


def labelled_test(material: Material, pool: Pool) -> Side:
    """The test rows with their hidden labels; raises NotChecked with the reason if there are none."""
    if pool.test is None or not pool.test.targets:
        raise NotChecked(material.lacking.get("hidden") or material.why_not("test"))
    return pool.test


def _groups(sides: Sequence[Side], name: str | None) -> Codes | None:
    if name is None:
        return None
    texts = []
    for side in sides:
        if name in side.frame:
            texts.append(side.frame.texts(name))
        elif name in side.id_names:
            texts.append(side.ids[side.id_names.index(name)])
        else:
            return None
    indices = pa.concat_arrays(texts).dictionary_encode().indices
    return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _pooled(name: str, sides: Sequence[Side], in_train: Mask) -> Column:
    features: list[Feature | None] = [s.frame.feature(name) if name in s.frame else None for s in sides]
    texts = pa.concat_arrays(
        [
            f.texts if f is not None else pa.array([""] * len(s), pa.string())
            for f, s in zip(features, sides, strict=True)
        ]
    ).dictionary_encode()
    written = np.asarray(texts.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    missing = np.concatenate(
        [
            f.missing if f is not None else np.ones(len(s), dtype=np.bool_)
            for f, s in zip(features, sides, strict=True)
        ]
    )
    kinds = {feature.kind for feature in features if feature is not None and not feature.missing.all()}
    kind = str(next(iter(kinds))) if len(kinds) == 1 else "text" if "text" in kinds else "category"
    names: list[str] = texts.dictionary.to_pylist()
    numbers = np.full(len(missing), np.nan)
    codes = np.full(len(missing), -1, dtype=np.int64)
    if kind in ("number", "time"):
        numbers = np.concatenate(
            [
                f.numbers if f is not None and f.kind == kind else np.full(len(s), np.nan)
                for f, s in zip(features, sides, strict=True)
            ]
        )
        missing = missing | np.isnan(numbers)
        codes[~missing] = np.unique(numbers[~missing], return_inverse=True)[1]
    elif names:
        place = np.empty(len(names), dtype=np.int64)
        place[np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)] = np.arange(
            len(names)
        )
        codes[~missing] = np.unique(place[written[~missing]], return_inverse=True)[1]
    return Column(name, kind, numbers, codes, missing, written, names, in_train)

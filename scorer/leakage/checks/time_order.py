"""Splits of a series: neighbours in time, rows from the future."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from scorer.leakage.check import ALARM, AUC_FLOOR, Found, check
from scorer.leakage.frame import Codes, Feature, joint_codes
from scorer.leakage.material import Material, NotApplicable, NotChecked, Side, column_of, declared_column
from scorer.leakage.sampled import sampled
from scorer.leakage.statistics import association, corrected, log10p_of_z
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray

FAR = 20
"""Steps in time after which a series is assumed to be uncorrelated."""


@check(
    "sequential_neighbours", scope="split", needs=("train", "test", "train_target", "hidden"), cost="n log n"
)
def sequential_neighbours(material: Material) -> Iterator[Found]:
    """A series split at random, so that neighbours predict the target.

    effect: AUC of the mean target of the nearest train rows in time (0.5 + |rho| / 2 of a number), where
    nearby rows predict more than rows further away.
    """
    train, test = material.train, material.test
    assert train is not None
    assert test is not None
    if not test.targets:
        raise NotChecked(
            material.lacking.get("hidden", "the test rows could not be lined up with their labels")
        )
    orders = list(_orders(material, train, test))
    if not orders and material.time is not None:
        raise NotChecked(f"the declared time column {material.time} could not be read as time in both tables")
    best: tuple[float, float, str, Target, int] | None = None
    for name, entity, own, other in orders:
        for target in test.targets:
            labels = next((t for t in train.targets if t.name == target.name), None)
            if labels is None:
                continue
            found = _copying(own, other, entity, labels, target)
            if found is None:
                continue
            auc, z, n = found
            log10p = corrected(log10p_of_z(z) if z > 0 else 0.0, len(orders) * len(test.targets))
            if log10p <= -ALARM and auc >= AUC_FLOOR and (best is None or auc > best[0]):
                best = auc, log10p, name, target, n
    if best is not None:
        auc, log10p, name, target, n = best
        yield Found(
            f"By {name}: the nearest train rows before and after predict the hidden {target.name} with "
            f"AUC {auc:.3f} over {n:,} test rows "
            f"between train rows, far better than rows {FAR} steps away.",
            "Put test after train in time (declare split.strategy: sequential and split.time), or leave a "
            "gap around each "
            "test block.",
            auc,
            log10p,
            where=name,
        )


@check("future_rows", scope="split", needs=("train", "test"), cost="n", blocks=True)
def future_rows(material: Material) -> Iterator[Found]:
    """Train rows later than test rows in a split by time.

    effect: the share of test rows that are earlier than the last train row. A split that is declared
    random, stratified or grouped may cover the same time.
    """
    name = material.time
    if name is None and material.is_sequential:
        name = _only_time(material)
        if name is None:
            raise NotChecked("the split is declared to be in time, but split.time names no column")
    if name is None:
        raise NotApplicable("the challenge declares no time column (split.time)")
    a, b = declared_column(material, name)
    own, other = _as_time(a, b)
    if own is None or other is None:
        raise NotChecked(f"the declared time column {name} could not be read as time")
    yield from _later_dates(material, name, own, other)
    if not material.is_sequential and material.challenge.split.strategy is not None:
        return
    last, first = float(np.nanmax(own)), float(np.nanmin(other))
    early = other < last
    late = own > first
    k, n = int(early.sum()), len(other)
    if not k:
        return
    latest = a.texts[int(np.nanargmax(own))].as_py()[:40]
    yield Found(
        f"{k:,} of {n:,} test rows are earlier than the last train row ({name} {latest}); "
        f"{int(late.sum()):,} of {len(own):,} train "
        f"rows are later than the first test row ({b.texts[int(np.nanargmin(other))].as_py()[:40]}).",
        "Cut at one moment: train before it, test after it. If test is meant to lie between train rows, "
        "declare "
        "split.strategy: random.",
        k / n,
        None,
        "block",
        name,
    )


_FORMATS = (
    "%Y%m%d", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y", "%d.%m.%Y %H:%M",
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%y",
    "%Y-%m", "%b %Y", "%b %d, %Y", "%d %b %Y",
)  # fmt: skip
_QUARTER = re.compile(r"(\d{4})[ -]?Q([1-4])")


def _as_time(a: Feature, b: Feature) -> tuple[FloatArray | None, FloatArray | None]:
    """Return both columns as numbers that grow with time, or None."""
    if a.is_numeric and b.is_numeric and a.kind == b.kind:
        return a.numbers, b.numbers
    texts = pa.concat_arrays([a.texts, b.texts])
    encoded = pc.utf8_trim_whitespace(texts).dictionary_encode()
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    names = encoded.dictionary.to_pylist()
    missing = np.concatenate([a.missing, b.missing])
    used = np.unique(codes[~missing])
    if not len(used):
        return None, None
    held = [names[code] for code in used]
    seconds = _parsed(held)
    if seconds is None:
        return None, None
    values = np.full(len(names), np.nan)
    values[used] = seconds
    both = np.where(missing, np.nan, values[codes])
    return both[: len(a)], both[len(a) :]


def _parsed(texts: Sequence[str]) -> FloatArray | None:
    quarters = [_QUARTER.fullmatch(text) for text in texts]
    if all(quarters):
        return np.array([int(q[1]) * 4 + int(q[2]) for q in quarters if q], dtype=np.float64)
    series = pd.Series(list(texts), dtype=object)
    readings = []
    for form in ("ISO8601", *_FORMATS):
        stamps = pd.to_datetime(series, format=form, errors="coerce", utc=True)
        if stamps.notna().all():
            readings.append(
                np.asarray(stamps.astype("datetime64[us, UTC]").astype("int64"), dtype=np.float64) / 1e6
            )
            if form not in ("%m/%d/%Y", "%m/%d/%Y %H:%M"):
                break
    return readings[0] if readings else None


def _only_time(material: Material) -> str | None:
    """Return the one column of dates that both tables have."""
    train, test = sampled(material, "train"), sampled(material, "test")
    names = [
        name
        for name in material.shared
        if train.frame.feature(name).kind == "time" and test.frame.feature(name).kind == "time"
    ]
    return names[0] if len(names) == 1 else None


def _later_dates(material: Material, name: str, own: FloatArray, other: FloatArray) -> Iterator[Found]:
    """Report dates later than the row's own time."""
    for column in material.shared:
        if column == name:
            continue
        for side, moments in zip(material.sides, (own, other), strict=True):
            declared = column_of(side, name)
            if declared is None or declared.kind != "time" or len(moments) > 200_000:
                continue
            feature = side.frame.feature(column)
            if feature.kind != "time":
                continue
            later = feature.numbers > moments
            if later.mean() >= 0.01:
                yield Found(
                    f"Column {column} of {side.file} is later than the row's own time {name} in "
                    f"{int(later.sum()):,} of {len(later):,} "
                    "rows.",
                    "Remove it if it was unknown at the time of prediction; a planned date may stay.",
                    float(later.mean()),
                    where=column,
                )
                break


_TIME_NAME = re.compile(
    r"(^|_|\b)(t|ts|time|timestamp|datetime|date|day|week|month|year|hour|minute|second|epoch|step|tick"
    r"|frame|period|seq|sequence)s?(_|\b|$)",
    re.IGNORECASE,
)


def _orders(
    material: Material, train: Side, test: Side
) -> Iterator[tuple[str, tuple[Codes, Codes] | None, FloatArray, FloatArray]]:
    """Yield columns that may order the rows, also within an entity."""
    small_train, small_test = sampled(material, "train"), sampled(material, "test")
    for name in [*material.shared, *(n for n in train.id_names if n in test.id_names)]:
        a, b = column_of(small_train, name), column_of(small_test, name)
        if a is None or b is None:
            continue
        is_time = name == material.time or (a.kind == b.kind == "time")
        is_counter = a.kind == b.kind == "number" and _counts(
            np.concatenate([a.numbers, b.numbers]), _TIME_NAME.search(name) is not None
        )
        if not is_time and not is_counter:
            continue
        whole = [column_of(side, name) for side in (train, test)]
        if whole[0] is None or whole[1] is None:
            continue
        own, other = _as_time(whole[0], whole[1])
        if own is None or other is None:
            continue
        both = np.concatenate([own, other])
        held = both[~np.isnan(both)]
        if len(np.unique(held)) < 20:
            continue
        yield name, None, own, other
        if len(np.unique(held)) < 0.7 * len(held):
            for what in _entities(material, small_train, small_test, name):
                c, d = column_of(train, what), column_of(test, what)
                assert c is not None
                assert d is not None
                yield f"{name} within {what}", joint_codes(c, d), own, other


def _counts(values: FloatArray, has_name: bool) -> bool:
    """Return whether numbers are evenly spaced or named like time."""
    if np.isnan(values).any():
        return False
    distinct = np.unique(values)
    if has_name and len(distinct) >= 20:
        return True
    if len(distinct) < 0.95 * len(values) or len(values) < 40:
        return False
    steps = np.diff(distinct)
    return bool((steps == np.median(steps)).mean() > 0.8)


def _entities(material: Material, train: Side, test: Side, time: str) -> list[str]:
    """Return columns that make the time unique, such as a sensor."""
    found = [material.group] if material.group is not None else []
    a, b = column_of(train, time), column_of(test, time)
    assert a is not None
    assert b is not None
    moments = np.concatenate(joint_codes(a, b))
    n_moments = len(np.unique(moments))
    for name in material.shared:
        c, d = train.frame.feature(name), test.frame.feature(name)
        if name in (time, material.group) or "time" in (c.kind, d.kind) or "text" in (c.kind, d.kind):
            continue
        codes = np.concatenate(joint_codes(c, d))
        n_values = len(np.unique(codes))
        if not 2 <= n_values <= len(codes) / 10:
            continue
        pairs = len(np.unique((codes + 1) * (moments.max() + 2) + moments + 1))
        if pairs >= 0.98 * len(codes) and n_moments < 0.7 * len(codes):
            found.append(name)
    return [
        name
        for name in dict.fromkeys(found)
        if column_of(train, name) is not None and column_of(test, name) is not None
    ][:3]


def _copying(
    own: FloatArray, other: FloatArray, entity: tuple[Codes, Codes] | None, train: Target, test: Target
) -> tuple[float, float, int] | None:
    """Return the AUC of copying the nearest train rows' target.

    Also z of near over far, and the number of test rows.

    None if hardly any test row lies between train rows.
    """
    groups = (np.zeros(len(own), np.int64), np.zeros(len(other), np.int64)) if entity is None else entity
    use_train = ~np.isnan(own) & train.known & (groups[0] >= 0)
    use_test = ~np.isnan(other) & test.known & (groups[1] >= 0)
    if use_train.sum() < 50 or use_test.sum() < 20:
        return None
    n_names = int(max(groups[0].max(), groups[1].max())) + 1
    t_own, t_other = own[use_train], other[use_test]
    g_own, g_other = groups[0][use_train], groups[1][use_test]
    order = np.lexsort((t_own, g_own))
    # One key that sorts by entity first, then by time.
    distinct = np.unique(np.concatenate([t_own, t_other]))
    width = len(distinct) + 1
    key_own = (g_own * width + np.searchsorted(distinct, t_own))[order]
    key_other = g_other * width + np.searchsorted(distinct, t_other)
    after = np.searchsorted(key_own, key_other, side="right")
    before = after - 1
    starts = np.searchsorted(g_own[order], np.arange(n_names + 1))
    low, high = starts[g_other], starts[g_other + 1]
    inside = (before >= low) & (after < high)
    if inside.sum() < max(20, 0.2 * len(inside)):
        return None
    far_low, far_high = before - FAR, after + FAR
    has_far = inside & ((far_low >= low) | (far_high < high))
    if has_far.sum() < 20:
        return None
    rows = np.flatnonzero(has_far)
    gain, variance, auc = np.zeros(len(rows)), 0.0, 0.5
    for train_values, test_values, is_number in _paired_levels(train, test):
        y_own, y = train_values[use_train][order], test_values[use_test]
        centre, spread = float(y_own.mean()), float(y_own.var())
        if spread == 0:
            continue
        near = np.full(len(y), np.nan)
        near[inside] = (y_own[before[inside]] + y_own[after[inside]]) / 2
        back = np.where(far_low[rows] >= low[rows], y_own[np.maximum(0, far_low[rows])], np.nan)
        ahead = np.where(
            far_high[rows] < high[rows], y_own[np.minimum(len(y_own) - 1, far_high[rows])], np.nan
        )
        far = np.where(np.isnan(back), ahead, np.where(np.isnan(ahead), back, (back + ahead) / 2))
        gain += (y[rows] - centre) * (near[rows] - far)
        variance += spread
        auc = max(auc, association(near, Target(test.name, "number" if is_number else "binary", y)).auc)
    if variance == 0:
        return None
    # Neighbouring test rows copy the same train rows, so blocks in time are the observations.
    in_time = np.argsort(key_other[rows], kind="stable")
    means = np.array(
        [piece.mean() for piece in np.array_split(gain[in_time], min(100, max(5, len(rows) // 3)))]
    )
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    # The normal deviate with the p of Student's t of so few blocks.
    t = float(means.mean()) / error if error > 0 else 0.0
    z = -float(stats.norm.ppf(max(1e-300, float(stats.t.sf(t, len(means) - 1)))))
    return auc, z, int(inside.sum())


def _paired_levels(train: Target, test: Target) -> Iterator[tuple[FloatArray, FloatArray, bool]]:
    """Yield train's and test's targets as the same numbers.

    Ranks in train, or one column for each class.
    """
    if test.kind == "number":
        known = np.sort(train.values[train.known])
        rank = [
            np.where(
                np.isnan(side.values), np.nan, np.searchsorted(known, np.nan_to_num(side.values)) / len(known)
            )
            for side in (train, test)
        ]
        yield rank[0], rank[1], True
        return
    for name, hot in list(test.hot)[:20]:
        if name not in train.classes or not 2 <= hot.sum() <= len(hot) - 2:
            continue
        code = train.classes.index(name)
        yield (train.values == code).astype(np.float64), hot.astype(np.float64), False

"""Groups on both sides of a split, and too few groups in test."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from scorer.leakage.check import ALARM, Found, check
from scorer.leakage.frame import Codes, Feature, Frame, joint_codes
from scorer.leakage.material import Material, NotApplicable, NotChecked, Side, column_of, declared_column
from scorer.leakage.sampled import sampled
from scorer.leakage.statistics import corrected, log10p_of_z, variance_by_group
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray

MIN_ROWS_PER_KEY, MAX_ROWS_PER_KEY = 1.3, 50.0
MIN_KEYS, FEWEST_KEYS = 30, 20
MIN_OVERLAP = 0.2
"""Share of the test rows whose value of a candidate key is also in train."""
LIKENESS_FLOOR = 0.1
"""Correlation of targets within a value, beyond that of neighbouring values."""
FEW_ROWS = 300.0
"""Effective test rows below which differences of a few points are noise."""
FEW_GROUPS = 12


@check("group_overlap", scope="split", needs=("train", "test"), cost="n", blocks=True)
def declared_group_overlap(material: Material) -> Iterator[Found]:
    """Declared groups with rows in both train and test.

    A group is a patient, a speaker or the like.

    effect: the share of test rows whose declared group also has train rows.
    """
    name = material.group
    if name is None:
        if material.is_grouped:
            raise NotChecked("the split is declared to be by groups, but split.group names no column")
        return
    a, b = declared_column(material, name)
    own, other = joint_codes(a, b)
    if not np.isin(other, own[own >= 0]).any():
        own, other = _codes_by_spelling(a, b)
    known = other >= 0
    if not known.any() or not (own >= 0).any():
        raise NotChecked(f"the declared group column {name} is empty")
    shared = np.isin(other, own[own >= 0]) & known
    k, n = int(shared.sum()), len(other)
    if k:
        values = len(np.unique(other[shared]))
        example = b.texts[int(np.flatnonzero(shared)[0])].as_py()[:40]
        yield Found(
            f"{values:,} values of the declared group column {name} are in both train and test ({k:,} "
            f"of {n:,} test rows); "
            f"the first is {example!r}.",
            "Split again so that every group is wholly on one side.",
            k / n,
            None,
            "block",
            name,
        )


def _codes_by_spelling(a: Feature, b: Feature) -> tuple[Codes, Codes]:
    """As `joint_codes`, ignoring case and outer spaces.

    "spk1" and "SPK1 " are one speaker.
    """
    plain = [
        np.array([name.strip().casefold() for name in side.names.to_pylist()], dtype=np.object_)
        for side in (a, b)
    ]
    _, dense = np.unique(np.concatenate(plain).astype(str), return_inverse=True)
    first, second = dense[: len(plain[0])], dense[len(plain[0]) :]
    return (
        np.where(a.missing, -1, first[np.maximum(a.codes, 0)] if len(first) else -1),
        np.where(b.missing, -1, second[np.maximum(b.codes, 0)] if len(second) else -1),
    )


@check("group_overlap", scope="columns", needs=("train", "test", "train_target"), cost="n d log n, sampled")
def undeclared_group_overlap(material: Material) -> Iterator[Found]:
    """Columns that name a group in both train and test.

    Rows of one value share their target.

    effect: how much more alike the targets of rows of one value are than those of the next values (a
    correlation; numbers are compared with their neighbours in size, words in their order).
    """
    assert material.train is not None
    train, test = sampled(material, "train"), sampled(material, "test")
    candidates = list(_candidate_keys(material, train, test))
    for name, a, b in candidates:
        own, other = joint_codes(a, b)
        used = own >= 0
        overlap = float((np.isin(other, own[used]) & (other >= 0)).mean())
        if overlap < MIN_OVERLAP:
            continue
        order = _in_order(a, own)
        for target in train.targets:
            likeness = _likeness(order, target)
            log10p = corrected(log10p_of_z(likeness.z) if likeness.z > 0 else 0.0, len(candidates))
            if log10p > -ALARM or likeness.same - max(0.0, likeness.adjacent) < LIKENESS_FLOOR:
                continue
            yield Found(
                f"Column {name}: targets of train rows of one value correlate {likeness.same:.2f}, those "
                "of neighbouring values "
                f"{likeness.adjacent:.2f} ({likeness.n_values:,} values, "
                f"{likeness.n_rows / likeness.n_values:.1f} rows each), and "
                f"{overlap:.0%} of the test rows have a value that train holds.{train.sampling}",
                "If this names a person, a place or a recording, keep each on one side and declare it as "
                "split.group; "
                "otherwise it is an ordinary feature.",
                likeness.same - max(0.0, likeness.adjacent),
                log10p,
                where=name,
            )
            break


@check("few_clusters", scope="split", needs=("test", "hidden"), cost="n")
def few_clusters(material: Material) -> Iterator[Found]:
    """Test rows from too few groups for reliable scores.

    effect: the effective number of rows, n / (1 + (m - 1) ICC), with the targets' intraclass correlation in
    the declared groups. That of a good model's losses is usually smaller, so this is a lower bound.
    """
    test = material.test
    assert test is not None
    name = material.group
    if name is None:
        raise NotApplicable("the challenge declares no group column (split.group)")
    feature = column_of(test, name)
    if feature is None:
        raise NotChecked(f"the declared group column {name} is not in {test.file}")
    if not test.targets or test.private is None:
        raise NotChecked("the test rows could not be lined up with their labels")
    for words, rows in (("scored test", test.scored), ("private", test.private)):
        used = rows & ~feature.missing
        n = int(used.sum())
        if n < 10:
            continue
        target = test.targets[0].take(used)
        _, codes = np.unique(feature.codes[used], return_inverse=True)
        groups = int(codes.max()) + 1
        icc = _intraclass(codes, target)
        size = float((np.bincount(codes).astype(np.float64) ** 2).sum() / n)  # of the group a row is in
        inflation = 1 + (size - 1) * max(0.0, icc)
        effective = n / inflation
        if effective >= FEW_ROWS or inflation < 1.5:
            continue
        yield Found(
            f"The {n:,} {words} rows come from {groups:,} values of {name}; their targets correlate "
            f"{icc:.2f} within, so they count "
            f"like about {effective:,.0f} independent rows.",
            "Take more groups into test, and compare scores by resampling whole groups.",
            effective,
            None,
            "warn" if groups < FEW_GROUPS or effective < 30 else "info",
            words,
        )
        return


_HEAD = re.compile(r"^(.+?)[_\-./:#|][^_\-./:#|]*$", re.DOTALL)


def _candidate_keys(material: Material, train: Side, test: Side) -> Iterator[tuple[str, Feature, Feature]]:
    """Yield columns with a few rows for each value.

    Also the first part of names such as p017_03.
    """
    group = None if material.group is None else column_of(train, material.group)
    for name in material.shared:
        if name in (material.group, material.time):
            continue
        a, b = train.frame.feature(name), test.frame.feature(name)
        if a.kind == "time" or b.kind == "time" or (group is not None and _belongs_to(a, group)):
            continue
        if _is_candidate(a):
            yield name, a, b
        elif not a.is_numeric:
            yield from _heads(name, a.texts, b.texts)
    for name in train.id_names:
        if name in test.id_names and name != material.group:
            first, second = (side.ids[side.id_names.index(name)] for side in (train, test))
            whole = Frame(pa.table({name: first})).feature(name)
            if _is_candidate(whole):
                yield name, whole, Frame(pa.table({name: second})).feature(name)
            else:
                yield from _heads(name, first, second)


def _belongs_to(feature: Feature, group: Feature) -> bool:
    """Return whether a value belongs to one declared group.

    Such as a patient's height: its rows are alike because they are of one group.
    """
    values = (group.codes + 1) * (int(feature.codes.max(initial=0)) + 2) + feature.codes + 1
    return len(np.unique(values)) <= 1.2 * len(np.unique(group.codes))


def _is_candidate(feature: Feature) -> bool:
    n_values = feature.n_unique
    n = int((~feature.missing).sum())
    if n_values < FEWEST_KEYS or not MIN_ROWS_PER_KEY <= n / n_values <= MAX_ROWS_PER_KEY:
        return False
    # A dozen values of many rows each are an ordinary category.
    return n_values >= MIN_KEYS or n / n_values <= 8


def _heads(name: str, first: pa.Array, second: pa.Array) -> Iterator[tuple[str, Feature, Feature]]:
    def cut(texts: pa.Array) -> pa.Array:
        encoded = texts.dictionary_encode()
        heads = [match[1] if (match := _HEAD.match(text)) else "" for text in encoded.dictionary.to_pylist()]
        return pa.array(heads, pa.string()).take(encoded.indices)

    heads = cut(first)
    if pc.sum(pc.not_equal(heads, "")).as_py() < 0.9 * len(heads):
        return
    what = f"{name} (text before its last sign)"
    a = Frame(pa.table({what: heads})).feature(what)
    if _is_candidate(a):
        yield what, a, Frame(pa.table({what: cut(second)})).feature(what)


def _in_order(feature: Feature, codes: Codes) -> Codes:
    """Codes that follow the values' order; -1 where missing."""
    scores = feature.scores
    known = ~np.isnan(scores)
    order = np.full(len(codes), -1, dtype=np.int64)
    order[known] = np.unique(scores[known], return_inverse=True)[1]
    return order


@dataclass(frozen=True, slots=True)
class _Likeness:
    """Correlations of targets within a value and with the next."""

    same: float
    adjacent: float
    z: float
    n_values: int
    n_rows: int


_UNALIKE = _Likeness(0.0, 0.0, 0.0, 1, 0)


def _levels(target: Target) -> list[FloatArray]:
    """Return the target as ranks, or one column for each class."""
    y = target.values
    if target.kind == "number":
        known = ~np.isnan(y)
        ranks = np.full(len(y), np.nan)
        ranks[known] = stats.rankdata(y[known])
        return [ranks]
    if target.kind == "binary":
        return [y]
    present, counts = np.unique(y[~np.isnan(y)], return_counts=True)
    frequent = present[np.argsort(-counts, kind="stable")][:20]
    return [np.where(np.isnan(y), np.nan, (y == code).astype(np.float64)) for code in frequent]


def _likeness(order: Codes, target: Target) -> _Likeness:
    """Return how alike targets are within a value.

    Over all classes together, so that each value stays one observation; the error is by leaving out blocks
    of values.
    """
    used = (order >= 0) & target.known
    if used.sum() < 30:
        return _UNALIKE
    _, code, counts = np.unique(order[used], return_inverse=True, return_counts=True)
    if len(counts) < FEWEST_KEYS or counts.max() < 2:
        return _UNALIKE
    # Each value counts by its rows, not by its pairs, or one large value would decide.
    n_same = np.where(counts > 1, counts, 0).astype(np.float64)
    n_next = np.append(2 * counts[:-1] * counts[1:] / (counts[:-1] + counts[1:]), 0.0)
    same, following = np.zeros(len(counts)), np.zeros(len(counts))
    levels = [values[used] - values[used].mean() for values in _levels(target)]
    for y in levels:
        sums, squares = np.bincount(code, weights=y), np.bincount(code, weights=y * y)
        same += np.where(counts > 1, (sums**2 - squares) / np.maximum(1, counts - 1), 0.0)
        following[:-1] += 2 * sums[:-1] * sums[1:] / (counts[:-1] + counts[1:])
    covariance = np.array([[float((y * z).mean()) for z in levels] for y in levels])
    variance = float(np.trace(covariance))
    if variance <= 0:
        return _UNALIKE
    blocks = np.arange(len(counts)) * min(200, len(counts)) // len(counts)
    parts = [np.bincount(blocks, weights=part) for part in (same, n_same, following, n_next)]
    totals = [float(part.sum()) for part in parts]
    left = [total - part for total, part in zip(totals, parts, strict=True)]
    difference = (left[0] / np.maximum(1e-12, left[1]) - left[2] / np.maximum(1e-12, left[3])) / variance
    k = len(difference)
    error = math.sqrt((k - 1) / k * float(((difference - difference.mean()) ** 2).sum()))
    alike, adjacent = totals[0] / totals[1] / variance, totals[2] / totals[3] / variance
    # If values had no effect, products of two rows would vary by the trace of the squared covariance. The
    # error by blocks is larger where values have an effect, and protects against a few unusual values.
    product = float((covariance**2).sum()) / variance**2
    held = counts[counts > 1]
    by_chance = (
        float((2 * held / (held - 1)).sum()) / totals[1] ** 2
        + float((4 * counts[:-1] * counts[1:] / (counts[:-1] + counts[1:]) ** 2).sum()) / totals[3] ** 2
    )
    z = (alike - adjacent) / math.sqrt(product * by_chance)
    z = min(z, 1.4 * (alike - adjacent) / error) if error > 0 else z
    return _Likeness(alike, adjacent, z, len(counts), int(used.sum()))


def _intraclass(codes: Codes, target: Target) -> float:
    """Return the ICC of one-way variance analysis, classes by variance."""
    within = between = typical = 0.0
    n, k = len(codes), int(codes.max(initial=-1)) + 1
    if k < 2 or n <= k:
        return 1.0 if k < 2 else 0.0
    for values in _levels(target):
        y = np.where(np.isnan(values), np.nanmean(values), values)
        of_level, inside, typical = variance_by_group(y, codes)
        between, within = between + of_level, within + inside
    total = between + (typical - 1) * within
    return (between - within) / total if total > 0 else 0.0

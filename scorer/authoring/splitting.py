"""Divide the rows of a table into train, public and private."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.authoring.choices import Choices
from scorer.authoring.columns import Profile, Target, times_of
from scorer.authoring.table import Unusable
from scorer.leakage.frame import Frame
from scorer.wording import show, some

Rows = NDArray[np.int64]
MIN_ROWS = 20
MIN_TEST_ROWS = 6
MIN_PER_CLASS = 3
"""One row of each class in train, public and private."""
MIN_GROUPS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Places of the rows in the table, in the order in which the files list them."""

    train: Rows
    test: Rows
    is_public: NDArray[np.bool_]
    """Of the test rows."""
    numbers: NDArray[np.int64]
    """The new number of each row of the table, from 1; 0 where the row is left out."""


def split(frame: Frame, profile: Profile, target: Target, choices: Choices) -> Split:
    """Divide the rows as chosen; raises Unusable where a part would lack what it needs.

    A sequential split keeps the order of time: train, then test. Of a number the public rows are the earlier
    part of the test; of classes they are drawn. All others shuffle all rows first, and number them in that
    order, so that neither the order nor the id tells anything.
    """
    rows = np.flatnonzero(~np.isnan(target.values))
    draw = np.random.Generator(np.random.PCG64(choices.seed))
    if choices.strategy == "sequential":
        order, cut, public_cut = _by_time(frame, profile, rows, choices)
        train, test = order[:cut], order[cut:]
        is_public = np.arange(len(test)) < public_cut - cut
        if target.kind != "number":
            # A short period may lack a class, so the public rows are drawn from the whole test.
            is_public = _drawn(target.values[test], choices.public_share, draw)
    else:
        order = draw.permutation(rows)
        if choices.strategy == "grouped":
            in_test, in_public = _by_group(frame, order, choices, draw)
        else:
            strata = target.values[order] if choices.strategy == "stratified" else np.zeros(len(order))
            in_test = _drawn(strata, choices.test_share, draw)
            in_public = np.zeros(len(order), dtype=np.bool_)
            in_public[in_test] = _drawn(strata[in_test], choices.public_share, draw)
        train, test = order[~in_test], order[in_test]
        is_public = in_public[in_test]
    _refuse_small(len(test), int(is_public.sum()), len(train))
    if target.kind != "number":
        _refuse_missing_classes(target, train, test, choices)
    numbers = np.zeros(len(frame), dtype=np.int64)
    numbers[order] = np.arange(1, len(order) + 1)
    return Split(train, test, is_public, numbers)


def _drawn(strata: NDArray[np.float64], share: float, draw: np.random.Generator) -> NDArray[np.bool_]:
    """Draw the share of each stratum; the rounding is settled so that the whole has its share too."""
    chosen = np.zeros(len(strata), dtype=np.bool_)
    wanted, given = 0.0, 0
    for stratum in np.unique(strata):
        places = np.flatnonzero(strata == stratum)
        wanted += share * len(places)
        n = min(max(round(wanted) - given, 1), len(places) - 1) if len(places) > 1 else 0
        given += n
        chosen[draw.permutation(places)[:n]] = True
    return chosen


def _by_group(
    frame: Frame, order: Rows, choices: Choices, draw: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Take whole groups in a drawn order, public first; pass over one that is too large for what is left."""
    assert choices.group is not None
    codes = frame.feature(choices.group).codes[order]
    # A row without a group is a group of its own.
    codes = np.where(codes < 0, codes.max(initial=0) + 1 + np.arange(len(codes)), codes)
    groups, of_row, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    if len(groups) < MIN_GROUPS:
        raise Unusable(
            f"The group {show(choices.group)} has {len(groups)} values; train, public and private rows need "
            "one "
            "each. Choose another column, or split without groups."
        )
    n_test = choices.test_share * len(order)
    n_public = choices.public_share * n_test
    left = draw.permutation(len(groups))
    public = _filled(left, sizes, n_public, keep=2)
    left = left[~np.isin(left, public)]
    private = _filled(left, sizes, n_test - n_public, keep=1)
    return np.isin(of_row, [*public, *private]), np.isin(of_row, public)


def _filled(groups: Rows, sizes: Rows, wanted: float, *, keep: int) -> list[int]:
    """Return groups of about so many rows together; at least one, and `keep` are left."""
    taken: list[int] = []
    n = 0
    for group in groups.tolist():
        size = int(sizes[group])
        if len(groups) - len(taken) > keep and abs(n + size - wanted) < abs(n - wanted):
            taken.append(group)
            n += size
    return taken or [int(groups[np.argmin(sizes[groups])])]


def _by_time(frame: Frame, profile: Profile, rows: Rows, choices: Choices) -> tuple[Rows, int, int]:
    """Return the rows in the order of time, where test begins, and where private begins.

    Rows of one moment stay on one side.
    """
    assert choices.time is not None
    known = times_of(frame, profile)
    if choices.time not in known:
        feature = frame.feature(choices.time)
        if feature.kind != "number":
            raise Unusable(
                f"The column {show(choices.time)} holds no dates in a form that is known (such as "
                "2026-10-01, "
                "01.10.2026, Oct 1, 2026) and no numbers, so it cannot order the rows."
            )
        known[choices.time] = feature.numbers
    times = known[choices.time][rows]
    if np.isnan(times).any():
        raise Unusable(
            f"{int(np.isnan(times).sum()):,} rows have no value in {show(choices.time)}; fill it, or drop "
            "these rows."
        )
    rows = rows[np.argsort(times, kind="stable")]
    times = np.sort(times, kind="stable")
    moments = np.unique(times)
    if len(moments) < MIN_GROUPS:
        raise Unusable(
            f"{show(choices.time)} has {len(moments)} distinct values; a split in time needs three."
        )
    n = len(rows)
    cut = _at_a_border(times, round(n * (1 - choices.test_share)), moments[1], moments[-2])
    public = _at_a_border(
        times, cut + round((n - cut) * choices.public_share), times[cut] + 0.0, moments[-1], after=cut
    )
    return rows, cut, public


def _at_a_border(
    times: NDArray[np.float64], place: int, earliest: float, latest: float, *, after: int = -1
) -> int:
    """Return the nearest place at which a new moment begins."""
    begins = np.flatnonzero(np.diff(times, prepend=np.nan) != 0)
    begins = begins[(begins > max(after, 0)) & (times[begins] >= earliest) & (times[begins] <= latest)]
    return int(begins[np.argmin(np.abs(begins - place))])


def _refuse_small(n_test: int, n_public: int, n_train: int) -> None:
    parts = (("train", n_train), ("public", n_public), ("private", n_test - n_public))
    small = [f"{n} {name}" for name, n in parts if n < 2]
    if small or n_test < MIN_TEST_ROWS:
        counts = ", ".join(f"{n} {name}" for name, n in parts)
        raise Unusable(
            f"The split would give {counts} rows; take other shares, so that each part has enough."
        )


def _refuse_missing_classes(target: Target, train: Rows, test: Rows, choices: Choices) -> None:
    """Raise Unusable for a class without training rows, or for probabilities without test rows."""
    lacking: dict[str, list[str]] = {}
    for part, rows in (("train", train), ("test", test)):
        present = np.bincount(target.values[rows].astype(np.int64), minlength=len(target.classes)) > 0
        for name, there in zip(target.classes, present, strict=True):
            if not there and (part == "train" or choices.predicted == "probabilities"):
                lacking.setdefault(name, []).append(part)
    if lacking:
        first = next(iter(lacking))
        others = f" (so do {some(list(lacking)[1:])})" if len(lacking) > 1 else ""
        raise Unusable(
            f"Class {show(first)} has no row in {' and '.join(lacking[first])}{others}. Choose another "
            "share for "
            "the test, or another split; or leave such rows out of the table."
        )


def rare_classes(target: Target) -> list[str]:
    """Return the classes with too few rows for train, public and private."""
    return [name for name, n in zip(target.classes, target.counts, strict=True) if n < MIN_PER_CLASS]


def refuse_few(n_rows: int) -> None:
    """Raise Unusable for a table that is too small for three parts."""
    if n_rows < MIN_ROWS:
        raise Unusable(
            f"The table has {n_rows} rows with a target; a competition needs at least {MIN_ROWS}, and a few "
            "hundred for a board that can tell good from lucky."
        )


def refuse_rare(target: Target) -> None:
    """Raise Unusable where a class cannot be in all three parts."""
    if target.kind == "number" or not (rare := rare_classes(target)):
        return
    n = target.counts[target.classes.index(rare[0])]
    others = f", and {some(rare[1:])} have too few too" if rare[1:] else ""
    raise Unusable(
        f"Class {show(rare[0])} of {show(target.name)} has {n} row{'s' if n != 1 else ''}{others}; each "
        "class needs "
        f"{MIN_PER_CLASS}, one each to learn from, for the public and for the private board. Merge it with "
        "another "
        "class, or leave such rows out (--without-rare)."
    )


def kept_rows(frame: Frame, columns: Sequence[str], target: Target, choices: Choices) -> Rows:
    """Return the rows that stay: with a target, of no rare class, each once if asked."""
    keep = ~np.isnan(target.values)
    if choices.without_rare and target.kind != "number":
        rare = [target.classes.index(name) for name in rare_classes(target)]
        keep &= ~np.isin(target.values, rare)
    rows = np.flatnonzero(keep)
    if choices.without_duplicates:
        codes = np.column_stack([frame.feature(name).codes[rows] for name in columns])
        _, first = np.unique(codes, axis=0, return_index=True)
        rows = rows[np.sort(first)]
    return rows

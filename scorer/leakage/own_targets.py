"""The targets of an own metric, from the solution's texts.

An own metric does not declare what its columns hold, so they are chosen by name and typed by their cells:

1. the columns declared for submission, if the solution has them all;
2. else the solution's columns that train has too, with those declared ones that the solution has;
3. else every column of the solution but the id and Usage.

In 2 and 3 a column that the test table shows as it is in the solution, such as a weight, is left out if
others remain and train has a column that test lacks: then it looks like a feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import USAGE_COLUMN
from scorer.leakage.frame import Feature, Frame, Mask, Rows
from scorer.leakage.target import Target, as_written, number_target
from scorer.reading.cells import canonical_label

MAX_TARGETS = 20
_CLASSES = 10
"""Whole numbers of at most as many values are classes: a column may hold them under other names."""
_LARGEST_CLASS = 100_000
"""Larger whole numbers are not written out as names of classes."""


@dataclass(frozen=True, slots=True)
class OwnTargets:
    targets: tuple[Target, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Columns of the solution that may be truth but are not judged -> why, as the end of a sentence."""


def own_targets(
    challenge: Challenge, train: Frame | None, test: Frame | None, places: Rows | None
) -> OwnTargets:
    """Return the targets of a challenge with an own metric.

    `places` are the solution's rows of the test table, -1 where there is none.
    """
    solution = challenge.solution
    columns = {
        name: _feature(name, cells.tolist())
        for name, cells in solution.frame.items()
        if name not in solution.id_columns and name != USAGE_COLUMN
    }
    declared, choices = challenge.columns, list(_choices(challenge.columns, columns, train))
    shown: set[str] = set()
    if (
        train is not None
        and test is not None
        and places is not None
        # Where train has no column more than test, its labels were left in the test table.
        and any(name not in test and name not in solution.id_columns for name in train.names)
    ):
        shown = {
            name
            for name, column in columns.items()
            if name in test and name not in declared and _same(column, test, places, solution.scored)
        }
    left_out: dict[str, str] = {}
    for names in [[name for name in names if name not in shown] for names in choices] + choices:
        found: list[Target] = []
        left_out = {
            name: "stands in the test table as in the solution, so it was taken for a feature"
            for name in columns
            if name in shown and name not in names and names != list(declared)
        }
        for name in names:
            target = _target(columns[name], solution.scored)
            if isinstance(target, str):
                left_out[name] = target
            elif len(found) == MAX_TARGETS:
                left_out[name] = f"comes after the first {MAX_TARGETS}"
            else:
                found.append(target)
        if found:
            one = _one_class(declared, found)
            return OwnTargets((one,) if one is not None else tuple(found), left_out)
    return OwnTargets((), left_out)


def _choices(
    declared: Sequence[str], columns: Mapping[str, Feature], train: Frame | None
) -> Iterator[list[str]]:
    """Yield the names to try, the likeliest first."""
    if all(name in columns for name in declared):
        yield list(declared)
    some = [name for name in columns if name in declared or (train is not None and name in train)]
    if some:
        yield some
    yield list(columns)


def _feature(name: str, texts: Sequence[str]) -> Feature:
    return Frame(pa.table({name: pa.array(texts, pa.string())})).feature(name)


def _same(column: Feature, test: Frame, places: Rows, scored: Mask) -> bool:
    """Return whether the test table shows a column of the solution."""
    shown = test.feature(column.name)
    rows = np.flatnonzero((places >= 0) & scored[np.maximum(places, 0)])
    if not len(rows):
        return False
    if column.is_numeric and shown.is_numeric:
        same = np.isclose(shown.numbers[rows], column.numbers[places[rows]], rtol=1e-6, equal_nan=True)
    else:
        left, right = shown.texts.to_pylist(), column.texts.to_pylist()
        same = np.array([left[row].strip() == right[places[row]].strip() for row in rows])
    return bool(same.mean() >= 0.99)


def _target(column: Feature, scored: Mask) -> Target | str:
    """Return a column as a target, or why it is none."""
    if column.is_numeric and not _is_truths(column):
        numbers = np.where(scored & ~column.missing, column.numbers, np.nan)
        distinct = np.unique(numbers[~np.isnan(numbers)])
        if len(distinct) < 2:
            return "has fewer than two values in the scored rows"
        whole = bool((distinct == np.rint(distinct)).all()) and np.abs(distinct).max() < _LARGEST_CLASS
        few = min(_CLASSES, (~np.isnan(numbers)).sum() / 5)
        if len(distinct) == 2 or not whole or len(distinct) > few:
            return number_target(column.name, numbers)
        codes = np.where(np.isnan(numbers), np.nan, np.searchsorted(distinct, numbers).astype(np.float64))
        return Target(column.name, "class", codes, tuple(as_written(value) for value in distinct.tolist()))
    texts = [canonical_label(text) for text in column.texts.to_pylist()]
    known = np.array([text != "" for text in texts]) & scored
    classes = sorted({text for text, is_known in zip(texts, known, strict=True) if is_known})
    if len(classes) < 2:
        return "has fewer than two values in the scored rows"
    if len(classes) > max(2, int(known.sum()) / 2):
        return "holds texts that hardly repeat"
    place = {name: float(code) for code, name in enumerate(classes)}
    values = np.array([place.get(text, np.nan) for text in texts])
    values = np.where(known, values, np.nan)
    return Target(column.name, "binary" if len(classes) == 2 else "class", values, tuple(classes))


def _is_truths(column: Feature) -> bool:
    return {name.strip().lower() for name in column.names.to_pylist()} <= {"true", "false", ""}


def _one_class(declared: Sequence[str], found: Sequence[Target]) -> Target | None:
    """Return columns of 0 and 1 with a single 1 a row as one target."""
    if len(found) < 2 or [target.name for target in found] != list(declared):
        return None
    if any(target.classes != ("0", "1") for target in found):
        return None
    matrix = np.column_stack([target.values for target in found])
    known = ~np.isnan(matrix).any(axis=1)
    if (
        not (np.nansum(matrix, axis=1)[known] == 1).all()
        or known.sum() < (~np.isnan(matrix)).any(axis=1).sum()
    ):
        return None
    values = np.where(known, np.nan_to_num(matrix).argmax(axis=1).astype(np.float64), np.nan)
    return Target("class", "class" if len(found) > 2 else "binary", values, tuple(declared))

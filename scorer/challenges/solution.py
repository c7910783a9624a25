"""The hidden labels: ids, typed truth and usage of each row.

A Solution also defines the form of a submission: its ids are required and its task names the columns. Nothing
else of it may appear in a message. Prepared solutions are arrays on disk (scorer.challenges.prepared), so
that jobs share one copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.task import Part, Task
from scorer.metrics.registry import Classes
from scorer.reading.cells import NUMERIC_KINDS, Cells
from scorer.reading.columns import CodeArray, Column, FloatArray, Labels, Lists, Rows, Vocabulary, take
from scorer.reading.ids import IdIndex
from scorer.reading.spelling import Spelling

USAGE_COLUMN = "Usage"
USAGES = ("Ignored", "Public", "Private")
"""By their code in `Solution.usage`."""
IGNORED, PUBLIC, PRIVATE = range(3)
FILE = "private/solution.csv"


Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """The solution's columns for one part of a task, by row."""

    truth: tuple[Column, ...]
    """Layout columns: one per predicted column. matrix: one per truth column. classes: a single one,
    the number of the true class's column as Labels."""
    sides: Mapping[str, Column | None]
    weights: FloatArray | None
    groups: Labels | None
    class_codes: CodeArray
    """Of labels and lists: the codes in the scored rows, ascending."""

    def __repr__(self) -> str:
        return "Given(...)"


@dataclass(frozen=True, eq=False)
class Solution:
    """The truth of a challenge by row; it is never changed."""

    id_columns: tuple[str, ...]
    ids: IdIndex
    usage: NDArray[np.uint8]
    """Positions in USAGES."""
    tasks: tuple[Task, ...]
    """The ranking task, then those shown beside it."""
    given: tuple[tuple[Given, ...], ...]
    """Of each task, of each part."""
    vocabulary: Vocabulary
    """Of all labels and tokens; readers of submissions extend a copy."""
    frame: Mapping[str, NDArray[np.object_]]
    """The solution as texts by column, for an organiser's own metric; else empty."""
    train_file: Path | None = None
    """The public training table, to say that a file has its ids instead of the test set's."""
    sample_ids: frozenset[str] = frozenset()
    """The ids of the sample submission, where an own metric gets whole files with any ids."""
    spellings: Mapping[str, Spelling] = field(default_factory=dict)
    """Of prediction columns with labels: what a message about an unknown one may use."""

    def __repr__(self) -> str:
        # A traceback or a log must not carry labels.
        return f"Solution({len(self.ids)} rows of {self.task.name})"

    @property
    def task(self) -> Task:
        return self.tasks[0]

    @property
    def id_column(self) -> str:
        """The name for messages and files with one id column."""
        return "+".join(self.id_columns)

    @cached_property
    def public(self) -> Mask:
        return np.asarray(self.usage == PUBLIC)

    @cached_property
    def private(self) -> Mask:
        return np.asarray(self.usage == PRIVATE)

    @cached_property
    def scored(self) -> Mask:
        return np.asarray(self.usage != IGNORED)

    @cached_property
    def n_rows(self) -> dict[str, int]:
        ignored, public, private = np.bincount(self.usage, minlength=3).tolist()
        return {"public": public, "private": private, "ignored": ignored}

    def classes(self, given: Given, vocabulary: Vocabulary | None = None) -> Classes:
        return Classes(given.class_codes, (vocabulary or self.vocabulary).names)


def concatenate(columns: Sequence[Column]) -> Column:
    first = columns[0]
    if isinstance(first, Labels):
        return Labels(np.concatenate([column.codes for column in columns if isinstance(column, Labels)]))
    if isinstance(first, Lists):
        lists = [column for column in columns if isinstance(column, Lists)]
        lengths = np.concatenate([column.lengths for column in lists])
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        grades = [column.grades for column in lists if column.grades is not None]
        return Lists(
            np.concatenate([column.codes for column in lists]),
            offsets,
            np.concatenate(grades) if grades else None,
        )
    return np.concatenate([column for column in columns if isinstance(column, np.ndarray)])


def part_truth(part: Part, given: Given, rows: Rows | None = None) -> list[Any]:
    """Return the truth as the metric's arguments, one entry per call."""
    columns = given.truth if rows is None else tuple(take(column, rows) for column in given.truth)
    if part.layout == "classes":
        (labels,) = columns
        assert isinstance(labels, Labels)
        return [labels.codes]
    if part.layout == "matrix":
        return [_matrix(columns)]
    if part.modifiers.columns == "pooled":
        return [concatenate([widened(column) for column in columns])]
    return [widened(column) for column in columns]


def known_truth(part: Part, given: Given, rows: Rows | None = None) -> list[Mask] | None:
    """Return where the truth is known, one mask for each of `part_truth`'s entries.

    None where every cell is: holes are refused unless the challenge states truth_missing: skip.
    """
    if part.modifiers.truth_missing != "skip":
        return None
    masks = [_known(column if rows is None else take(column, rows)) for column in given.truth]
    if part.layout == "matrix":
        return [np.logical_and.reduce(masks)]
    if part.layout == "columns" and part.modifiers.columns == "pooled":
        return [np.concatenate(masks)]
    return masks


def _known(column: Column) -> Mask:
    if isinstance(column, Labels):
        return np.asarray(column.codes >= 0)
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        return ~np.isnan(column)
    return np.ones(len(column), dtype=np.bool_)


def why_undefined(part: Part, given: Given, rows: Rows, classes: Classes) -> list[str | None]:
    """Return why the metric has no value on these rows, one entry for each of `part_truth`'s.

    It depends on the truth alone.
    """
    known = known_truth(part, given, rows)
    if part.metric.undefined is None and known is None:
        apart = part.layout == "columns" and part.modifiers.columns != "pooled"
        return [None] * (len(given.truth) if apart else 1)
    reasons = []
    for number, truth in enumerate(part_truth(part, given, rows)):
        if known is not None:
            truth = take(truth, known[number])
        words = part.metric.why_undefined(truth, part.parameters, classes) if len(truth) else _NOTHING_KNOWN
        reasons.append(words)
    return reasons


_NOTHING_KNOWN = "no true value is known"


def part_sides(part: Part, given: Given, rows: Rows) -> dict[str, Column | None]:
    """Return the solution's side columns of these rows.

    They are repeated for pooled columns, which are stacked.
    """
    times = len(part.columns) if part.layout == "columns" and part.modifiers.columns == "pooled" else 1
    return {
        role: None if side is None else concatenate([widened(take(side, rows))] * times)
        for role, side in given.sides.items()
    }


def part_predicted(part: Part, columns: Sequence[Column]) -> list[Any]:
    """Return predictions as the metric's arguments, one entry per call."""
    if part.layout in ("matrix", "classes"):
        return [_matrix(columns)]
    if part.modifiers.columns == "pooled":
        return [concatenate(columns)]
    return list(columns)


def _matrix(columns: Sequence[Column]) -> FloatArray:
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def widened(column: Column) -> Column:
    """Return numbers as float64; whole ones are bytes on disk."""
    return (
        column.astype(np.float64) if isinstance(column, np.ndarray) and column.dtype.kind in "iu" else column
    )


def truth_as_predictions(solution: Solution, task: int = 0) -> dict[str, Column] | None:
    """Return the truth in the form of a submission.

    Ignored rows and cells without truth hold some allowed value. None if the truth cannot be a prediction,
    as where a risk is predicted and the truth is a time.
    """
    columns: dict[str, Column] = {}
    first = int(np.flatnonzero(solution.scored)[0])
    rows = np.where(solution.scored, np.arange(len(solution.ids)), first)
    for part, given in zip(solution.tasks[task].parts, solution.given[task], strict=True):
        predicted, true = part.predicted_cells, part.truth_cells
        alike = predicted.kind == true.kind or {predicted.kind, true.kind} <= {*NUMERIC_KINDS}
        if part.metric.truth_roles or predicted.grammar != true.grammar:
            return None
        truth: Sequence[Column] = [
            _filled(widened(take(column, rows)), true, given.class_codes) for column in given.truth
        ]
        if part.layout == "classes":
            (labels,) = truth
            assert isinstance(labels, Labels)
            hot = np.eye(len(part.columns))[labels.codes]
            truth = [np.ascontiguousarray(hot[:, i]) for i in range(len(part.columns))]
        elif len(truth) != len(part.columns):
            return None
        elif (true.kind, predicted.kind) == ("label", "list"):
            truth = [
                Lists(column.codes, np.arange(len(column) + 1))
                for column in truth
                if isinstance(column, Labels)
            ]
        elif not alike:
            return None
        truth = [_best_first(column) for column in truth]
        columns.update(zip(part.columns, truth, strict=True))
    return columns if solution.tasks[task].parts else None


def known_cells(solution: Solution, task: int = 0) -> dict[str, Mask]:
    """Return for each predicted column of `truth_as_predictions` the scored rows with a known truth."""
    found = {}
    for part, given in zip(solution.tasks[task].parts, solution.given[task], strict=True):
        masks = [_known(column) for column in given.truth]
        if len(masks) != len(part.columns):
            masks = [np.logical_and.reduce(masks)] * len(part.columns)
        found.update({name: solution.scored & mask for name, mask in zip(part.columns, masks, strict=True)})
    return found


def _filled(column: Column, cells: Cells, class_codes: CodeArray) -> Column:
    """Return a truth with some allowed value where it is unknown."""
    known = _known(column)
    if known.all():
        return column
    if isinstance(column, Labels):
        code = column.codes[known][0] if known.any() else np.append(class_codes, np.int32(0))[0]
        return Labels(np.where(known, column.codes, code))
    assert isinstance(column, np.ndarray)
    value = column[known][0] if known.any() else min(max(0.0, cells.low), cells.high)
    return np.where(known, column, value)


def _best_first(column: Column) -> Column:
    """Return graded items by falling grade, without the grades."""
    if not isinstance(column, Lists) or column.grades is None:
        return column
    return Lists(column.codes[np.lexsort((-column.grades, column.rows))], column.offsets)


def split_groups(groups: Labels, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return the rows of each group, in the order of codes."""
    codes = groups.codes[rows]
    order = np.argsort(codes, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(codes[order])) + 1)


def side_task_faults(main: Task, side: Task) -> list[str]:
    """Return why a task cannot be scored beside the ranking one."""
    faults = []
    for part in side.parts:
        for name in part.columns:
            allowed = part.predicted_cells
            if not main.cells(name).within(allowed):
                faults.append(
                    f"{part.metric.name} needs {allowed.words} in each cell, "
                    f"which {main.name} does not ask for"
                )
                break
    return faults

"""The hidden labels, prepared once: ids and their index, typed truth, usage masks.

A Solution also says what a submission must look like, since its ids are the ones required and its
task names the columns; nothing else of it may ever reach a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from scorer.cells import Column, FloatArray, canonical_label, parse_column, say_fault
from scorer.metrics.registry import Metric
from scorer.report import InvalidChallenge, Problem
from scorer.tables import SPACES, is_blank, show

USAGE_COLUMN = "Usage"
USAGES = ("Public", "Private", "Ignored")
FILE = "private/solution.csv"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Task:
    """What is predicted and how it is scored."""

    metric: Metric
    parameters: BaseModel
    columns: tuple[str, ...]
    """The prediction columns a submission must have beside the id."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Truth aligned by row. Arrays have shape (n_rows,) and are never changed."""

    id_column: str
    ids: tuple[str, ...]
    index: Mapping[str, int]
    """id -> row"""
    task: Task
    truth: tuple[Column, ...]
    """One array per column of the task; rows marked Ignored hold nan or ""."""
    classes: tuple[str, ...]
    """For labels: every class that occurs among the scored rows."""
    public: Mask
    private: Mask

    def __repr__(self) -> str:
        # A traceback or a log must not carry labels.
        return f"Solution({len(self.ids)} rows of {self.task.metric.name})"

    @property
    def scored(self) -> Mask:
        return self.public | self.private

    @property
    def n_rows(self) -> dict[str, int]:
        public, private = int(self.public.sum()), int(self.private.sum())
        return {"public": public, "private": private, "ignored": len(self.ids) - public - private}


def prepare(
    header: Sequence[str],
    records: Iterable[tuple[int, Sequence[str]]],
    task: Task,
    *,
    id_column: str | None = None,
    split_required: bool = True,
) -> Solution:
    """Type and check a solution; raises InvalidChallenge with every problem found.

    `records` yields (line, fields). Without a Usage column every row is public, which only
    `split_required=False` allows; it also leaves a split without rows alone.
    """
    problems: list[Problem] = []
    id_column = header[0] if id_column is None else id_column
    truth_columns = _truth_columns(header, task, id_column, problems)
    if split_required and USAGE_COLUMN not in header:
        message = f"The column {USAGE_COLUMN} is missing; it says of each row {', '.join(USAGES)}."
        problems.append(_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN))
    if problems:
        raise InvalidChallenge(problems)

    ids: list[str] = []
    index: dict[str, int] = {}
    lines: list[int] = []
    usages: list[str] = []
    texts: list[list[str | None]] = [[] for _ in truth_columns]
    positions = [header.index(name) for name in truth_columns]
    id_position = header.index(id_column)
    usage_position = header.index(USAGE_COLUMN) if USAGE_COLUMN in header else None
    for line, fields in records:
        if is_blank(fields):
            continue
        if len(fields) != len(header):
            message = f"Line {line} has {len(fields)} values, expected {len(header)}."
            problems.append(_problem("FIELD_COUNT", message, line=line))
            continue
        key = fields[id_position]
        usage = "Public" if usage_position is None else fields[usage_position]
        if not key or key != key.strip(SPACES):
            words = "is empty" if not key.strip(SPACES) else "has spaces around it"
            problems.append(_problem("BAD_ID", f"Line {line}: the id {words}.", line=line, column=id_column))
        if key in index:
            message = f"Id {show(key)} appears twice (lines {lines[index[key]]} and {line})."
            problems.append(_problem("DUPLICATE_IDS", message, line=line, id=show(key), column=id_column))
            continue
        if usage not in USAGES:
            message = f'Line {line}: {USAGE_COLUMN} is "{show(usage)}"; allowed are {", ".join(USAGES)}.'
            problems.append(_problem("BAD_USAGE", message, line=line, column=USAGE_COLUMN, value=show(usage)))
        index[key] = len(ids)
        ids.append(key)
        lines.append(line)
        usages.append(usage)
        for column, position in zip(texts, positions, strict=True):
            column.append(None if usage == "Ignored" else fields[position])
    if not ids and not problems:
        problems.append(_problem("NO_ROWS", "The solution has a header but no rows."))
    if problems:
        raise InvalidChallenge(_merge(problems))

    usage_array = np.array(usages)
    public, private = usage_array == "Public", usage_array == "Private"
    if split_required:
        for name, mask in (("Public", public), ("Private", private)):
            if not mask.any():
                problems.append(
                    _problem("EMPTY_SPLIT", f"No row has {USAGE_COLUMN} {name}; both splits need rows.")
                )

    scored = public | private
    if not scored.any() and not problems:
        problems.append(_problem("EMPTY_SPLIT", "Every row is Ignored; nothing is left to score."))
    truth, classes = _type_truth(truth_columns, texts, scored, ids, lines, task, problems)
    if not problems:
        splits = {"Public": public, "Private": private} if split_required else {"": scored}
        problems.extend(_undefined(truth, classes, splits, task, strict=split_required))
    if problems:
        raise InvalidChallenge(_merge(problems))
    return Solution(id_column, tuple(ids), index, task, truth, classes, public, private)


def side_metric_faults(solution: Solution, task: Task) -> list[str]:
    """Why a metric cannot be shown beside the ranking one, over the same columns and the same truth."""
    main = solution.task
    if not main.metric.predicted_cells(main.parameters).within(task.metric.predicted_cells(task.parameters)):
        allowed = task.metric.predicted_cells(task.parameters).words
        return [f"{task.metric.name} needs {allowed} in each cell, which {main.metric.name} does not ask for"]
    if task.metric.layout == "classes" and main.metric.layout != "classes" and len(task.columns) > 1:
        return [f"{task.metric.name} reads several columns as classes, {main.metric.name} does not"]
    cells = task.metric.truth_cells(task.parameters)
    faults = []
    for name, column in zip(task.columns, solution.truth, strict=True):
        truth = column[solution.scored]
        if cells.kind == "flag" and not np.isin(truth, (0.0, 1.0)).all():
            faults.append(f"{task.metric.name} needs 0 or 1 as truth, which column {show(name)} is not")
        elif task.metric.undefined is not None:
            for split in (solution.public, solution.private):
                why = task.metric.undefined(column[split], task.parameters)
                faults.extend([f"{task.metric.name}, column {show(name)}: {why}"] if why else [])
    return faults


def classes_missing_in_split(solution: Solution) -> list[Problem]:
    """Classes of a classification that have rows in one split and none in the other."""
    if solution.task.metric.kind not in ("probability", "label", "score"):
        return []
    splits = {"Public": solution.public, "Private": solution.private}
    return _missing_classes(solution.truth, solution.classes, splits, solution.task)


def _truth_columns(header: Sequence[str], task: Task, id_column: str, problems: list[Problem]) -> list[str]:
    """The columns of the solution that hold the truth; several probabilities may share one label column."""
    problems.extend(
        _problem("DUPLICATE_COLUMN", f"Line 1: column {show(name)} appears twice.", line=1)
        for name, times in Counter(header).items()
        if times > 1
    )
    if id_column not in header:
        message = f"The id column {show(id_column)} is missing; the columns are {show(', '.join(header))}."
        problems.append(_problem("MISSING_COLUMN", message, line=1, column=show(id_column)))
    missing = [name for name in task.columns if name not in header]
    others = [name for name in header if name not in (id_column, USAGE_COLUMN)]
    several = task.metric.layout == "classes" and len(task.columns) > 1
    if several and len(missing) == len(task.columns) and len(others) == 1:
        return others
    for name in missing:
        message = f"The target column {show(name)} is missing; the columns are {show(', '.join(header))}."
        if several:
            message += " Give one 0/1 column per class, or a single column with the class of each row."
        problems.append(_problem("MISSING_COLUMN", message, line=1, column=show(name)))
    return list(task.columns)


def _type_truth(
    names: Sequence[str],
    texts: Sequence[Sequence[str | None]],
    scored: Mask,
    ids: Sequence[str],
    lines: Sequence[int],
    task: Task,
    problems: list[Problem],
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    cells = task.metric.truth_cells(task.parameters)
    if len(names) < len(task.columns):
        return _one_hot(names[0], texts[0], ids, lines, task, problems), ()
    truth: list[Column] = []
    for name, column in zip(names, texts, strict=True):
        parsed = parse_column(column, cells)
        truth.append(parsed.values)
        for code, rows in parsed.faults.items():
            row = rows[0]
            text = column[row] or ""
            message = f"Column {show(name)}, line {lines[row]} (id {show(ids[row])}): {say_fault(code, text, cells)}"
            problems.append(
                _problem(
                    code,
                    message,
                    line=lines[row],
                    id=show(ids[row]),
                    column=show(name),
                    value=show(text),
                    count=len(rows),
                )
            )
    if task.metric.layout == "classes" and len(names) > 1 and not problems:
        sums = np.sum(np.column_stack(truth), axis=1)
        wrong = np.flatnonzero(scored & (sums != 1.0))
        if len(wrong):
            row = int(wrong[0])
            message = f"Line {lines[row]} (id {show(ids[row])}): exactly one class must be 1, here {sums[row]:g} are."
            problems.append(
                _problem("ROW_SUM", message, line=lines[row], id=show(ids[row]), count=len(wrong))
            )
    classes: set[str] = set()
    if task.metric.kind == "label":
        classes = {str(label) for column in truth for label in column[scored]}
    return tuple(truth), tuple(sorted(classes))


def _one_hot(
    name: str,
    texts: Sequence[str | None],
    ids: Sequence[str],
    lines: Sequence[int],
    task: Task,
    problems: list[Problem],
) -> tuple[FloatArray, ...]:
    """A label column as one 0/1 column per class, matched to the prediction columns by name."""
    number = {canonical_label(column): i for i, column in enumerate(task.columns)}
    hot = np.full((len(texts), len(task.columns)), np.nan)
    unknown: list[int] = []
    for row, text in enumerate(texts):
        if text is None:
            continue
        hot[row] = 0.0
        position = number.get(canonical_label(text))
        if position is None:
            unknown.append(row)
        else:
            hot[row, position] = 1.0
    if unknown:
        row = unknown[0]
        label = show(texts[row] or "")
        message = (
            f'Column {show(name)}, line {lines[row]} (id {show(ids[row])}): the class "{label}" is not among the '
            f"prediction columns {show(', '.join(task.columns))}."
        )
        problems.append(
            _problem(
                "UNKNOWN_CLASS", message, line=lines[row], column=show(name), value=label, count=len(unknown)
            )
        )
    return tuple(np.ascontiguousarray(hot[:, i]) for i in range(len(task.columns)))


def _undefined(
    truth: Sequence[Column],
    classes: Sequence[str],
    splits: Mapping[str, Mask],
    task: Task,
    *,
    strict: bool,
) -> list[Problem]:
    """Why the metric has no value, or none worth ranking by, on some split."""
    problems = []
    why_undefined = task.metric.undefined
    for split, mask in splits.items():
        where = f"{task.metric.name} on the {split} rows" if split else task.metric.name
        for name, column in zip(task.columns, truth, strict=True):
            why = why_undefined(column[mask], task.parameters) if why_undefined and mask.any() else None
            if why:
                message = f"{where}, column {show(name)}: {why}."
                problems.append(_problem("METRIC_UNDEFINED", message, column=show(name)))
    if not problems and strict and task.metric.needs_every_class:
        problems = _missing_classes(truth, classes, splits, task)
    return problems


def _missing_classes(
    truth: Sequence[Column], classes: Sequence[str], splits: Mapping[str, Mask], task: Task
) -> list[Problem]:
    problems = []
    for split, mask in splits.items():
        if task.metric.kind == "label":
            missing = [
                label for label in classes if not any((column[mask] == label).any() for column in truth)
            ]
        elif len(task.columns) == 1:
            missing = [f"{flag:g}" for flag in (0.0, 1.0) if not (truth[0][mask] == flag).any()]
        else:
            missing = [
                name
                for name, column in zip(task.columns, truth, strict=True)
                if not (column[mask] == 1.0).any()
            ]
        for label in missing:
            message = f"No {split} row has the class {show(label)}; every class needs rows in both splits."
            problems.append(_problem("CLASS_NOT_IN_SPLIT", message, value=show(label)))
    return problems


def _problem(
    code: str,
    message: str,
    *,
    line: int | None = None,
    id: str | None = None,  # noqa: A002 - the border's word for it
    column: str | None = None,
    value: str | None = None,
    count: int = 1,
) -> Problem:
    return Problem(code, message, line=line, id=id, column=column, value=value, count=count, file=FILE)


def _merge(problems: Sequence[Problem]) -> list[Problem]:
    """At most five problems of one kind: the sixth bad Usage teaches nothing."""
    kept: list[Problem] = []
    for code in dict.fromkeys(p.code for p in problems):
        kept.extend([p for p in problems if p.code == code][:5])
    return kept

"""The hidden labels, prepared once: ids and their index, typed truth, usage of each row.

A Solution also says what a submission must look like, since its ids are the ones required and its
task names the columns; nothing else of it may ever reach a message. Prepared solutions are kept as
plain arrays on disk and memory-mapped, so that many jobs share one copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.challenges.task import Part, Task
from scorer.metrics.registry import Classes
from scorer.reading.cells import GRAMMARS, NUMERIC_KINDS, Cells, ColumnBuilder, canonical_label, say_fault
from scorer.reading.columnar import NotPlain, read_plain
from scorer.reading.columns import CodeArray, Column, FloatArray, Labels, Lists, Rows, Vocabulary, take
from scorer.reading.ids import DuplicateId, IdIndex
from scorer.reading.tables import SPACES, Table, is_blank
from scorer.report import InvalidChallenge, Problem
from scorer.wording import ID_JOINT, show, show_id

USAGE_COLUMN = "Usage"
USAGES = ("Ignored", "Public", "Private")
"""By their code in `Solution.usage`."""
IGNORED, PUBLIC, PRIVATE = range(3)
FILE = "private/solution.csv"

_WEIGHT = Cells("number", low=0.0, high=1e15)
_GROUP = Cells("label")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What the solution holds for one part of a task, aligned by row."""

    truth: tuple[Column, ...]
    """Layout columns: one per predicted column. matrix: one per truth column. classes: a single one,
    the number of the true class's column as Labels."""
    sides: Mapping[str, Column | None]
    weights: FloatArray | None
    groups: Labels | None
    class_codes: CodeArray
    """Of labels and lists: the codes that occur among the scored rows, ascending."""

    def __repr__(self) -> str:
        return "Given(...)"


@dataclass(frozen=True, eq=False)
class Solution:
    """The truth of a challenge by row. Nothing in it is ever changed."""

    id_columns: tuple[str, ...]
    ids: IdIndex
    usage: NDArray[np.uint8]
    """Positions in USAGES."""
    tasks: tuple[Task, ...]
    """The ranking task, then those shown beside it."""
    given: tuple[tuple[Given, ...], ...]
    """Of each task, of each part."""
    vocabulary: Vocabulary
    """Of all labels and tokens; readers of submissions go on with a copy."""
    frame: Mapping[str, NDArray[np.object_]]
    """The solution as texts by column, for a function that wants the whole of it; else empty."""

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


# --- from a file or a frame ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One column of the solution that is read, and how."""

    name: str
    cells: Cells
    known: bool = False
    """Whether participants may know it, as the size of an image: then also what ignored rows hold is kept,
    since leaving it out would tell which rows these are."""


@dataclass(frozen=True, slots=True)
class _PartColumns:
    """Where in the solution a part finds what it needs."""

    truth: tuple[str, ...]
    one_label: bool
    """Layout classes with a single column that names the class of each row."""
    sides: Mapping[str, str]
    """Role -> column."""


def prepare_table(
    table: Table, tasks: Sequence[Task], *, id_columns: Sequence[str] | None, split_required: bool = True
) -> Solution:
    """Type and check a solution's file; raises InvalidChallenge with every problem found."""
    records = table.records()
    _, header = next(records)
    names = tuple(id_columns or header[:1])
    plan = _plan(header, tasks, names, split_required=split_required)
    if len(names) == 1 and not any(task.custom for task in tasks):
        try:
            return _prepare_plain(table, header, plan, tasks, names)
        except (NotPlain, DuplicateId):
            pass  # whatever it is, the exact reading below says it in words, or can bear it
    return prepare(header, records, tasks, id_columns=names, split_required=split_required)


def prepare(
    header: Sequence[str],
    records: Iterable[tuple[int, Sequence[str]]],
    tasks: Sequence[Task],
    *,
    id_columns: Sequence[str] | None = None,
    split_required: bool = True,
) -> Solution:
    """Type and check a solution; raises InvalidChallenge with every problem found.

    `records` yields (line, fields). Without a Usage column every row is public, which only
    `split_required=False` allows; it also leaves a split without rows alone.
    """
    names = tuple(id_columns or header[:1])
    plan = _plan(header, tasks, names, split_required=split_required)
    rows = _Records(header, names, plan)
    rows.read(records)
    if rows.problems:
        raise InvalidChallenge(_merge(rows.problems))
    usage = np.array([USAGES.index(usage) for usage in rows.usages], dtype=np.uint8)
    problems = _split_problems(usage, split_required=split_required)

    vocabulary = Vocabulary()
    columns: dict[_Wanted, Column] = {}
    for wanted, texts in rows.texts.items():
        builder = ColumnBuilder(wanted.cells, len(rows.ids), vocabulary)
        for row, text in enumerate(texts):
            if text is not None:
                builder.put(row, text)
        columns[wanted] = builder.column()
        for code, fault in builder.faults.items():
            line, key = rows.lines[fault.row], show(rows.ids[fault.row])
            words = say_fault(code, fault, wanted.cells)
            message = f"Column {show(wanted.name)}, line {line} (id {key}): {words}"
            problems.append(
                _problem(
                    code,
                    message,
                    line=line,
                    id=key,
                    column=show(wanted.name),
                    value=show(fault.text),
                    count=fault.count,
                )
            )
    frame = _frame(header, rows) if any(task.custom for task in tasks) else {}
    tasks = [_with_numeric_columns(task, frame) for task in tasks]
    return _assemble(
        names,
        IdIndex.build(rows.ids),
        usage,
        tasks,
        plan,
        columns,
        vocabulary,
        problems,
        where=lambda row: (rows.lines[row], show(rows.ids[row])),
        strict=split_required,
        frame=frame,
    )


def _prepare_plain(
    table: Table, header: Sequence[str], plan: _Plan, tasks: Sequence[Task], names: tuple[str, ...]
) -> Solution:
    """The same by columns, for a file without anything odd in it."""
    named = {wanted.name for wanted in plan.wanted}
    if len(plan.wanted) != len(named) or names[0] in named or plan.usage is None:
        raise NotPlain("a column is read in two ways, or there is no Usage")
    vocabulary, usage_names = Vocabulary(), Vocabulary(USAGES)
    wanted = {w.name: w.cells for w in plan.wanted} | {USAGE_COLUMN: Cells("label")}
    vocabularies = dict.fromkeys(wanted, vocabulary) | {USAGE_COLUMN: usage_names}
    try:
        blocks = list(read_plain(table, header, wanted, vocabularies, id_column=names[0], numeric_ids=True))
        ids = IdIndex.build(np.concatenate([block.ids for block in blocks]) if blocks else [])
    except NotPlain:
        vocabulary = Vocabulary()
        vocabularies = dict.fromkeys(wanted, vocabulary) | {USAGE_COLUMN: usage_names}
        blocks = list(read_plain(table, header, wanted, vocabularies, id_column=names[0], numeric_ids=False))
        ids = IdIndex.build(pa.chunked_array([block.ids for block in blocks], type=pa.string()))
    if len(usage_names) > len(USAGES) or not blocks:
        raise NotPlain("a Usage that does not exist, or no rows")
    merged = {name: _concatenate([block.columns[name] for block in blocks]) for name in wanted}
    usages = merged.pop(USAGE_COLUMN)
    assert isinstance(usages, Labels)
    usage = usages.codes.astype(np.uint8)
    columns = {
        w: merged[w.name] if w.known else _blank(merged[w.name], usage == IGNORED) for w in plan.wanted
    }
    try:
        return _assemble(
            names,
            ids,
            usage,
            tasks,
            plan,
            columns,
            vocabulary,
            _split_problems(usage, split_required=True),
            where=lambda row: (row + 2, show(ids.text(row))),
            strict=True,
            frame={},
        )
    except InvalidChallenge:
        raise NotPlain("blank lines are not counted here, so the lines to name are not known") from None


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which columns of a solution are read, and what each part takes from them."""

    wanted: tuple[_Wanted, ...]
    parts: tuple[tuple[_PartColumns, ...], ...]
    usage: str | None


def _plan(header: Sequence[str], tasks: Sequence[Task], ids: Sequence[str], *, split_required: bool) -> _Plan:
    problems = [
        _problem("DUPLICATE_COLUMN", f"Line 1: column {show(name)} appears twice.", line=1)
        for name, times in Counter(header).items()
        if times > 1
    ]
    listed = show(", ".join(header))
    for name in ids:
        if name not in header:
            message = f"The id column {show(name)} is missing; the columns are {listed}."
            problems.append(_problem("MISSING_COLUMN", message, line=1, column=show(name)))
    if USAGE_COLUMN in ids:
        message = f"{USAGE_COLUMN} cannot be the id; state submission: {{id: ...}} or put the id first."
        problems.append(_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN))
    for name in sorted({name for task in tasks for name in task.columns} & set(ids)):
        message = f"The column {show(name)} is the id, and submission.columns names it too."
        problems.append(_problem("DUPLICATE_COLUMN", message, line=1, column=show(name)))
    if split_required and USAGE_COLUMN not in header:
        message = f"The column {USAGE_COLUMN} is missing; it says of each row Public, Private or Ignored."
        problems.append(_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN))
    wanted: dict[_Wanted, None] = {}
    found = []
    for task in tasks:
        parts = []
        for part in task.parts:
            own = _part_columns(header, part, tuple(ids), problems)
            parts.append(own)
            truth = Cells("label") if own.one_label else part.truth_cells
            known = part.metric.faults_need_truth
            wanted.update(dict.fromkeys(_Wanted(name, truth, known) for name in own.truth))
            for role, name in own.sides.items():
                what = part.metric.side_roles.get(role)
                if what is None:
                    wanted[_Wanted(name, _WEIGHT if role == "weight" else _GROUP)] = None
                else:
                    wanted[_Wanted(name, what.cells, True)] = None
        found.append(tuple(parts))
    if problems:
        raise InvalidChallenge(_merge(problems))
    usage = USAGE_COLUMN if USAGE_COLUMN in header else None
    return _Plan(tuple(wanted), tuple(found), usage)


def _part_columns(
    header: Sequence[str], part: Part, ids: tuple[str, ...], problems: list[Problem]
) -> _PartColumns:
    metric, modifiers = part.metric, part.modifiers
    stated_sides = {"weight": modifiers.weight, "group_by": modifiers.group_by}
    sides = {role: name for role, name in stated_sides.items() if name is not None}
    for role, what in metric.side_roles.items():
        name = getattr(part.parameters, role)
        if name in header or not what.optional:
            sides[role] = name

    stated = modifiers.truth
    others = [name for name in header if name not in (*ids, USAGE_COLUMN, *sides.values())]
    one_label = False
    if stated is not None:
        truth = [stated] if isinstance(stated, str) else list(stated)
        one_label = part.layout == "classes" and len(truth) == 1
    elif metric.truth_roles:
        truth = [getattr(part.parameters, role) for role in metric.truth_roles]
    elif metric.n_truth == 1 and len(part.columns) > 1:
        named = [name for name in part.columns if name in header]
        truth = named[:1] or (others if len(others) == 1 else [part.columns[0]])
    else:
        truth = list(part.columns)
        if part.layout == "classes" and not set(truth) & set(header) and len(others) == 1:
            truth, one_label = others, True
    n_truth = 1 if one_label else metric.n_truth or len(part.columns)
    if len(truth) != n_truth:
        message = (
            f"{metric.name} needs {n_truth} truth columns, {len(truth)} are named: {show(', '.join(truth))}."
        )
        problems.append(_problem("MISSING_COLUMN", message, line=1))
    for name in [*truth, *sides.values()]:
        if name == USAGE_COLUMN:
            message = f"{metric.name} cannot use {USAGE_COLUMN}, which says what a row is for."
            problems.append(_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN))
        elif name not in header:
            message = f"The target column {show(name)} is missing; the columns are {show(', '.join(header))}."
            if name in sides.values():
                message = f"The column {show(name)}, which {metric.name} asks for, is missing."
            elif part.layout == "classes":
                message += " Give one 0/1 column per class, or a single column with the class of each row."
            problems.append(_problem("MISSING_COLUMN", message, line=1, column=show(name)))
    return _PartColumns(tuple(truth), one_label, sides)


class _Records:
    """One pass over the solution's records: what each column holds as text, None where it is ignored."""

    def __init__(self, header: Sequence[str], id_columns: Sequence[str], plan: _Plan) -> None:
        self.header = list(header)
        self.ids: list[str] = []
        self.lines: list[int] = []
        self.usages: list[str] = []
        self.texts: dict[_Wanted, list[str | None]] = {wanted: [] for wanted in plan.wanted}
        self.rows: list[Sequence[str]] = []
        """Whole records, for functions that want everything."""
        self.keep_rows = not plan.wanted
        self.problems: list[Problem] = []
        self._id_positions = [self.header.index(name) for name in id_columns]
        self._usage = None if plan.usage is None else self.header.index(plan.usage)

    def read(self, records: Iterable[tuple[int, Sequence[str]]]) -> None:
        index: dict[str, int] = {}
        targets = [
            (texts, self.header.index(wanted.name), wanted.known) for wanted, texts in self.texts.items()
        ]
        for line, fields in records:
            if is_blank(fields):
                continue
            if len(fields) != len(self.header):
                message = f"Line {line} has {len(fields)} values, expected {len(self.header)}."
                self.problems.append(_problem("FIELD_COUNT", message, line=line))
                continue
            key = self._key(line, fields)
            usage = "Public" if self._usage is None else fields[self._usage].strip(SPACES)
            if key in index:
                message = f"Id {show_id(key)} appears twice (lines {self.lines[index[key]]} and {line})."
                self.problems.append(_problem("DUPLICATE_IDS", message, line=line, id=show_id(key)))
                continue
            if usage not in USAGES:
                message = (
                    f'Line {line}: {USAGE_COLUMN} is "{show(usage)}"; allowed are Public, Private, Ignored.'
                )
                self.problems.append(
                    _problem("BAD_USAGE", message, line=line, column=USAGE_COLUMN, value=show(usage))
                )
            index[key] = len(self.ids)
            self.ids.append(key)
            self.lines.append(line)
            self.usages.append(usage)
            for column, position, known in targets:
                kept = usage != "Ignored" or (known and fields[position].strip(SPACES))
                column.append(fields[position] if kept else None)
            if self.keep_rows:
                self.rows.append(fields)
        if not self.ids and not self.problems:
            self.problems.append(_problem("NO_ROWS", "The solution has a header but no rows."))

    def _key(self, line: int, fields: Sequence[str]) -> str:
        keys = [fields[position] for position in self._id_positions]
        for key, position in zip(keys, self._id_positions, strict=True):
            if not key or key != key.strip(SPACES) or ID_JOINT in key:
                words = (
                    "is empty"
                    if not key.strip(SPACES)
                    else "has spaces or a control character around or in it"
                )
                name = show(self.header[position])
                self.problems.append(
                    _problem("BAD_ID", f"Line {line}: the id {words}.", line=line, column=name)
                )
        return keys[0] if len(keys) == 1 else ID_JOINT.join(keys)


def _split_problems(usage: NDArray[np.uint8], *, split_required: bool) -> list[Problem]:
    counts = np.bincount(usage, minlength=3)
    problems = []
    if split_required:
        for code in (PUBLIC, PRIVATE):
            if not counts[code]:
                message = f"No row has {USAGE_COLUMN} {USAGES[code]}; both splits need rows."
                problems.append(_problem("EMPTY_SPLIT", message))
    if not problems and counts[IGNORED] == len(usage):
        problems.append(_problem("EMPTY_SPLIT", "Every row is Ignored; nothing is left to score."))
    return problems


def _assemble(
    id_columns: tuple[str, ...],
    ids: IdIndex,
    usage: NDArray[np.uint8],
    tasks: Sequence[Task],
    plan: _Plan,
    columns: Mapping[_Wanted, Column],
    vocabulary: Vocabulary,
    problems: list[Problem],
    *,
    where: Callable[[int], tuple[int, str]],
    strict: bool,
    frame: Mapping[str, NDArray[np.object_]],
) -> Solution:
    scored = usage != IGNORED
    given: list[tuple[Given, ...]] = []
    for task, places in zip(tasks, plan.parts, strict=True):
        found = []
        for part, place in zip(task.parts, places, strict=True):
            cells = Cells("label") if place.one_label else part.truth_cells
            known = part.metric.faults_need_truth
            truth = tuple(columns[_Wanted(name, cells, known)] for name in place.truth)
            if part.layout == "classes" and not problems:
                truth = _true_class(part, place, truth, scored, vocabulary, where, problems)
            sides: dict[str, Column | None] = {
                role: columns[_Wanted(place.sides[role], what.cells, True)] if role in place.sides else None
                for role, what in part.metric.side_roles.items()
            }
            weight, group = place.sides.get("weight"), place.sides.get("group_by")
            weights = None if weight is None else np.asarray(columns[_Wanted(weight, _WEIGHT)])
            groups = None if group is None else columns[_Wanted(group, _GROUP)]
            assert groups is None or isinstance(groups, Labels)
            found.append(Given(truth, sides, weights, groups, _class_codes(truth, scored)))
        given.append(tuple(found))
    if problems:
        raise InvalidChallenge(_merge(problems))
    solution = Solution(id_columns, ids, usage, tuple(tasks), tuple(given), vocabulary, frame)
    problems = _undefined(solution, strict=strict)
    if problems:
        raise InvalidChallenge(_merge(problems))
    return solution


def _class_codes(truth: Sequence[Column], scored: Mask) -> CodeArray:
    seen = [take(column, scored).codes for column in truth if isinstance(column, Labels | Lists)]
    return np.unique(np.concatenate(seen)).astype(np.int32) if seen else np.empty(0, dtype=np.int32)


def _true_class(
    part: Part,
    place: _PartColumns,
    truth: tuple[Column, ...],
    scored: Mask,
    vocabulary: Vocabulary,
    where: Callable[[int], tuple[int, str]],
    problems: list[Problem],
) -> tuple[Column, ...]:
    """The number of each row's true class among the prediction columns; -1 for rows that are ignored."""
    if place.one_label:
        (labels,) = truth
        assert isinstance(labels, Labels)
        number = {canonical_label(name): i for i, name in enumerate(part.columns)}
        position = np.array([*(number.get(name, -2) for name in vocabulary.names), -1], dtype=np.int32)
        found = position[labels.codes]
        unknown = np.flatnonzero(scored & (found == -2))
        if len(unknown):
            line, key = where(int(unknown[0]))
            label = show(vocabulary.names[labels.codes[unknown[0]]])
            message = (
                f'Column {show(place.truth[0])}, line {line} (id {key}): the class "{label}" is not among the '
                f"prediction columns {show(', '.join(part.columns))}."
            )
            problems.append(
                _problem(
                    "UNKNOWN_CLASS",
                    message,
                    line=line,
                    column=show(place.truth[0]),
                    value=label,
                    count=len(unknown),
                )
            )
        return (Labels(found),)
    flags = np.column_stack([np.asarray(column, dtype=np.float64) for column in truth])
    sums = np.sum(flags, axis=1)
    wrong = np.flatnonzero(scored & (sums != 1.0))
    if len(wrong):
        line, key = where(int(wrong[0]))
        message = f"Line {line} (id {key}): exactly one class must be 1, here {sums[wrong[0]]:g} are."
        problems.append(_problem("ROW_SUM", message, line=line, id=key, count=len(wrong)))
    found = np.where(scored, np.argmax(np.nan_to_num(flags), axis=1), -1).astype(np.int32)
    return (Labels(found),)


def _frame(header: Sequence[str], rows: _Records) -> dict[str, NDArray[np.object_]]:
    columns = zip(*rows.rows, strict=True)
    return {name: np.array(column, dtype=np.object_) for name, column in zip(header, columns, strict=True)}


def _with_numeric_columns(task: Task, frame: Mapping[str, NDArray[np.object_]]) -> Task:
    """What an own function is given where it expects numbers must be numbers; a hole would be nan."""
    if task.custom is None:
        return task
    is_number = GRAMMARS["number"].fault
    numeric = {
        name
        for name in task.columns
        if name in frame and not any(is_number(text) for text in frame[name].tolist())
    }
    return replace(task, numeric=frozenset(numeric))


def _concatenate(columns: Sequence[Column]) -> Column:
    first = columns[0]
    if isinstance(first, Labels):
        return Labels(np.concatenate([column.codes for column in columns if isinstance(column, Labels)]))
    if isinstance(first, Lists):
        lists = [column for column in columns if isinstance(column, Lists)]
        lengths = np.concatenate([column.lengths for column in lists])
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        return Lists(np.concatenate([column.codes for column in lists]), offsets)
    return np.concatenate([column for column in columns if isinstance(column, np.ndarray)])


def _blank(column: Column, rows: Mask) -> Column:
    """The column without what it holds in those rows."""
    if not rows.any():
        return column
    if isinstance(column, Labels):
        return Labels(np.where(rows, np.int32(-1), column.codes))
    if isinstance(column, Lists):
        lengths = np.where(rows, 0, column.lengths)
        kept = ~rows[column.rows]
        return Lists(column.codes[kept], np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))
    blank = column.copy()
    blank[rows] = "" if column.dtype == np.object_ else np.nan
    return blank


# --- what a metric needs of each split --------------------------------------------------------------


def part_truth(part: Part, given: Given, rows: Rows | None = None) -> list[Any]:
    """The truth as the metric's function takes it, one entry per call."""
    columns = given.truth if rows is None else tuple(take(column, rows) for column in given.truth)
    if part.layout == "classes":
        (labels,) = columns
        assert isinstance(labels, Labels)
        return [labels.codes]
    if part.layout == "matrix":
        return [_matrix(columns)]
    if part.modifiers.columns == "pooled":
        return [_concatenate([widened(column) for column in columns])]
    return [widened(column) for column in columns]


def part_sides(part: Part, given: Given, rows: Rows) -> dict[str, Column | None]:
    """What the solution holds beside the truth, repeated where pooled columns stand below each other."""
    times = len(part.columns) if part.layout == "columns" and part.modifiers.columns == "pooled" else 1
    return {
        role: None if side is None else _concatenate([widened(take(side, rows))] * times)
        for role, side in given.sides.items()
    }


def part_predicted(part: Part, columns: Sequence[Column]) -> list[Any]:
    """The predictions as the metric's function takes them, one entry per call."""
    if part.layout in ("matrix", "classes"):
        return [_matrix(columns)]
    if part.modifiers.columns == "pooled":
        return [_concatenate(columns)]
    return list(columns)


def _matrix(columns: Sequence[Column]) -> FloatArray:
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def widened(column: Column) -> Column:
    """Numbers as float64; small whole ones are kept as bytes on disk."""
    return (
        column.astype(np.float64) if isinstance(column, np.ndarray) and column.dtype.kind in "iu" else column
    )


def truth_as_predictions(solution: Solution, task: int = 0) -> dict[str, Column] | None:
    """The truth by prediction column, ignored rows holding some allowed value.

    None if the truth is no prediction, as where a risk is predicted and a time is true.
    """
    columns: dict[str, Column] = {}
    first = int(np.flatnonzero(solution.scored)[0])
    rows = np.where(solution.scored, np.arange(len(solution.ids)), first)
    for part, given in zip(solution.tasks[task].parts, solution.given[task], strict=True):
        predicted, true = part.predicted_cells, part.truth_cells
        alike = predicted.kind == true.kind or {predicted.kind, true.kind} <= {*NUMERIC_KINDS}
        if part.metric.truth_roles or predicted.grammar != true.grammar:
            return None
        truth: Sequence[Column] = [widened(take(column, rows)) for column in given.truth]
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
        columns.update(zip(part.columns, truth, strict=True))
    return columns if solution.tasks[task].parts else None


def split_groups(groups: Labels, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The rows of each group, groups in the order of their codes."""
    codes = groups.codes[rows]
    order = np.argsort(codes, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(codes[order])) + 1)


def _undefined(solution: Solution, *, strict: bool) -> list[Problem]:
    """Why a metric has no value, or none worth ranking by, on some split."""
    problems = []
    splits = {"Public": solution.public, "Private": solution.private} if strict else {"": solution.scored}
    for number, (task, givens) in enumerate(zip(solution.tasks, solution.given, strict=True)):
        for part, given in zip(task.parts, givens, strict=True):
            for split, mask in splits.items():
                problems.extend(_undefined_part(part, given, split, mask, solution.classes(given)))
        if strict and number == 0 and not problems and any(p.metric.needs_every_class for p in task.parts):
            problems = _missing_classes(solution, splits)
    return problems


def _undefined_part(part: Part, given: Given, split: str, mask: Mask, classes: Classes) -> list[Problem]:
    where = f"{part.metric.name} on the {split} rows" if split else part.metric.name
    weighed = mask if given.weights is None else mask & (given.weights > 0.0)
    rows = np.flatnonzero(mask)
    groups = [("", rows)]
    if given.groups is not None:
        groups = [(f", group {i + 1}", own) for i, own in enumerate(split_groups(given.groups, rows))]
    for label, own in groups:
        if len(own) and not weighed[own].any():
            message = f"{where}{label}: the weights in {show(part.modifiers.weight or '')} are all 0."
            return [_problem("METRIC_UNDEFINED", message, column=show(part.modifiers.weight or ""))]
    if part.metric.undefined is None or not mask.any():
        return []
    problems = []
    names = part.columns if part.layout == "columns" and part.modifiers.columns != "pooled" else ("",)
    for label, own in groups:
        for name, truth in zip(names, part_truth(part, given, own[weighed[own]]), strict=True):
            why = part.metric.why_undefined(truth, part.parameters, classes)
            if why:
                column = f", column {show(name)}" if name else ""
                message = f"{where}{label}{column}: {why}."
                problems.append(_problem("METRIC_UNDEFINED", message, column=show(name) if name else None))
    return problems


def classes_missing_in_split(solution: Solution) -> list[Problem]:
    """Classes of a classification that have rows in one split and none in the other."""
    return _missing_classes(solution, {"Public": solution.public, "Private": solution.private})


def _missing_classes(solution: Solution, splits: Mapping[str, Mask]) -> list[Problem]:
    problems: dict[tuple[str, str], None] = {}
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        if part.metric.kind not in ("probability", "label", "score"):
            continue
        for split, mask in splits.items():
            for name in _absent(part, given, solution.vocabulary, mask):
                problems[(split, name)] = None
    return [
        _problem(
            "CLASS_NOT_IN_SPLIT",
            f"No {split} row has the class {show(name)}; every class needs rows in both splits.",
            value=show(name),
        )
        for split, name in problems
    ]


def _absent(part: Part, given: Given, vocabulary: Vocabulary, mask: Mask) -> Iterator[str]:
    if part.layout == "classes":
        present = set(part_truth(part, given, mask)[0].tolist())
        yield from (name for i, name in enumerate(part.columns) if i not in present)
    elif len(given.class_codes):
        present = set()
        for column in given.truth:
            if isinstance(column, Labels | Lists):
                present.update(column.take(mask).codes.tolist())
        yield from (vocabulary.names[code] for code in given.class_codes.tolist() if code not in present)
    elif part.truth_cells.kind == "flag":
        for name, column in zip(part.columns, given.truth, strict=False):
            missing = [f"{flag:g}" for flag in (0.0, 1.0) if not (np.asarray(column)[mask] == flag).any()]
            yield from (missing if len(given.truth) == 1 else [name] if "1" in missing else [])


def side_task_faults(main: Task, side: Task) -> list[str]:
    """Why a task cannot be shown beside the ranking one, over the same submission."""
    faults = []
    for part in side.parts:
        for name in part.columns:
            allowed = part.predicted_cells
            if not main.cells(name).within(allowed):
                faults.append(
                    f"{part.metric.name} needs {allowed.words} in each cell, which {main.name} does not ask for"
                )
                break
    return faults


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

"""Read private/solution.csv into a Solution, or report every problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.challenges.solution import IGNORED, USAGE_COLUMN, USAGES, Given, Mask, Solution, concatenate
from scorer.challenges.solution_checks import (
    at_most_five,
    solution_problem,
    split_problems,
    undefined_problems,
    unicode_problems,
)
from scorer.challenges.task import Part, Task
from scorer.custom import filled, holds_codes, holds_numbers, is_number
from scorer.reading.cells import Cells, ColumnBuilder, canonical_label, describe_fault
from scorer.reading.columnar import NotColumnar, read_columnar
from scorer.reading.columns import CodeArray, Column, Labels, Lists, Vocabulary, take
from scorer.reading.forms import Forms, composed
from scorer.reading.ids import DuplicateId, IdIndex
from scorer.reading.tables import SPACES, Table, is_blank
from scorer.report import InvalidChallenge, Problem
from scorer.wording import ID_JOINT, show, show_id

_WEIGHT = Cells("number", low=0.0, high=1e15)


_GROUP = Cells("label")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One column of the solution and the cells it must hold."""

    name: str
    cells: Cells
    known: bool = False
    """Whether participants know it, as the size of an image. Then the cells of ignored rows are kept too:
    leaving them out would reveal which rows these are."""


@dataclass(frozen=True, slots=True)
class _PartColumns:
    """The solution's columns that one part needs."""

    truth: tuple[str, ...]
    one_label: bool
    """Layout classes with a single column that names the class of each row."""
    sides: Mapping[str, str]
    """Role -> column."""


def prepare_table(
    table: Table, tasks: Sequence[Task], *, id_columns: Sequence[str] | None, split_required: bool = True
) -> Solution:
    """Type and check a solution's file.

    Raises InvalidChallenge with every problem.
    """
    records = table.records()
    header = [composed(name) for name in next(records)[1]]
    names = tuple(id_columns or header[:1])
    plan = _plan(header, tasks, names, split_required=split_required)
    if len(names) == 1 and not any(task.custom for task in tasks):
        try:
            return _prepare_columnar(table, header, plan, tasks, names)
        except (NotColumnar, DuplicateId):
            pass  # the exact reading below accepts it, or reports the reason
    return prepare(header, records, tasks, id_columns=names, split_required=split_required)


def prepare(
    header: Sequence[str],
    records: Iterable[tuple[int, Sequence[str]]],
    tasks: Sequence[Task],
    *,
    id_columns: Sequence[str] | None = None,
    split_required: bool = True,
) -> Solution:
    """Type and check a solution from its records.

    Raises InvalidChallenge with every problem. `records` yields (line, fields). `split_required=False` allows
    a solution without the column Usage, whose rows are all public, and a split without rows.
    """
    header = [composed(name) for name in header]
    names = tuple(id_columns or header[:1])
    plan = _plan(header, tasks, names, split_required=split_required)
    rows = _Records(header, names, plan)
    rows.read(records)
    if rows.problems:
        raise InvalidChallenge(at_most_five(rows.problems))
    usage = np.array([USAGES.index(usage) for usage in rows.usages], dtype=np.uint8)
    problems = split_problems(usage, split_required=split_required)

    vocabulary = Vocabulary()
    columns: dict[_Wanted, Column] = {}
    for wanted, texts in rows.texts.items():
        place = rows.header.index(wanted.name)
        problems.extend(unicode_problems(wanted.name, place, wanted.cells, texts, rows.lines, rows.forms))
        builder = ColumnBuilder(wanted.cells, len(rows.ids), vocabulary)
        for row, text in enumerate(texts):
            if text is not None:
                builder.put(row, text)
        columns[wanted] = builder.column()
        for code, fault in builder.faults.items():
            line, key = rows.lines[fault.row], show_id(rows.ids[fault.row])
            words = describe_fault(code, fault, wanted.cells)
            message = f"Column {show(wanted.name)}, line {line} (id {key}): {words}"
            problems.append(
                solution_problem(
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
    tasks = [_with_numeric_columns(task, frame, usage != IGNORED) for task in tasks]
    return _assemble(
        names,
        IdIndex.build(rows.ids),
        usage,
        tasks,
        plan,
        columns,
        vocabulary,
        problems,
        where=lambda row: (rows.lines[row], show_id(rows.ids[row])),
        strict=split_required,
        frame=frame,
    )


def _prepare_columnar(
    table: Table, header: Sequence[str], plan: _Plan, tasks: Sequence[Task], names: tuple[str, ...]
) -> Solution:
    """Prepare the table by columns; NotColumnar for unusual files."""
    named = {wanted.name for wanted in plan.wanted}
    if len(plan.wanted) != len(named) or names[0] in named or plan.usage is None:
        raise NotColumnar("a column is read in two ways, or there is no Usage")
    vocabulary, usage_names = Vocabulary(), Vocabulary(USAGES)
    wanted = {w.name: w.cells for w in plan.wanted} | {USAGE_COLUMN: Cells("label")}
    vocabularies = dict.fromkeys(wanted, vocabulary) | {USAGE_COLUMN: usage_names}
    try:
        blocks = list(
            read_columnar(table, header, wanted, vocabularies, id_column=names[0], numeric_ids=True)
        )
        ids = IdIndex.build(np.concatenate([block.ids for block in blocks]) if blocks else [])
    except NotColumnar:
        vocabulary = Vocabulary()
        vocabularies = dict.fromkeys(wanted, vocabulary) | {USAGE_COLUMN: usage_names}
        blocks = list(
            read_columnar(table, header, wanted, vocabularies, id_column=names[0], numeric_ids=False)
        )
        ids = IdIndex.build(pa.chunked_array([block.ids for block in blocks], type=pa.string()))
    if len(usage_names) > len(USAGES) or not blocks:
        raise NotColumnar("a Usage that does not exist, or no rows")
    merged = {name: concatenate([block.columns[name] for block in blocks]) for name in wanted}
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
            split_problems(usage, split_required=True),
            where=lambda row: (row + 2, show(ids.text(row))),
            strict=True,
            frame={},
        )
    except InvalidChallenge:
        raise NotColumnar("blank lines are not counted here, so the lines to name are not known") from None


@dataclass(frozen=True, slots=True)
class _Plan:
    """The columns of a solution to read, by part."""

    wanted: tuple[_Wanted, ...]
    parts: tuple[tuple[_PartColumns, ...], ...]
    usage: str | None


def _plan(header: Sequence[str], tasks: Sequence[Task], ids: Sequence[str], *, split_required: bool) -> _Plan:
    problems = [
        solution_problem("DUPLICATE_COLUMN", f"Line 1: column {show(name)} appears twice.", line=1)
        for name, times in Counter(header).items()
        if times > 1
    ]
    listed = show(", ".join(header))
    for name in ids:
        if name not in header:
            message = f"The id column {show(name)} is missing; the columns are {listed}."
            problems.append(solution_problem("MISSING_COLUMN", message, line=1, column=show(name)))
    if USAGE_COLUMN in ids:
        message = f"{USAGE_COLUMN} cannot be the id; state submission: {{id: ...}} or put the id first."
        problems.append(solution_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN))
    for name in sorted({name for task in tasks for name in task.columns} & set(ids)):
        message = f"The column {show(name)} is the id, and submission.columns names it too."
        problems.append(solution_problem("DUPLICATE_COLUMN", message, line=1, column=show(name)))
    if split_required and USAGE_COLUMN not in header:
        message = f"The column {USAGE_COLUMN} is missing; it says of each row Public, Private or Ignored."
        problems.append(solution_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN))
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
        raise InvalidChallenge(at_most_five(problems))
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
        problems.append(solution_problem("MISSING_COLUMN", message, line=1))
    for name in [*truth, *sides.values()]:
        if name == USAGE_COLUMN:
            message = f"{metric.name} cannot use {USAGE_COLUMN}, which says what a row is for."
            problems.append(solution_problem("MISSING_COLUMN", message, line=1, column=USAGE_COLUMN))
        elif name not in header:
            message = f"The target column {show(name)} is missing; the columns are {show(', '.join(header))}."
            if name in sides.values():
                message = f"The column {show(name)}, which {metric.name} asks for, is missing."
            elif part.layout == "classes":
                message += " Give one 0/1 column per class, or a single column with the class of each row."
            problems.append(solution_problem("MISSING_COLUMN", message, line=1, column=show(name)))
    return _PartColumns(tuple(truth), one_label, sides)


class _Records:
    """The texts of a solution by column, None in ignored rows."""

    def __init__(self, header: Sequence[str], id_columns: Sequence[str], plan: _Plan) -> None:
        self.header = list(header)
        self.ids: list[str] = []
        self.lines: list[int] = []
        self.usages: list[str] = []
        self.texts: dict[_Wanted, list[str | None]] = {wanted: [] for wanted in plan.wanted}
        self.rows: list[Sequence[str]] = []
        """Whole records, for an organiser's own metric."""
        self.keep_rows = not plan.wanted
        self.problems: list[Problem] = []
        self.forms = Forms()
        self._id_positions = [self.header.index(name) for name in id_columns]
        self._usage = None if plan.usage is None else self.header.index(plan.usage)

    def read(self, records: Iterable[tuple[int, Sequence[str]]]) -> None:
        index: dict[str, int] = {}
        targets = [
            (texts, self.header.index(wanted.name), wanted.known) for wanted, texts in self.texts.items()
        ]
        for line, fields in self.forms.of(records, keep=True):
            if is_blank(fields):
                continue
            if len(fields) != len(self.header):
                message = f"Line {line} has {len(fields)} values, expected {len(self.header)}."
                self.problems.append(solution_problem("FIELD_COUNT", message, line=line))
                continue
            key = self._key(line, fields)
            usage = "Public" if self._usage is None else fields[self._usage].strip(SPACES)
            if key in index:
                first = self.lines[index[key]]
                message = f"Id {show_id(key)} appears twice (lines {first} and {line})."
                if any(
                    (at, place) in self.forms.decomposed
                    for at in (first, line)
                    for place in self._id_positions
                ):
                    message += " The two differ in their Unicode form only and would be one id (NFC)."
                self.problems.append(solution_problem("DUPLICATE_IDS", message, line=line, id=show_id(key)))
                continue
            if usage not in USAGES:
                message = (
                    f'Line {line}: {USAGE_COLUMN} is "{show(usage)}"; allowed are Public, Private, Ignored.'
                )
                self.problems.append(
                    solution_problem("BAD_USAGE", message, line=line, column=USAGE_COLUMN, value=show(usage))
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
            self.problems.append(solution_problem("NO_ROWS", "The solution has a header but no rows."))

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
                    solution_problem("BAD_ID", f"Line {line}: the id {words}.", line=line, column=name)
                )
        return keys[0] if len(keys) == 1 else ID_JOINT.join(keys)


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
        raise InvalidChallenge(at_most_five(problems))
    solution = Solution(id_columns, ids, usage, tuple(tasks), tuple(given), vocabulary, frame)
    problems = undefined_problems(solution, strict=strict)
    if problems:
        raise InvalidChallenge(at_most_five(problems))
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
    """Return the prediction column of each row's true class.

    -1 in ignored rows.
    """
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
                f'Column {show(place.truth[0])}, line {line} (id {key}): the class "{label}" is not among '
                f"the prediction columns {show(', '.join(part.columns))}."
            )
            problems.append(
                solution_problem(
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
        problems.append(solution_problem("ROW_SUM", message, line=line, id=key, count=len(wrong)))
    found = np.where(scored, np.argmax(np.nan_to_num(flags), axis=1), -1).astype(np.int32)
    return (Labels(found),)


def _frame(header: Sequence[str], rows: _Records) -> dict[str, NDArray[np.object_]]:
    columns = zip(*rows.rows, strict=True)
    return {name: np.array(column, dtype=np.object_) for name, column in zip(header, columns, strict=True)}


def _with_numeric_columns(task: Task, frame: Mapping[str, NDArray[np.object_]], scored: Mask) -> Task:
    """Return the task with the columns whose predictions must be numbers.

    An own metric expects numbers where the truth has them; most metrics skip nan, so a file of empty cells
    would be perfect. Only filled cells of scored rows decide: a hole in the truth must not end the check.
    """
    if task.custom is None:
        return task
    numeric = {name for name in task.columns if name in frame and holds_numbers(frame[name][scored].tolist())}
    return replace(task, numeric=frozenset(numeric))


def with_sample_numbers(solution: Solution, sample: Mapping[str, Sequence[str]]) -> Solution:
    """Return the solution with more columns that must be numbers.

    These are columns of an own metric whose truth, if any, holds no number, if every cell of the sample
    submission is a number. Where the truth is in words, whole numbers may stand for labels; then one of the
    sample's must have a fraction.
    """
    task, ids = solution.task, solution.id_columns
    scored = {name: filled(column[solution.scored].tolist()) for name, column in solution.frame.items()}
    others = [name for name in scored if name not in (*ids, USAGE_COLUMN, *task.columns)]
    found = set(task.numeric)
    for name in task.columns:
        truth, cells = scored.get(name, []), sample.get(name, [])
        if any(map(is_number, truth)) or not cells or not all(map(is_number, cells)) or holds_codes(cells):
            continue
        may_be_words = truth or any(not holds_numbers(scored[other]) for other in others)
        if not may_be_words or any(float(cell) % 1.0 for cell in cells):
            found.add(name)
    return replace(solution, tasks=(replace(task, numeric=frozenset(found)), *solution.tasks[1:]))


def _blank(column: Column, rows: Mask) -> Column:
    """Return the column with the cells of those rows emptied."""
    if not rows.any():
        return column
    if isinstance(column, Labels):
        return Labels(np.where(rows, np.int32(-1), column.codes))
    if isinstance(column, Lists):
        lengths = np.where(rows, 0, column.lengths)
        kept = ~rows[column.rows]
        return Lists(
            column.codes[kept],
            np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            None if column.grades is None else column.grades[kept],
        )
    blank = column.copy()
    blank[rows] = "" if column.dtype == np.object_ else np.nan
    return blank

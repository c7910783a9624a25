"""Read private/solution.csv into a Solution, or report every problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.challenges.solution import IGNORED, USAGE_COLUMN, USAGES, Given, Mask, Solution, concatenate
from scorer.challenges.solution_cells import NumberedWords, numbered, read_cells
from scorer.challenges.solution_checks import (
    at_most_five,
    solution_problem,
    split_problems,
    undefined_problems,
    unicode_problems,
)
from scorer.challenges.solution_plan import (
    GROUP,
    WEIGHT,
    PartColumns,
    Plan,
    Wanted,
    bare_names,
    plan_columns,
    truth_wanted,
)
from scorer.challenges.solution_records import Records
from scorer.challenges.task import Part, Task
from scorer.custom_cells import (
    are_padded,
    filled,
    holds_codes,
    holds_flags,
    holds_numbers,
    holds_words,
    is_number,
    true_cells,
)
from scorer.reading.cells import NAN_WORDS, Cells, canonical_label
from scorer.reading.columnar import NotColumnar, read_columnar
from scorer.reading.columns import CodeArray, Column, Labels, Lists, Vocabulary, take
from scorer.reading.ids import DuplicateId, IdIndex
from scorer.reading.tables import Table
from scorer.report import InvalidChallenge, Problem
from scorer.wording import show, show_id


def prepare_table(
    table: Table, tasks: Sequence[Task], *, id_columns: Sequence[str] | None, split_required: bool = True
) -> Solution:
    """Type and check a solution's file.

    Raises InvalidChallenge with every problem.
    """
    records = table.records()
    _, header = next(records)
    header = bare_names(header)
    names = tuple(id_columns or header[:1])
    plan = plan_columns(header, tasks, names, split_required=split_required)
    if len(names) == 1 and not plan.problems and not any(task.custom for task in tasks):
        try:
            return _prepare_columnar(table, header, plan, tasks, names)
        except (NotColumnar, DuplicateId):
            pass  # the exact reading below accepts it, or reports the reason
    return prepare(header, records, tasks, id_columns=names, split_required=split_required)


def form_problems(table: Table, id_columns: Sequence[str] | None, *, first: bool = True) -> list[Problem]:
    """Return the problems of a solution whose metric is not known.

    With its header, ids, usages and the number of values in each line. Without `id_columns` the first column
    has the ids, or unless `first` none is known.
    """
    records = table.records()
    _, header = next(records)
    header = bare_names(header)
    plan = plan_columns(header, (), id_columns or (header[:1] if first else ()), split_required=True)
    rows = Records(header, plan, keep_rows=False)
    if plan.readable:
        rows.read(records)
    return at_most_five([*plan.problems, *rows.problems])


def prepare(
    header: Sequence[str],
    records: Iterable[tuple[int, Sequence[str]]],
    tasks: Sequence[Task],
    *,
    id_columns: Sequence[str] | None = None,
    split_required: bool = True,
) -> Solution:
    """Type and check a solution from its records.

    Raises InvalidChallenge with every problem: of the header, the rows and the cells together. `records`
    yields (line, fields). `split_required=False` allows a solution without the column Usage, whose rows are
    all public, and a split without rows.
    """
    header = bare_names(header)
    names = tuple(id_columns or header[:1])
    plan = plan_columns(header, tasks, names, split_required=split_required)
    rows = Records(header, plan, keep_rows=any(task.custom for task in tasks))
    if plan.readable:
        rows.read(records)
    problems = [*plan.problems, *rows.problems]
    usage = np.array([USAGES.index(usage) for usage in rows.usages], dtype=np.uint8)
    if not problems:
        problems.extend(split_problems(usage, split_required=split_required))
    vocabulary = Vocabulary()
    columns: dict[Wanted, Column] = {}
    for wanted, texts in rows.texts.items():
        place = rows.header.index(wanted.name)
        problems.extend(unicode_problems(wanted.name, place, wanted.cells, texts, rows.lines, rows.forms))
        column, faults = read_cells(wanted, texts, rows, vocabulary)
        columns[wanted] = column
        problems.extend(faults)
    if plan.problems or rows.problems:
        raise InvalidChallenge(at_most_five(problems))
    frame = _frame(header, rows) if any(task.custom for task in tasks) else {}
    tasks = [_with_checked_columns(task, frame, usage != IGNORED) for task in tasks]
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
    table: Table, header: Sequence[str], plan: Plan, tasks: Sequence[Task], names: tuple[str, ...]
) -> Solution:
    """Prepare the table by columns; NotColumnar for unusual files."""
    named = {wanted.name for wanted in plan.wanted}
    if len(plan.wanted) != len(named) or names[0] in named or plan.usage is None:
        raise NotColumnar("a column is read in two ways, or there is no Usage")
    vocabulary, usage_names = Vocabulary(), Vocabulary(USAGES)
    wanted = {w.name: w.cells for w in plan.wanted} | {USAGE_COLUMN: Cells("label")}
    words = {w.name: Vocabulary() for w in plan.wanted if w.values}
    vocabularies = dict.fromkeys(wanted, vocabulary) | words | {USAGE_COLUMN: usage_names}
    try:
        blocks = list(
            read_columnar(table, header, wanted, vocabularies, id_column=names[0], numeric_ids=True)
        )
        ids = IdIndex.build(np.concatenate([block.ids for block in blocks]) if blocks else [])
    except NotColumnar:
        vocabulary, usage_names = Vocabulary(), Vocabulary(USAGES)
        words = {w.name: Vocabulary() for w in plan.wanted if w.values}
        vocabularies = dict.fromkeys(wanted, vocabulary) | words | {USAGE_COLUMN: usage_names}
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
    columns = {}
    for w in plan.wanted:
        column = merged[w.name] if w.known else _blank(merged[w.name], usage == IGNORED)
        if w.values:
            assert isinstance(column, Labels)
            try:
                column = numbered(column, vocabularies[w.name], w)
            except NumberedWords:
                raise NotColumnar("a word that stands for no number") from None
        columns[w] = column
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


def _assemble(
    id_columns: tuple[str, ...],
    ids: IdIndex,
    usage: NDArray[np.uint8],
    tasks: Sequence[Task],
    plan: Plan,
    columns: Mapping[Wanted, Column],
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
            truth = tuple(columns[truth_wanted(part, place, name)] for name in place.truth)
            if (place.one_label or part.layout == "classes") and not problems:
                (classes,) = _true_class(part, place, truth, scored, vocabulary, where, problems)
                truth = (classes,) if part.layout == "classes" else _one_against_rest(classes, part)
            sides: dict[str, Column | None] = {
                role: columns[Wanted(place.sides[role], what.cells, True)] if role in place.sides else None
                for role, what in part.metric.side_roles.items()
            }
            weight, group = place.sides.get("weight"), place.sides.get("group_by")
            weights = None if weight is None else np.asarray(columns[Wanted(weight, WEIGHT)])
            groups = None if group is None else columns[Wanted(group, GROUP)]
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
    place: PartColumns,
    truth: tuple[Column, ...],
    scored: Mask,
    vocabulary: Vocabulary,
    where: Callable[[int], tuple[int, str]],
    problems: list[Problem],
) -> tuple[Labels]:
    """Return the prediction column of each row's true class.

    -1 in ignored rows, and where the class is unknown.
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
    if part.modifiers.truth_missing == "skip":
        scored = scored & ~np.isnan(sums)
    wrong = np.flatnonzero(scored & (sums != 1.0))
    if len(wrong):
        line, key = where(int(wrong[0]))
        message = f"Line {line} (id {key}): exactly one class must be 1, here {sums[wrong[0]]:g} are."
        problems.append(solution_problem("ROW_SUM", message, line=line, id=key, count=len(wrong)))
    found = np.where(scored, np.argmax(np.nan_to_num(flags), axis=1), -1).astype(np.int32)
    return (Labels(found),)


def _one_against_rest(classes: Labels, part: Part) -> tuple[Column, ...]:
    """Return a 0/1 column for each predicted class, nan where the class is unknown."""
    known = classes.codes >= 0
    return tuple(
        np.where(known, (classes.codes == code).astype(np.float64), np.nan)
        for code in range(len(part.columns))
    )


def _frame(header: Sequence[str], rows: Records) -> dict[str, NDArray[np.object_]]:
    columns = zip(*rows.rows, strict=True)
    return {name: np.array(column, dtype=np.object_) for name, column in zip(header, columns, strict=True)}


def _with_checked_columns(task: Task, frame: Mapping[str, NDArray[np.object_]], scored: Mask) -> Task:
    """Return the task with the columns whose predictions must be numbers, or true or false.

    An own metric expects numbers where the truth has them; most metrics skip nan, so a file of empty cells
    would be perfect. Only filled cells of scored rows decide: a hole or NA in the truth must not end the
    check.
    """
    if task.custom is None:
        return task
    truth = {name: true_cells(frame[name][scored].tolist()) for name in task.columns if name in frame}
    numeric = {name for name, cells in truth.items() if holds_numbers(cells)}
    flags = {name for name, cells in truth.items() if holds_flags(cells)}
    codes = {name for name in numeric if are_padded(truth[name])}
    return replace(task, numeric=frozenset(numeric), flags=frozenset(flags), codes=frozenset(codes))


def with_sample_kinds(solution: Solution, sample: Mapping[str, Sequence[str]]) -> Solution:
    """Return the solution with the checks of an own metric's columns that follow from the sample submission.

    A column of the sample in which every cell is a number, and one has a fraction, must hold numbers, also
    where the truth is in words, or true and false: then these are probabilities. So must one of whole
    numbers, unless a true value may be a word: whole numbers may stand for labels. Where the solution has
    columns of words, and others of numbers, either may be the truth of a column that has another name. Then
    a file may hold numbers throughout or words throughout (`Task.either`), and so it may where the truth is
    numbers and the sample has words.

    In columns of text no cell may be empty, nor a word such as NaN that neither the sample nor the truth has,
    unless the sample has empty cells.
    """
    task = solution.task
    scored = {
        name: filled(true_cells(cells[solution.scored].tolist())) for name, cells in solution.frame.items()
    }
    known = (*solution.id_columns, USAGE_COLUMN)
    others = [cells for name, cells in scored.items() if cells and name not in (*known, *task.columns)]
    numeric, flags, either = set(task.numeric), set(task.flags), set[str]()
    for name in task.columns:
        truth, cells = scored.get(name, []), sample.get(name, [])
        if not truth and holds_flags(cells):
            flags.add(name)
        if name in (numeric | flags) - task.codes and holds_words(cells):
            either.add(name)
        if not cells or not all(map(is_number, cells)) or holds_codes(cells) or any(map(is_number, truth)):
            continue
        may_be = [truth] if truth else others
        words = [column for column in may_be if holds_codes(column) or not all(map(is_number, column))]
        if not words or any(float(cell) % 1.0 for cell in cells):
            numeric.add(name)
            flags.discard(name)
            continue
        # A column of numbers and words may be the truth: then a file may hold both.
        of_one_kind = all(holds_codes(column) or not any(map(is_number, column)) for column in words)
        if not truth and of_one_kind and (len(words) < len(may_be) or any(map(holds_flags, words))):
            either.add(name)
    numeric, flags = numeric - either, flags - either
    true_words = [cells for name, cells in scored.items() if name not in known]
    texts = {}
    for name in task.columns:
        if name not in numeric | flags and "" not in (cells := sample.get(name, [])):
            has_nan = any(text.lower() in NAN_WORDS for column in (cells, *true_words) for text in column)
            texts[name] = "not_blank" if has_nan else "filled"
    task = replace(
        task, numeric=frozenset(numeric), flags=frozenset(flags), either=frozenset(either), texts=texts
    )
    return replace(solution, tasks=(task, *solution.tasks[1:]))


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

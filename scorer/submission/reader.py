"""Read a submission into columns aligned with the solution.

Checks run in this order, since each needs the one before: size, packing, encoding, header, records, ids,
cells, row sums. Each stage reports all of its problems; equal faults are one problem with a count. Messages
depend on the file, the required ids and the declared form, never on a hidden label or the split of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scorer.challenges.solution import Solution
from scorer.reading.cells import Cells, ColumnBuilder, Fault, describe_fault, fault_cause
from scorer.reading.columnar import NotColumnar, read_columnar
from scorer.reading.columns import Column, take
from scorer.reading.forms import Forms
from scorer.reading.parsing import LockedTable, opened
from scorer.reading.source import MAX_LINE_BYTES, UnreadableTable
from scorer.reading.tables import MAX_SHOWN_PROBLEMS, MIN_UNPACKED_BYTES, Table
from scorer.report import InvalidSubmission, Notice, Problem
from scorer.submission.header import match_header
from scorer.submission.ids import id_problems
from scorer.submission.labels import LabelReader
from scorer.submission.mixtures import Mixtures, mixture_problems
from scorer.submission.notices import Notices
from scorer.submission.rows import PlacedRows, row_faults, row_problems
from scorer.submission.sinks import Sink
from scorer.wording import LISTED, how_many, show, show_id


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """Facts about an accepted file beside its predictions."""

    notices: tuple[Notice, ...]
    sha256: str
    """Of the file as received."""
    size_bytes: int


def read_submission(
    source: Path | bytes,
    solution: Solution,
    sink: Sink,
    *,
    max_bytes: int = MIN_UNPACKED_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Received:
    """Read a file as a submission to `solution`, into `sink`.

    The file is CSV, gzip, a zip of one CSV, or Parquet. The fast reader reads it by columns. At the first
    irregularity the exact reader reads it again, record by record; only the exact reader refuses files and
    gives notices. Both give the same values, bit for bit.

    Raises
    ------
    InvalidSubmission
        With every problem of the first stage that has one, at most 20 of them.
    """
    try:
        with opened(source, max_bytes=max_bytes, parquet=solution.task.parquet) as table:
            gathered = Notices(solution)
            notices = _read_columnar(table, solution, sink, gathered)
            if notices is None:
                records = table.records(max_line_bytes=max_line_bytes)
                _, header = next(records)
                notices = align(header, records, solution, sink)
            else:
                notices = (*notices, *gathered.notices())
            return Received((*table.notices, *notices), table.sha256, table.size_bytes)
    except UnreadableTable as error:
        raise InvalidSubmission(error.problems) from None


def _read_columnar(
    table: Table | LockedTable, solution: Solution, sink: Sink, gathered: Notices
) -> tuple[Notice, ...] | None:
    """Read by columns; None if the exact reader is needed."""
    task = solution.task
    if len(solution.id_columns) > 1 or task.complete:
        return None
    wanted = {name: task.cells(name) for name in task.columns}
    vocabulary = solution.vocabulary.copy()
    labels = LabelReader(solution, vocabulary, until_irregular=True)
    mixtures = Mixtures(task)
    seen = np.zeros(len(solution.ids), dtype=np.uint8)
    n_received = 0
    sink.restart()
    try:
        header = table.header()
        if sorted(header) != sorted((solution.id_column, *task.columns)):
            return None
        blocks = read_columnar(
            table,
            header,
            wanted,
            dict.fromkeys(wanted, vocabulary),
            id_column=solution.id_column,
            numeric_ids=solution.ids.numeric,
        )
        for block in blocks:
            ids, columns = block.ids, block.columns
            found = (
                solution.ids.rows_of_numbers(ids)
                if isinstance(ids, np.ndarray)
                else solution.ids.rows_of_texts(ids)
            )
            if len(found) and int(found.min()) < 0:
                if not task.ignore_unknown_ids:
                    return None
                if not isinstance(ids, np.ndarray) and solution.id_column in ids.to_pylist():
                    return None  # a repeated header is not a row to leave out
                known = np.flatnonzero(found >= 0)
                found, columns = found[known], {name: take(column, known) for name, column in columns.items()}
            n_received += len(found)
            if n_received > len(seen):
                return None
            seen[found] = 1
            columns = labels.read(columns)
            mixtures.add(columns)
            if labels.irregular or mixtures.found or row_faults(columns, found, solution):
                return None
            gathered.add(columns)
            sink.add(found, columns, vocabulary)
    except NotColumnar:
        return None
    if n_received != len(seen) or not seen.all():
        return None
    ordered = header == [solution.id_column, *task.columns]
    matched = () if ordered else (Notice("NOTICE_COLUMN_ORDER", "Columns were matched by name."),)
    return (*matched, *labels.notices())


def align(
    header: Sequence[str], records: Iterable[tuple[int, Sequence[str]]], solution: Solution, sink: Sink
) -> tuple[Notice, ...]:
    """Read a table that is split into fields; return its notices.

    Raises InvalidSubmission like `read_submission`.
    """
    task = solution.task
    forms = Forms()
    records = iter(records)
    names, notices = match_header(
        header, (*solution.id_columns, *task.columns), solution, forms=forms, records=records
    )
    rows = PlacedRows(names, solution)
    rows.read(forms.of(records, keep=True))
    problems = [*rows.broken, *rows.line_problems(), *id_problems(rows, solution, forms)]

    def where(row: int) -> tuple[int, str]:
        return int(rows.lines[row]), solution.ids.text(row)

    problems.extend(cell_problems(rows.builders, where))
    problems.extend(mixture_problems(rows.builders, where, task))
    sent = {
        name: builder.column()
        for name, builder in rows.builders.items()
        if name in solution.spellings and not (builder.cells.grammar == "boxes" and builder.faults)
    }
    labels = LabelReader(solution, rows.vocabulary)
    read = labels.read(sent)
    label_problems, label_notices = labels.report(sent, rows.lines, solution)
    problems.extend(label_problems)
    columns: dict[str, Column] = {}
    if not problems:
        columns = {
            name: read[name] if name in read else builder.column() for name, builder in rows.builders.items()
        }
        problems.extend(row_problems(columns, rows.lines, solution))
    if problems:
        total = sum(problem.count for problem in problems)
        raise InvalidSubmission(problems[:MAX_SHOWN_PROBLEMS], total)
    sink.restart()
    sink.add(np.arange(len(solution.ids)), columns, rows.vocabulary)
    gathered = Notices(solution)
    gathered.add(columns)
    about_labels = [*labels.notices(), *label_notices]
    return (*notices, *forms.notices(), *rows.notices(), *about_labels, *gathered.notices())


def cell_problems(
    builders: Mapping[str, ColumnBuilder], where: Callable[[int], tuple[int, str]]
) -> list[Problem]:
    """Return the problems with the cells of each column; one cause in several columns is one problem.

    `where` returns the line and the id of a row.
    """
    shared: dict[tuple[str, str], list[Problem]] = {}
    for name, builder in builders.items():
        for code, fault in builder.by_cause():
            line, key = where(fault.row)
            words = describe_fault(code, fault, builder.cells)
            problem = _cell_problem(code, fault, line=line, key=show_id(key), column=name, words=words)
            shared.setdefault(_cause(code, fault, builder.cells, name), []).append(problem)
    return [_one_of(problems) for problems in shared.values()]


def _cause(code: str, fault: Fault, cells: Cells, name: str) -> tuple[str, str]:
    """Return the code and the cause; a cause that is unclear is of its column alone."""
    return code, fault_cause(code, fault, cells)[0] or f"in {name}"


def _one_of(problems: Sequence[Problem]) -> Problem:
    """Return one problem for those that columns share."""
    first = problems[0]
    if len(problems) == 1:
        return first
    others = [problem.column or "" for problem in problems[1:]]
    listed = ", ".join(others[:LISTED]) + (", ..." if len(others) > LISTED else "")
    noun = "column" if len(others) == 1 else "columns"
    message = f"{first.message} The same in {len(others)} more {noun}: {listed}."
    return replace(first, message=message, count=sum(problem.count for problem in problems))


def _cell_problem(code: str, fault: Fault, *, line: int, key: str, column: str, words: str) -> Problem:
    message = f"Column {show(column)}, line {line} (id {key}): {words}{how_many(fault.count)}"
    value = show(fault.text)
    return Problem(code, message, line=line, id=key, column=show(column), value=value, count=fault.count)

"""The reader of submissions: bytes -> columns aligned to the solution, or everything that is wrong.

Checks run in the order in which one makes the next possible: size, packing, encoding, header,
records, ids, cells, row sums. Each stage reports all it finds, equal faults as one problem with a
count. What is said depends on the file, the required ids and the declared form only, never on a
hidden label or on the split a row belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scorer.challenges.solution import Solution
from scorer.reading.cells import ColumnBuilder, Fault, describe_fault
from scorer.reading.columnar import NotColumnar, read_columnar
from scorer.reading.columns import Column, Vocabulary, take
from scorer.reading.parsing import LockedTable, opened
from scorer.reading.source import MAX_LINE_BYTES, UnreadableTable
from scorer.reading.tables import MAX_SHOWN_PROBLEMS, MIN_UNPACKED_BYTES, Table, is_blank
from scorer.report import InvalidSubmission, Notice, Problem
from scorer.submission.header import match_header
from scorer.submission.ids import id_problems
from scorer.submission.notices import Notices
from scorer.submission.rows import PlacedRows, row_faults, row_problems
from scorer.submission.sinks import Sink
from scorer.wording import how_many, show, show_id


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """What is known of an accepted file beside its predictions."""

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
    """Read a file (CSV, gzip, a zip of one CSV, or Parquet) as a submission to `solution`, into `sink`.

    A file without anything odd is read by columns; at the first sign of anything else it is read
    again, record by record, by the exact reader, which alone refuses and remarks. Both give the
    same values, bit for bit.

    Raises
    ------
    InvalidSubmission
        With every problem of the first stage that has one, at most 20 of them.
    """
    try:
        with opened(source, max_bytes=max_bytes, parquet=solution.task.parquet) as table:
            remarks = Notices(solution)
            notices = _read_columnar(table, solution, sink, remarks)
            if notices is None:
                records = table.records(max_line_bytes=max_line_bytes)
                _, header = next(records)
                notices = align(header, records, solution, sink)
            else:
                notices = (*notices, *remarks.notices())
            return Received((*table.notices, *notices), table.sha256, table.size_bytes)
    except UnreadableTable as error:
        raise InvalidSubmission(error.problems) from None


def _read_columnar(
    table: Table | LockedTable, solution: Solution, sink: Sink, remarks: Notices
) -> tuple[Notice, ...] | None:
    """Read by columns; None if the exact reader must look at it."""
    task = solution.task
    if len(solution.id_columns) > 1 or task.complete:
        return None
    wanted = {name: task.cells(name) for name in task.columns}
    vocabulary = solution.vocabulary.copy()
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
                    return None  # a header repeated among the rows is no row to leave out
                known = np.flatnonzero(found >= 0)
                found, columns = found[known], {name: take(column, known) for name, column in columns.items()}
            n_received += len(found)
            if n_received > len(seen):
                return None
            seen[found] = 1
            if row_faults(columns, found, solution):
                return None
            remarks.add(columns)
            sink.add(found, columns, vocabulary)
    except NotColumnar:
        return None
    if n_received != len(seen) or not seen.all():
        return None
    ordered = header == [solution.id_column, *task.columns]
    return () if ordered else (Notice("NOTICE_COLUMN_ORDER", "Columns were matched by name."),)


def read_complete(
    source: Path | bytes, solution: Solution, *, max_bytes: int = MIN_UNPACKED_BYTES
) -> tuple[dict[str, list[str]], Received]:
    """Every row of a file as texts by column, for a function that matches rows by itself.

    The form is checked as ever, the ids are not.
    """
    columns = (*solution.id_columns, *solution.task.columns)
    try:
        with opened(source, max_bytes=max_bytes, parquet=solution.task.parquet) as table:
            records = table.records()
            _, header = next(records)
            names, notices = match_header(header, columns, solution)
            lines: list[int] = []
            kept: list[Sequence[str]] = []
            for line, fields in records:
                if is_blank(fields):
                    continue
                if len(fields) != len(names):
                    message = f"Line {line} has {len(fields)} values, expected {len(names)}."
                    raise UnreadableTable(Problem("FIELD_COUNT", message, line=line))
                lines.append(line)
                kept.append(fields)
            received = Received((*table.notices, *notices), table.sha256, table.size_bytes)
    except UnreadableTable as error:
        raise InvalidSubmission(error.problems) from None
    if not kept:
        raise InvalidSubmission([Problem("MISSING_IDS", "The file has no rows.")])
    texts = dict(zip(names, map(list, zip(*kept, strict=True)), strict=True))
    problems = []
    for name in solution.task.columns:
        builder = ColumnBuilder(solution.task.cells(name), len(kept), Vocabulary())
        for row, text in enumerate(texts[name]):
            builder.put(row, text)
        for code, fault in builder.faults.items():
            line, key = lines[fault.row], show(texts[solution.id_column][fault.row])
            words = describe_fault(code, fault, builder.cells)
            problems.append(_cell_problem(code, fault, line=line, key=key, column=name, words=words))
    if problems:
        raise InvalidSubmission(problems)
    return texts, received


def align(
    header: Sequence[str], records: Iterable[tuple[int, Sequence[str]]], solution: Solution, sink: Sink
) -> tuple[Notice, ...]:
    """Read an already split table exactly; gives its notices, or raises InvalidSubmission like `read_submission`."""
    task = solution.task
    names, notices = match_header(header, (*solution.id_columns, *task.columns), solution)
    rows = PlacedRows(names, solution)
    rows.read(records)
    problems = [*rows.broken, *rows.line_problems(), *id_problems(rows, solution)]
    for name, builder in rows.builders.items():
        for code, fault in builder.faults.items():
            line, key = int(rows.lines[fault.row]), show_id(solution.ids.text(fault.row))
            words = describe_fault(code, fault, builder.cells)
            problems.append(_cell_problem(code, fault, line=line, key=key, column=name, words=words))
    columns: dict[str, Column] = {}
    if not problems:
        columns = {name: builder.column() for name, builder in rows.builders.items()}
        problems.extend(row_problems(columns, rows.lines, solution))
    if problems:
        total = sum(problem.count for problem in problems)
        raise InvalidSubmission(problems[:MAX_SHOWN_PROBLEMS], total)
    sink.restart()
    sink.add(np.arange(len(solution.ids)), columns, rows.vocabulary)
    remarks = Notices(solution)
    remarks.add(columns)
    return (*notices, *rows.notices(), *remarks.notices())


def _cell_problem(code: str, fault: Fault, *, line: int, key: str, column: str, words: str) -> Problem:
    message = f"Column {show(column)}, line {line} (id {key}): {words}{how_many(fault.count)}"
    value = show(fault.text)
    return Problem(code, message, line=line, id=key, column=show(column), value=value, count=fault.count)

"""The reader of submissions: bytes -> columns aligned to the solution, or everything that is wrong.

Checks run in the order in which one makes the next possible: size, packing, encoding, header,
records, ids, cells, row sums. Each stage reports all it finds, equal faults as one problem with a
count. What is said depends on the file, the required ids and the declared form only, never on a
hidden label or on the split a row belongs to.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.solution import Solution, part_predicted, part_sides, part_truth
from scorer.reading.cells import NUMBER, NUMERIC_KINDS, Cells, ColumnBuilder, Fault, say_fault
from scorer.reading.columnar import NotPlain, read_plain
from scorer.reading.columns import Column, FloatArray, Labels, Lists, Rows, Vocabulary, take
from scorer.reading.parsing import LockedTable, opened
from scorer.reading.source import MAX_LINE_BYTES, UnreadableTable
from scorer.reading.tables import MAX_SHOWN_PROBLEMS, MIN_UNPACKED_BYTES, SPACES, Table, is_blank
from scorer.report import InvalidSubmission, Notice, Problem
from scorer.wording import ID_JOINT, how_many, show, show_id, show_lines

MAX_BLANK_ROWS = 1_048_576
"""As many as a worksheet has; Excel is known to save them all."""

MAX_RECORDS = 10**9
"""Of files that may hold more ids than are asked for; the limit on bytes comes first."""

_PIECE = 65_536
"""Rows looked at as wholes at a time; a file may be wrong in all of its rows."""

_LISTED = 5
_NUMERIC_ID = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?", re.ASCII)


class Sink(Protocol):
    """Takes predictions as they are read, each row once."""

    def restart(self) -> None:
        """Forget everything: the file is read again from its start."""

    def add(self, rows: Rows, columns: Mapping[str, Column], vocabulary: Vocabulary) -> None:
        """Predictions by column for these positions in the solution."""


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """What is known of an accepted file beside its predictions."""

    notices: tuple[Notice, ...]
    sha256: str
    """Of the file as received."""
    size_bytes: int


class Collected:
    """A sink that keeps every column, rows in the solution's order."""

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows
        self.restart()

    def restart(self) -> None:
        self._pieces: list[tuple[Rows, Mapping[str, Column]]] = []
        self._order: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self.vocabulary = Vocabulary()

    def add(self, rows: Rows, columns: Mapping[str, Column], vocabulary: Vocabulary) -> None:
        self._pieces.append((rows, columns))
        self.vocabulary = vocabulary

    def columns(self) -> dict[str, Column]:
        """One array per prediction column, n_rows long."""
        self._sort_new_names()
        return {name: self._column(name) for name in self._pieces[0][1]}

    def _sort_new_names(self) -> None:
        """Number the labels that only the file has by their spelling, not by where they stand in it.

        Sums over labels would else run in another order for the same rows in another order.
        """
        names, n_old = self.vocabulary.names, self.vocabulary.n_inherited
        new = sorted(range(n_old, len(names)), key=names.__getitem__)
        order = np.arange(len(names) + 1, dtype=np.int32)
        order[new] = np.arange(n_old, len(names), dtype=np.int32)
        order[-1] = -1  # no label at all
        self._order = order
        self.vocabulary = Vocabulary([*names[:n_old], *(names[i] for i in new)])
        self.vocabulary.n_inherited = len(names)

    def _column(self, name: str) -> Column:
        pieces = [(rows, columns[name]) for rows, columns in self._pieces]
        first = pieces[0][1]
        if isinstance(first, Lists):
            order = np.argsort(np.concatenate([rows for rows, _ in pieces]), kind="stable")
            lists = [column for _, column in pieces if isinstance(column, Lists)]
            lengths = np.concatenate([column.lengths for column in lists])
            offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
            codes = self._order[np.concatenate([column.codes for column in lists])]
            return Lists(codes, offsets).take(order)
        if isinstance(first, Labels):
            codes = np.empty(self._n_rows, dtype=np.int32)
            for rows, column in pieces:
                assert isinstance(column, Labels)
                codes[rows] = self._order[column.codes]
            return Labels(codes)
        values: FloatArray = np.empty(self._n_rows, dtype=first.dtype)
        for rows, column in pieces:
            values[rows] = cast(FloatArray, column)
        return values


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
            remarks = _Remarks(solution)
            notices = _read_plain(table, solution, sink, remarks)
            if notices is None:
                records = table.records(max_line_bytes=max_line_bytes)
                _, header = next(records)
                notices = align(header, records, solution, sink)
            else:
                notices = (*notices, *remarks.notices())
            return Received((*table.notices, *notices), table.sha256, table.size_bytes)
    except UnreadableTable as error:
        raise InvalidSubmission(error.problems) from None


def _read_plain(
    table: Table | LockedTable, solution: Solution, sink: Sink, remarks: _Remarks
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
        blocks = read_plain(
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
            if _row_faults(columns, found, solution):
                return None
            remarks.add(columns)
            sink.add(found, columns, vocabulary)
    except NotPlain:
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
            names, notices = _match_header(header, columns, solution)
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
            words = say_fault(code, fault, builder.cells)
            problems.append(_cell_problem(code, fault, line=line, key=key, column=name, words=words))
    if problems:
        raise InvalidSubmission(problems)
    return texts, received


def align(
    header: Sequence[str], records: Iterable[tuple[int, Sequence[str]]], solution: Solution, sink: Sink
) -> tuple[Notice, ...]:
    """Read an already split table exactly; gives its notices, or raises InvalidSubmission like `read_submission`."""
    task = solution.task
    names, notices = _match_header(header, (*solution.id_columns, *task.columns), solution)
    rows = _Rows(names, solution)
    rows.read(records)
    problems = rows.problems(solution)
    for name, builder in rows.builders.items():
        for code, fault in builder.faults.items():
            line, key = int(rows.lines[fault.row]), show_id(solution.ids.text(fault.row))
            words = say_fault(code, fault, builder.cells)
            problems.append(_cell_problem(code, fault, line=line, key=key, column=name, words=words))
    columns: dict[str, Column] = {}
    if not problems:
        columns = {name: builder.column() for name, builder in rows.builders.items()}
        problems.extend(_row_problems(columns, rows.lines, solution))
    if problems:
        total = sum(problem.count for problem in problems)
        raise InvalidSubmission(problems[:MAX_SHOWN_PROBLEMS], total)
    sink.restart()
    sink.add(np.arange(len(solution.ids)), columns, rows.vocabulary)
    remarks = _Remarks(solution)
    remarks.add(columns)
    return (*notices, *rows.notices(), *remarks.notices())


def _cell_problem(code: str, fault: Fault, *, line: int, key: str, column: str, words: str) -> Problem:
    message = f"Column {show(column)}, line {line} (id {key}): {words}{how_many(fault.count)}"
    value = show(fault.text)
    return Problem(code, message, line=line, id=key, column=show(column), value=value, count=fault.count)


# --- header ---------------------------------------------------------------------------------------


def _match_header(
    header: Sequence[str], expected: Sequence[str], solution: Solution
) -> tuple[list[str], tuple[Notice, ...]]:
    """The column names as they will be used, or InvalidSubmission."""
    names = [name.strip(SPACES) for name in header]
    notices = []
    if names != list(header):
        notices.append(Notice("NOTICE_HEADER_SPACES", "Spaces around column names were ignored."))
    if sorted(names) != sorted(expected):
        raise InvalidSubmission(_header_problems(names, expected, solution))
    if names != list(expected):
        notices.append(Notice("NOTICE_COLUMN_ORDER", "Columns were matched by name."))
    return names, tuple(notices)


def _header_problems(names: Sequence[str], expected: Sequence[str], solution: Solution) -> list[Problem]:
    wanted, found = _list_names(expected), _list_names(names)
    present, required = set(names), set(expected)

    if len(names) == 1:
        separators = ((";", '";"'), ("\t", "tabs"), ("|", '"|"')) if not names[0].startswith("#") else ()
        for separator, word in separators:
            parts = {part.strip(SPACES + '"') for part in names[0].split(separator)}
            if len(parts) > 1 and (parts & required or len(parts) == len(expected)):
                message = (
                    f'Columns are separated by {word}; use "," between columns and "." in decimals '
                    f"(in pandas: df.to_csv(path, index=False))."
                )
                return [Problem("SEPARATOR", message, line=1)]

    if not present & required and _no_header(names, expected, solution):
        if is_blank(names):
            return [
                Problem("NO_HEADER", f"Line 1: expected the header {wanted} but the line is blank.", line=1)
            ]
        hint = " - the header line is missing" if len(names) == len(expected) else ""
        if _is_preamble(names[0]):
            hint = " - delete this line; the first line must be the header"
        message = f'Line 1: expected the header {wanted} but found "{found}"{hint}.'
        return [Problem("NO_HEADER", message, line=1)]

    problems = []
    for name in [name for name, times in Counter(names).items() if times > 1 and name][:_LISTED]:
        message = f"Line 1: column {show(name)} appears twice."
        problems.append(Problem("DUPLICATE_COLUMN", message, line=1, column=show(name)))
    missing_names = [name for name in expected if name not in present]
    extra = [name for name in names if name not in required]
    if not missing_names and extra:
        if names[0] in ("", "Unnamed: 0") and len(extra) == 1:
            message = (
                "Line 1: the first column has no name; it is the index pandas adds. "
                "Write with df.to_csv(path, index=False)."
            )
            problems.append(Problem("INDEX_COLUMN", message, line=1))
        else:
            what = "columns" if len(extra) > 1 else "column"
            unnamed = [name or "(no name)" for name in extra]
            message = f"Line 1: unexpected {what} {_list_names(unnamed)}. The file must have exactly the columns {wanted}"
            message += "." if names[-1] else " (trailing comma?)."
            problems.append(Problem("EXTRA_COLUMN", message, line=1, column=show(extra[0]), count=len(extra)))
    if missing_names:
        message = f"Line 1: expected the columns {wanted} but found {found}"
        lowered = {name.lower() for name in names}
        if all(name.lower() in lowered for name in missing_names):
            message += " (names are case-sensitive)"
        elif missing_names == [expected[0]] and names[0] == "":
            message += (
                f"; the first column has no name (in pandas: df.to_csv(path, index_label={expected[0]!r}))"
            )
        problems.append(Problem("COLUMN_NAME", message + ".", line=1, column=show(missing_names[0])))
    return problems


def _no_header(names: Sequence[str], expected: Sequence[str], solution: Solution) -> bool:
    """Whether the first line is something other than a mistaken header: data, a comment, sep=."""
    lowered = {name.lower() for name in expected}
    if any(name.lower() in lowered for name in names):
        return False
    if is_blank(names) or len(names) == 1:
        return True
    data = any(NUMBER.fullmatch(name) for name in names[:1000])
    return data or names[0] in solution.ids or _is_preamble(names[0])


def _is_preamble(name: str) -> bool:
    return name.lower().startswith(("#", "sep="))


def _list_names(names: Sequence[str]) -> str:
    listed = ",".join(show(name) for name in names[:12])
    return listed if len(names) <= 12 else f"{listed},... ({len(names)} columns)"


# --- rows -----------------------------------------------------------------------------------------


class _Rows:
    """One pass over the records, each put where the solution has its id; what does not fit is kept apart."""

    def __init__(self, names: Sequence[str], solution: Solution) -> None:
        n_rows, task = len(solution.ids), solution.task
        self.names = list(names)
        self.find = solution.ids.finder()
        self.ignore_unknown = task.ignore_unknown_ids
        self.lines = np.zeros(n_rows, dtype=np.int64)
        """By the solution's row: the line its id was received on, 0 if it was not."""
        self.vocabulary = solution.vocabulary.copy()
        self.builders = {
            name: ColumnBuilder(task.cells(name), n_rows, self.vocabulary) for name in task.columns
        }
        self.id_positions = [self.names.index(name) for name in solution.id_columns]
        self.positions = [self.names.index(name) for name in task.columns]
        self.duplicates: dict[int, list[int]] = {}
        """Row -> the later lines with its id."""
        self.unknown: list[tuple[str, int]] = []
        self.ragged: dict[tuple[int, bool], list[int]] = {}
        """(Number of values, whether the last is empty) -> lines of that kind."""
        self.repeated_headers: list[int] = []
        self.without_id: list[int] = []
        self.unplaced = 0
        """Ragged lines of which nobody can say which row they were meant for."""
        self.spaced_ids = False
        self.n_blank, self.n_blank_cells, self.first_blank, self.last_blank = 0, 0, 0, 0
        self.complete = True
        """Whether the file was read to its end, so that an id not seen is an id not there."""
        self.broken: tuple[Problem, ...] = ()

    def read(self, records: Iterable[tuple[int, Sequence[str]]]) -> None:
        # A longer file is wrong by the pigeonhole; reading on would only cost time and memory.
        records_left = 2 * len(self.lines) + 1000 if not self.ignore_unknown else MAX_RECORDS
        width, find, lines = len(self.names), self.find, self.lines
        try:
            for line, fields in records:
                if len(fields) == width and (row := find(self._key(fields))) is not None:
                    if lines[row]:
                        self.duplicates.setdefault(row, []).append(line)
                    else:
                        self._put(row, line, fields)
                elif is_blank(fields):
                    self.n_blank += 1
                    if fields:  # a row of empty cells, as Excel leaves behind; a blank line means nothing
                        self.first_blank = self.first_blank or line
                        self.last_blank = line
                        self.n_blank_cells += 1
                    if self.n_blank > MAX_BLANK_ROWS:
                        message = f"There are more than {MAX_BLANK_ROWS} empty rows; delete them."
                        raise UnreadableTable(Problem("EMPTY_ROWS", message, line=line))
                    continue
                else:
                    self._take_odd(line, fields)
                records_left -= 1
                if records_left < 0:
                    self.complete = False
                    return
        except UnreadableTable as error:
            self.broken = error.problems
            self.complete = False

    def _key(self, fields: Sequence[str]) -> str:
        if len(self.id_positions) == 1:
            return fields[self.id_positions[0]]
        return ID_JOINT.join(fields[position] for position in self.id_positions)

    def _put(self, row: int, line: int, fields: Sequence[str]) -> None:
        self.lines[row] = line
        for builder, position in zip(self.builders.values(), self.positions, strict=True):
            builder.put(row, fields[position])

    def _take_odd(self, line: int, fields: Sequence[str]) -> None:
        keys = [fields[position].strip(SPACES) for position in self.id_positions if position < len(fields)]
        key = ID_JOINT.join(keys) if len(keys) == len(self.id_positions) and all(keys) else ""
        row = self.find(key) if key else None
        if len(fields) == len(self.names) and [name.strip(SPACES) for name in fields] == self.names:
            self.repeated_headers.append(line)
        elif len(fields) != len(self.names):
            self.ragged.setdefault((len(fields), not fields[-1].strip(SPACES)), []).append(line)
            if row is None:
                self.unplaced += 1
            elif not self.lines[row]:
                self.lines[row] = line
        elif not key:
            self.without_id.append(line)
        elif row is None:
            if not self.ignore_unknown:
                self.unknown.append((self._key(fields), line))
        elif self.lines[row]:
            self.duplicates.setdefault(row, []).append(line)
        else:
            self.spaced_ids = True
            self._put(row, line, fields)

    def problems(self, solution: Solution) -> list[Problem]:
        return [*self.broken, *self._line_problems(), *_id_problems(self, solution)]

    def _line_problems(self) -> list[Problem]:
        problems = []
        for (n_values, ends_empty), lines in list(self.ragged.items())[:_LISTED]:
            where = show_lines(lines)
            have = "have" if len(lines) > 1 else "has"
            values = "value" if n_values == 1 else "values"
            message = f"{where} {have} {n_values} {values}, expected {len(self.names)}"
            if n_values == len(self.names) + 1:
                message += " (trailing comma?)" if ends_empty else " (a comma inside a value?)"
            message += "."
            problems.append(Problem("FIELD_COUNT", message, line=lines[0], count=len(lines)))
        if self.repeated_headers:
            verb = "repeat" if len(self.repeated_headers) > 1 else "repeats"
            message = f"{show_lines(self.repeated_headers)} {verb} the header; remove it."
            problems.append(
                Problem(
                    "REPEATED_HEADER",
                    message,
                    line=self.repeated_headers[0],
                    count=len(self.repeated_headers),
                )
            )
        if self.without_id:
            column = self.names[self.id_positions[0]]
            message = f"Column {show(column)}, line {self.without_id[0]}: the id is empty."
            message += how_many(len(self.without_id))
            problems.append(
                Problem(
                    "EMPTY_VALUE",
                    message,
                    line=self.without_id[0],
                    column=show(column),
                    count=len(self.without_id),
                )
            )
        return problems

    def notices(self) -> list[Notice]:
        notices = []
        if self.spaced_ids:
            notices.append(Notice("NOTICE_ID_SPACES", "Spaces around ids were ignored."))
        if self.n_blank_cells:
            first, last = self.first_blank, self.last_blank
            at = f"line {first}" if first == last else f"lines {first}-{last}"
            if last - first + 1 != self.n_blank_cells:
                at = f"between lines {first} and {last}"
            rows = "empty row was" if self.n_blank_cells == 1 else "empty rows were"
            notices.append(Notice("NOTICE_EMPTY_ROWS", f"{self.n_blank_cells} {rows} ignored ({at})."))
        return notices


# --- ids ------------------------------------------------------------------------------------------


def _id_problems(rows: _Rows, solution: Solution) -> list[Problem]:
    """Duplicate, unknown and missing ids; ids merely spelt otherwise are told apart from strangers."""
    problems = []
    if rows.duplicates:
        listed = []
        for row, later in list(rows.duplicates.items())[:_LISTED]:
            times = "twice" if len(later) == 1 else f"{len(later) + 1} times"
            lines = [int(rows.lines[row]), *later]
            at = (" and " if len(lines) == 2 else ", ").join(map(str, lines[:_LISTED]))
            more = ", ..." if len(lines) > _LISTED else ""
            listed.append(f"Id {show_id(solution.ids.text(row))} appears {times} (lines {at}{more}).")
        if len(rows.duplicates) > _LISTED:
            listed.append(f"{len(rows.duplicates) - _LISTED} more ids appear more than once.")
        row, later = next(iter(rows.duplicates.items()))
        count = sum(len(lines) for lines in rows.duplicates.values())
        problems.append(
            Problem(
                "DUPLICATE_IDS",
                " ".join(listed),
                line=later[0],
                id=show_id(solution.ids.text(row)),
                column=show(solution.id_column),
                count=count,
            )
        )

    missing = np.flatnonzero(rows.lines == 0).tolist()
    unknown = rows.unknown
    if unknown and missing:
        respelt, unknown, missing = _match_spelling(unknown, missing, solution)
        if respelt:
            received, line, row = respelt[0]
            noun = "id" if len(respelt) == 1 else "ids"
            n_alike = f"all {len(respelt)}" if len(respelt) == len(rows.lines) else f"{len(respelt)} {noun}"
            message = (
                f"Ids look like {show(received)} where {show(solution.ids.text(row))} is expected ({n_alike}). "
                f"Write ids exactly as in the test set{_spelling_hint(solution, received, row)}."
            )
            problems.append(
                Problem(
                    "ID_FORMAT",
                    message,
                    line=line,
                    id=show(received),
                    column=show(solution.id_column),
                    count=len(respelt),
                )
            )

    off_by_one = " (Are your ids off by one?)" if _is_off_by_one(unknown, missing, solution) else ""
    if unknown:
        received, line = unknown[0]
        listing = ", ".join(f"{show_id(key)} (line {at})" for key, at in unknown[:_LISTED])
        noun = "id is" if len(unknown) == 1 else "ids are"
        more = ", ..." if len(unknown) > _LISTED else ""
        message = f"{len(unknown)} {noun} not in the test set: {listing}{more}."
        invisible = _invisible(received)
        if invisible:
            message = (
                f'Line {line}: id "{show(received)}" contains an invisible character ({invisible}). {message}'
            )
        problems.append(
            Problem(
                "UNKNOWN_IDS",
                message + off_by_one,
                line=line,
                id=show_id(received),
                column=show(solution.id_column),
                count=len(unknown),
            )
        )
    # A ragged line whose id cannot be read may be the very row that seems to be missing.
    if rows.complete and len(missing) > rows.unplaced:
        n_ids = len(solution.ids)
        listing = ", ".join(show_id(solution.ids.text(row)) for row in missing[:_LISTED])
        more = ", ..." if len(missing) > _LISTED else ""
        if len(missing) == n_ids and not unknown:
            message = f"The file has no rows; {n_ids} ids are required: {listing}{more}."
        else:
            noun, verb = ("id", "is") if n_ids == 1 else ("ids", "is" if len(missing) == 1 else "are")
            message = f"{len(missing)} of {n_ids} required {noun} {verb} missing: {listing}{more}."
            message += " Every id of the sample submission must appear exactly once."
        problems.append(
            Problem(
                "MISSING_IDS",
                message,
                id=show_id(solution.ids.text(missing[0])),
                column=show(solution.id_column),
                count=len(missing),
            )
        )
    return problems


def _match_spelling(
    unknown: list[tuple[str, int]], missing: list[int], solution: Solution
) -> tuple[list[tuple[str, int, int]], list[tuple[str, int]], list[int]]:
    """Pair unknown with missing ids that are the same number: (received, line, row), and what is left of both."""
    wanted = {key: row for row in missing if (key := _number_key(solution.ids.text(row))) is not None}
    respelt, strangers = [], []
    for received, line in unknown:
        key = _number_key(received.strip(SPACES))
        if key is not None and key in wanted:
            respelt.append((received, line, wanted.pop(key)))
        else:
            strangers.append((received, line))
    found = {row for _, _, row in respelt}
    return respelt, strangers, [row for row in missing if row not in found]


def _number_key(text: str) -> tuple[str, str, int] | None:
    """A number's sign, significant digits and exponent: the same for 1, 1.0, 01 and 1e0; exact at any length."""
    match = _NUMERIC_ID.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", int(match[4] or 0)
    digits = (whole + fraction).lstrip("0")
    stripped = digits.rstrip("0")
    if not stripped:
        return "", "0", 0
    return sign.replace("+", ""), stripped, exponent - len(fraction) + len(digits) - len(stripped)


def _spelling_hint(solution: Solution, received: str, row: int) -> str:
    expected = solution.ids.text(row)
    column = show(solution.id_column)
    if expected.isdecimal() and (expected == "0" or not expected.startswith("0")):
        return f" - in pandas: df[{column!r}] = df[{column!r}].astype(int)"
    return f" - in pandas read them as text: pd.read_csv(..., dtype={{{column!r}: str}})" if received else ""


def _is_off_by_one(unknown: Sequence[tuple[str, int]], missing: Sequence[int], solution: Solution) -> bool:
    if not unknown or len(unknown) != len(missing) or len(unknown) > 1000:
        return False
    received = [key for key, _ in unknown]
    lost = [solution.ids.text(row) for row in missing]
    if not all(key.isascii() and key.isdecimal() and len(key) < 20 for key in [*received, *lost]):
        return False
    gone = set(lost)
    present = set(received)
    for step in (1, -1):
        before = [str(int(key) - step) for key in received]
        after = [str(int(key) + step) for key in lost]
        if all(key in solution.ids for key in before) and all(
            key in present or (key in solution.ids and key not in gone) for key in after
        ):
            return True
    return False


def _invisible(text: str) -> str | None:
    for character in text:
        if character != " " and unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
            return f"U+{ord(character):04X}"
    return None


# --- rows as wholes, and remarks ------------------------------------------------------------------


def _row_faults(columns: Mapping[str, Column], rows: Rows, solution: Solution) -> list[tuple[str, int, str]]:
    """(code, position among `rows`, words) of what is wrong with a row as a whole, for any of the metrics."""
    faults: dict[tuple[str, int, str], None] = {}
    for task, givens in zip(solution.tasks, solution.given, strict=True):
        for part, given in zip(task.parts, givens, strict=True):
            if part.metric.row_faults is None:
                continue
            predicted = part_predicted(part, [columns[name] for name in part.columns])
            truth: list[Any] = [None] * len(predicted)
            if part.metric.faults_need_truth:
                truth = part_truth(part, given, rows)
            sides = part_sides(part, given, rows)
            for t, p in zip(truth, predicted, strict=True):
                asked = {"truth": t} if part.metric.faults_need_truth else {}
                for fault in part.metric.row_faults(p, part.parameters, **asked, **sides):
                    # Pooled columns stand below each other.
                    faults[(fault.code, fault.row % max(len(rows), 1), fault.message)] = None
    return list(faults)


def _row_problems(
    columns: Mapping[str, Column], lines: NDArray[np.int64], solution: Solution
) -> list[Problem]:
    found: dict[str, tuple[int, tuple[int, int, str]]] = {}
    """By code: how many rows, and the line, row and words of the first."""
    for start in range(0, len(lines), _PIECE):
        rows = np.arange(start, min(start + _PIECE, len(lines)))
        piece = {name: take(column, rows) for name, column in columns.items()}
        for code, at, words in _row_faults(piece, rows, solution):
            row = start + at
            mine = (int(lines[row]), row, words)
            count, first = found.get(code, (0, mine))
            found[code] = (count + 1, min(first, mine))
    problems = []
    for code, (count, (line, row, words)) in found.items():
        key = show_id(solution.ids.text(row))
        message = f"Line {line} (id {key}): {words}.{how_many(count)}"
        problems.append(Problem(code, message, line=line, id=key, count=count))
    return problems


class _Remarks:
    """What is allowed and yet probably not meant, gathered while a file is read."""

    def __init__(self, solution: Solution) -> None:
        self._parts = solution.task.parts
        self._several = len(solution.ids) > 1
        self._cells: dict[str, Cells] = {name: solution.task.cells(name) for name in solution.task.columns}
        self._first: dict[str, Any] = {}
        self._constant = dict.fromkeys(self._cells, True)
        self._hard = True
        self._n_off = 0

    def add(self, columns: Mapping[str, Column]) -> None:
        for name, column in columns.items():
            if len(column) == 0:
                continue
            if isinstance(column, Lists):
                self._constant[name] = False
            elif self._constant[name]:
                values = column.codes if isinstance(column, Labels) else column
                first = self._first.setdefault(name, values[0])
                self._constant[name] = bool((values == first).all())
            if self._hard and self._cells[name].kind in NUMERIC_KINDS and isinstance(column, np.ndarray):
                self._hard = bool(((column == 0.0) | (column == 1.0)).all())
        for part in self._parts:
            if part.layout == "classes":
                sums = np.sum(part_predicted(part, [columns[name] for name in part.columns])[0], axis=1)
                self._n_off += int(np.sum(np.abs(sums - 1.0) > 1e-3))

    def notices(self) -> list[Notice]:
        notices = []
        if self._several and self._constant and all(self._constant.values()):
            notices.append(Notice("NOTICE_CONSTANT", "All predictions are equal."))
        elif self._hard and self._parts and all(part.metric.kind == "probability" for part in self._parts):
            words = "All predictions are 0 or 1; this metric rewards probabilities."
            notices.append(Notice("NOTICE_HARD_LABELS", words))
        if self._n_off:
            words = f"{self._n_off} rows did not sum to 1; every row was divided by its sum."
            notices.append(Notice("NOTICE_RENORMALISED", words))
        return notices

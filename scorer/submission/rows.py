"""Place each record of a submission at its id's row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.solution import Solution, part_predicted, part_sides, part_truth
from scorer.reading.cells import ColumnBuilder
from scorer.reading.columns import Column, Rows, take
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import SPACES, is_blank
from scorer.report import Notice, Problem
from scorer.submission.ragged import RaggedLines
from scorer.wording import ID_JOINT, LISTED, how_many, show, show_id, show_lines

MAX_BLANK_ROWS = 1_048_576


"""The rows of a worksheet; Excel may save them all."""


MAX_RECORDS = 10**9


"""Of files that may hold additional ids; the limit on bytes is reached first."""


class OddLines:
    """Lines of a file that hold no row: blank, of another length, without an id, the header again."""

    def __init__(self, names: Sequence[str], id_columns: Sequence[str]) -> None:
        self.names = list(names)
        self.id_positions = [self.names.index(name) for name in id_columns]
        self.ragged: dict[tuple[int, bool], RaggedLines] = {}
        """(Number of values, whether the last is empty) -> lines of that kind."""
        self.repeated_headers: list[int] = []
        self.without_id: list[tuple[int, int]] = []
        """Lines, and which of the id columns is empty."""
        self.spaced_ids = False
        self.n_blank, self.n_blank_cells, self.first_blank, self.last_blank = 0, 0, 0, 0

    @property
    def shifted_by_row_names(self) -> bool:
        """Return whether every line has a row name before its id, which the header does not count."""
        return False

    def is_header(self, fields: Sequence[str]) -> bool:
        return len(fields) == len(self.names) and [name.strip(SPACES) for name in fields] == self.names

    def add_blank(self, line: int, fields: Sequence[str]) -> None:
        self.n_blank += 1
        if fields:  # a row of empty cells, as Excel writes; a blank line has no meaning
            self.first_blank = self.first_blank or line
            self.last_blank = line
            self.n_blank_cells += 1
        if self.n_blank > MAX_BLANK_ROWS:
            message = f"There are more than {MAX_BLANK_ROWS} empty rows; delete them."
            raise UnreadableTable(Problem("EMPTY_ROWS", message, line=line))

    def add_ragged(self, line: int, fields: Sequence[str], *, shifted_row: int | None = None) -> None:
        kind = len(fields), not fields[-1].strip(SPACES)
        ragged = self.ragged.setdefault(kind, RaggedLines(len(self.names)))
        ragged.add(line, fields, shifted_row=shifted_row)

    def line_problems(self) -> list[Problem]:
        problems: list[Problem] = []
        has_row_names = self.shifted_by_row_names
        ragged = list(self.ragged.values())[:LISTED]
        problems.extend(lines.problem(has_row_names=has_row_names) for lines in ragged)
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
            line, part = self.without_id[0]
            column = self.names[self.id_positions[part]]
            message = f"Column {show(column)}, line {line}: the id is empty."
            message += how_many(len(self.without_id))
            problems.append(
                Problem("EMPTY_VALUE", message, line=line, column=show(column), count=len(self.without_id))
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


class PlacedRows(OddLines):
    """The records of a file, placed at the solution's rows."""

    def __init__(self, names: Sequence[str], solution: Solution) -> None:
        n_rows, task = len(solution.ids), solution.task
        super().__init__(names, solution.id_columns)
        self.find = solution.ids.finder()
        self.ignore_unknown = task.ignore_unknown_ids
        self.lines = np.zeros(n_rows, dtype=np.int64)
        """By the solution's row: the line of its id, 0 if it is missing."""
        self.vocabulary = solution.vocabulary.copy()
        self.builders = {
            name: ColumnBuilder(task.cells(name), n_rows, self.vocabulary) for name in task.columns
        }
        self.positions = [self.names.index(name) for name in task.columns]
        self.duplicates: dict[int, list[int]] = {}
        """Row -> the later lines with its id."""
        self.unknown: list[tuple[str, int]] = []
        self.n_placed = 0
        self.unplaced = 0
        """Ragged lines whose row is unknown."""
        self.complete = True
        """Whether the file was read to its end, so that an id not seen is missing."""
        self.broken: tuple[Problem, ...] = ()

    def read(self, records: Iterable[tuple[int, Sequence[str]]]) -> None:
        # A longer file must repeat ids or have unknown ones; reading on only costs time and memory.
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
                    self.add_blank(line, fields)
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

    @property
    def shifted_by_row_names(self) -> bool:
        return (
            bool(self.ragged)
            and self.n_placed == 0
            and all(ragged.are_shifted for ragged in self.ragged.values())
        )

    def _key(self, fields: Sequence[str]) -> str:
        if len(self.id_positions) == 1:
            return fields[self.id_positions[0]]
        return ID_JOINT.join(fields[position] for position in self.id_positions)

    def _put(self, row: int, line: int, fields: Sequence[str]) -> None:
        self.lines[row] = line
        self.n_placed += 1
        for builder, position in zip(self.builders.values(), self.positions, strict=True):
            builder.put(row, fields[position])

    def _take_odd(self, line: int, fields: Sequence[str]) -> None:
        keys = [fields[position].strip(SPACES) for position in self.id_positions if position < len(fields)]
        key = ID_JOINT.join(keys) if len(keys) == len(self.id_positions) and all(keys) else ""
        row = self.find(key) if key else None
        if self.is_header(fields):
            self.repeated_headers.append(line)
        elif len(fields) != len(self.names):
            shifted = self.find(self._key(fields[1:])) if len(fields) == len(self.names) + 1 else None
            self.add_ragged(line, fields, shifted_row=shifted)
            if row is None:
                self.unplaced += 1
            elif not self.lines[row]:
                self.lines[row] = line
        elif not key:
            self.without_id.append((line, keys.index("")))
        elif row is None:
            # Where others are ignored, a few still show how the missing ids are misspelt.
            if not self.ignore_unknown or len(self.unknown) < len(self.lines):
                self.unknown.append((self._key(fields), line))
        elif self.lines[row]:
            self.duplicates.setdefault(row, []).append(line)
        else:
            self.spaced_ids = True
            self._put(row, line, fields)


_PIECE = 65_536


"""Rows checked at once; all rows of a file may be wrong."""


def row_faults(columns: Mapping[str, Column], rows: Rows, solution: Solution) -> list[tuple[str, int, str]]:
    """Return invalid rows: (code, position, words).

    Positions are among `rows`; for all metrics.
    """
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


def row_problems(
    columns: Mapping[str, Column], lines: NDArray[np.int64], solution: Solution
) -> list[Problem]:
    found: dict[str, tuple[int, tuple[int, int, str]]] = {}
    """By code: the number of rows, and the line, row and words of the first."""
    for start in range(0, len(lines), _PIECE):
        rows = np.arange(start, min(start + _PIECE, len(lines)))
        piece = {name: take(column, rows) for name, column in columns.items()}
        for code, at, words in row_faults(piece, rows, solution):
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

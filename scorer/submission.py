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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scorer.cells import NUMBER, Column, parse_column, say_fault
from scorer.report import InvalidSubmission, Notice, Problem
from scorer.solution import Solution
from scorer.tables import (
    MAX_LINE_BYTES,
    MAX_SHOWN_PROBLEMS,
    SPACES,
    UnreadableTable,
    is_blank,
    read_content,
    read_records,
    show,
)

MIN_UNPACKED_BYTES = 10_000_000
"""However small a challenge, a file of this size is still looked at."""

MAX_BLANK_ROWS = 1_048_576
"""As many as a worksheet has; Excel is known to save them all."""

_LISTED = 5
_NUMERIC_ID = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Submission:
    """An accepted file: one array of shape (n_rows,) per prediction column, rows in the solution's order."""

    columns: tuple[Column, ...]
    notices: tuple[Notice, ...]
    sha256: str | None = None
    """Of the file as received; None for frames in memory."""
    size_bytes: int | None = None


def read_submission(
    source: Path | bytes,
    solution: Solution,
    *,
    max_bytes: int = MIN_UNPACKED_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Submission:
    """Read a CSV file (plain, gzip or a zip of one file) as a submission to `solution`.

    Raises
    ------
    InvalidSubmission
        With every problem of the first stage that has one, at most 20 of them.
    """
    try:
        content = read_content(source, max_bytes=max_bytes)
        records = read_records(content.data, max_line_bytes=max_line_bytes)
        _, header = next(records)
    except UnreadableTable as error:
        raise InvalidSubmission(error.problems) from None
    columns, notices = align(header, records, solution)
    return Submission(columns, content.notices + notices, content.sha256, content.size_bytes)


def align(
    header: Sequence[str], records: Iterable[tuple[int, Sequence[str]]], solution: Solution
) -> tuple[tuple[Column, ...], tuple[Notice, ...]]:
    """Columns and notices of an already split table; raises InvalidSubmission like `read_submission`."""
    expected = (solution.id_column, *solution.task.columns)
    names, notices = _match_header(header, expected, solution)
    rows = _Rows(names, solution)
    rows.read(records)
    problems = rows.problems(solution)

    columns: list[Column] = []
    cells = solution.task.metric.predicted_cells(solution.task.parameters)
    for name, texts in zip(solution.task.columns, rows.texts, strict=True):
        parsed = parse_column(texts, cells)
        columns.append(parsed.values)
        for code, faulty in parsed.faults.items():
            first = min(faulty, key=rows.lines.__getitem__)
            text = texts[first] or ""
            key = show(solution.ids[first])
            message = (
                f"Column {show(name)}, line {rows.lines[first]} (id {key}): {say_fault(code, text, cells)}"
            )
            problems.append(
                Problem(
                    code,
                    message + _how_many(len(faulty)),
                    line=rows.lines[first],
                    id=key,
                    column=show(name),
                    value=show(text),
                    count=len(faulty),
                )
            )
    if not problems:
        problems.extend(_row_problems(columns, rows.lines, solution))
    if problems:
        total = sum(problem.count for problem in problems)
        raise InvalidSubmission(problems[:MAX_SHOWN_PROBLEMS], total)
    return tuple(columns), (*notices, *rows.notices(), *_remarks(columns, solution))


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
        elif missing_names == [solution.id_column] and names[0] == "":
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
    return data or names[0] in solution.index or _is_preamble(names[0])


def _is_preamble(name: str) -> bool:
    return name.lower().startswith(("#", "sep="))


def _list_names(names: Sequence[str]) -> str:
    listed = ",".join(show(name) for name in names[:12])
    return listed if len(names) <= 12 else f"{listed},... ({len(names)} columns)"


# --- rows -----------------------------------------------------------------------------------------


class _Rows:
    """One pass over the records, each put where the solution has its id; what does not fit is kept apart."""

    def __init__(self, names: Sequence[str], solution: Solution) -> None:
        n_rows = len(solution.ids)
        self.names = list(names)
        self.index = solution.index
        self.lines = [0] * n_rows
        """By the solution's row: the line its id was received on, 0 if it was not."""
        self.texts: list[list[str | None]] = [[None] * n_rows for _ in solution.task.columns]
        self.id_position = self.names.index(solution.id_column)
        self.positions = [self.names.index(name) for name in solution.task.columns]
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
        records_left = 2 * len(self.lines) + 1000
        targets = list(zip(self.texts, self.positions, strict=True))
        width, index, lines = len(self.names), self.index, self.lines
        try:
            for line, fields in records:
                if len(fields) == width and (row := index.get(fields[self.id_position])) is not None:
                    if lines[row]:
                        self.duplicates.setdefault(row, []).append(line)
                    else:
                        lines[row] = line
                        for texts, position in targets:
                            texts[row] = fields[position]
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

    def _take_odd(self, line: int, fields: Sequence[str]) -> None:
        key = fields[self.id_position].strip(SPACES) if self.id_position < len(fields) else ""
        row = self.index.get(key)
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
            self.unknown.append((fields[self.id_position], line))
        elif self.lines[row]:
            self.duplicates.setdefault(row, []).append(line)
        else:
            self.spaced_ids = True
            self.lines[row] = line
            for texts, position in zip(self.texts, self.positions, strict=True):
                texts[row] = fields[position]

    def problems(self, solution: Solution) -> list[Problem]:
        return [*self.broken, *self._line_problems(), *_id_problems(self, solution)]

    def _line_problems(self) -> list[Problem]:
        problems = []
        for (n_values, ends_empty), lines in list(self.ragged.items())[:_LISTED]:
            where = _lines(lines)
            have = "have" if len(lines) > 1 else "has"
            values = "value" if n_values == 1 else "values"
            message = f"{where} {have} {n_values} {values}, expected {len(self.names)}"
            if n_values == len(self.names) + 1:
                message += " (trailing comma?)" if ends_empty else " (a comma inside a value?)"
            message += "."
            problems.append(Problem("FIELD_COUNT", message, line=lines[0], count=len(lines)))
        if self.repeated_headers:
            verb = "repeat" if len(self.repeated_headers) > 1 else "repeats"
            message = f"{_lines(self.repeated_headers)} {verb} the header; remove it."
            problems.append(
                Problem(
                    "REPEATED_HEADER",
                    message,
                    line=self.repeated_headers[0],
                    count=len(self.repeated_headers),
                )
            )
        if self.without_id:
            column = self.names[self.id_position]
            message = f"Column {show(column)}, line {self.without_id[0]}: the id is empty."
            message += _how_many(len(self.without_id))
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


def _lines(lines: Sequence[int]) -> str:
    """'Line 6', 'Lines 2-21' or 'Line 6 and 3 more lines'."""
    if len(lines) == 1:
        return f"Line {lines[0]}"
    if lines[-1] - lines[0] + 1 == len(lines):
        return f"Lines {lines[0]}-{lines[-1]}"
    return f"Line {lines[0]} and {len(lines) - 1} more"


def _how_many(count: int) -> str:
    return f" {count} lines have this problem." if count > 1 else ""


# --- ids ------------------------------------------------------------------------------------------


def _id_problems(rows: _Rows, solution: Solution) -> list[Problem]:
    """Duplicate, unknown and missing ids; ids merely spelt otherwise are told apart from strangers."""
    problems = []
    if rows.duplicates:
        listed = []
        for row, later in list(rows.duplicates.items())[:_LISTED]:
            times = "twice" if len(later) == 1 else f"{len(later) + 1} times"
            lines = [rows.lines[row], *later]
            at = (" and " if len(lines) == 2 else ", ").join(map(str, lines[:_LISTED]))
            more = ", ..." if len(lines) > _LISTED else ""
            listed.append(f"Id {show(solution.ids[row])} appears {times} (lines {at}{more}).")
        if len(rows.duplicates) > _LISTED:
            listed.append(f"{len(rows.duplicates) - _LISTED} more ids appear more than once.")
        row, later = next(iter(rows.duplicates.items()))
        count = sum(len(lines) for lines in rows.duplicates.values())
        problems.append(
            Problem(
                "DUPLICATE_IDS",
                " ".join(listed),
                line=later[0],
                id=show(solution.ids[row]),
                column=show(solution.id_column),
                count=count,
            )
        )

    missing = [row for row, line in enumerate(rows.lines) if not line]
    unknown = rows.unknown
    if unknown and missing:
        respelt, unknown, missing = _match_spelling(unknown, missing, solution)
        if respelt:
            received, line, row = respelt[0]
            noun = "id" if len(respelt) == 1 else "ids"
            how_many = f"all {len(respelt)}" if len(respelt) == len(rows.lines) else f"{len(respelt)} {noun}"
            message = (
                f"Ids look like {show(received)} where {show(solution.ids[row])} is expected ({how_many}). "
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
        listing = ", ".join(f"{show(key)} (line {at})" for key, at in unknown[:_LISTED])
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
                id=show(received),
                column=show(solution.id_column),
                count=len(unknown),
            )
        )
    # A ragged line whose id cannot be read may be the very row that seems to be missing.
    if rows.complete and len(missing) > rows.unplaced:
        n_ids = len(solution.ids)
        listing = ", ".join(show(solution.ids[row]) for row in missing[:_LISTED])
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
                id=show(solution.ids[missing[0]]),
                column=show(solution.id_column),
                count=len(missing),
            )
        )
    return problems


def _match_spelling(
    unknown: list[tuple[str, int]], missing: list[int], solution: Solution
) -> tuple[list[tuple[str, int, int]], list[tuple[str, int]], list[int]]:
    """Pair unknown with missing ids that are the same number: (received, line, row), and what is left of both."""
    wanted = {key: row for row in missing if (key := _number_key(solution.ids[row])) is not None}
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
    expected = solution.ids[row]
    column = show(solution.id_column)
    if expected.isdecimal() and (expected == "0" or not expected.startswith("0")):
        return f" - in pandas: df[{column!r}] = df[{column!r}].astype(int)"
    return f" - in pandas read them as text: pd.read_csv(..., dtype={{{column!r}: str}})" if received else ""


def _is_off_by_one(unknown: Sequence[tuple[str, int]], missing: Sequence[int], solution: Solution) -> bool:
    if not unknown or len(unknown) != len(missing) or len(unknown) > 1000:
        return False
    received = [key for key, _ in unknown]
    lost = [solution.ids[row] for row in missing]
    if not all(key.isascii() and key.isdecimal() and len(key) < 20 for key in [*received, *lost]):
        return False
    gone = set(lost)
    present = set(received)
    for step in (1, -1):
        before = [str(int(key) - step) for key in received]
        after = [str(int(key) + step) for key in lost]
        if all(key in solution.index for key in before) and all(
            key in present or (key in solution.index and key not in gone) for key in after
        ):
            return True
    return False


def _invisible(text: str) -> str | None:
    for character in text:
        if character != " " and unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
            return f"U+{ord(character):04X}"
    return None


# --- rows as wholes, and remarks ------------------------------------------------------------------


def _row_problems(columns: Sequence[Column], lines: Sequence[int], solution: Solution) -> list[Problem]:
    task = solution.task
    if task.metric.row_faults is None:
        return []
    faults = task.metric.row_faults(np.column_stack(columns), task.parameters)
    problems = []
    for code in dict.fromkeys(fault.code for fault in faults):
        same = [fault for fault in faults if fault.code == code]
        first = min(same, key=lambda fault: lines[fault.row])
        line, key = lines[first.row], show(solution.ids[first.row])
        message = f"Line {line} (id {key}): {first.message}.{_how_many(len(same))}"
        problems.append(Problem(code, message, line=line, id=key, count=len(same)))
    return problems


def _remarks(columns: Sequence[Column], solution: Solution) -> list[Notice]:
    """What is allowed and yet probably not meant."""
    notices = []
    task = solution.task
    if len(solution.ids) > 1 and all(bool((column == column[0]).all()) for column in columns):
        notices.append(Notice("NOTICE_CONSTANT", "All predictions are equal."))
    elif task.metric.kind == "probability" and all(np.isin(column, (0.0, 1.0)).all() for column in columns):
        words = "All predictions are 0 or 1; this metric rewards probabilities."
        notices.append(Notice("NOTICE_HARD_LABELS", words))
    if task.metric.layout == "classes" and len(columns) > 1:
        n_off = int(np.sum(np.abs(np.sum(np.column_stack(columns), axis=1) - 1.0) > 1e-3))
        if n_off:
            words = f"{n_off} rows did not sum to 1; every row was divided by its sum."
            notices.append(Notice("NOTICE_RENORMALISED", words))
    return notices

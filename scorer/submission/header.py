"""Match the header of a submission with the expected columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

from scorer.challenges.solution import Solution
from scorer.reading.cells import NUMBER
from scorer.reading.forms import Forms
from scorer.reading.separators import split_lines, wrong_separator
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import SPACES, is_blank
from scorer.report import InvalidSubmission, Notice, Problem
from scorer.submission.ragged import split_again, whole_line_words
from scorer.wording import LISTED, show


def match_header(
    header: Sequence[str],
    expected: Sequence[str],
    solution: Solution,
    *,
    forms: Forms,
    records: Iterator[tuple[int, Sequence[str]]],
) -> tuple[list[str], tuple[Notice, ...]]:
    """Return the column names without spaces around them, and notices.

    Raises InvalidSubmission; only then a few of the following records are read, to recognise the cause.
    """
    composed = forms.header(header)
    names = [name.strip(SPACES) for name in composed]
    notices = []
    if names != composed:
        notices.append(Notice("NOTICE_HEADER_SPACES", "Spaces around column names were ignored."))
    if sorted(names) != sorted(expected):
        raise InvalidSubmission(_header_problems(names, expected, solution, _first_rows(records)))
    if names != list(expected):
        notices.append(Notice("NOTICE_COLUMN_ORDER", "Columns were matched by name."))
    return names, tuple(notices)


def _first_rows(records: Iterator[tuple[int, Sequence[str]]]) -> list[Sequence[str]]:
    with suppress(UnreadableTable):  # of this file the header is to be named first
        return [fields for _, fields in islice(records, 20) if not is_blank(fields)]
    return []


def _header_problems(
    names: Sequence[str], expected: Sequence[str], solution: Solution, rows: Sequence[Sequence[str]]
) -> list[Problem]:
    wanted, found = _list_names(expected), _list_names(names)
    present, required = set(names), set(expected)

    if len(names) == 1:
        for separator in (";", "\t", "|", " ") if not names[0].startswith("#") else ():
            parts = [part.strip(SPACES + '"') for part in names[0].split(separator)]
            fits = required <= set(parts) if separator == " " else set(parts) & required
            if len(set(parts)) > 1 and (fits or (separator != " " and len(parts) == len(expected))):
                # A decimal comma has split the line once more.
                cells = split_lines([",".join(fields) for fields in rows], separator)
                return [wrong_separator(separator, parts, cells)]
        if sorted(name.strip(SPACES) for name in split_again(names[0])) == sorted(expected):
            message = f"Line 1: the whole line is in quotes, {whole_line_words(names[0])}."
            return [Problem("BAD_QUOTE", message, line=1)]

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
    for name in [name for name, times in Counter(names).items() if times > 1 and name][:LISTED]:
        message = f"Line 1: column {show(name)} appears twice."
        problems.append(Problem("DUPLICATE_COLUMN", message, line=1, column=show(name)))
    missing_names = [name for name in expected if name not in present]
    extra = [name for name in names if name not in required]
    if not missing_names and extra:
        if names[0] in _INDEX_NAMES and len(extra) == 1:
            message = f"Line 1: the first column {_index_words(names[0], rows)}."
            problems.append(Problem("INDEX_COLUMN", message, line=1))
        else:
            what = "columns" if len(extra) > 1 else "column"
            unnamed = [name or "(no name)" for name in extra]
            message = (
                f"Line 1: unexpected {what} {_list_names(unnamed)}. "
                f"The file must have exactly the columns {wanted}"
            )
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
        else:
            message += _renamed_words(missing_names, extra, names, solution)
        problems.append(Problem("COLUMN_NAME", message + ".", line=1, column=show(missing_names[0])))
    return problems


_INDEX_NAMES = ("", "Unnamed: 0", "X", "...1", "rownames", "row.names", "index")


def _index_words(name: str, rows: Sequence[Sequence[str]]) -> str:
    """Return what an additional first column is, and the remedy for the program that wrote it."""
    first = rows[0][0].strip(SPACES) if rows and rows[0] else ""
    pandas = "it is the index pandas adds. Write with df.to_csv(path, index=False)"
    r = "it holds the row names R adds. Write with write.csv(df, path, row.names = FALSE)"
    what = f'"{name}" is not asked for' if name else "has no name"
    if name in ("X", "...1", "rownames", "row.names") or (not name and first == "1"):
        return f"{what}; {r}"
    if name in ("Unnamed: 0", "index") or first == "0":
        return f"{what}; {pandas}"
    return f"{what}; {pandas}; in R: write.csv(df, path, row.names = FALSE)"


def _renamed_words(
    missing: Sequence[str], extra: Sequence[str], names: Sequence[str], solution: Solution
) -> str:
    """Return how the missing names became the additional ones, if a program did that."""
    if sorted(map(_r_name, missing)) == sorted(extra):
        return (
            " (R changes such names; keep them with data.frame(..., check.names = FALSE) "
            "or read.csv(..., check.names = FALSE))"
        )
    if len(extra) == len(missing) and all(re.fullmatch(r"(?:X|V|\.\.\.)?\d+|x", name) for name in extra):
        return (
            " (R and pandas give such names to columns without one; set them before writing: "
            "names(df) <- c(...) in R, df.columns = [...] in pandas)"
        )
    classes = {
        name
        for part in solution.task.parts
        if part.columns_are_classes and part.predicted_cells.kind != "flag"
        for name in part.columns
    }
    if len(missing) > 1 and len(extra) <= 1 and classes.issuperset(missing) and len(names) <= 2:
        return (
            "; this task wants one column with the probability of each class, not one column of classes "
            "(in scikit-learn: predict_proba)"
        )
    return ""


def _r_name(name: str) -> str:
    """Return what make.names of R makes of a column's name."""
    valid = re.sub(r"[^\w.]", ".", name)
    return valid if re.match(r"[^\W\d_]|\.(?!\d)", valid) else f"X{valid}"


def _no_header(names: Sequence[str], expected: Sequence[str], solution: Solution) -> bool:
    """Whether the first line is no header.

    But data, a comment or sep=.
    """
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

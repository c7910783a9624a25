"""Match the header of a submission with the expected columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scorer.challenges.solution import Solution
from scorer.reading.cells import NUMBER
from scorer.reading.forms import Forms
from scorer.reading.tables import SPACES, is_blank
from scorer.report import InvalidSubmission, Notice, Problem
from scorer.wording import LISTED, show


def match_header(
    header: Sequence[str], expected: Sequence[str], solution: Solution, forms: Forms
) -> tuple[list[str], tuple[Notice, ...]]:
    """Return the column names without spaces around them, and notices.

    Raises InvalidSubmission.
    """
    composed = forms.header(header)
    names = [name.strip(SPACES) for name in composed]
    notices = []
    if names != composed:
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
    for name in [name for name, times in Counter(names).items() if times > 1 and name][:LISTED]:
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
        problems.append(Problem("COLUMN_NAME", message + ".", line=1, column=show(missing_names[0])))
    return problems


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

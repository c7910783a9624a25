"""Problems with ids of a submission: duplicate, respelt, unknown, missing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from scorer.challenges.solution import Solution
from scorer.reading.tables import SPACES
from scorer.report import Problem
from scorer.submission.rows import PlacedRows
from scorer.wording import LISTED, show, show_id

_NUMERIC_ID = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?", re.ASCII)


def id_problems(rows: PlacedRows, solution: Solution) -> list[Problem]:
    """Return the problems with duplicate, respelt, unknown and missing ids."""
    respelt, unknown, missing = _match_spelling(
        rows.unknown, np.flatnonzero(rows.lines == 0).tolist(), solution
    )
    return [
        *_duplicate_ids(rows, solution),
        *_respelt_ids(respelt, len(rows.lines), solution),
        *_unknown_ids(unknown, missing, solution),
        *_missing_ids(rows, unknown, missing, solution),
    ]


def _duplicate_ids(rows: PlacedRows, solution: Solution) -> list[Problem]:
    if not rows.duplicates:
        return []
    listed = []
    for row, later in list(rows.duplicates.items())[:LISTED]:
        times = "twice" if len(later) == 1 else f"{len(later) + 1} times"
        lines = [int(rows.lines[row]), *later]
        at = (" and " if len(lines) == 2 else ", ").join(map(str, lines[:LISTED]))
        more = ", ..." if len(lines) > LISTED else ""
        listed.append(f"Id {show_id(solution.ids.text(row))} appears {times} (lines {at}{more}).")
    if len(rows.duplicates) > LISTED:
        listed.append(f"{len(rows.duplicates) - LISTED} more ids appear more than once.")
    row, later = next(iter(rows.duplicates.items()))
    count = sum(len(lines) for lines in rows.duplicates.values())
    key, column = show_id(solution.ids.text(row)), show(solution.id_column)
    return [Problem("DUPLICATE_IDS", " ".join(listed), line=later[0], id=key, column=column, count=count)]


def _respelt_ids(respelt: list[tuple[str, int, int]], n_rows: int, solution: Solution) -> list[Problem]:
    if not respelt:
        return []
    received, line, row = respelt[0]
    n, noun = len(respelt), "id" if len(respelt) == 1 else "ids"
    n_alike = f"all {n}" if n == n_rows else f"{n} {noun}"
    message = (
        f"Ids look like {show(received)} where {show(solution.ids.text(row))} is expected ({n_alike}). "
        f"Write ids exactly as in the test set{_spelling_hint(solution, received, row)}."
    )
    column = show(solution.id_column)
    return [Problem("ID_FORMAT", message, line=line, id=show(received), column=column, count=n)]


def _unknown_ids(unknown: list[tuple[str, int]], missing: list[int], solution: Solution) -> list[Problem]:
    if not unknown:
        return []
    received, line = unknown[0]
    listing = ", ".join(f"{show_id(key)} (line {at})" for key, at in unknown[:LISTED])
    noun = "id is" if len(unknown) == 1 else "ids are"
    more = ", ..." if len(unknown) > LISTED else ""
    message = f"{len(unknown)} {noun} not in the test set: {listing}{more}."
    if invisible := _invisible(received):
        first = f'Line {line}: id "{show(received)}" contains an invisible character ({invisible}).'
        message = f"{first} {message}"
    if _is_off_by_one(unknown, missing, solution):
        message += " (Are your ids off by one?)"
    key, column = show_id(received), show(solution.id_column)
    return [Problem("UNKNOWN_IDS", message, line=line, id=key, column=column, count=len(unknown))]


def _missing_ids(
    rows: PlacedRows, unknown: list[tuple[str, int]], missing: list[int], solution: Solution
) -> list[Problem]:
    # A ragged line whose id cannot be read may be the very row that seems to be missing.
    if not rows.complete or len(missing) <= rows.unplaced:
        return []
    n_ids = len(solution.ids)
    listing = ", ".join(show_id(solution.ids.text(row)) for row in missing[:LISTED])
    more = ", ..." if len(missing) > LISTED else ""
    if len(missing) == n_ids and not unknown:
        message = f"The file has no rows; {n_ids} ids are required: {listing}{more}."
    else:
        noun, verb = ("id", "is") if n_ids == 1 else ("ids", "is" if len(missing) == 1 else "are")
        message = f"{len(missing)} of {n_ids} required {noun} {verb} missing: {listing}{more}."
        message += " Every id of the sample submission must appear exactly once."
    key, column = show_id(solution.ids.text(missing[0])), show(solution.id_column)
    return [Problem("MISSING_IDS", message, id=key, column=column, count=len(missing))]


def _match_spelling(
    unknown: list[tuple[str, int]], missing: list[int], solution: Solution
) -> tuple[list[tuple[str, int, int]], list[tuple[str, int]], list[int]]:
    """Pair unknown with missing ids that are the same number.

    Returns (received, line, row) of each pair, and the unknown and missing ids that are left.
    """
    if not unknown or not missing:
        return [], unknown, missing
    wanted = {key: row for row in missing if (key := _number_key(solution.ids.text(row))) is not None}
    respelt, others = [], []
    for received, line in unknown:
        key = _number_key(received.strip(SPACES))
        if key is not None and key in wanted:
            respelt.append((received, line, wanted.pop(key)))
        else:
            others.append((received, line))
    found = {row for _, _, row in respelt}
    return respelt, others, [row for row in missing if row not in found]


def _number_key(text: str) -> tuple[str, str, int] | None:
    """Return a number's sign, significant digits and exponent.

    The same for 1, 1.0, 01 and 1e0; exact at any length.
    """
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

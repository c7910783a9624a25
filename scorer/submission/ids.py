"""Problems with the ids of a submission: duplicate, respelt, unknown, missing."""

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
    """Duplicate, unknown and missing ids; ids merely spelt otherwise are told apart from strangers."""
    problems = []
    if rows.duplicates:
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
        listing = ", ".join(f"{show_id(key)} (line {at})" for key, at in unknown[:LISTED])
        noun = "id is" if len(unknown) == 1 else "ids are"
        more = ", ..." if len(unknown) > LISTED else ""
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
        listing = ", ".join(show_id(solution.ids.text(row)) for row in missing[:LISTED])
        more = ", ..." if len(missing) > LISTED else ""
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

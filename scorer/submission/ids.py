"""Problems with ids of a submission: duplicate, respelt, unknown, missing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from scorer.challenges.solution import Solution
from scorer.reading.forms import Forms
from scorer.report import Problem
from scorer.submission.respelling import Respelt, Unknown, match
from scorer.submission.rows import PlacedRows
from scorer.submission.training import training_ids
from scorer.wording import ID_JOINT, LISTED, show, show_id


def id_problems(rows: PlacedRows, solution: Solution, forms: Forms) -> list[Problem]:
    """Return the problems with duplicate, respelt, unknown and missing ids."""
    if rows.shifted_by_row_names:  # one cause, which a line problem names
        return []
    missing = [solution.ids.text(row) for row in np.flatnonzero(rows.lines == 0).tolist()]
    # Ids of the training data may look like respelt ids of the test set, so they are asked for first.
    wrong = rows.unknown if not rows.ignore_unknown or not rows.lines.any() else []
    if training := _training_ids(wrong, missing, solution):
        return [*_duplicate_ids(rows, solution, forms), training]
    respelt, unknown, missing = match(rows.unknown, missing, solution.id_columns)
    if rows.ignore_unknown:
        unknown = []
    problems = [*_duplicate_ids(rows, solution, forms), *respelt_ids(respelt, len(rows.lines), solution)]
    return [
        *problems,
        *_unknown_ids(unknown, missing, solution),
        *_missing_ids(rows, unknown, missing, solution),
    ]


def _training_ids(unknown: Unknown, missing: Sequence[str], solution: Solution) -> Problem | None:
    """Return the one problem of a file that predicts rows of public/train.csv."""
    path = solution.train_file
    if path is None or not unknown:
        return None
    lines = dict(reversed(unknown))
    found = training_ids(path, solution.id_columns, lines)
    if len(found) < 0.9 * len(lines):
        return None
    first = min(found, key=lines.__getitem__)
    listing = ", ".join(f"{show_id(key)} (line {line})" for key, line in unknown[:LISTED])
    noun = "id is" if len(unknown) == 1 else "ids are"
    message = (
        f"{len(unknown)} {noun} of the training data (public/train.csv), not of the test set: {listing}"
        f"{', ...' if len(unknown) > LISTED else ''}. Predict the rows of the sample submission"
    )
    if missing:
        message += f", whose ids are {', '.join(map(show_id, missing[:LISTED]))}, ..."
    key, column = show_id(first), show(solution.id_column)
    return Problem("UNKNOWN_IDS", message + ".", line=lines[first], id=key, column=column, count=len(unknown))


def _duplicate_ids(rows: PlacedRows, solution: Solution, forms: Forms) -> list[Problem]:
    if not rows.duplicates:
        return []
    listed = []
    for row, later in list(rows.duplicates.items())[:LISTED]:
        times = "twice" if len(later) == 1 else f"{len(later) + 1} times"
        lines = [int(rows.lines[row]), *later]
        at = (" and " if len(lines) == 2 else ", ").join(map(str, lines[:LISTED]))
        more = ", ..." if len(lines) > LISTED else ""
        listed.append(f"Id {show_id(solution.ids.text(row))} appears {times} (lines {at}{more}).")
        if forms.differ(lines, rows.id_positions):
            listed.append("They differ in their Unicode form only and are one id in Unicode's form NFC.")
    if len(rows.duplicates) > LISTED:
        listed.append(f"{len(rows.duplicates) - LISTED} more ids appear more than once.")
    row, later = next(iter(rows.duplicates.items()))
    count = sum(len(lines) for lines in rows.duplicates.values())
    key, column = show_id(solution.ids.text(row)), show(solution.id_column)
    return [Problem("DUPLICATE_IDS", " ".join(listed), line=later[0], id=key, column=column, count=count)]


def respelt_ids(respelt: Sequence[Respelt], n_rows: int, solution: Solution) -> list[Problem]:
    """Return the problems of ids that are spelt otherwise than required; `n_rows` is the number of all."""
    problems = []
    for found in respelt:
        received, line, expected = found.pairs[0]
        n, noun = len(found.pairs), "id" if len(found.pairs) == 1 else "ids"
        n_alike = f"all {n}" if n == n_rows else f"{n} {noun}"
        message = (
            f"Ids look like {show_id(received)} where {show_id(expected)} is expected ({n_alike}). "
            f"Write ids exactly as in the test set - {found.cause}."
        )
        if invisible := _invisible(received):
            message += f" Line {line}: id {show_id(received)} contains an invisible character ({invisible})."
        column, key = show(solution.id_column), show_id(received)
        problems.append(Problem("ID_FORMAT", message, line=line, id=key, column=column, count=n))
    return problems


def _unknown_ids(unknown: Unknown, missing: Sequence[str], solution: Solution) -> list[Problem]:
    if not unknown:
        return []
    received, line = unknown[0]
    listing = ", ".join(f"{show_id(key)} (line {at})" for key, at in unknown[:LISTED])
    noun = "id is" if len(unknown) == 1 else "ids are"
    more = ", ..." if len(unknown) > LISTED else ""
    message = f"{len(unknown)} {noun} not in the test set: {listing}{more}."
    if invisible := _invisible(received):
        first = f"Line {line}: id {show_id(received)} contains an invisible character ({invisible})."
        message = f"{first} {message}"
    if _is_off_by_one(unknown, missing, solution):
        message += " (Are your ids off by one?)"
    key, column = show_id(received), show(solution.id_column)
    return [Problem("UNKNOWN_IDS", message, line=line, id=key, column=column, count=len(unknown))]


def _missing_ids(
    rows: PlacedRows, unknown: Unknown, missing: Sequence[str], solution: Solution
) -> list[Problem]:
    # A line whose id is empty or cannot be read may be the very row that seems to be missing.
    if not rows.complete or len(missing) <= rows.unplaced + len(rows.without_id):
        return []
    n_ids = len(solution.ids)
    listing = ", ".join(map(show_id, missing[:LISTED]))
    more = ", ..." if len(missing) > LISTED else ""
    if len(missing) == n_ids and not unknown:
        message = f"The file has no rows; {n_ids} ids are required: {listing}{more}."
    else:
        noun, verb = ("id", "is") if n_ids == 1 else ("ids", "is" if len(missing) == 1 else "are")
        message = f"{len(missing)} of {n_ids} required {noun} {verb} missing: {listing}{more}."
        message += " Every id of the sample submission must appear exactly once."
    key, column = show_id(missing[0]), show(solution.id_column)
    return [Problem("MISSING_IDS", message, id=key, column=column, count=len(missing))]


def _is_off_by_one(unknown: Unknown, missing: Sequence[str], solution: Solution) -> bool:
    if not unknown or len(unknown) != len(missing) or len(unknown) > 1000:
        return False
    received = [key for key, _ in unknown]
    if not all(key.isascii() and key.isdecimal() and len(key) < 20 for key in [*received, *missing]):
        return False
    gone = set(missing)
    present = set(received)
    for step in (1, -1):
        before = [str(int(key) - step) for key in received]
        after = [str(int(key) + step) for key in missing]
        if all(key in solution.ids for key in before) and all(
            key in present or (key in solution.ids and key not in gone) for key in after
        ):
            return True
    return False


def _invisible(text: str) -> str | None:
    for character in text.replace(ID_JOINT, ""):
        if character != " " and unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
            return f"U+{ord(character):04X}"
    return None

"""The mistakes in a file that the check of a challenge tries and that must be refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import USAGE_COLUMN, known_cells
from scorer.custom_cells import (
    filled,
    holds_codes,
    holds_flags,
    holds_numbers,
    holds_words,
    is_number,
    true_cells,
)


def mistakes(challenge: Challenge, name: str, given: Sequence[str]) -> list[tuple[str, str]]:
    """Return the mistakes that must be refused in a column, and a cell with each.

    `given` holds the column's cells in the sample submission.
    """
    cells = challenge.task.cells(name)
    found = [] if cells.may_be_empty else [("a missing value", "")]
    # An own metric's truth is asked again: what is tried must not follow from what is refused.
    truth = _scored_cells(challenge, name)
    has_values = holds_numbers(truth) or holds_flags(truth) or _are_numbers(challenge, truth, given)
    if cells.is_number or (has_values and not holds_words(given)):
        return [("a missing value", ""), ("a word", "abc"), ("a NaN", "NaN")]
    if challenge.task.custom is not None and all(map(str.strip, given)):
        found = [("a missing value", "")]
    return [*found, ("a NaN", "NaN")] if cells.grammar == "filled" else found


def _are_numbers(challenge: Challenge, truth: Sequence[str], given: Sequence[str]) -> bool:
    """Return whether a word beside numbers is wrong in an own metric's column without truth of its name."""
    task, solution = challenge.task, challenge.solution
    if task.custom is None or filled(truth) or not holds_numbers(given) or holds_codes(given):
        return False
    names = set(solution.frame) - {*solution.id_columns, USAGE_COLUMN, *task.columns}
    others = [filled(_scored_cells(challenge, name)) for name in names]
    one_kind = all(holds_codes(cells) or len({*map(is_number, cells)}) < 2 for cells in others)
    return one_kind and any(holds_numbers(cells) or holds_flags(cells) for cells in others)


def rows_to_spoil(challenge: Challenge, name: str) -> list[int]:
    """Return a scored row and, if there is one, a scored row without truth."""
    rows = np.flatnonzero(challenge.solution.scored).tolist()
    holes = [row for row, cell in zip(rows, _scored_cells(challenge, name), strict=False) if not cell.strip()]
    if challenge.task.custom is None and name in (known := known_cells(challenge.solution)):
        holes = np.flatnonzero(challenge.solution.scored & ~known[name]).tolist()
    return list(dict.fromkeys([rows[0], *holes[:1]]))


def _scored_cells(challenge: Challenge, name: str) -> list[str]:
    """Return an own metric's true cells of the scored rows, empty where the number is unknown."""
    frame, scored = challenge.solution.frame, challenge.solution.scored
    return true_cells(frame[name][scored].tolist()) if name in frame else []

"""Decide what the columns of an own metric hold, and convert their cells."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scorer.reading.cells import NUMBER, truth_value
from scorer.reading.tables import SPACES

_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)
_PADDED = re.compile(r"[+-]?0\d+", re.ASCII)
MISSING_WORDS = frozenset(
    ["na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "null", "none", "-", "?", "1.#ind"]
) | {"-1.#ind", "1.#qnan", "-1.#qnan"}
"""Words that people write for an unknown number, and those that pandas reads as one, in small letters."""

_NEARLY = 0.9
_NAN = MISSING_WORDS | {""}


def is_number(text: str) -> bool:
    """Return whether a cell is a finite number in any spelling."""
    return NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def is_flag(text: str) -> bool:
    """Return whether a cell is the word true or false, in small or capital letters."""
    return text.strip(SPACES).lower() in ("true", "false")


def filled(texts: Iterable[str]) -> list[str]:
    """Return the cells that are not empty, without outer spaces."""
    return [bare for text in texts if (bare := text.strip(SPACES))]


def true_cells(texts: Sequence[str]) -> list[str]:
    """Return the cells of a truth, empty where a word says that the value is unknown.

    Such words are emptied only where all other filled cells are numbers, or all are true or false, and there
    is one: among other words, NA may be a class.
    """
    emptied = ["" if text.strip(SPACES).lower() in MISSING_WORDS else text for text in texts]
    return emptied if holds_numbers(emptied) or holds_flags(emptied) else list(texts)


def holds_numbers(texts: Iterable[str]) -> bool:
    """Return whether the filled cells are numbers; at least one is filled."""
    cells = filled(texts)
    return bool(cells) and all(map(is_number, cells))


def holds_flags(texts: Iterable[str]) -> bool:
    """Return whether the filled cells are true or false; at least one is filled."""
    cells = filled(texts)
    return bool(cells) and all(map(is_flag, cells))


def holds_words(texts: Iterable[str]) -> bool:
    """Return whether the filled cells are words; those for a missing value and true or false are none."""
    cells = [cell for cell in filled(texts) if cell.lower() not in MISSING_WORDS]
    return bool(cells) and not any(is_number(cell) or is_flag(cell) for cell in cells)


def holds_codes(texts: Iterable[str]) -> bool:
    """Return whether the cells are numbers that must stay text.

    These are whole numbers with leading zeros, such as 01234, and whole numbers of which one is beyond int64:
    as floats neighbouring ones would become equal.
    """
    cells = filled(texts)
    if not holds_numbers(cells):
        return False
    return any(map(_PADDED.fullmatch, cells)) or (
        all(map(_WHOLE.fullmatch, cells)) and not all(map(_in_int64, cells))
    )


def are_padded(texts: Iterable[str]) -> bool:
    """Return whether cells are codes of digits of which some begin with zeros, such as 01234.

    They have one length, or nearly all of them begin with a zero: a single 02 among numbers is none.
    """
    cells = set(filled(texts))
    if not cells or not all(cell.isascii() and cell.isdecimal() for cell in cells):
        return False
    n_padded = sum(cell.startswith("0") and len(cell) > 1 for cell in cells)
    return n_padded > 0 and (len(set(map(len, cells))) == 1 or n_padded >= _NEARLY * len(cells))


def holds_labels(texts: Sequence[str]) -> bool:
    """Return whether true cells that look like numbers or flags are labels.

    These are codes, or numbers and flags among words. A file of which every label looks like a number must
    not become one of numbers, which equal no text.
    """
    cells = filled(true_cells(texts))
    n_numbers, n_flags = sum(map(is_number, cells)), sum(map(is_flag, cells))
    among_words = n_numbers + n_flags > 0 and max(n_numbers, n_flags) < len(cells)
    return among_words or holds_codes(cells)


def typed(texts: Sequence[str]) -> Any:
    """Return a column as pandas would read it.

    Whole numbers, numbers, true and false, or text. An empty cell among numbers is nan. Other text is never
    converted, nor are codes such as 01234; `true_cells` empties the words for unknown values.
    """
    if holds_flags(texts):
        return flags(texts)
    if not holds_numbers(texts) or holds_codes(texts):
        return np.array(texts, dtype=np.object_)
    return numbers(texts)


def numbers(texts: Sequence[str]) -> Any:
    """Return cells as int64 if all are whole numbers, else as float64.

    Empty cells and words for unknown numbers are nan; those of a submission are refused before.
    """
    cells = [text.strip(SPACES) for text in texts]
    if all(_WHOLE.fullmatch(cell) and _in_int64(cell) for cell in cells):
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    return np.array([math.nan if cell.lower() in _NAN else float(cell) for cell in cells], dtype=np.float64)


def flags(texts: Sequence[str]) -> Any:
    """Return cells as bool, in a column of objects with None if some are empty.

    1 and 0, in any spelling of numbers, are true and false too.
    """
    values = [truth_value(text) for text in texts]
    return np.array(values, dtype=np.object_ if None in values else np.bool_)


def _in_int64(cell: str) -> bool:
    # Python refuses to read whole numbers of thousands of digits.
    return len(cell) <= 20 and -(2**63) <= int(cell) < 2**63

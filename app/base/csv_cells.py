"""Write CSV that no spreadsheet computes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What spreadsheets read as the beginning of a formula, full-width forms included."""


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet computes: a text that begins like a formula gets an apostrophe.

    Numbers stay numbers, also negative ones that are given as text.
    """
    if not isinstance(value, str) or not value.lstrip(" ").startswith(FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(csv_cell, row) for row in rows)
    return text.getvalue()

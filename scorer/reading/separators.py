"""Recognise tables whose columns are separated by something else than a comma."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice

from scorer.report import Problem

SEPARATORS = {";": '";"', "\t": "tabs", "|": '"|"', " ": "spaces"}
"""What stands between columns instead of a comma, and its name in a message."""
_LOOKED_AT = 20


def separator_problem(head: bytes) -> Problem | None:
    """Return the problem of a file whose first line only another separator can split.

    `head` is the file's start. Quoted names show the separator without knowing them: `"id" "y"`.
    """
    lines = head.decode("utf-8", "replace").splitlines()[:_LOOKED_AT]
    for separator in SEPARATORS:
        header, *rows = split_lines(lines, separator) or [[]]
        if len(header) > 1 and rows and all(len(row) in (len(header), len(header) + 1) for row in rows):
            return wrong_separator(separator, header, rows)
    return None


def split_lines(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Return the fields of the first lines; nothing if quotes are misplaced."""
    reader = csv.reader(
        [line for line in lines if line.strip()],
        delimiter=separator,
        skipinitialspace=separator == " ",
        strict=True,
    )
    try:
        return list(islice(reader, _LOOKED_AT))
    except csv.Error:
        return []


def wrong_separator(separator: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Problem:
    """Return the problem of a file with this separator, in the words of the program that wrote it."""
    message = f"Columns are separated by {SEPARATORS[separator]}"
    has_row_names = bool(rows) and all(len(row) == len(header) + 1 for row in rows)
    decimal_commas = any("," in cell for row in rows for cell in row)
    if has_row_names or (header[0] == "" and separator != " "):
        message += (
            ", and each line begins with a row name, as R's "
            f"{'write.csv2' if separator == ';' and header[0] == '' else 'write.table'} writes it; "
            "in R: write.csv(df, path, row.names = FALSE)"
        )
    elif separator == " ":
        message += '; use "," between columns (in R: write.csv(df, path, row.names = FALSE)'
        message += "; in pandas: df.to_csv(path, index=False))"
    else:
        message += (
            '; use "," between columns and "." in decimals '
            "(in pandas: df.to_csv(path, index=False); in R: write.csv(df, path, row.names = FALSE)"
        )
        message += "; Excel takes both from the system's regional settings)" if separator == ";" else ")"
    if decimal_commas and 'and "." in decimals' not in message:
        message += ', and "." in decimals'
    return Problem("SEPARATOR", message + ".", line=1)

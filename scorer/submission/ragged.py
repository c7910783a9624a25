"""Lines with more or fewer values than the header, and what they show of the cause."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from scorer.reading.hints import DECIMAL_COMMA, ONE_THOUSAND
from scorer.reading.tables import SPACES
from scorer.report import Problem
from scorer.wording import show, show_lines

_THOUSANDS = re.compile(ONE_THOUSAND + r"(?:\.\d*)?", re.ASCII)
_DECIMAL_COMMA = re.compile(DECIMAL_COMMA, re.ASCII)
_LOOKED_AT = 1000
"""Lines of one kind that decide on the cause."""


@dataclass(slots=True)
class RaggedLines:
    """The lines of a file with one wrong number of values."""

    expected: int
    lines: list[int] = field(default_factory=list)
    first: Sequence[str] = ()
    shifted: set[int] = field(default_factory=set)
    """Rows whose id stands in the place after the one where it belongs."""
    pieces: list[tuple[str, str]] = field(default_factory=list)
    """Of the first lines: what stands before and after a comma that may be part of a number."""
    n_quoted: int = 0
    """Of the first lines: those that are one value, which holds the right number of values."""

    def add(self, line: int, fields: Sequence[str], *, shifted_row: int | None) -> None:
        self.lines.append(line)
        self.first = self.first or fields
        if shifted_row is not None:
            self.shifted.add(shifted_row)
        if len(self.lines) <= _LOOKED_AT:
            if len(fields) == 1:
                self.n_quoted += len(split_again(fields[0])) == self.expected
            elif 0 < len(fields) - self.expected <= self.expected and (piece := _split_number(fields)):
                self.pieces.append(piece)

    @property
    def are_shifted(self) -> bool:
        # Each row once: in 1,1,000 and 2,1,234 what follows the id may be an id by chance.
        return len(self.shifted) == len(self.lines)

    def problem(self, *, has_row_names: bool) -> Problem:
        n_values, looked_at = len(self.first), min(len(self.lines), _LOOKED_AT)
        where, have = show_lines(self.lines), "have" if len(self.lines) > 1 else "has"
        values = "value" if n_values == 1 else "values"
        message = f"{where} {have} {n_values} {values}, expected {self.expected}"
        if has_row_names:
            message += (
                f"; the first value, {show(self.first[0])}, is a row name that the header does not count, "
                "as R writes it. In R: write.csv(df, path, row.names = FALSE)"
            )
            return self._as("INDEX_COLUMN", message + ".")
        if self.n_quoted == looked_at:
            message += f": the whole line is in quotes, {whole_line_words(self.first[0])}"
            return self._as("BAD_QUOTE", message + ".")
        if self.pieces and len(self.pieces) == looked_at:
            return self._as("FIELD_COUNT", f"{message} ({_comma_words(self.pieces)}).")
        if n_values == self.expected + 1:
            ends_empty = not self.first[-1].strip(SPACES)
            message += " (trailing comma?)" if ends_empty else " (a comma inside a value?)"
        return self._as("FIELD_COUNT", message + ".")

    def _as(self, code: str, message: str) -> Problem:
        return Problem(code, message, line=self.lines[0], count=len(self.lines))


def split_again(text: str) -> list[str]:
    """Return the values of a line that was quoted as a whole."""
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return []


def whole_line_words(line: str) -> str:
    """Return the remedy for a line that was quoted as a whole."""
    return (
        f'"{show(line)}". Each value is quoted by itself, or not at all. In Excel split the column first '
        "(Data > Text to Columns); in R: quote = FALSE; in pandas: df.to_csv(path, index=False)"
    )


def _split_number(fields: Sequence[str]) -> tuple[str, str] | None:
    """Return the pieces of the first number that commas may have split."""
    bare = [text.strip(SPACES) for text in fields[1:]]  # the id comes first more often than not
    if not bare[-1]:
        return None
    pairs = [
        (before, after)
        for before, after in pairwise(bare)
        if _THOUSANDS.fullmatch(f"{before},{after}") or _DECIMAL_COMMA.fullmatch(f"{before},{after}")
    ]
    return pairs[-1] if pairs else None


def _comma_words(pieces: Sequence[tuple[str, str]]) -> str:
    before, after = pieces[0]
    written = f'"{show(before)},{show(after)}"'
    as_decimal, as_whole = f"{before}.{after}", f"{before}{after}"
    if not all(_THOUSANDS.fullmatch(f"{head},{tail}") for head, tail in pieces):
        return f"a comma inside a value? {written} with a decimal point is {as_decimal}"
    if any("." in tail for _, tail in pieces):
        return f"a comma inside a value? {written} without thousands separators is {as_whole}"
    return (
        f"a comma inside a value? {written} is {as_whole} if the comma separates thousands, "
        f"{as_decimal} if it is a decimal comma; write that"
    )

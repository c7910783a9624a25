"""What a cell must hold, and turning columns of text into arrays with every fault named."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scorer.tables import SPACES, show

FloatArray = NDArray[np.float64]
LabelArray = NDArray[np.object_]
Column = FloatArray | LabelArray

LARGEST = 1e100
"""Bound on the size of any number: squares of it, summed over any file, still fit in a float64."""

NUMBER = re.compile(r"[ \t\r\n]*[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?[ \t\r\n]*", re.ASCII)
"""The only spelling of a number; possessive, so that a megabyte of digits is refused in one pass."""

_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Cells:
    """What one cell of a column must hold."""

    kind: Literal["number", "integer", "flag", "label"]
    low: float = -LARGEST
    high: float = LARGEST

    @property
    def words(self) -> str:
        """For people: 'a number in [0, 1]'."""
        if self.kind == "label":
            return "a class label (text)"
        if self.kind == "flag":
            return "0 or 1"
        noun = "a whole number" if self.kind == "integer" else "a number"
        if self.high < LARGEST:
            return f"{noun} in [{self.low:g}, {self.high:g}]"
        return f"{noun}, {self.low:g} or more" if self.low > -LARGEST else noun

    def within(self, other: Cells) -> bool:
        """Whether everything allowed here is allowed there too."""
        if "label" in (self.kind, other.kind):
            return self.kind == other.kind
        whole = other.kind == "number" or self.kind != "number"
        return whole and other.low <= self.low and self.high <= other.high


@dataclass(frozen=True, slots=True)
class Parsed:
    """One column: the values (nan or "" where there is none) and the faulty rows by problem code."""

    values: Column
    faults: dict[str, list[int]]


def parse_column(texts: Sequence[str | None], cells: Cells) -> Parsed:
    """Read a column of received texts; None stands for a row that was never received."""
    if cells.kind == "label":
        return _parse_labels(texts)
    faults: dict[str, list[int]] = {}
    is_number = NUMBER.fullmatch
    numbers: list[float] = []
    for row, text in enumerate(texts):
        if text is None:
            numbers.append(math.nan)
        elif is_number(text):
            numbers.append(float(text))
        elif cells.kind == "flag" and canonical_label(text) in ("True", "False"):
            numbers.append(float(canonical_label(text) == "True"))
        else:
            numbers.append(math.nan)
            bare = text.strip(SPACES)
            code = (
                "EMPTY_VALUE" if not bare else "NOT_FINITE" if _NOT_FINITE.fullmatch(bare) else "NOT_A_NUMBER"
            )
            faults.setdefault(code, []).append(row)

    values = np.array(numbers, dtype=np.float64)
    infinite = np.isinf(values)  # a number was read, so it is one like 1e400
    above = (values > LARGEST) & (cells.high == LARGEST)
    below = (values < -LARGEST) & (cells.low == -LARGEST)
    too_large = ~infinite & (above | below)
    outside = ~infinite & ~too_large & ((values < cells.low) | (values > cells.high))
    broken = np.zeros(len(values), dtype=bool)
    if cells.kind in ("integer", "flag"):
        broken = ~infinite & ~too_large & ~outside & ~np.isnan(values) & (values != np.floor(values))
    for code, mask in (
        ("NOT_FINITE", infinite),
        ("VALUE_TOO_LARGE", too_large),
        ("OUT_OF_RANGE", outside),
        ("NOT_WHOLE", broken),
    ):
        if mask.any():
            faults.setdefault(code, []).extend(np.flatnonzero(mask).tolist())
    return Parsed(values, faults)


def _parse_labels(texts: Sequence[str | None]) -> Parsed:
    labels = np.empty(len(texts), dtype=np.object_)
    labels[:] = ["" if text is None else canonical_label(text) for text in texts]
    empty = [row for row, text in enumerate(texts) if text is not None and labels[row] == ""]
    return Parsed(labels, {"EMPTY_VALUE": empty} if empty else {})


def canonical_label(text: str) -> str:
    """One spelling of a label: no outer spaces, '1.0' as '1', '-0.0' as '0', 'true' as 'True'."""
    label = text.strip(SPACES)
    whole, point, zeros = label.partition(".")
    if point and not zeros.strip("0") and whole.isascii() and whole.removeprefix("-").isdecimal():
        return "0" if whole == "-0" else whole  # what rounding -0.3 gives
    return label.capitalize() if label.lower() in ("true", "false") else label


def say_fault(code: str, text: str, cells: Cells) -> str:
    """What is wrong with a received text and how to mend it, as the second half of a message."""
    shown = f'"{show(text.strip(SPACES))}"'
    if code == "EMPTY_VALUE":
        return "the value is empty."
    if code == "NOT_FINITE":
        bare = show(text.strip(SPACES))
        return (
            f"{bare} is not allowed." if _NOT_FINITE.fullmatch(bare) else f"{bare} is too large for a number."
        )
    if code == "VALUE_TOO_LARGE":
        return f"{shown} is too large; numbers up to {LARGEST:g} in size are allowed."
    if code == "OUT_OF_RANGE":
        return f"{show(text.strip(SPACES))} is outside {_range(cells)}."
    if code == "NOT_WHOLE":
        return f"{shown} is not {cells.words}."
    if cells.kind == "flag":
        return f"{shown} is not {cells.words}."
    return f"{shown} is not a number{_hint(text.strip(SPACES))}."


def _range(cells: Cells) -> str:
    return (
        f"[{cells.low:g}, {cells.high:g}]"
        if cells.high < LARGEST
        else f"the range from {cells.low:g} upwards"
    )


def _hint(text: str) -> str:
    """How to write what was probably meant, if that is plain to see."""
    if text.endswith("%") and NUMBER.fullmatch(text[:-1]) and len(text) <= 40:
        return f" - write {float(text[:-1]) / 100:.12g}"
    if re.fullmatch(r"[+-]?\d{1,3}(?:,\d{3})+\.\d+", text, re.ASCII):
        return " - leave out the thousands separators"
    if re.fullmatch(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", text, re.ASCII):
        return " - use a decimal point"
    if text.lower() in ("true", "false"):
        return " - write 1 for True and 0 for False"
    if text[:1] in ("\u2212", "\u2013", "\u2014"):
        return ' - the minus must be the plain "-" of the keyboard'
    if any(character.isdecimal() and not character.isascii() for character in text):
        return " - use the digits 0 to 9"
    if text.lower() in ("na", "n/a", "null", "none", "-", "?"):
        return " - every row needs a prediction"
    return ""

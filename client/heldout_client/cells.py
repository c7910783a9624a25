"""What one cell of a prediction column must hold, by the rules of the server."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from heldout_client.problems import SPACES, Problem, how_many, show

LARGEST = 1e100
"""Numbers beyond this are refused in every column."""

NUMBER = re.compile(r"[ \t\r\n]*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[ \t\r\n]*", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"[1-9]\d{0,14}", re.ASCII)
_CANONICAL = re.compile(r"0|-?[1-9]\d*|-?(?:0|[1-9]\d*)\.\d*[1-9]", re.ASCII)
_CANONICAL_WHOLE = re.compile(r"0|-?[1-9]\d*", re.ASCII)
_MOST_DIGITS = 30
_FEW = 0.1
"""A file is refused if fewer than this share of its labels is known."""

_NUMERIC = ("number", "integer", "flag")
_EMPTY_MASKS = ("", "-", "-1", "1 0")
_BOX_VALUES = {"boxes": (6, 1), "true_boxes": (5, 1), "bare_boxes": (5, 0), "bare_true_boxes": (4, 0)}
"""By form of boxes: the values of one box, and how many of them are labels."""


@dataclass
class Column:
    """One prediction column of a schema, and the faults found in it."""

    name: str
    kind: str
    low: float = -LARGEST
    high: float = LARGEST
    holds: str = ""
    grammar: str = ""
    separator: str = " "
    takes_first: bool = False
    labels: frozenset[str] | None = None
    placeholders: frozenset[str] = frozenset()
    """Cells of the sample, which are accepted although they are no labels."""
    faults: dict[str, _Fault] = field(default_factory=dict)
    n_labels: int = 0
    n_unknown: int = 0
    first_unknown: tuple[int, str, str] | None = None
    first_fraction: tuple[int, str, str] | None = None
    _judged: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Column:
        low, high, labels = entry.get("low"), entry.get("high"), entry.get("labels")
        kind = str(entry["kind"])
        return cls(
            name=str(entry["name"]),
            kind=kind,
            low=-LARGEST if low is None else float(low),
            high=LARGEST if high is None else float(high),
            holds=str(entry.get("holds") or ""),
            grammar=str(entry.get("grammar") or ""),
            separator=str(entry.get("separator") or " "),
            takes_first=kind == "label" and bool(entry.get("separator")),
            labels=None if labels is None else frozenset(map(str, labels)),
        )

    @property
    def is_number(self) -> bool:
        return self.kind in _NUMERIC

    @property
    def unchecked(self) -> str:
        """Return what only the server checks in this column; empty if nothing."""
        if self.kind == "list":
            return f"the form of the lists in column {show(self.name)}"
        if self.kind == "label" and self.labels is None:
            return f"whether the labels in column {show(self.name)} are known"
        return ""

    def read(self, line: int, key: str, text: str) -> float | None:
        """Take one cell; return its number, if it is one without a fault."""
        if self.is_number:
            return self._number(line, key, text)
        if self.kind == "label":
            self._label(line, key, text)
        elif self.kind == "text" and self.grammar:
            self._text(line, key, text.strip(SPACES))
        return None

    def problems(self) -> list[Problem]:
        found = [fault.problem(code, self) for code, fault in self.faults.items()]
        return found + ([] if found else self._unknown_labels())

    def warnings(self) -> list[Problem]:
        if not self.n_unknown or self.problems() or self.first_unknown is None:
            return []
        line, _, text = self.first_unknown
        words = (
            f"Column {show(self.name)}: {self.n_unknown} of {self.n_labels} labels are not known, "
            f'the first is "{show(text)}" in line {line}; they count as wrong.'
        )
        return [Problem("NOTICE_UNKNOWN_LABELS", words, line=line, column=self.name)]

    def _fault(self, code: str, line: int, key: str, text: str, words: str) -> None:
        self.faults.setdefault(code, _Fault(line, key, text, words)).add(line, key, text, words)

    def _number(self, line: int, key: str, text: str) -> float | None:
        bare = text.strip(SPACES)
        if NUMBER.fullmatch(text):
            value = float(text)
        elif self.kind == "flag" and bare.lower() in ("true", "false"):
            value = float(bare.lower() == "true")
        else:
            code = _no_number(bare)
            self._fault(code, line, key, text, _number_words(code, bare, self))
            return None
        if self.low <= value <= self.high and abs(value) != math.inf:
            if self.kind != "number" and value != math.floor(value):
                self._fault("NOT_WHOLE", line, key, text, f'"{show(bare)}" is not {self.holds or "whole"}.')
                return None
            return value
        if abs(value) == math.inf:
            self._fault("NOT_FINITE", line, key, text, f"{show(bare)} is too large for a number.")
        elif (value > LARGEST and self.high == LARGEST) or (value < -LARGEST and self.low == -LARGEST):
            words = f'"{show(bare)}" is too large; numbers up to {LARGEST:g} in size are allowed.'
            self._fault("VALUE_TOO_LARGE", line, key, text, words)
        else:
            upwards = f"the range from {self.low:g} upwards"
            bounds = f"[{self.low:g}, {self.high:g}]" if self.high < LARGEST else upwards
            percent = (self.low, self.high) == (0.0, 1.0) and 2.0 < value <= 100.0
            hint = "; divide by 100 if these are percent, apply the sigmoid if these are logits"
            words = f"{show(bare)} is outside {bounds}{hint if percent else ''}."
            self._fault("OUT_OF_RANGE", line, key, text, words)
        return None

    def _label(self, line: int, key: str, text: str) -> None:
        if self.takes_first:
            tokens = (canonical_label(token) for token in text.split(self.separator))
            text = next((token for token in tokens if token), "")
        label = canonical_label(text)
        if not label:
            self._fault("EMPTY_VALUE", line, key, text, "the value is empty.")
            return
        self.n_labels += 1
        if self.labels is None:
            return
        if label not in self._judged:
            self._judged[label] = self._knows(label)
        if self._judged[label]:
            return
        self.n_unknown += 1
        self.first_unknown = self.first_unknown or (line, key, label)
        if self._are_whole and NUMBER.fullmatch(label) and float(label) != math.floor(float(label)):
            self.first_fraction = self.first_fraction or (line, key, label)

    @property
    def _are_whole(self) -> bool:
        return bool(self.labels) and all(map(_CANONICAL_WHOLE.fullmatch, self.labels or ()))

    def _knows(self, label: str) -> bool:
        known = self.labels or frozenset()
        if label in known or label in self.placeholders:
            return True
        number = _value_of(label)
        if known == {"0", "1"} and label in ("True", "False"):
            return True
        if known == {"True", "False"} and number in (0, 1):
            return True
        numbers = [name for name in known if NUMBER.fullmatch(name)]
        if number is None or not numbers or not all(map(_CANONICAL.fullmatch, numbers)):
            return False
        return any(_value_of(name) == number for name in numbers)

    def _unknown_labels(self) -> list[Problem]:
        if self.first_unknown is None:
            return []
        if self.first_fraction is not None and not self.takes_first:
            line, key, label = self.first_fraction
            words = f'"{show(label)}" is no label. This metric takes labels, not probabilities'
        elif self.n_labels - self.n_unknown < _FEW * self.n_labels:
            line, key, label = self.first_unknown
            known = self.n_labels - self.n_unknown
            words = (
                f'only {known} of {self.n_labels} labels are known; the first that is not is "{show(label)}"'
            )
        else:
            return []
        listed = sorted(self.labels or (), key=lambda name: (len(name), name))
        more = ", ..." if len(listed) > 10 else ""
        words += f". The labels are {', '.join(map(show, listed[:10]))}{more}."
        message = f"Column {show(self.name)}, line {line} (id {key}): {words}"
        count = self.n_unknown
        return [
            Problem("UNKNOWN_LABELS", message, line=line, id=key, column=self.name, value=label, count=count)
        ]

    def _text(self, line: int, key: str, bare: str) -> None:
        if self.grammar == "number":
            if not (NUMBER.fullmatch(bare) and math.isfinite(float(bare))):
                code = _no_number(bare)
                self._fault(code, line, key, bare, _number_words(code, bare, self))
            return
        if self.grammar in ("filled", "not_blank"):
            if not bare:
                self._fault("EMPTY_VALUE", line, key, bare, "the value is empty.")
            return
        words = _mask_fault(bare) if self.grammar == "rle" else _box_fault(bare, self.grammar)
        if words:
            self._fault("BAD_FORM", line, key, bare, f'"{show(bare)}" {words}.')


@dataclass
class _Fault:
    """The cells of a column with one kind of fault: the first in the file, and how many."""

    line: int
    key: str
    text: str
    words: str
    count: int = 0

    def add(self, line: int, key: str, text: str, words: str) -> None:
        self.count += 1
        if line < self.line:
            self.line, self.key, self.text, self.words = line, key, text, words

    def problem(self, code: str, column: Column) -> Problem:
        message = f"Column {show(column.name)}, line {self.line} (id {self.key}): {self.words}"
        return Problem(
            code,
            message + how_many(self.count),
            line=self.line,
            id=self.key,
            column=column.name,
            value=show(self.text),
            count=self.count,
        )


def canonical_label(text: str) -> str:
    """Return the one spelling of a label: '1.0' as '1', 'true' as 'True', no outer spaces."""
    label = text.strip(SPACES)
    whole, point, zeros = label.partition(".")
    digits = whole[1:] if whole.startswith("-") else whole
    if point and not zeros.strip("0") and whole.isascii() and digits.isdecimal():
        return "0" if whole == "-0" else whole
    return label.capitalize() if label.lower() in ("true", "false") else label


def _value_of(text: str) -> Decimal | None:
    if len(text) > 2 * _MOST_DIGITS or not NUMBER.fullmatch(text):
        return None
    try:
        value = Decimal(text.strip(SPACES))
    except InvalidOperation:  # an exponent of 19 digits
        return None
    return value if not value or abs(value.adjusted()) <= _MOST_DIGITS else None


def _no_number(bare: str) -> str:
    if not bare:
        return "EMPTY_VALUE"
    return "NOT_FINITE" if _NOT_FINITE.fullmatch(bare) or NUMBER.fullmatch(bare) else "NOT_A_NUMBER"


def _number_words(code: str, bare: str, column: Column) -> str:
    if code == "EMPTY_VALUE":
        return "the value is empty."
    if code == "NOT_FINITE":
        return f"{show(bare)} is not allowed."
    hint = ""
    if bare.endswith("%"):
        hint = " - write 0.45 for 45%"
    elif "," in bare:
        hint = " - use a decimal point and no thousands separators"
    elif bare.lower() in ("true", "false"):
        hint = " - write 1 for True and 0 for False"
    return f'"{show(bare)}" is not {column.holds or "a number"}{hint}.'


def _mask_fault(text: str) -> str:
    """Return what is wrong with run lengths: pairs of 1-based start and length, in rising order."""
    if text in _EMPTY_MASKS:
        return ""
    numbers = text.split()
    if len(numbers) % 2:
        return "has a start without a length; runs are pairs of start and length"
    end = 0
    for start, length in zip(numbers[::2], numbers[1::2]):
        if not (_WHOLE.fullmatch(start) and _WHOLE.fullmatch(length)):
            return f'has the run "{show(f"{start} {length}")}"; start and length are whole numbers from 1 on'
        if int(start) <= end:
            return (
                f"has a run at {int(start)} that overlaps or precedes the one before it, which ends at {end}"
            )
        end = int(start) + int(length) - 1
    return ""


def _box_fault(text: str, grammar: str) -> str:
    values, n_labels = _BOX_VALUES.get(grammar, (0, 0))
    if not values:
        return ""
    parts = text.split()
    if len(parts) % values:
        return f"has {len(parts)} values; every box takes {values}"
    for at in range(0, len(parts), values):
        for number in parts[at + n_labels : at + values]:
            if not NUMBER.fullmatch(number) or abs(float(number)) > LARGEST:
                return f'has "{show(number)}" where a number is expected'
    return ""

"""Turn columns of text into arrays, with every fault named."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from scorer.reading.columns import Column, Labels, Lists, Vocabulary
from scorer.reading.hints import number_hint, probability_hint, shape_of
from scorer.reading.tables import SPACES
from scorer.wording import show

LARGEST = 1e100
"""Bound on the size of any number: squares of it, summed over any file, still fit in a float64."""

NUMBER = re.compile(r"[ \t\r\n]*[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?[ \t\r\n]*", re.ASCII)
"""The only spelling of a number; possessive, so that a megabyte of digits is refused in one pass."""

_BARE_NUMBER = r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?"

_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)

MAX_SEEN, _SHORT = 100, 100
"""Faulty texts that are kept to find their cause, and the letters of each."""

NUMERIC_KINDS = ("number", "integer", "flag")


@dataclass(frozen=True, slots=True)
class Cells:
    """What one cell of a column must hold."""

    kind: Literal["number", "integer", "flag", "label", "list", "text"]
    low: float = -LARGEST
    high: float = LARGEST
    split: str = " "
    """Between the tokens of a list; runs of it count as one."""
    take: Literal["first"] | None = None
    """For labels: the first token of a list is the label."""
    grammar: str = ""
    """For text and labels: the name of one of `GRAMMARS`, which every cell must follow."""
    graded: bool = False
    """For lists: every token is item:grade; see `graded_item`."""

    @property
    def words(self) -> str:
        """For people: 'a number in [0, 1]'."""
        between = "spaces" if self.split == " " else f'"{self.split}"'
        if self.kind == "label":
            return f"labels separated by {between}, best first" if self.take else "a class label (text)"
        if self.kind == "list" and self.graded:
            return f"a list of items with grades, item:grade, separated by {between}"
        if self.kind == "list":
            return f"a list of labels separated by {between}"
        if self.kind == "text":
            return GRAMMARS[self.grammar].words if self.grammar else "text"
        if self.kind == "flag":
            return "0 or 1"
        noun = "a whole number" if self.kind == "integer" else "a number"
        if self.high < LARGEST:
            return f"{noun} in [{self.low:g}, {self.high:g}]"
        return f"{noun}, {self.low:g} or more" if self.low > -LARGEST else noun

    @property
    def is_number(self) -> bool:
        """Return whether a cell must be a number or a flag, kept as such or as text."""
        return self.kind in NUMERIC_KINDS or self.grammar in ("number", "flag")

    @property
    def may_be_empty(self) -> bool:
        """Return whether an empty cell is an answer.

        An empty list and a mask without pixels are; a missing number is not.
        """
        return self.kind in ("list", "text") and not self.is_number and self.grammar not in NOT_BLANK

    def within(self, other: Cells) -> bool:
        """Return whether `other` allows the same cells with the same meaning."""
        if self.kind not in NUMERIC_KINDS or other.kind not in NUMERIC_KINDS:
            return self == other
        whole = other.kind == "number" or self.kind != "number"
        return whole and other.low <= self.low and self.high <= other.high


@dataclass(frozen=True, slots=True)
class Grammar:
    """A form that a text must have."""

    words: str
    fault: Callable[[str], str | None]
    """What is wrong with a text, as 'is not ...', or None."""


NOT_BLANK = ("filled", "not_blank")
"""The grammars of any text that is not empty; the first refuses `NAN_WORDS` too."""

NAN_WORDS = frozenset(["nan", "-nan", "+nan", "<na>", "null", "#n/a", "#n/a n/a", "#na", "1.#qnan"])
"""What programs write for a missing value, in small letters; unlike NA and None, these are hardly labels."""

EMPTY_MASKS = frozenset({"", "-", "-1", "1 0"})
"""The ways in which competitions write a mask of no pixels; none of them is a run."""


def _rle_fault(text: str) -> str | None:
    """Return what is wrong with run lengths in Kaggle's form.

    Pairs of 1-based start and length, in rising order.
    """
    if text in EMPTY_MASKS:
        return None
    numbers = text.split()
    if len(numbers) % 2:
        return "has a start without a length; runs are pairs of start and length"
    end = 0
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        if not (_WHOLE.fullmatch(start) and _WHOLE.fullmatch(length)):
            return f'has the run "{show(f"{start} {length}")}"; start and length are whole numbers from 1 on'
        if int(start) <= end:
            return (
                f"has a run at {int(start)} that overlaps or precedes the one before it, which ends at {end}"
            )
        end = int(start) + int(length) - 1
    return None


def _number_fault(text: str) -> str | None:
    if not text:
        return "is empty"
    return None if NUMBER.fullmatch(text) and math.isfinite(float(text)) else "is not a finite number"


def truth_value(text: str) -> bool | None:
    """Return what a flag says, None if a text is none.

    A flag is true or false in any letters, or the number 1 or 0 in any spelling.
    """
    bare = text.strip(SPACES)
    if NUMBER.fullmatch(bare):
        return {0.0: False, 1.0: True}.get(float(bare))
    return {"true": True, "false": False}.get(bare.lower())


def _flag_fault(text: str) -> str | None:
    if not text:
        return "is empty"
    if truth_value(text) is not None:
        return None
    if NUMBER.fullmatch(text) and 0.0 < float(text) < 1.0:
        return "is not True or False (or 1 or 0): the answer itself is wanted, not its probability"
    return "is not True or False (or 1 or 0)"


def _blank_fault(text: str) -> str | None:
    return None if text else "is empty"


def _filled_fault(text: str) -> str | None:
    if text.lower() in NAN_WORDS:
        return "stands for a missing value; every row needs a prediction"
    return _blank_fault(text)


def _box_fault(values: int, words: str, *, labelled: bool = True) -> Callable[[str], str | None]:
    """Return a check of boxes, each of `values` numbers, of which a label may be the first."""

    def fault(text: str) -> str | None:
        parts = text.split()
        if len(parts) % values:
            return f"has {len(parts)} values; every {words}"
        for at in range(0, len(parts), values):
            for number in parts[at + labelled : at + values]:
                if not NUMBER.fullmatch(number) or abs(float(number)) > LARGEST:
                    return f'has "{show(number)}" where a number is expected'
        return None

    return fault


_detection_fault = _box_fault(6, "detection takes 6: label, confidence, and four numbers of the box")
_true_box_fault = _box_fault(5, "object takes 5: label and four numbers of the box")

_bare_detection_fault = _box_fault(
    5, "detection takes 5: confidence and four numbers of the box", labelled=False
)
_bare_box_fault = _box_fault(4, "object takes 4: the numbers of the box", labelled=False)

_WHOLE = re.compile(r"[1-9]\d{0,14}", re.ASCII)

GRAMMARS: Mapping[str, Grammar] = MappingProxyType(
    {
        "rle": Grammar('run lengths "start length start length ...", empty for an empty mask', _rle_fault),
        "number": Grammar("a number", _number_fault),
        "flag": Grammar("True or False, also as 1 or 0", _flag_fault),
        "filled": Grammar("text, neither empty nor NaN", _filled_fault),
        "not_blank": Grammar("text, not empty", _blank_fault),
        "boxes": Grammar('detections "label confidence x y x y ...", empty for none', _detection_fault),
        "true_boxes": Grammar('objects "label x y x y ...", empty for none', _true_box_fault),
        "bare_boxes": Grammar('detections "confidence x y x y ...", empty for none', _bare_detection_fault),
        "bare_true_boxes": Grammar('objects "x y x y ...", empty for none', _bare_box_fault),
    }
)


@dataclass(slots=True)
class Fault:
    """The cells of a column with one kind of fault: count and first."""

    row: int
    text: str
    words: str | None = None
    """What is wrong, where the code alone does not say it."""
    count: int = 1
    n_rows: int = 0
    """Of the column; what is wrong in most of them has another cause than a single slip."""
    seen: list[str] = field(default_factory=list)
    """The first texts, which together show a cause."""

    def joined(self, other: Fault) -> Fault:
        """Return one fault for both."""
        return replace(self, count=self.count + other.count, seen=[*self.seen, *other.seen])


@dataclass(slots=True)
class ColumnBuilder:
    """Reads a column cell by cell, exactly.

    The fast path in columnar.py must agree with it on every text.
    """

    cells: Cells
    n_rows: int
    vocabulary: Vocabulary
    """For labels and lists; new names are added as they come."""
    faults: dict[tuple[str, str], Fault] = field(default_factory=dict)
    """By problem code and, of texts that are no number, by shape; see `by_cause`."""
    _numbers: np.ndarray[tuple[int], np.dtype[np.float64]] = field(init=False)
    _texts: np.ndarray[tuple[int], np.dtype[np.object_]] = field(init=False)
    _codes: np.ndarray[tuple[int], np.dtype[np.int32]] = field(init=False)
    _lists: list[list[int]] = field(init=False)
    _grades: list[list[float]] = field(init=False)
    put: Callable[[int, str], None] = field(init=False)
    """Read one cell into its row."""

    def __post_init__(self) -> None:
        kind = self.cells.kind
        if kind in NUMERIC_KINDS:
            self._numbers = np.full(self.n_rows, math.nan)
            self.put = self._put_number
        elif kind == "label":
            self._codes = np.full(self.n_rows, -1, dtype=np.int32)
            self.put = self._put_label
        elif kind == "list":
            self._lists = [[] for _ in range(self.n_rows)]
            self._grades = [[] for _ in range(self.n_rows)]
            self.put = self._put_graded if self.cells.graded else self._put_list
        else:
            self._texts = np.full(self.n_rows, "", dtype=np.object_)
            self.put = self._put_text

    def column(self) -> Column:
        kind = self.cells.kind
        if kind in NUMERIC_KINDS:
            return self._numbers
        if kind == "label":
            return Labels(self._codes)
        if kind != "list":
            return self._texts
        lists = Lists.build(self._lists)
        if not self.cells.graded:
            return lists
        return replace(
            lists, grades=np.array([grade for row in self._grades for grade in row], dtype=np.float64)
        )

    def by_cause(self) -> list[tuple[str, Fault]]:
        """Return the faults with their codes: one for each cause, and one for all that are unclear."""
        found: dict[tuple[str, str], Fault] = {}
        for (code, _), fault in self.faults.items():
            key = code, fault_cause(code, fault, self.cells)[0]
            first = found.get(key)
            found[key] = fault if first is None else first.joined(fault)
        return [(code, fault) for (code, _), fault in found.items()]

    def _fault(self, code: str, row: int, text: str, words: str | None = None) -> None:
        key = code, shape_of(text.strip(SPACES)) if code == "NOT_A_NUMBER" else ""
        fault = self.faults.get(key)
        if fault is None:
            fault = self.faults[key] = Fault(row, text, words, 0, self.n_rows)
        fault.count += 1
        if len(fault.seen) < MAX_SEEN:
            bare = text.strip(SPACES)
            is_cut_number = code == "OUT_OF_RANGE" and len(bare) > _SHORT
            fault.seen.append(repr(float(bare)) if is_cut_number else bare[:_SHORT])

    def _put_number(self, row: int, text: str) -> None:
        cells = self.cells
        if NUMBER.fullmatch(text):
            value = float(text)
        elif cells.kind == "flag" and canonical_label(text) in ("True", "False"):
            value = float(canonical_label(text) == "True")
        else:
            return self._fault(_no_number(text.strip(SPACES)), row, text)
        self._numbers[row] = value
        if cells.low <= value <= cells.high and abs(value) != math.inf:
            if cells.kind != "number" and value != math.floor(value):
                self._fault("NOT_WHOLE", row, text)
        elif abs(value) == math.inf:  # a number was read, so it is one like 1e400
            self._fault("NOT_FINITE", row, text)
        elif (value > LARGEST and cells.high == LARGEST) or (value < -LARGEST and cells.low == -LARGEST):
            self._fault("VALUE_TOO_LARGE", row, text)
        else:
            self._fault("OUT_OF_RANGE", row, text)
        return None

    def _put_label(self, row: int, text: str) -> None:
        if self.cells.take == "first":
            tokens = split_tokens(text, self.cells.split)
            text = tokens[0] if tokens else ""
        label = canonical_label(text)
        if self.cells.grammar == "number" and _number_fault(label):
            self._fault(_no_number(label), row, text)
        elif label:
            self._codes[row] = self.vocabulary.code(label)
        else:
            self._fault("EMPTY_VALUE", row, text)

    def _put_list(self, row: int, text: str) -> None:
        code = self.vocabulary.code
        self._lists[row] = [code(token) for token in split_tokens(text, self.cells.split)]

    def _put_graded(self, row: int, text: str) -> None:
        found: list[tuple[str, float]] = []
        before = ""
        for token in split_tokens(text, self.cells.split):
            item = graded_item(token)
            words = item if isinstance(item, str) else _part_of_a_grade(token, before)
            if words is not None:
                return self._fault("BAD_FORM", row, text, words)
            assert not isinstance(item, str)
            found.append(item)
            before = token
        self._lists[row] = [self.vocabulary.code(name) for name, _ in found]
        self._grades[row] = [grade for _, grade in found]
        return None

    def _put_text(self, row: int, text: str) -> None:
        bare = text.strip(SPACES)
        self._texts[row] = bare
        grammar = self.cells.grammar
        words = GRAMMARS[grammar].fault(bare) if grammar else None
        if words is None:
            return
        if grammar == "number" or not bare or (grammar in ("flag", "filled") and _NOT_FINITE.fullmatch(bare)):
            self._fault(_no_number(bare), row, text)
        else:
            self._fault("BAD_FORM", row, text, words)


def _no_number(bare: str) -> str:
    """Return the problem code of a text that is no finite number."""
    if not bare:
        return "EMPTY_VALUE"
    not_finite = _NOT_FINITE.fullmatch(bare) or NUMBER.fullmatch(bare)
    return "NOT_FINITE" if not_finite else "NOT_A_NUMBER"


def split_tokens(text: str, separator: str) -> list[str]:
    """Return the tokens of a list cell, in the spelling of labels.

    Nothing between two separators is no token.
    """
    tokens = (canonical_label(token) for token in text.split(separator))
    return [token for token in tokens if token]


def graded_item(token: str) -> tuple[str, float] | str:
    """Return the item and the grade of "item:grade", or what is wrong.

    The last colon begins the grade. A token without a colon has grade 1. The item is in the spelling of
    labels, as it is where a submission names it.
    """
    name, colon, grade = token.rpartition(":")
    if not colon:
        return token, 1.0
    item = canonical_label(name)
    if not item:
        return f'has "{show(token)}", a grade without an item'
    if not grade.strip(SPACES):
        return f'has "{show(token)}", whose grade is empty; write item:grade'
    if not NUMBER.fullmatch(grade):
        bare = grade.strip(SPACES)
        is_grade = bare[0] in "+-.0123456789" or _NOT_FINITE.fullmatch(bare)
        needed = (
            "a grade is a number of 0 or more" if is_grade else "an item that has a colon needs a grade too"
        )
        hint = _hint(bare) or f"; {needed}, " + (f"{show(name)}:1" if is_grade else f"{show(token)}:1")
        return f'has "{show(token)}", whose grade "{show(grade)}" is not a number{hint}'
    value = float(grade)
    if value < 0.0 or value == math.inf:
        what = "is negative; grades are 0 or more" if value < 0.0 else "is too large for a number"
        return f'has "{show(token)}", whose grade {what}'
    return item, value + 0.0  # not -0.0


def may_be_part_of_a_grade(token: str) -> bool:
    """Return whether a token without a grade looks like the rest of one, as in "x:50 %"."""
    bare = ":" not in token and not any(character.isalnum() for character in token)
    return bare or NUMBER.fullmatch(token) is not None


def _part_of_a_grade(token: str, before: str) -> str | None:
    """Return what is wrong with a token that seems to belong to the grade before it.

    After "101:3" a bare 102 is an item; after "x:1" a bare 5 is rather the rest of "1,5" or "1 500".
    """
    item, colon, _ = before.rpartition(":")
    if not colon or not may_be_part_of_a_grade(token) or (token.isdecimal() and NUMBER.fullmatch(item)):
        return None
    return f'has "{show(token)}" after "{show(before)}"; if it is an item, write {show(token)}:1'


def canonical_label(text: str) -> str:
    """Return the one spelling of a label.

    No outer spaces, '1.0' as '1', '-0.0' as '0', 'true' as 'True'.
    """
    label = text.strip(SPACES)
    whole, point, zeros = label.partition(".")
    if point and not zeros.strip("0") and whole.isascii() and whole.removeprefix("-").isdecimal():
        return "0" if whole == "-0" else whole  # what rounding -0.3 gives
    return label.capitalize() if label.lower() in ("true", "false") else label


def describe_fault(code: str, fault: Fault, cells: Cells) -> str:
    """Return the second half of a message: the fault and its remedy."""
    text = fault.text
    shown = f'"{show(text.strip(SPACES))}"'
    if fault.words:
        return f"{shown} {fault.words}."
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
        return f"{show(text.strip(SPACES))} is outside {_range(cells)}{fault_cause(code, fault, cells)[1]}."
    if code == "NOT_WHOLE":
        return f"{shown} is not {cells.words}."
    if cells.kind == "flag":
        return f"{shown} is not {cells.words}."
    return f"{shown} is not a number{fault_cause(code, fault, cells)[1]}."


def fault_cause(code: str, fault: Fault, cells: Cells) -> tuple[str, str]:
    """Return the cause that the faulty cells of a column share, and the hint; empty if unclear.

    Columns with the same cause are one problem.
    """
    if fault.words or not fault.seen:
        return "", ""
    is_probability = (cells.low, cells.high) == (0.0, 1.0)
    if code == "NOT_A_NUMBER" and cells.kind != "flag" and cells.grammar != "flag":
        return number_hint(
            fault.seen, number=_BARE_NUMBER, is_probability=is_probability, n_rows=fault.n_rows
        )
    if code == "OUT_OF_RANGE":
        values = [float(text) for text in fault.seen]
        if is_probability and (found := probability_hint(values, are_most=2 * fault.count > fault.n_rows)):
            return found
        side = "below" if max(values) < cells.low else "above" if min(values) > cells.high else "outside"
        return f"{side} {_range(cells)}", ""
    if code in ("EMPTY_VALUE", "NOT_FINITE", "VALUE_TOO_LARGE"):
        return code, ""
    return "", ""


def _range(cells: Cells) -> str:
    upwards = f"the range from {cells.low:g} upwards"
    return f"[{cells.low:g}, {cells.high:g}]" if cells.high < LARGEST else upwards


def _hint(text: str) -> str:
    """Return how to write what was probably meant, if that is clear."""
    return number_hint([text[:_SHORT]], number=_BARE_NUMBER, is_probability=False, n_rows=0)[1]

"""How the labels of a column are spelt, and what is wrong with a label of another form.

A Spelling holds what a message may use: the labels that count as public knowledge, and the form that all
labels of the truth share. `scorer.challenges.spellings` decides what is public.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import Any, Literal

from scorer.reading.cells import NUMBER
from scorer.reading.tables import SPACES

_CANONICAL = re.compile(r"0|-?[1-9]\d*|-?(?:0|[1-9]\d*)\.\d*[1-9]", re.ASCII)
_WHOLE = re.compile(r"0|-?[1-9]\d*", re.ASCII)
_PADDED_WHOLE = re.compile(r"([+-]?)0*(\d{1,30})(?:\.0*)?", re.ASCII)
_MARKED = re.compile(r"""[^\w.:+\-/]""")
_OPENING, _CLOSING, _QUOTES, _SEPARATORS = "[({", "])}", "'\"`", ",;|\t\n\u00a0 "
_WRITTEN_BYTES = re.compile(r"""(?<!['"\w])b(?=['"])""")
_CALL = re.compile(
    r"\b(?:(?:np\.|numpy\.|torch\.)?(?:array|list|tuple|tensor|str_|int64|float64)|(?<![\w.])c)(?=\()"
    r"""|\bdtype=(?:'[^']*'|"[^"]*"|[\w.]+)"""
)
_BETWEEN = re.compile(r"""[\s,;|\[\](){}'"`]+""")
_QUOTED = re.compile(r"""(?<!\w)(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')(?!\w)""", re.DOTALL)
_ESCAPED = re.compile(r"\\(['\"\\])")
_MOST_DIGITS = 30
_FEW_TO_COMPARE = 1000
_LONGEST_LABEL = 1000
"""Whose brackets and quotes are looked at; a cell may have a megabyte."""


class Status(IntEnum):
    """What a label of a submission is."""

    UNSEEN = 0
    FINE = 1
    RESPELT = 2
    """The same value as another label, which is read instead."""
    UNKNOWN = 3
    BAD_FORM = 4
    """Of list items: perhaps part of a list in another form; the whole file shows whether it is."""


_FINE, _RESPELT, _UNKNOWN, _BAD_FORM = Status.FINE, Status.RESPELT, Status.UNKNOWN, Status.BAD_FORM
"""Each label is judged, and looking up a member takes a fifth of that time."""


@dataclass(frozen=True, slots=True)
class Form:
    """What all labels of a column have in common."""

    numeric: Literal["none", "whole", "decimal", "code"]
    """The labels that are numbers: none, whole ones, with decimals too, or texts such as 01234."""
    only_numeric: bool
    width: int = 0
    """Of codes that all have the same number of digits; else 0."""
    case: Literal["lower", "upper", "any"] = "any"
    marks: frozenset[str] = frozenset()
    """What occurs in a label: bracket, quote, and the characters that separate items."""
    colons: int = 0
    """The most that one label has."""
    padded: bool = False
    """Whether all labels begin with a zero that a number would lose."""

    @classmethod
    def of(cls, labels: Iterable[str], split: str) -> Form:
        names = set(labels)
        numbers = [name for name in names if NUMBER.fullmatch(name)]
        numeric: Literal["none", "whole", "decimal", "code"] = "none"
        width = 0
        if numbers:
            whole = all(map(_WHOLE.fullmatch, numbers))
            numeric = "whole" if whole else "decimal" if all(map(_CANONICAL.fullmatch, numbers)) else "code"
        if numeric == "code" and all(name.isdecimal() for name in numbers):
            widths = set(map(len, numbers))
            width = widths.pop() if len(widths) == 1 else 0
        lower = all(name == name.lower() for name in names)
        upper = all(name == name.upper() for name in names)
        return cls(
            numeric,
            len(numbers) == len(names),
            width,
            "any" if lower == upper else "lower" if lower else "upper",
            frozenset().union(*(marks_of(name, split) for name in names)),
            max((name.count(":") for name in names), default=0),
            bool(names)
            and all(name.isdecimal() and name.startswith("0") and len(name) > 1 for name in names),
        )

    def lacks_zeros(self, name: str) -> bool:
        """Return whether a label is a code that seems to have lost its leading zeros."""
        if not name.isdecimal():
            return False
        return len(name) < self.width if self.width else self.padded and not name.startswith("0")

    def fits(self, name: str, split: str) -> bool:
        """Return whether a label has this form.

        Every label that the form was made of has it, so this does not tell which labels there are.
        """
        is_number = NUMBER.fullmatch(name) is not None
        if is_number != self.only_numeric and (self.only_numeric or self.numeric == "none"):
            return False
        if is_number and self.numeric == "whole" and not _WHOLE.fullmatch(name):
            return False
        if is_number and self.width and len(name) != self.width:
            return False
        if self.lacks_zeros(name):
            return False
        if self.case != "any" and name != (name.lower() if self.case == "lower" else name.upper()):
            return False
        return is_number or not {"bracket", "quote"} & (marks_of(name, split) - self.marks)


@dataclass(frozen=True)
class Spelling:
    """What messages about the labels of one prediction column may use."""

    form: Form
    """Of the truth's labels and those of the public files."""
    split: str
    """Between the items of a list."""
    is_list: bool
    known: frozenset[str] | None = None
    """The labels that there are, where these are public knowledge."""
    from_public_files: bool = False
    """Whether `known` holds the public files' labels alone."""
    placeholders: frozenset[str] = frozenset()
    """Labels of the sample submission that are none; a file may hold them."""
    truths: Literal["", "0/1", "True/False"] = ""
    """The labels, where there are no others."""
    shown: frozenset[str] = frozenset()
    """Where `known` is None, labels of the public files; no label of the truth is a respelling of one."""

    def judge(self, name: str) -> tuple[Status, str]:
        """Return what a label is, and the label to read instead."""
        read = self.read_as(name)
        if self.knows(read):
            return (_FINE if read == name else _RESPELT), read
        if self.is_list and self.list_fault(name):
            return _BAD_FORM, name
        respells = bool(self.shown) and read not in self.shown and self.is_alike(read)
        if self.known is None and not respells and self.form.fits(read, self.split):
            return (_FINE if read == name else _RESPELT), read
        return _UNKNOWN, read

    def knows(self, name: str) -> bool:
        return name in self.placeholders or (self.known is not None and name in self.known)

    def read_as(self, name: str) -> str:
        """Return the label that is the same value in the challenge's spelling.

        1.0e+00, +1 and 01 are 1 where labels are numbers, but not where one of them is spelt like 01234.
        """
        if self.knows(name):
            return name
        if self.truths == "0/1" and name in ("True", "False"):
            return "1" if name == "True" else "0"
        if self.truths == "True/False" and canonical_number(name) in ("0", "1"):
            return "True" if canonical_number(name) == "1" else "False"
        if self.form.numeric in ("whole", "decimal"):
            return canonical_number(name) or name
        return name

    def list_fault(self, name: str) -> Literal["", "list", "separator", "grade", "zeros"]:
        """Return what suggests that an item is a piece of a list in another form, if anything.

        One such item may be right as it is, as The Good, the Bad and the Ugly.
        """
        marks = marks_of(name, self.split) - self.form.marks
        if marks & {"bracket", "quote"}:
            return "list"
        if marks:
            return "separator"
        item, colon, grade = name.rpartition(":")
        if colon and item and name.count(":") > self.form.colons and NUMBER.fullmatch(grade):
            return "grade"
        if self.form.lacks_zeros(name):
            return "zeros"
        return ""

    def separated(self, cell: str) -> dict[str, bool]:
        """Return the separators other than the right one that alone divide a cell.

        True for those between known labels.
        """
        found = {}
        for mark in _SEPARATORS:
            if mark in cell and mark not in self.split and mark not in self.form.marks:
                pieces = pieces_of(cell, mark)
                if not any(self.split in piece for piece in pieces):
                    found[mark] = self.known is not None and all(map(self.knows, map(self.read_as, pieces)))
        return found

    @cached_property
    def listed(self) -> list[str]:
        """The known labels, in an order that tells nothing."""
        return sorted(self.known or (), key=lambda name: (len(name), name))

    def nearest(self, name: str) -> str:
        """Return the known label that was probably meant, or ''.

        Where not all are known, it is the label of the public files or else the text in the form of labels.
        """
        if self.known is None:
            if alike := self._by_folded.get(folded(name)):
                return alike
            alone = without_marks(name)
            if self.form.width and alone.isdecimal():
                alone = alone.zfill(self.form.width)
            alone = {"lower": alone.lower(), "upper": alone.upper()}.get(self.form.case, alone)
            return alone if alone and alone != name and self.form.fits(alone, self.split) else ""
        if alike := self._by_folded.get(folded(name)):
            return alike
        if self.is_list or len(self.listed) > _FEW_TO_COMPARE:
            return ""  # any two items of a catalogue are similar
        return next(iter(get_close_matches(name, self.listed, n=1, cutoff=0.75)), "")

    @cached_property
    def _by_folded(self) -> Mapping[str, str]:
        return {folded(name): name for name in (*sorted(self.shown, reverse=True), *reversed(self.listed))}

    def is_alike(self, name: str) -> bool:
        """Return whether a label seems to be another spelling of a known or public one."""
        return folded(name) in self._by_folded

    def as_dict(self) -> dict[str, Any]:
        return {
            "form": [
                self.form.numeric,
                self.form.only_numeric,
                self.form.width,
                self.form.case,
                sorted(self.form.marks),
                self.form.colons,
                self.form.padded,
            ],
            "split": self.split,
            "is_list": self.is_list,
            "known": None if self.known is None else self.listed,
            "from_public_files": self.from_public_files,
            "placeholders": sorted(self.placeholders),
            "truths": self.truths,
            "shown": sorted(self.shown),
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Spelling:
        numeric, only_numeric, width, case, marks, colons, padded = entry["form"]
        known = None if entry["known"] is None else frozenset(entry["known"])
        return cls(
            Form(numeric, only_numeric, width, case, frozenset(marks), colons, padded),
            entry["split"],
            entry["is_list"],
            known,
            entry["from_public_files"],
            frozenset(entry["placeholders"]),
            entry["truths"],
            frozenset(entry["shown"]),
        )


@lru_cache(maxsize=1 << 12)
def canonical_number(text: str) -> str | None:
    """Return the shortest spelling of a number, exactly, or None.

    None too for numbers of more than some thirty digits, which are no labels.
    """
    if _CANONICAL.fullmatch(text):
        return text
    if found := _PADDED_WHOLE.fullmatch(text):  # the usual case, much faster than as a Decimal
        return ("-" if found[1] == "-" and found[2] != "0" else "") + found[2]
    if len(text) > 2 * _MOST_DIGITS or not NUMBER.fullmatch(text):
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent of 19 digits
        return None
    if not value:
        return "0"
    if abs(value.adjusted()) > _MOST_DIGITS:
        return None
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def is_fraction(text: str) -> bool:
    """Return whether a label is a number that is not whole."""
    number = canonical_number(text)
    return number is not None and not _WHOLE.fullmatch(number)


def marks_of(name: str, split: str) -> frozenset[str]:
    """Return the signs of a list in another form: bracket, quote, separators.

    A bracket or quote within a name is none, as in foo(bar) and don't.
    """
    if not _MARKED.search(name):
        return frozenset()
    found = {mark for mark in _SEPARATORS if mark in name and mark not in split}
    bare = name.strip(_SEPARATORS)
    if _CALL.match(bare):
        found.add("bracket")
    opened = sum(map(bare.count, _OPENING)) - sum(map(bare.count, _CLOSING))
    if opened or bare[:1] in (*_OPENING,):
        found.add("bracket")
    inner = bare.strip(_OPENING + _CLOSING)
    if inner[:1] in (*_QUOTES,) or inner[-1:] in (*_QUOTES,) or _WRITTEN_BYTES.match(inner):
        found.add("quote")
    return frozenset(found)


def without_marks(name: str) -> str:
    """Return a label without brackets and quotes around it; a text too long for one as it is."""
    before, bare = "", name
    while before != bare and len(name) <= _LONGEST_LABEL:  # each layer takes a pass over the text
        before = bare
        bare = _CALL.sub("", bare).strip(_OPENING + _CLOSING + _SEPARATORS)
        bare = _WRITTEN_BYTES.sub("", bare).strip(_QUOTES)
    return bare


def is_enclosed(cell: str) -> bool:
    """Return whether a cell as a whole is in brackets or quotes, as a program prints a list."""
    bare = _WRITTEN_BYTES.sub("", cell.strip(_SEPARATORS))
    call = _CALL.match(bare)
    bare = bare[call.end() :] if call else bare
    first, last = bare[:1], bare[-1:]
    in_brackets = first in (*_OPENING,) and last in (*_CLOSING,)
    return in_brackets or (len(bare) > 1 and first in (*_QUOTES,) and last in (*_QUOTES,))


def pieces_of(cell: str, separator: str) -> list[str]:
    """Return the texts between separators, without blanks around them."""
    return [bare for piece in cell.split(separator) if (bare := piece.strip(SPACES))]


def items_of(text: str, split: str) -> str:
    """Return a list that a program wrote as a list cell.

    Items may hold blanks where these do not separate: they stand between quotes, else between commas.
    """
    bare = _WRITTEN_BYTES.sub("", _CALL.sub(" ", text))
    items = [item for item in _BETWEEN.split(bare) if item]
    if split == " " or all(map(NUMBER.fullmatch, items)):
        return split.join(items)
    quoted = [first or second for first, second in _QUOTED.findall(bare)]
    inner = bare.strip(_OPENING + _CLOSING + _SEPARATORS)
    items = [_ESCAPED.sub(r"\1", item) for item in quoted] or inner.split("," if "," in inner else split)
    return split.join(pieces for item in items if (pieces := item.strip(SPACES)))


def folded(name: str) -> str:
    """Return a key that spellings of one label share: without marks, case and leading zeros."""
    bare = " ".join(without_marks(name).casefold().replace("_", " ").replace("-", " ").split())
    number = canonical_number(without_marks(name))
    return (number or bare.lstrip("0") or bare) if bare else name

"""Compare the labels of a submission with those of the challenge, and say what is wrong with them.

Each label is judged once, by its name; columns are then looked up by code. A message depends on the file and
on `scorer.reading.spelling.Spelling`, never on a row of the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.solution import Solution
from scorer.challenges.spellings import solution_codes
from scorer.custom_cells import MISSING_WORDS
from scorer.reading.box_labels import labels_of_boxes, with_labels
from scorer.reading.cells import split_tokens
from scorer.reading.columns import CodeArray, Column, Labels, Lists, Vocabulary
from scorer.reading.spelling import (
    Spelling,
    Status,
    is_enclosed,
    is_fraction,
    items_of,
    marks_of,
    pieces_of,
    without_marks,
)
from scorer.report import Notice, Problem
from scorer.wording import how_many, show, show_id

_ALMOST_NONE = 0.1
"""A file is refused if fewer than this share of its labels is known."""

_HALF = 0.5
_NAMED = {"\u00a0": "a no-break space (U+00A0)", "\n": "a line break", "\t": "a tab"}
_LISTED = 10
_PAIRS = 3

_RESPELT = Status.RESPELT
"""Looking up a member of an enumeration takes as long as the rest of a comparison."""

_StatusArray = NDArray[np.int8]


@dataclass(slots=True)
class _Judged:
    """The labels of one column by code, judged when they first occur."""

    spelling: Spelling
    vocabulary: Vocabulary
    in_boxes: bool = False
    """Whether the labels are parts of texts that hold boxes."""
    in_words: bool = False
    """Whether the labels are texts that an own metric reads as they are."""
    status: _StatusArray = field(init=False)
    """One entry more than the vocabulary: -1 is the code of no label."""
    read_as: CodeArray = field(init=False)
    respelt: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.status = np.array([Status.FINE], dtype=np.int8)
        self.read_as = np.array([-1], dtype=np.int32)
        self._grow()

    def _grow(self) -> None:
        n, old = len(self.vocabulary), len(self.status) - 1
        if n > old:
            room = max(n, 2 * old) - old
            self.status = np.concatenate(
                (self.status[:-1], np.zeros(room, np.int8), np.array([Status.FINE], np.int8))
            )
            more = np.arange(old, old + room, dtype=np.int32)
            self.read_as = np.concatenate((self.read_as[:-1], more, np.array([-1], np.int32)))

    def labels_in(self, column: Column | None) -> Labels | Lists | None:
        """Return a column's labels, those within boxes as lists; None if it has none."""
        if isinstance(column, Labels | Lists) or column is None:
            return column
        if self.in_words:
            texts = column.tolist()
            codes = [self.vocabulary.code(text) if text else -1 for text in texts]
            return Labels(np.array(codes, dtype=np.int32))
        return labels_of_boxes(column.tolist(), self.vocabulary) if self.in_boxes else None

    def know(self, codes: CodeArray) -> None:
        """Take labels for fine that need no judging, which saves time."""
        self.status[codes] = Status.FINE

    def statuses(self, codes: CodeArray, *, until_irregular: bool = False) -> _StatusArray:
        """Return the status of each code; those after an irregular one may be left unseen."""
        self._grow()
        found = self.status[codes]
        if len(found) and not found.min():
            unseen = np.zeros(len(self.status), dtype=np.bool_)
            unseen[codes[found == Status.UNSEEN]] = True
            for code in np.flatnonzero(unseen).tolist():
                irregular = self._judge(code) > _RESPELT
                if until_irregular and irregular:
                    break
            found = self.status[codes]
        return found

    def _judge(self, code: int) -> Status:
        name = self.vocabulary.names[code]
        status, read = self.spelling.judge(name)
        if self.in_words and read != name:  # the function does not get the other spelling
            status, read = Status.UNKNOWN, name
        self.status[code] = status
        if read != name:
            target = self.vocabulary.code(read)
            self._grow()
            self.read_as[code] = target
            self.respelt[name] = read
        return status


class LabelReader:
    """Reads labels as those of the challenge, and gathers what is wrong with them."""

    def __init__(self, solution: Solution, vocabulary: Vocabulary, *, until_irregular: bool = False) -> None:
        self._until_irregular = until_irregular
        """Whether reading ends at an irregular label: a file may have a million of them."""
        self._columns: dict[str, _Judged] = {}
        self._names = vocabulary.names
        self.irregular = False
        """Whether a label is unknown or a list has another form; only `report` says what."""
        for name, spelling in solution.spellings.items():
            cells = solution.task.cells(name)
            if (cells.kind == "text" and cells.is_number) or name in solution.task.either:
                continue  # the sample asks for other answers than the truth has
            in_boxes = cells.grammar == "boxes"
            in_words = cells.kind == "text" and not in_boxes
            judged = _Judged(spelling, vocabulary, in_boxes, in_words)
            if spelling.known is None:
                judged.know(solution_codes(solution, name))
            self._columns[name] = judged

    def read(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Return columns with each label in the challenge's spelling."""
        read = dict(columns)
        for name, judged in self._columns.items():
            whole = columns.get(name)
            column = judged.labels_in(whole)
            if whole is not None and column is not None:
                statuses = judged.statuses(column.codes, until_irregular=self._until_irregular)
                worst = int(statuses.max(initial=0))
                self.irregular |= worst > Status.RESPELT
                if worst > Status.FINE and judged.respelt:
                    codes = judged.read_as[column.codes]
                    read[name] = (
                        with_labels(whole.tolist(), judged.respelt)
                        if isinstance(whole, np.ndarray)
                        else Labels(codes)
                        if isinstance(column, Labels)
                        else Lists(codes, column.offsets, column.grades)
                    )
        return read

    def report(
        self, columns: Mapping[str, Column], lines: NDArray[np.int64], solution: Solution
    ) -> tuple[list[Problem], list[Notice]]:
        """Return problems and notices about the labels of a whole file, as they were sent.

        `lines` holds the line of each row, 0 where a row is missing.
        """
        problems, notices = [], []
        for name, judged in self._columns.items():
            column = judged.labels_in(columns.get(name))
            if column is not None and len(column.codes):
                found = _Sent(name, column, judged, lines, solution, self._names)
                wrong, noticed = found.form_faults()
                wrong = wrong or ([] if judged.in_words else found.unknown_problems())
                problems.extend(wrong)
                notices.extend(noticed)
                if found.n_unknown and not wrong:
                    notices.append(found.notice())
        return problems, notices

    def notices(self) -> list[Notice]:
        """Return a notice for each column whose labels were read in another spelling."""
        notices = []
        for name, judged in self._columns.items():
            if judged.respelt:
                pairs = sorted(judged.respelt.items())
                listed = ", ".join(f'"{show(sent)}" as "{show(read)}"' for sent, read in pairs[:_PAIRS])
                more = f", and {len(pairs) - _PAIRS} more" if len(pairs) > _PAIRS else ""
                words = f"Column {show(name)}: labels were read as the same value: {listed}{more}."
                notices.append(Notice("NOTICE_LABEL_SPELLING", words))
        return notices


class _Sent:
    """One column of a file as it was sent."""

    def __init__(
        self,
        name: str,
        column: Labels | Lists,
        judged: _Judged,
        lines: NDArray[np.int64],
        solution: Solution,
        names: list[str],
    ) -> None:
        self.name, self.column, self.spelling, self.names = name, column, judged.spelling, names
        self.lines, self.solution = lines, solution
        self.rows = np.arange(len(column)) if isinstance(column, Labels) else column.rows
        self.statuses = judged.statuses(column.codes)
        self.n = int(np.count_nonzero(column.codes >= 0))
        is_unknown = self.statuses == Status.UNKNOWN
        if self.spelling.known is not None:
            is_unknown |= self.statuses == Status.BAD_FORM
        self.unknown = np.flatnonzero(is_unknown)
        self.n_unknown = len(self.unknown)
        self.noun = "item" if self.spelling.is_list else "label"

    def _first(self, among: NDArray[np.intp]) -> tuple[int, int, str]:
        """Return row, line and label of the first of these positions in the file."""
        at = int(among[np.argmin(self.lines[self.rows[among]])])
        row = int(self.rows[at])
        return row, int(self.lines[row]), self.names[self.column.codes[at]]

    def _problem(self, code: str, words: str, *, row: int, line: int, value: str, count: int) -> Problem:
        key = show_id(self.solution.ids.text(row))
        message = f"Column {show(self.name)}, line {line} (id {key}): {words}"
        return Problem(
            code, message, line=line, id=key, column=show(self.name), value=show(value), count=count
        )

    # --- lists in another form --------------------------------------------------------------------

    def form_faults(self) -> tuple[list[Problem], list[Notice]]:
        """Return what is wrong with a file that writes its lists in another form.

        A problem for a form that nearly all of the cells have, which no item of its own explains, and a
        notice for one that fewer have.
        """
        problems, notices = [], []
        for (kind, mark), rows in self._other_forms().items():
            row = rows[int(np.argmin(self.lines[rows]))]
            line, count = int(self.lines[row]), len(rows)
            words = self._form_words(kind, row, mark)
            if self._is_form_of_file(kind, mark, rows):
                text = self._cell(row)
                words += how_many(count)
                problems.append(self._problem("BAD_FORM", words, row=row, line=line, value=text, count=count))
            elif self.spelling.known is None and count >= _ALMOST_NONE * self.n_filled:
                of = f"Column {show(self.name)}: {count} of {self.n_filled} lists may have another form"
                words = f"{of}, the first in line {line}: {words} Each item was read as it is."
                notices.append(Notice("NOTICE_UNKNOWN_LABELS", words))
        return problems[:1], [] if problems else notices[:1]

    def _other_forms(self) -> dict[tuple[str, str], list[int]]:
        """Return the rows by form and separator, the most telling form first."""
        found: dict[tuple[str, str], list[int]] = {}
        if not isinstance(self.column, Lists):
            return found
        bad = self.statuses == Status.BAD_FORM
        self._between_known: dict[str, int] = {}
        for row in np.unique(self.rows[bad]).tolist():
            faults = list(map(self.spelling.list_fault, self._items(row)))
            cell = self._cell(row)
            if "list" in faults and is_enclosed(cell):
                found.setdefault(("list", ""), []).append(row)
                continue
            if "separator" in faults:
                for mark, known in self.spelling.separated(cell).items():
                    found.setdefault(("separator", mark), []).append(row)
                    self._between_known[mark] = self._between_known.get(mark, 0) + known
            if all(fault == "grade" for fault in faults):
                found.setdefault(("grade", ""), []).append(row)
            if "zeros" in faults:
                found.setdefault(("zeros", ""), []).append(row)
        order = ("list", "separator", "grade", "zeros")
        return dict(sorted(found.items(), key=lambda form: (order.index(form[0][0]), -len(form[1]))))

    @cached_property
    def n_filled(self) -> int:
        """How many lists have items, words for a missing value aside."""
        assert isinstance(self.column, Lists)
        sizes = np.diff(self.column.offsets)
        single = np.flatnonzero(sizes == 1)
        codes = self.column.codes[self.column.offsets[:-1][single]]
        missing = [code for code in np.unique(codes).tolist() if self.names[code].casefold() in MISSING_WORDS]
        return int(np.count_nonzero(sizes)) - int(np.count_nonzero(np.isin(codes, missing)))

    def _is_form_of_file(self, kind: str, mark: str, rows: list[int]) -> bool:
        """Return whether a file's lists are meant in this form.

        Lists with another separator may have one item each, so those of several items decide; a title with a
        blank or comma in it is no list.
        """
        assert isinstance(self.column, Lists)
        nearly, n = 1 - _ALMOST_NONE, len(rows)
        if kind != "separator":
            return n >= nearly * self.n_filled
        several = np.diff(self.column.offsets) > 1
        several[rows] = True
        if n < nearly * np.count_nonzero(several):
            return False
        if self._between_known[mark] >= nearly * n:
            return True
        return n >= (nearly if mark == " " else _HALF) * self.n_filled

    def _label(self, at: int) -> str:
        return str(self.names[self.column.codes[at]])

    def _items(self, row: int) -> list[str]:
        assert isinstance(self.column, Lists)
        return [self.names[code] for code in self.column.of(row).tolist()]

    def _cell(self, row: int) -> str:
        return self.spelling.split.join(self._items(row))

    def _form_words(self, kind: str, row: int, mark: str) -> str:
        split = self.spelling.split
        cell, items = self._cell(row), self._items(row)
        if kind == "grade":
            bare = list(map(self._without_grade, items))
            is_clear = all(item.count(":") <= self.spelling.form.colons for item in bare)
            alone = f": {show(split.join(bare))}" if is_clear else ""
            first = show(items[0])
            return f'"{first}" is an item with a grade or score; write the items alone, best first{alone}.'
        if kind == "zeros":
            width = self.spelling.form.width
            label = next(item for item in items if self.spelling.list_fault(item) == "zeros")
            if not width:
                return (
                    f'"{show(label)}" has lost its leading zeros, with which all items here begin '
                    "(in pandas read them as text, with dtype=str)."
                )
            return (
                f'"{show(label)}" has lost its leading zeros; the items here have {width} digits, so write '
                f"{show(label.zfill(width))} (in pandas read them as text, with dtype=str)."
            )
        between = "spaces" if split == " " else f'"{split}"'
        right = items_of(cell, split) if kind == "list" else split.join(pieces_of(cell, mark))
        shown = f": {show(right)}" if all(map(self._fits, split_tokens(right, split))) else ""
        what = "a list as a program prints it" if kind == "list" else "more than one item"
        named = f" separated by {_NAMED[mark]}" if mark in _NAMED else ""
        return f'"{show(cell)}" is {what}{named}; write the items alone, separated by {between}{shown}.'

    def _fits(self, item: str) -> bool:
        return bool(marks_of(item, self.spelling.split) <= self.spelling.form.marks and "=" not in item)

    def _without_grade(self, item: str) -> str:
        return item.rpartition(":")[0] if self.spelling.list_fault(item) == "grade" else item

    # --- unknown labels ---------------------------------------------------------------------------

    def unknown_problems(self) -> list[Problem]:
        """Return the problem of a file with almost no known label, or with probabilities for labels."""
        if not self.n_unknown:
            return []
        unknown = self.unknown
        closed = self.spelling.known is not None and self.spelling.form.only_numeric
        whole = closed and self.spelling.form.numeric == "whole"
        if whole and isinstance(self.column, Labels):
            seen = np.unique(self.column.codes[unknown])
            fractions = seen[[is_fraction(self.names[code]) for code in seen.tolist()]]
            among = unknown[np.isin(self.column.codes[unknown], fractions)]
            if len(among):
                return [self._fraction(among)]
        if self.n - self.n_unknown >= _ALMOST_NONE * self.n:
            return []
        row, line, label = self._first(unknown)
        n_known = self.n - self.n_unknown
        few = "none" if not n_known else f"only {n_known}"
        known = "is known" if n_known < 2 else "are known"
        words = (
            f"{few} of the file's {self.n} {self.noun}s {known}; the first that is not is "
            f'"{show(label)}"{self._remedy(label)}.{self._list_known()}'
        )
        return [self._problem("UNKNOWN_LABELS", words, row=row, line=line, value=label, count=self.n_unknown)]

    def _fraction(self, among: NDArray[np.intp]) -> Problem:
        row, line, label = self._first(among)
        words = (
            f'"{show(label)}" is no label. This metric takes labels, not probabilities or other fractions: '
            f"choose a label for each row.{self._list_known()}{how_many(len(among))}"
        )
        return self._problem("UNKNOWN_LABELS", words, row=row, line=line, value=label, count=len(among))

    def notice(self) -> Notice:
        """Return the notice about some unknown labels among known ones."""
        _, line, label = self._first(self.unknown)
        verb = "is" if self.n_unknown == 1 else "are"
        words = (
            f"Column {show(self.name)}: {self.n_unknown} of {self.n} {self.noun}s {verb} not known, the "
            f'first is "{show(label)}" in line {line}{self._remedy(label)}.{self._list_known()}'
        )
        return Notice("NOTICE_UNKNOWN_LABELS", words)

    def _remedy(self, label: str) -> str:
        """Return the cause of an unknown label and how to write it, if that is clear."""
        spelling, meant = self.spelling, self.spelling.nearest(label)
        form = spelling.form
        if meant:
            alone = without_marks(label)
            if "\u00a0" in label:
                return f" - write {show(meant)}, without the no-break space (U+00A0)"
            if alone == meant != label:
                return f" - write {show(meant)}, without brackets, quotes or other signs around it"
            if alone.isdecimal() and meant == alone.zfill(len(meant)):
                return (
                    f" - write {show(meant)}: the leading zeros belong to the {self.noun} "
                    "(in pandas read it as text, with dtype=str)"
                )
            if alone.casefold() == meant.casefold():
                return f" - write {show(meant)}: small and capital letters are different"
            return f" - probably {show(meant)} is meant"
        if form.lacks_zeros(label):
            return (
                f": the leading zeros are lost, with which all {self.noun}s here begin "
                "(in pandas read them as text, with dtype=str)"
            )
        if form.only_numeric and is_fraction(label) and form.numeric == "whole":
            return f": this metric takes {self.noun}s, not probabilities"
        if form.only_numeric and form.numeric in ("whole", "decimal"):
            return f"; the {self.noun}s here are numbers"
        if form.numeric == "none" and label.lstrip("+-").replace(".", "", 1).isdecimal():
            return f"; the {self.noun}s here are words, not numbers"
        return ""

    def _list_known(self) -> str:
        spelling = self.spelling
        if spelling.known is None:
            return ""
        first = ", ".join(show(label) for label in spelling.listed[:_LISTED])
        more = f", ... ({len(spelling.listed)} in all)" if len(spelling.listed) > _LISTED else ""
        where = f"The {self.noun}s in the public files" if spelling.from_public_files else f"The {self.noun}s"
        return f" {where} are {first}{more}."

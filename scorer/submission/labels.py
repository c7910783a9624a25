"""Compare the labels of a submission with those of the challenge, and say what is wrong with them.

Each label is judged once, by its name; columns are then looked up by code. A message depends on the file and
on `scorer.reading.spelling.Spelling`, never on a row of the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.solution import Solution
from scorer.challenges.spellings import solution_codes
from scorer.reading.columns import CodeArray, Column, Labels, Lists, Vocabulary
from scorer.reading.spelling import Spelling, Status, is_fraction, items_of, without_marks
from scorer.report import Notice, Problem
from scorer.wording import how_many, show, show_id

_ALMOST_NONE = 0.1
"""A file is refused if fewer than this share of its labels is known."""

_LISTED = 10
_PAIRS = 3

_StatusArray = NDArray[np.int8]


@dataclass(slots=True)
class _Judged:
    """The labels of one column by code, judged when they first occur."""

    spelling: Spelling
    vocabulary: Vocabulary
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

    def know(self, codes: CodeArray) -> None:
        """Take labels for fine that need no judging, which saves time."""
        self.status[codes] = Status.FINE

    def statuses(self, codes: CodeArray) -> _StatusArray:
        """Return the status of each code."""
        self._grow()
        found = self.status[codes]
        if len(found) and not found.min():
            unseen = np.zeros(len(self.status), dtype=np.bool_)
            unseen[codes[found == Status.UNSEEN]] = True
            for code in np.flatnonzero(unseen).tolist():
                self._judge(code)
            found = self.status[codes]
        return found

    def _judge(self, code: int) -> None:
        name = self.vocabulary.names[code]
        status, read = self.spelling.judge(name)
        self.status[code] = status
        if read != name:
            target = self.vocabulary.code(read)
            self._grow()
            self.read_as[code] = target
            self.respelt[name] = read


class LabelReader:
    """Reads labels as those of the challenge, and gathers what is wrong with them."""

    def __init__(self, solution: Solution, vocabulary: Vocabulary) -> None:
        self._columns: dict[str, _Judged] = {}
        self._names = vocabulary.names
        self.irregular = False
        """Whether a label is unknown or a list has another form; only `report` says what."""
        for name, spelling in solution.spellings.items():
            judged = _Judged(spelling, vocabulary)
            if spelling.known is None:
                judged.know(solution_codes(solution, name))
            self._columns[name] = judged

    def read(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Return columns with each label in the challenge's spelling."""
        read = dict(columns)
        for name, judged in self._columns.items():
            column = columns.get(name)
            if isinstance(column, Labels | Lists):
                statuses = judged.statuses(column.codes)
                worst = int(statuses.max(initial=0))
                self.irregular |= worst > Status.RESPELT
                if worst > Status.FINE:
                    codes = judged.read_as[column.codes]
                    read[name] = (
                        Labels(codes)
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
            column = columns.get(name)
            if isinstance(column, Labels | Lists) and len(column.codes):
                found = _Sent(name, column, judged, lines, solution, self._names)
                wrong = found.form_problems() or found.unknown_problems()
                problems.extend(wrong)
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
        self.n_unknown = int(np.count_nonzero(self.statuses >= Status.UNKNOWN))
        self.noun = "item" if isinstance(column, Lists) else "label"

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

    def form_problems(self) -> list[Problem]:
        """Return a problem for each form in which lists were written, other than the right one."""
        by_kind: dict[str, list[int]] = {}
        bad = np.flatnonzero(self.statuses == Status.BAD_FORM)
        for at in bad.tolist():
            by_kind.setdefault(self.spelling.list_fault(self._label(at)), []).append(at)
        if "list" in by_kind:  # its commas are part of the same form
            by_kind["list"] += by_kind.pop("separator", [])
        problems = []
        for kind, places in by_kind.items():
            row, line, label = self._first(np.array(places))
            count = len(np.unique(self.rows[places]))
            words = self._form_words(kind, row, label) + how_many(count)
            text = self._cell(row)
            problems.append(self._problem("BAD_FORM", words, row=row, line=line, value=text, count=count))
        return problems

    def _label(self, at: int) -> str:
        return str(self.names[self.column.codes[at]])

    def _items(self, row: int) -> list[str]:
        assert isinstance(self.column, Lists)
        return [self.names[code] for code in self.column.of(row).tolist()]

    def _cell(self, row: int) -> str:
        return self.spelling.split.join(self._items(row))

    def _form_words(self, kind: str, row: int, label: str) -> str:
        split = self.spelling.split
        between = "spaces" if split == " " else f'"{split}"'
        cell = self._cell(row)
        if kind == "grade":
            alone = split.join(self._without_grade(item) for item in self._items(row))
            return (
                f'"{show(label)}" is an item with a grade or score; write the items alone, best first: '
                f"{show(alone)}."
            )
        if kind == "zeros":
            width = self.spelling.form.width
            padded = label.zfill(width)
            return (
                f'"{show(label)}" has lost its leading zeros; the items here have {width} digits, so write '
                f"{show(padded)} (in pandas read them as text, with dtype=str)."
            )
        right = f"write the items alone, separated by {between}: {show(items_of(cell, split))}."
        if kind == "list":
            return f'"{show(cell)}" is a list as a program prints it; {right}'
        return f'"{show(label)}" is more than one item; {right}'

    def _without_grade(self, item: str) -> str:
        return item.rpartition(":")[0] if self.spelling.list_fault(item) == "grade" else item

    # --- unknown labels ---------------------------------------------------------------------------

    def unknown_problems(self) -> list[Problem]:
        """Return the problem of a file with almost no known label, or with probabilities for labels."""
        if not self.n_unknown:
            return []
        unknown = np.flatnonzero(self.statuses == Status.UNKNOWN)
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
        unknown = np.flatnonzero(self.statuses == Status.UNKNOWN)
        _, line, label = self._first(unknown)
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
            if alone == meant != label:
                return f" - write {show(meant)}, without brackets, quotes or other signs around it"
            if alone.isdecimal() and meant == alone.zfill(len(meant)):
                return (
                    f" - write {show(meant)}: the leading zeros belong to the {self.noun} "
                    "(in pandas read it as text, with dtype=str)"
                )
            if alone.casefold() == meant.casefold():
                return f" - write {show(meant)}: small and capital letters are different"
            return f" - did you mean {show(meant)}?"
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

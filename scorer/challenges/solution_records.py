"""Read a solution record by record, and report every problem with its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from scorer.challenges.solution import USAGE_COLUMN, USAGES
from scorer.challenges.solution_checks import solution_problem
from scorer.challenges.solution_plan import Plan, Wanted
from scorer.reading.forms import Forms
from scorer.reading.tables import SPACES, is_blank
from scorer.report import Problem
from scorer.wording import ID_JOINT, LISTED, show, show_id, show_lines

_USAGE_WORDS = {
    "pub": "Public",
    "lb": "Public",
    "leaderboard": "Public",
    "publiclb": "Public",
    "priv": "Private",
    "final": "Private",
    "privatelb": "Private",
    "ignore": "Ignored",
    "none": "Ignored",
    "na": "Ignored",
    "nan": "Ignored",
    "unused": "Ignored",
    "skip": "Ignored",
    "skipped": "Ignored",
    "decoy": "Ignored",
    "unscored": "Ignored",
}
"""What organisers write instead, in small letters and without separators."""


class Records:
    """The texts of a solution by column, None in ignored rows.

    Spaces around ids, usages and cells are no part of them, as in a submission.
    """

    def __init__(self, header: Sequence[str], plan: Plan, *, keep_rows: bool) -> None:
        self.header = list(header)
        self.ids: list[str] = []
        """By row; of repeated ids the later ones have a number behind them, so that each names a row."""
        self.lines: list[int] = []
        self.usages: list[str] = []
        self.texts: dict[Wanted, list[str | None]] = {wanted: [] for wanted in plan.wanted}
        self.rows: list[Sequence[str]] = []
        """Whole records, for an organiser's own metric."""
        self.problems: list[Problem] = []
        self.forms = Forms()
        self._keep_rows = keep_rows
        self._plan = plan
        self._id_positions = [self.header.index(name) for name in plan.ids]
        self._usage = None if plan.usage is None else self.header.index(plan.usage)
        self._ragged: dict[int, list[int]] = {}
        self._without_id: list[int] = []
        self._odd_ids: list[int] = []
        self._duplicates: dict[str, list[int]] = {}
        """Id -> its lines, the first one included."""
        self._usage_faults: dict[str, list[int]] = {}
        self._both_usages: dict[str, tuple[int, int]] = {}

    def read(self, records: Iterable[tuple[int, Sequence[str]]]) -> None:
        index: dict[str, int] = {}
        times: dict[str, int] = {}
        targets = [
            (texts, self.header.index(wanted.name), wanted.known) for wanted, texts in self.texts.items()
        ]
        for line, fields in self.forms.of(records, keep=True):
            if is_blank(fields):
                continue
            if len(fields) != len(self.header):
                self._ragged.setdefault(len(fields), []).append(line)
                continue
            key = self._key(line, fields)
            usage = "Public" if self._usage is None else fields[self._usage].strip(SPACES)
            if usage not in USAGES:
                self._usage_faults.setdefault(usage, []).append(line)
            if key is not None and key in index:
                first = index[key]
                if not self._plan.repeated_ids:
                    self._duplicates.setdefault(key, [self.lines[first]]).append(line)
                    continue
                if usage != self.usages[first]:
                    self._both_usages.setdefault(key, (first, line))
                times[key] = times.get(key, 1) + 1
                key = f"{key}{ID_JOINT}{times[key]}"
            elif key is not None:
                index[key] = len(self.ids)
            self.ids.append(str(line) if key is None else key)
            self.lines.append(line)
            self.usages.append(usage if usage in USAGES else "Public")
            for column, position, known in targets:
                kept = usage != "Ignored" or (known and fields[position].strip(SPACES))
                column.append(fields[position] if kept else None)
            if self._keep_rows:
                self.rows.append([field.strip(SPACES) for field in fields])
        self._report()

    def _key(self, line: int, fields: Sequence[str]) -> str | None:
        """Return the id of a record; None if it has none, or the file has no id column."""
        keys = [fields[position].strip(SPACES) for position in self._id_positions]
        if not all(keys):
            self._without_id.append(line)
            return None
        if any(ID_JOINT in key for key in keys):
            self._odd_ids.append(line)
        return ID_JOINT.join(keys) if keys else None

    def _report(self) -> None:
        for n_values, lines in self._ragged.items():
            verb = "has" if len(lines) == 1 else "have"
            message = f"{show_lines(lines)} {verb} {n_values} values, expected {len(self.header)}."
            self._add("FIELD_COUNT", message, lines)
        name = show(self._plan.ids[0]) if self._plan.ids else None
        for lines, words in ((self._without_id, "is empty"), (self._odd_ids, "has a control character")):
            if lines:
                message = f"{show_lines(lines)}: the id {words}."
                self._add("BAD_ID", message, lines, column=name)
        if self._duplicates:
            self._report_duplicates()
        for usage, lines in self._usage_faults.items():
            self._add("BAD_USAGE", _usage_words(usage, lines), lines, column=USAGE_COLUMN, value=show(usage))
        if self._both_usages:
            key, (first, line) = next(iter(self._both_usages.items()))
            message = (
                f"Id {show_id(key)} is {self.usages[first]} on line {self.lines[first]} and another on line "
                f"{line}; all rows of one id need the same {USAGE_COLUMN}."
            )
            count = len(self._both_usages)
            problem = solution_problem("BAD_USAGE", message, line=line, id=show_id(key), count=count)
            self.problems.append(problem)
        if not self.ids and not self.problems:
            self.problems.append(solution_problem("NO_ROWS", "The solution has a header but no rows."))

    def _report_duplicates(self) -> None:
        listed = []
        for key, lines in list(self._duplicates.items())[:LISTED]:
            often = "twice" if len(lines) == 2 else f"{len(lines)} times"
            at = (" and " if len(lines) == 2 else ", ").join(map(str, lines[:LISTED]))
            more = ", ..." if len(lines) > LISTED else ""
            listed.append(f"Id {show_id(key)} appears {often} (lines {at}{more}).")
            if self.forms.differ(lines, self._id_positions):
                listed.append("They differ in their Unicode form only and are one id in Unicode's form NFC.")
        if len(self._duplicates) > LISTED:
            listed.append(f"{len(self._duplicates) - LISTED} more ids appear more than once.")
        listed.append(
            "Each id needs one row, except for an own metric with complete_submission: true. Where a row "
            "is an object of an image, number the objects to get ids of their own and let the image be a "
            "column, or put all objects of an image into one row."
        )
        key, lines = next(iter(self._duplicates.items()))
        count = sum(len(each) - 1 for each in self._duplicates.values())
        self.problems.append(
            solution_problem("DUPLICATE_IDS", " ".join(listed), line=lines[1], id=show_id(key), count=count)
        )

    def _add(
        self,
        code: str,
        message: str,
        lines: Sequence[int],
        *,
        column: str | None = None,
        value: str | None = None,
    ) -> None:
        problem = solution_problem(code, message, line=lines[0], column=column, value=value, count=len(lines))
        self.problems.append(problem)


def _usage_words(usage: str, lines: Sequence[int]) -> str:
    """Return what is wrong with a word in the column Usage, and what it may mean."""
    where = show_lines(lines)
    if not usage:
        return f"{where}: {USAGE_COLUMN} is empty; allowed are Public, Private, Ignored."
    folded = "".join(character for character in usage.casefold() if character.isalnum())
    names = {name.casefold(): name for name in USAGES}
    near = get_close_matches(folded, names, n=1, cutoff=0.7)
    meant = names.get(folded) or _USAGE_WORDS.get(folded) or (names[near[0]] if near else None)
    hint = f"did you mean {meant}? Allowed" if meant else "allowed"
    return f'{where}: {USAGE_COLUMN} is "{show(usage)}"; {hint} are Public, Private, Ignored.'

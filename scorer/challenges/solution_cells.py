"""Read the cells of a solution's column, and explain to its author what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Protocol

import numpy as np

from scorer.challenges.solution_checks import solution_problem
from scorer.challenges.solution_plan import GROUP, WEIGHT, Wanted
from scorer.custom_cells import MISSING_WORDS
from scorer.reading.cells import NUMERIC_KINDS, ColumnBuilder, canonical_label, describe_fault, fault_cause
from scorer.reading.columns import Column, Labels, Vocabulary
from scorer.reading.tables import SPACES
from scorer.report import Problem
from scorer.wording import how_many, show, show_id

_OPPOSITES = (
    ("yes", "no"),
    ("y", "n"),
    ("true", "false"),
    ("t", "f"),
    ("positive", "negative"),
    ("pos", "neg"),
    ("on", "off"),
    ("case", "control"),
    ("bad", "good"),
)
"""Words for 1 and 0, for an example in a message."""


_ABOUT_PREDICTIONS = ("hole", "class")
"""Causes whose hint is about a prediction, and not about a true value."""


class NumberedWords(ValueError):
    """A truth holds words that the challenge gives no number."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        super().__init__(", ".join(words))


class Placed(Protocol):
    """Where the rows of a solution stand."""

    ids: list[str]
    lines: list[int]


def read_cells(
    wanted: Wanted, texts: Sequence[str | None], rows: Placed, vocabulary: Vocabulary
) -> tuple[Column, list[Problem]]:
    """Return a column, and the problems with its cells.

    Parameters
    ----------
    texts
        By row; None in ignored rows.
    vocabulary
        Of labels and lists; it grows.
    """
    names = Vocabulary() if wanted.values else vocabulary
    builder = ColumnBuilder(wanted.cells, len(texts), names)
    holes: list[int] = []
    for row, text in enumerate(texts):
        if text is None:
            continue
        if _is_hole(text, wanted):
            holes.append(row)
        else:
            builder.put(row, text)
    problems = []
    if holes and not wanted.holes:
        problems.append(_holes_problem(wanted, texts, holes, rows))
    for code, fault in builder.by_cause():
        line, key = rows.lines[fault.row], show_id(rows.ids[fault.row])
        words = describe_fault(code, fault, wanted.cells)
        if code == "NOT_A_NUMBER":
            cause, _ = fault_cause(code, fault, wanted.cells)
            if cause in _ABOUT_PREDICTIONS:
                words = words.partition(" - ")[0].rstrip(".") + "."
            if cause in (*_ABOUT_PREDICTIONS, "", "flag"):
                words = words.rstrip(".") + _declaration(wanted, texts)
        message = f"Column {show(wanted.name)}, line {line} (id {key}): {words}{how_many(fault.count)}"
        problems.append(
            solution_problem(
                code,
                message,
                line=line,
                id=key,
                column=show(wanted.name),
                value=show(fault.text),
                count=fault.count,
            )
        )
    column = builder.column()
    if not wanted.values or not isinstance(column, Labels):
        return column, problems
    try:
        return numbered(column, names, wanted), problems
    except NumberedWords as error:
        return column, [*problems, _unknown_words(wanted, error.words, column, names, rows)]


def numbered(column: Labels, words: Vocabulary, wanted: Wanted) -> Column:
    """Return the declared numbers of words, nan where there is no word.

    Raises NumberedWords with the words that are not declared.
    """
    values = dict(wanted.values)
    unknown = [word for word in words.names if word not in values]
    if unknown:
        raise NumberedWords(unknown)
    # The last one is for code -1, no word.
    return np.array([*(values[word] for word in words.names), np.nan])[column.codes]


def _is_hole(text: str, wanted: Wanted) -> bool:
    """Return whether a cell holds no true value.

    An empty list or text is a value. NA may be the name of a class, but not a number.
    """
    bare = text.strip(SPACES)
    kind = wanted.cells.kind
    if kind not in (*NUMERIC_KINDS, "label"):
        return False
    if not bare:
        return True
    if kind == "label" and not wanted.values:
        return False
    return bare.lower() in MISSING_WORDS and canonical_label(bare) not in dict(wanted.values)


def _holes_problem(
    wanted: Wanted, texts: Sequence[str | None], holes: Sequence[int], rows: Placed
) -> Problem:
    listed = []
    for row in holes[:3]:
        bare = (texts[row] or "").strip(SPACES)
        what = f'"{show(bare)}"' if bare else "empty"
        listed.append(f"line {rows.lines[row]}, id {show_id(rows.ids[row])}: {what}")
    more = "; ..." if len(holes) > len(listed) else ""
    n_rows = "1 scored row has" if len(holes) == 1 else f"{len(holes)} scored rows have"
    truth = not wanted.known and wanted.cells not in (WEIGHT,)
    message = (
        f"Column {show(wanted.name)}: {n_rows} no {'true ' if truth else ''}value "
        f"({'; '.join(listed)}{more}). Fill it in, or set Usage of the row to Ignored"
    )
    if truth:
        message += ". To leave such cells out of the score, write metric: {name: ..., truth_missing: skip}"
    return solution_problem(
        "EMPTY_VALUE",
        message + ".",
        line=rows.lines[holes[0]],
        id=show_id(rows.ids[holes[0]]),
        column=show(wanted.name),
        value=show((texts[holes[0]] or "").strip(SPACES)),
        count=len(holes),
    )


def _declaration(wanted: Wanted, texts: Sequence[str | None]) -> str:
    """Return how the words of a column can be declared as numbers; the end of a sentence."""
    if wanted.known or wanted.cells in (WEIGHT, GROUP):
        return "."
    words: dict[str, None] = {}
    for text in texts:
        bare = "" if text is None else text.strip(SPACES)
        if bare[:1].isalpha() and not _is_hole(bare, wanted):
            words[canonical_label(bare)] = None
            if len(words) > 20:
                return "."
    folded = {word.casefold(): word for word in words}
    for one, zero in _OPPOSITES:
        if one in folded or zero in folded:
            pair = f"{folded.get(one, one)}: 1, {folded.get(zero, zero)}: 0"
            return f". If words stand for numbers, declare them beside the metric: truth_values: {{{pair}}}."
    if words:
        listed = ", ".join(f"{show(word)}: ..." for word in [*words][:3])
        return f". If words stand for numbers, declare them beside the metric: truth_values: {{{listed}}}."
    return "."


def _unknown_words(
    wanted: Wanted, words: Sequence[str], column: Labels, names: Vocabulary, rows: Placed
) -> Problem:
    codes = [code for code, name in enumerate(names.names) if name in words]
    found = np.flatnonzero(np.isin(column.codes, codes))
    row = int(found[0])
    word = names.names[column.codes[row]]
    others = f" ({len(words)} such words)" if len(words) > 1 else ""
    declared = {name.casefold(): name for name, _ in wanted.values}
    near = get_close_matches(word.casefold(), declared, n=1, cutoff=0.7)
    meant = f"; did you mean {show(declared[near[0]])}?" if near else "."
    message = (
        f"Column {show(wanted.name)}, line {rows.lines[row]} (id {show_id(rows.ids[row])}): "
        f'"{show(word)}" has no number{others}; truth_values declares '
        f"{', '.join(show(name) for name, _ in wanted.values)}{meant}{how_many(len(found))}"
    )
    return solution_problem(
        "UNKNOWN_CLASS",
        message,
        line=rows.lines[row],
        id=show_id(rows.ids[row]),
        column=show(wanted.name),
        value=show(word),
        count=len(found),
    )

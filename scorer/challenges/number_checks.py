"""Check an own metric's truth for words among its numbers."""

from __future__ import annotations

from scorer.challenges.challenge import MAX_SOLUTION_BYTES, Challenge
from scorer.challenges.solution import FILE, IGNORED, USAGE_COLUMN, USAGES
from scorer.challenges.solution_checks import solution_problem
from scorer.custom_cells import MISSING_WORDS, is_number
from scorer.reading.forms import composed
from scorer.reading.tables import SPACES, is_blank, open_table
from scorer.report import Notice, Problem
from scorer.wording import how_many, show

_FEW = 0.1
"""Words in at most this share of the filled cells are rather slips than labels."""


def words_among_numbers(challenge: Challenge) -> tuple[list[Problem], list[Notice]]:
    """Return what words among the true numbers of an own metric's columns do.

    A few words are a problem: they make the column text, of which no cell of a submission is checked. Where
    they are many, the column may hold labels. NA and its kind are unknown numbers.
    """
    problems: list[Problem] = []
    notices: list[Notice] = []
    for name in challenge.columns if challenge.task.custom is not None else ():
        cells = _cells(challenge, name)
        n_numbers = sum(is_number(text) for _, text in cells)
        words = [(line, text) for line, text in cells if not is_number(text)]
        if not n_numbers or not words:
            continue
        others = [(line, text) for line, text in words if text.lower() not in MISSING_WORDS]
        line, text = (others or words)[0]
        where = f'{FILE}, line {line}: column {show(name)} holds "{show(text)}" among numbers'
        if not others:
            message = f"{where}; it is read as an unknown number, nan.{how_many(len(words))}"
            notices.append(Notice("NOTICE_UNKNOWN_NUMBER", message))
        elif len(others) <= _FEW * (n_numbers + len(others)):
            message = (
                f'Column {show(name)}, line {line}: "{show(text)}" stands among numbers and makes the column '
                "text. Write a number, or leave the cell empty where the true value is unknown."
                f"{how_many(len(others))}"
            )
            problems.append(
                solution_problem(
                    "NOT_A_NUMBER", message, line=line, column=show(name), value=show(text), count=len(others)
                )
            )
        elif not challenge.task.cells(name).is_number:
            message = f"{where}, so the column is text, and no cell of a submission is checked."
            notices.append(Notice("NOTICE_TEXT_COLUMN", message))
    return problems, notices


def _cells(challenge: Challenge, name: str) -> list[tuple[int, str]]:
    """Return line and text of each filled true cell of a column in the scored rows."""
    records = open_table(challenge.folder / FILE, max_bytes=MAX_SOLUTION_BYTES).records()
    header = [composed(cell.strip(SPACES)) for cell in next(records)[1]]
    if name not in header:
        return []
    place, usage = header.index(name), header.index(USAGE_COLUMN) if USAGE_COLUMN in header else None
    return [
        (line, text)
        for line, fields in records
        if not is_blank(fields)
        and (usage is None or fields[usage].strip(SPACES) != USAGES[IGNORED])
        and (text := fields[place].strip(SPACES))
    ]

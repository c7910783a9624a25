"""Check an own metric's truth for words among its numbers or flags."""

from __future__ import annotations

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import FILE
from scorer.challenges.solution_checks import solution_problem
from scorer.challenges.solution_lines import filled_cells
from scorer.custom_cells import MISSING_WORDS, is_flag, is_number
from scorer.reading.cells import MAX_SEEN, Cells, Fault, fault_cause
from scorer.report import Notice, Problem
from scorer.wording import how_many, show

_FEW = 0.1
"""Words in at most this share of the filled cells are rather slips than labels."""


def words_among_numbers(challenge: Challenge) -> tuple[list[Problem], list[Notice]]:
    """Return what words among the true numbers or flags of an own metric's columns do.

    A few words are a problem: they make the column text, of which no cell of a submission is checked. Where
    they are many, the column may hold labels. NA and its kind are unknown values.
    """
    problems: list[Problem] = []
    notices: list[Notice] = []
    for name in challenge.columns if challenge.task.custom is not None else ():
        cells = list(filled_cells(challenge, [name]))
        n_numbers, n_flags = (sum(is_one(text) for _, text in cells) for is_one in (is_number, is_flag))
        flags = n_flags > n_numbers
        among, is_one = ("True and False", is_flag) if flags else ("numbers", is_number)
        n_values = max(n_numbers, n_flags)
        words = [(line, text) for line, text in cells if not is_one(text)]
        if name in challenge.task.flags:
            message = (
                f"Column {show(name)} of {FILE} holds True and False, so each cell of a submission must be "
                "true or false (or 1 or 0). If probabilities are wanted, write a fraction such as 0.5 into "
                "the sample submission."
            )
            notices.append(Notice("NOTICE_FLAG_COLUMN", message))
        if not n_values or not words:
            notices.extend(_unchecked(challenge, name))
            continue
        others = [(line, text) for line, text in words if text.lower() not in MISSING_WORDS]
        line, text = (others or words)[0]
        where = f'{FILE}, line {line}: column {show(name)} holds "{show(text)}" among {among}'
        if not others:
            read = "an unknown value" if flags else "an unknown number, nan"
            message = f"{where}; it is read as {read}.{how_many(len(words))}"
            notices.append(Notice("NOTICE_UNKNOWN_NUMBER", message))
        elif len(others) <= _FEW * (n_values + len(others)):
            value = "True or False" if flags else "a number"
            seen = [each for _, each in others[:MAX_SEEN]]
            cause = Fault(0, text, n_rows=len(cells), seen=seen)
            _, hint = fault_cause("NOT_A_NUMBER", cause, Cells("text", grammar="flag" if flags else "number"))
            message = (
                f'Column {show(name)}, line {line}: "{show(text)}" stands among {among} and makes the column '
                f"text{hint}. Write {value}, or leave the cell empty where the true value is unknown."
                f"{how_many(len(others))}"
            )
            problems.append(
                solution_problem(
                    "NOT_A_NUMBER", message, line=line, column=show(name), value=show(text), count=len(others)
                )
            )
        elif not challenge.task.cells(name).is_number:
            message = f"{where}, so the column is text, in which a submission may hold any words."
            notices.append(Notice("NOTICE_TEXT_COLUMN", message))
    return problems, notices


def _unchecked(challenge: Challenge, name: str) -> list[Notice]:
    """Return the notice of a column in which a submission may hold any text."""
    cells = challenge.task.cells(name)
    if cells.is_number:
        return []
    if name in challenge.task.either:
        message = (
            f"Column {show(name)}: the sample submission does not show whether numbers or words are wanted, "
            "and the solution has both. A submission may hold numbers in all rows or words in all rows, and "
            "these are not checked. If numbers are wanted, write only numbers into the sample submission, "
            "one of them a fraction such as 0.5; if labels are wanted, write labels."
        )
        return [Notice("NOTICE_UNCHECKED_COLUMN", message)]
    accepted = "not even empty ones, as the sample submission has some: any text"
    if cells.grammar:
        accepted = "except that none may be empty: any other text"
    message = (
        f"Column {show(name)}: the cells of a submission are not checked, {accepted} is accepted. If numbers "
        "are wanted, write only numbers into the sample submission, one of them a fraction such as 0.5."
    )
    return [Notice("NOTICE_UNCHECKED_COLUMN", message)]

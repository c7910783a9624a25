"""Refuse numbers among words where an own metric's column may hold either.

Which of the two is wanted, the solution does not show (`Task.either`); a file that holds both is wrong in
any case. A metric that turns words into nan and leaves them out would score the numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scorer.challenges.task import Task
from scorer.custom_cells import is_number
from scorer.reading.cells import ColumnBuilder
from scorer.reading.columns import Column
from scorer.report import Problem
from scorer.wording import how_many, show, show_id


class Mixtures:
    """Notes whether the columns of a file hold numbers, words or both, while it is read."""

    def __init__(self, task: Task) -> None:
        self._seen: dict[str, set[bool]] = {name: set() for name in task.either}

    def add(self, columns: Mapping[str, Column]) -> None:
        for name, seen in self._seen.items():
            column = columns[name]
            if len(seen) < 2 and isinstance(column, np.ndarray):
                seen.update(is_number(text) for text in column.tolist() if text)

    @property
    def found(self) -> bool:
        return any(len(seen) > 1 for seen in self._seen.values())


def mixture_problems(
    builders: Mapping[str, ColumnBuilder], where: Callable[[int], tuple[int, str]], task: Task
) -> list[Problem]:
    """Return a problem for each column that holds numbers and words, and has no other fault.

    `where` returns the line and the id of a row.
    """
    problems = []
    for name in sorted(task.either):
        column = builders[name].column()
        if builders[name].faults or not isinstance(column, np.ndarray):
            continue
        cells = column.tolist()
        words = [row for row, text in enumerate(cells) if text and not is_number(text)]
        n_numbers = sum(map(bool, cells)) - len(words)
        if not words or not n_numbers:
            continue
        (line, key), row = min((where(row), row) for row in words)
        numbers = "1 other cell is a number" if n_numbers == 1 else f"{n_numbers} other cells are numbers"
        message = (
            f"Column {show(name)}, line {line} (id {show_id(key)}): "
            f'"{show(cells[row])}" is not a number, and {numbers}. '
            f"Write numbers in all rows or words in all rows.{how_many(len(words))}"
        )
        problems.append(
            Problem(
                "NOT_A_NUMBER",
                message,
                line=line,
                id=show_id(key),
                column=show(name),
                value=show(cells[row]),
                count=len(words),
            )
        )
    return problems

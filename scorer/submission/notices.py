"""Notices about an accepted submission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scorer.challenges.solution import Solution, part_predicted
from scorer.reading.cells import NUMERIC_KINDS, Cells
from scorer.reading.columns import Column, Labels, Lists
from scorer.report import Notice


class Notices:
    """Notices about likely mistakes, gathered while a file is read."""

    def __init__(self, solution: Solution) -> None:
        self._parts = solution.task.parts
        self._several = len(solution.ids) > 1
        self._cells: dict[str, Cells] = {name: solution.task.cells(name) for name in solution.task.columns}
        self._first: dict[str, Any] = {}
        self._constant = dict.fromkeys(self._cells, True)
        self._hard = True
        self._n_off = 0

    def add(self, columns: Mapping[str, Column]) -> None:
        for name, column in columns.items():
            if len(column) == 0:
                continue
            if isinstance(column, Lists):
                self._constant[name] = False
            elif self._constant[name]:
                values = column.codes if isinstance(column, Labels) else column
                first = self._first.setdefault(name, values[0])
                self._constant[name] = bool((values == first).all())
            if self._hard and self._cells[name].kind in NUMERIC_KINDS and isinstance(column, np.ndarray):
                self._hard = bool(((column == 0.0) | (column == 1.0)).all())
        for part in self._parts:
            if part.layout == "classes" and part.metric.kind == "probability":
                sums = np.sum(part_predicted(part, [columns[name] for name in part.columns])[0], axis=1)
                self._n_off += int(np.sum(np.abs(sums - 1.0) > 1e-3))

    def notices(self) -> list[Notice]:
        notices = []
        if self._several and self._constant and all(self._constant.values()):
            notices.append(Notice("NOTICE_CONSTANT", "All predictions are equal."))
        elif self._hard and self._parts and all(part.metric.kind == "probability" for part in self._parts):
            words = "All predictions are 0 or 1; this metric rewards probabilities."
            notices.append(Notice("NOTICE_HARD_LABELS", words))
        if self._n_off:
            words = f"{self._n_off} rows did not sum to 1; every row was divided by its sum."
            notices.append(Notice("NOTICE_RENORMALISED", words))
        return notices

"""Sinks: they take the predictions of a submission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from scorer.reading.columns import Column, FloatArray, Labels, Lists, Rows, Vocabulary


class Sink(Protocol):
    """Takes predictions as they are read, each row once."""

    def restart(self) -> None:
        """Forget everything: the file is read again from its start."""

    def add(self, rows: Rows, columns: Mapping[str, Column], vocabulary: Vocabulary) -> None:
        """Take predictions by column for these rows of the solution."""


class Nowhere:
    """A sink that keeps nothing, where only the form of a file is wanted."""

    def restart(self) -> None:
        """Forget nothing: nothing was kept."""

    def add(self, rows: Rows, columns: Mapping[str, Column], vocabulary: Vocabulary) -> None:
        """Drop the predictions."""


class Collected:
    """A sink that keeps every column in the solution's order."""

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows
        self.restart()

    def restart(self) -> None:
        self._pieces: list[tuple[Rows, Mapping[str, Column]]] = []
        self._order: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self.vocabulary = Vocabulary()

    def add(self, rows: Rows, columns: Mapping[str, Column], vocabulary: Vocabulary) -> None:
        self._pieces.append((rows, columns))
        self.vocabulary = vocabulary

    def columns(self) -> dict[str, Column]:
        """Return one array of length n_rows per prediction column."""
        self._sort_new_names()
        return {name: self._column(name) for name in self._pieces[0][1]}

    def _sort_new_names(self) -> None:
        """Number the file's additional labels by spelling, not by position.

        Otherwise shuffled rows would change the order of sums over labels.
        """
        names, n_old = self.vocabulary.names, self.vocabulary.n_inherited
        new = sorted(range(n_old, len(names)), key=names.__getitem__)
        order = np.arange(len(names) + 1, dtype=np.int32)
        order[new] = np.arange(n_old, len(names), dtype=np.int32)
        order[-1] = -1  # no label at all
        self._order = order
        self.vocabulary = Vocabulary([*names[:n_old], *(names[i] for i in new)])
        self.vocabulary.n_inherited = len(names)

    def _column(self, name: str) -> Column:
        pieces = [(rows, columns[name]) for rows, columns in self._pieces]
        first = pieces[0][1]
        if isinstance(first, Lists):
            order = np.argsort(np.concatenate([rows for rows, _ in pieces]), kind="stable")
            lists = [column for _, column in pieces if isinstance(column, Lists)]
            lengths = np.concatenate([column.lengths for column in lists])
            offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
            codes = self._order[np.concatenate([column.codes for column in lists])]
            return Lists(codes, offsets).take(order)
        if isinstance(first, Labels):
            codes = np.empty(self._n_rows, dtype=np.int32)
            for rows, column in pieces:
                assert isinstance(column, Labels)
                codes[rows] = self._order[column.codes]
            return Labels(codes)
        values: FloatArray = np.empty(self._n_rows, dtype=first.dtype)
        for rows, column in pieces:
            values[rows] = cast(FloatArray, column)
        return values

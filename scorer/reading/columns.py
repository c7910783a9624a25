"""Columns as arrays: numbers, codes of labels and lists, texts.

A label is compared a million times and spelt a handful of times, so it is kept as a code. Truth and
prediction share one vocabulary: equal codes are equal labels. The names of the truth come first, so a code at
or beyond `n_known` is a label or token that no scored row of the truth has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]
CodeArray = NDArray[np.int32]
Rows = NDArray[Any]
"""What picks rows: a mask of bools, or positions."""


class Vocabulary:
    """Names by code and codes by name; new names are added."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str] = []
        self._codes: dict[str, int] = {}
        self.n_inherited = 0
        """How many names a copy had when it was made; the rest came with the file."""
        for name in names:
            self.code(name)

    def __len__(self) -> int:
        return len(self.names)

    def code(self, name: str) -> int:
        code = self._codes.setdefault(name, len(self.names))
        if code == len(self.names):
            self.names.append(name)
        return code

    def find(self, name: str) -> int | None:
        return self._codes.get(name)

    def copy(self) -> Vocabulary:
        twin = Vocabulary()
        twin.names, twin._codes = list(self.names), dict(self._codes)
        twin.n_inherited = len(self.names)
        return twin


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """One label per row, as codes.

    -1 where there is none (rows marked Ignored).
    """

    codes: CodeArray

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Rows) -> Labels:
        return Labels(self.codes[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """One list of tokens per row.

    Row i holds codes[offsets[i]:offsets[i + 1]].
    """

    codes: CodeArray
    offsets: NDArray[np.int64]
    """Shape (n_rows + 1,), starting with 0."""
    grades: FloatArray | None = None
    """Of each token, shape of `codes`, where the column holds graded items."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The row of each token, shape of `codes`."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def places(self) -> NDArray[np.int64]:
        """Return each token's position within its own list, from 0."""
        return np.arange(len(self.codes)) - np.repeat(self.offsets[:-1], self.lengths)

    def take(self, rows: Rows) -> Lists:
        picked = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        lengths = self.lengths[picked]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        starts = np.repeat(self.offsets[:-1][picked] - offsets[:-1], lengths)
        at = starts + np.arange(offsets[-1])
        return Lists(self.codes[at], offsets, None if self.grades is None else self.grades[at])

    def of(self, row: int) -> CodeArray:
        return self.codes[self.offsets[row] : self.offsets[row + 1]]

    @classmethod
    def build(cls, lists: Sequence[Sequence[int]]) -> Lists:
        offsets = np.concatenate(([0], np.cumsum([len(codes) for codes in lists], dtype=np.int64)))
        flat = [code for codes in lists for code in codes]
        return cls(np.array(flat, dtype=np.int32), offsets.astype(np.int64))


Column = FloatArray | Labels | Lists | TextArray
"""Float64 (nan where there is none), labels, lists of tokens, or texts (str; "" where there is none)."""

ColumnT = TypeVar("ColumnT", bound=Column)


def take(column: ColumnT, rows: Rows) -> ColumnT:
    """Those rows of a column."""
    taken: Any = column[rows] if isinstance(column, np.ndarray) else column.take(rows)
    return cast(ColumnT, taken)

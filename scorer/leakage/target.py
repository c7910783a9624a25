"""Targets: one simple column of truth over rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import known_cells, truth_as_predictions
from scorer.leakage.frame import MISSING, Feature, Mask, Rows
from scorer.reading.cells import canonical_label
from scorer.reading.columns import FloatArray, Labels


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One simple column of truth over rows."""

    name: str
    kind: Literal["binary", "class", "number"]
    values: FloatArray
    """0 and 1, class codes into `classes`, or numbers; nan where unknown or not scored."""
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        # A traceback or a log must not carry labels.
        return f"Target({self.name}, {self.kind}, {len(self)} rows)"

    @property
    def known(self) -> Mask:
        return ~np.isnan(self.values)

    def name_of(self, code: float) -> str:
        return self.classes[int(code)] if 0 <= int(code) < len(self.classes) else f"{code:g}"

    def take(self, rows: Rows | Mask) -> Target:
        return replace(self, values=self.values[rows])

    @property
    def hot(self) -> Iterator[tuple[str, Mask]]:
        """Yield each class and its rows; of binary targets the positives."""
        for code in range(
            1 if self.kind == "binary" else 0, 2 if self.kind == "binary" else len(self.classes)
        ):
            yield self.name_of(code), self.values == code


def hidden_targets_of(challenge: Challenge) -> tuple[Target, ...]:
    """Return the targets of a named metric; see `own_targets` for others."""
    solution = challenge.solution
    columns = truth_as_predictions(solution) if solution.task.custom is None else None
    if columns is None:
        return ()
    known = known_cells(solution)
    arrays = {
        name: column
        for name, column in columns.items()
        if isinstance(column, np.ndarray) and column.dtype == np.float64
    }
    if len(arrays) == len(columns) > 1:
        matrix = np.column_stack(list(arrays.values()))
        if np.isin(matrix, (0.0, 1.0)).all() and (matrix.sum(axis=1) == 1).all():
            scored = np.logical_and.reduce(list(known.values()))
            values = np.where(scored, matrix.argmax(axis=1).astype(np.float64), np.nan)
            return (Target("class", "class" if len(arrays) > 2 else "binary", values, tuple(arrays)),)
    found = []
    for name, column in list(columns.items())[:5]:
        scored = known[name]
        if isinstance(column, Labels):
            codes = np.where(scored, column.codes, -1)
            used, dense = np.unique(codes[scored], return_inverse=True)
            values = np.full(len(codes), np.nan)
            values[scored] = dense
            names = tuple(solution.vocabulary.names[code] for code in used)
            found.append(Target(name, "binary" if len(names) <= 2 else "class", values, names))
        elif isinstance(column, np.ndarray) and column.dtype == np.float64:
            found.append(number_target(name, np.where(scored, column, np.nan)))
        else:
            return ()
    return tuple(found)


def number_target(name: str, values: FloatArray) -> Target:
    """Return numbers as a target, binary if of two values."""
    distinct = np.unique(values[~np.isnan(values)])
    if len(distinct) == 2:
        hot = np.where(np.isnan(values), np.nan, (values == distinct[1]).astype(np.float64))
        return Target(name, "binary", hot, tuple(as_written(value) for value in distinct.tolist()))
    return Target(name, "number", values)


def target_like(
    hidden: Target, feature: Feature, truth_values: Mapping[str, float] = MappingProxyType({})
) -> Target | None:
    """Return train's column in the hidden target's terms, or None.

    `truth_values` are the numbers that the challenge declares for words.
    """
    if hidden.classes:
        names = [name.strip() for name in feature.names.to_pylist()]
        names = [as_written(truth_values[name]) if name in truth_values else name for name in names]
        places = {name: code for code, name in enumerate(hidden.classes)}
        own = np.array(
            [
                next(
                    (places[way] for way in (name, canonical_label(name), _shortened(name)) if way in places),
                    -1,
                )
                for name in names
            ],
            dtype=np.float64,
        )
        if hidden.kind == "binary" and (own < 0).all() and feature.n_unique == 2:
            return None
        if len(own) == 0 or (own >= 0).sum() < min(2, len(hidden.classes)):
            return None
        extra = [
            name for name, code in zip(names, own, strict=True) if code < 0 and name.lower() not in MISSING
        ]
        for number, name in enumerate(extra):
            own[names.index(name)] = len(hidden.classes) + number
        # By what is written: a class may be called "none", which is missing in any other column.
        written = feature.texts.dictionary_encode()
        if len(written.dictionary) != len(own):
            return None
        codes = np.asarray(written.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
        values = own[codes]
        values = np.where(values < 0, np.nan, values)
        kind = hidden.kind if not extra else "class"
        return Target(hidden.name, kind, values, (*hidden.classes, *extra))
    words = [truth_values.get(name.strip(), math.nan) for name in feature.names.to_pylist()]
    if feature.kind == "category" and sum(math.isfinite(number) for number in words) >= 2:
        values = np.where(feature.missing, np.nan, np.array(words)[np.maximum(feature.codes, 0)])
        return Target(hidden.name, "number", values)
    if feature.kind != "number" and not (feature.kind == "time" and feature.name == hidden.name):
        return None
    return Target(hidden.name, "number", feature.numbers)


def as_written(number: float) -> str:
    """Return a number as a class is spelled: 1, 2.5, 1234567."""
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _shortened(name: str) -> str:
    """Return 1.0 as 1: both are one class."""
    try:
        number = float(name)
    except ValueError:
        return name
    return as_written(number) if math.isfinite(number) else name


def numbers_of_classes(target: Target) -> FloatArray | None:
    try:
        return np.array([float(name) for name in target.classes]) if target.classes else None
    except ValueError:
        return None


def in_numbers(codes: FloatArray, numbers: FloatArray) -> FloatArray:
    inside = ~np.isnan(codes) & (codes < len(numbers))
    return np.where(inside, numbers[np.where(inside, codes, 0).astype(np.int64)], np.nan)

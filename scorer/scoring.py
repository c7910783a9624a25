"""Score accepted files and write the report."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import (
    PRIVATE,
    PUBLIC,
    Given,
    Mask,
    Solution,
    known_truth,
    part_predicted,
    part_sides,
    part_truth,
    split_groups,
    truth_as_predictions,
    why_undefined,
)
from scorer.challenges.task import Part
from scorer.custom import CustomMetric
from scorer.custom_values import custom_values, texts_of
from scorer.exact import ExactSum
from scorer.reading import parsing
from scorer.reading.columns import Column, FloatArray, Labels, Lists, Rows, Vocabulary, take
from scorer.report import InvalidSubmission, Problem, Report, ScoringFailed
from scorer.sandbox import sandbox
from scorer.submission.complete import read_complete
from scorer.submission.reader import Received, read_submission
from scorer.submission.sinks import Collected, Sink

_PIECE = 65_536
"""Rows whose terms are computed at once; their arrays fit into the processor's cache."""


def score(
    challenge: Challenge,
    path: Path | str | bytes,
    *,
    solution: Solution | None = None,
    kept: Collected | None = None,
    allow_weak_sandbox: bool = False,
) -> Report:
    """Score a submission on the public and the private rows.

    Parameters
    ----------
    path
        The file (CSV, gzip, a zip of one CSV, or Parquet), or its bytes.
    solution
        The challenge's prepared solution, if the caller keeps one; default: the challenge's own.
    kept
        Collects the file's columns as well, if given; not with an organiser's own metric.
    allow_weak_sandbox
        Run an organiser's own metric even where this machine cannot isolate it well.

    Raises
    ------
    InvalidSubmission
        The file is wrong. Its messages do not reveal the split of a row.
    ScoringFailed
        The metric gave no finite number for an acceptable file.
    """
    solution = challenge.solution if solution is None else solution
    source = path if isinstance(path, bytes) else Path(path)
    splits = {"public": solution.public, "private": solution.private}
    metric_isolation: dict[str, str] = {}
    if solution.task.custom is not None:
        values, received = _score_custom(
            solution, solution.task.custom, source, challenge.max_bytes, allow_weak=allow_weak_sandbox
        )
        metric_isolation = {"metric_isolation": sandbox.isolation().level}
    elif all(task.streams for task in solution.tasks):
        sums = _Sums(solution)
        sink = sums if kept is None else _Tee(sums, kept)
        received = read_submission(source, solution, sink, max_bytes=challenge.max_bytes)
        values = [sums.values(number) for number in range(len(solution.tasks))]
    else:
        kept = Collected(len(solution.ids)) if kept is None else kept
        received = read_submission(source, solution, kept, max_bytes=challenge.max_bytes)
        columns = kept.columns()
        values = [
            _values(solution, number, columns, kept.vocabulary, splits)
            for number in range(len(solution.tasks))
        ]
    # All tasks on both splits before any refusal, so that a refusal does not reveal the split.
    for number, found in enumerate(values):
        _refuse_unless_finite(solution, number, found, splits)
    task = solution.task
    return Report(
        public=values[0]["public"],
        private=values[0]["private"],
        also={side.name: found for side, found in zip(solution.tasks[1:], values[1:], strict=True)},
        rows=solution.n_rows,
        notices=received.notices,
        provenance={
            "file_sha256": received.sha256,
            "file_bytes": received.size_bytes,
            "challenge": challenge.digest,
            "solution": challenge.solution_digest,
            "metric": task.name,
            "metric_version": task.version,
            "metric_params": task.parameters,
            "metric_digest": challenge.metric_digest,
            "isolation": parsing.level(),
            **metric_isolation,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "heldout": _own_version(),
        },
    )


def evaluate(
    solution: Solution,
    columns: Mapping[str, Column],
    vocabulary: Vocabulary,
    *,
    task: int = 0,
    allow_weak_sandbox: bool = False,
) -> dict[str, float]:
    """Return a task's values of aligned columns by split.

    {"public": x, "private": y}; every value is finite.
    """
    metric = solution.tasks[task].custom
    if metric is not None:
        return custom_values(solution, metric, texts_of(columns, vocabulary), allow_weak=allow_weak_sandbox)
    splits = {"public": solution.public, "private": solution.private}
    return task_values(solution, task, columns, vocabulary, splits)


def task_values(
    solution: Solution,
    task: int,
    columns: Mapping[str, Column],
    vocabulary: Vocabulary,
    splits: Mapping[str, Mask],
) -> dict[str, float]:
    """Return a task's finite value on each split, given as masks."""
    values = _values(solution, task, columns, vocabulary, splits)
    _refuse_unless_finite(solution, task, values, splits)
    return values


# --- values ---------------------------------------------------------------------------------------


def _values(
    solution: Solution,
    task: int,
    columns: Mapping[str, Column],
    vocabulary: Vocabulary,
    splits: Mapping[str, Mask],
) -> dict[str, float]:
    """Return values; non-finite if finite predictions overflow."""
    parts, givens = solution.tasks[task].parts, solution.given[task]
    values = {}
    for split, mask in splits.items():
        rows = np.flatnonzero(mask)
        values[split] = sum_of_parts(
            parts,
            [
                part_value(part, given, [columns[name] for name in part.columns], rows, solution, vocabulary)
                for part, given in zip(parts, givens, strict=True)
            ],
        )
    return values


def sum_of_parts(parts: Sequence[Part], values: Sequence[float]) -> float:
    if not all(math.isfinite(value) for value in values):
        return math.nan
    total = math.fsum(part.coefficient * value for part, value in zip(parts, values, strict=True))
    return total + 0.0  # not -0.0, which a board would show


def part_value(
    part: Part,
    given: Given,
    columns: Sequence[Column],
    rows: Rows,
    solution: Solution,
    vocabulary: Vocabulary,
) -> float:
    if given.weights is not None:
        rows = rows[given.weights[rows] > 0.0]  # a row of weight 0 is left out
    if given.groups is None:
        value = part.over_columns(_column_values(part, given, columns, rows, solution, vocabulary))
        return math.nan if value is None else value
    return part.over_groups(
        [
            part.over_columns(_column_values(part, given, columns, own, solution, vocabulary))
            for own in split_groups(given.groups, rows)
        ]
    )


def _column_values(
    part: Part,
    given: Given,
    columns: Sequence[Column],
    rows: Rows,
    solution: Solution,
    vocabulary: Vocabulary,
) -> list[float | None]:
    """Return each column's value; None for a column that is left out."""
    reasons: list[str | None] | None = None
    if part.modifiers.undefined == "skip":
        reasons = why_undefined(part, given, rows, solution.classes(given, vocabulary))
        if all(reasons):
            return [None] * len(reasons)
    if part.metric.decomposable:
        sums = _PartSums(part, weighted=_weighted(part, given))
        for start in range(0, len(rows), _PIECE):
            piece = rows[start : start + _PIECE]
            own = [take(column, piece) for column in columns]
            for number, (terms, weights) in enumerate(
                row_terms(part, given, own, piece, solution, vocabulary)
            ):
                sums.add(number, terms, weights)
        values: list[float | None] = [*sums.column_values()]
        return [None if why else v for why, v in zip(reasons, values, strict=True)] if reasons else values
    truth = part_truth(part, given, rows)
    predicted = part_predicted(part, [take(column, rows) for column in columns])
    known = known_truth(part, given, rows)
    calls = _calls(part, given, truth, predicted, rows, solution, vocabulary, known=known, left_out=reasons)
    return [None if value is None else float(value) for value in calls]


def row_terms(
    part: Part,
    given: Given,
    columns: Sequence[Column],
    rows: Rows,
    solution: Solution,
    vocabulary: Vocabulary,
) -> Iterator[tuple[list[FloatArray], FloatArray | None]]:
    """Yield the terms of rows and their weights, by scored column.

    m terms of each row, already weighted; pooled columns come together. A row without truth has terms and a
    weight of 0.
    """
    truth = part_truth(part, given, rows)
    weights = _weights(part, given, rows)
    known = known_truth(part, given, rows)
    calls = _calls(part, given, truth, part_predicted(part, columns), rows, solution, vocabulary)
    for number, value in enumerate(calls):
        by_row = np.asarray(value, dtype=np.float64)
        terms = [by_row] if by_row.ndim == 1 else list(by_row.T)
        terms = terms if weights is None else [term * weights for term in terms]
        if known is None:
            yield terms, weights
        else:
            here = known[number]
            kept = here.astype(np.float64) if weights is None else np.where(here, weights, 0.0)
            yield [np.where(here, term, 0.0) for term in terms], kept


def _calls(
    part: Part,
    given: Given,
    truth: Sequence[Any],
    predicted: Sequence[Any],
    rows: Rows,
    solution: Solution,
    vocabulary: Vocabulary,
    *,
    known: Sequence[Mask] | None = None,
    left_out: Sequence[str | None] | None = None,
) -> Iterator[Any]:
    """Yield what the metric returns for each call.

    With `known`, of those rows alone. None for the calls that are `left_out`.
    """
    classes = solution.classes(given, vocabulary)
    sides = part_sides(part, given, rows)
    weights = _weights(part, given, rows)
    for number, (t, p) in enumerate(zip(truth, predicted, strict=True)):
        if left_out is not None and left_out[number]:
            yield None
            continue
        w, own = weights, sides
        if known is not None:
            mask = known[number]
            t, p = take(t, mask), take(p, mask)
            w = None if weights is None else weights[mask]
            own = {role: None if side is None else take(side, mask) for role, side in sides.items()}
        yield part.metric.call(t, p, part.parameters, weights=w, classes=classes, sides=own)


def _weighted(part: Part, given: Given) -> bool:
    return given.weights is not None or part.modifiers.truth_missing == "skip"


def _weights(part: Part, given: Given, rows: Rows) -> FloatArray | None:
    if given.weights is None:
        return None
    weights = np.asarray(given.weights[rows], dtype=np.float64)
    pooled = part.layout == "columns" and part.modifiers.columns == "pooled"
    return np.tile(weights, len(part.columns)) if pooled else weights


class _PartSums:
    """Exact sums of one decomposable part over some rows.

    Exact, so that the order of rows does not matter.
    """

    def __init__(self, part: Part, *, weighted: bool) -> None:
        self.part, self._weighted = part, weighted
        self._terms: list[list[ExactSum]] = []
        """Of each column, or of all together; of each term."""
        self._weights: list[ExactSum] = []
        self._n: list[int] = []

    def add(self, number: int, terms: Sequence[FloatArray], weights: FloatArray | None) -> None:
        if len(self._terms) <= number:
            self._terms.append([ExactSum() for _ in terms])
            self._weights.append(ExactSum())
            self._n.append(0)
        self._n[number] += len(terms[0])
        for total, term in zip(self._terms[number], terms, strict=True):
            total.add(term)
        if weights is not None:
            self._weights[number].add(weights)

    def column_values(self) -> list[float]:
        finish = self.part.metric.finish
        assert finish is not None
        values = []
        for terms, weights, n in zip(self._terms, self._weights, self._n, strict=True):
            sums = np.array([total.value() for total in terms])
            weight = weights.value() if self._weighted else float(n)
            finite = bool(np.isfinite(sums).all())
            with np.errstate(all="ignore"):
                values.append(finish(sums, weight, self.part.parameters) if finite else math.nan)
        return values

    def value(self) -> float:
        value = self.part.over_columns(self.column_values())
        return math.nan if value is None else value


class _Sums:
    """Sums of decomposable metrics while the file is read.

    No column is kept.
    """

    def __init__(self, solution: Solution) -> None:
        self._solution = solution
        self.restart()

    def restart(self) -> None:
        self._sums = [
            {
                split: [
                    _PartSums(part, weighted=_weighted(part, given))
                    for part, given in zip(task.parts, givens, strict=True)
                ]
                for split in _SPLITS
            }
            for task, givens in zip(self._solution.tasks, self._solution.given, strict=True)
        ]

    def add(self, rows: Rows, columns: Mapping[str, Column], vocabulary: Vocabulary) -> None:
        for start in range(0, len(rows), _PIECE):
            piece = rows[start : start + _PIECE]
            place = slice(start, start + _PIECE)
            self._add(piece, {name: _slice(column, place) for name, column in columns.items()}, vocabulary)

    def _add(self, rows: Rows, columns: Mapping[str, Column], vocabulary: Vocabulary) -> None:
        solution = self._solution
        usage = solution.usage[rows]
        picks = {split: usage == code for split, code in _SPLITS.items()}
        for task, givens, sums in zip(solution.tasks, solution.given, self._sums, strict=True):
            for i, (part, given) in enumerate(zip(task.parts, givens, strict=True)):
                own = [columns[name] for name in part.columns]
                for number, (terms, weights) in enumerate(
                    row_terms(part, given, own, rows, solution, vocabulary)
                ):
                    times = len(terms[0]) // max(len(rows), 1)  # pooled columns stand below each other
                    for split, pick in picks.items():
                        mine = np.tile(pick, times) if times > 1 else pick
                        picked = None if weights is None else weights[mine]
                        sums[split][i].add(number, [term[mine] for term in terms], picked)

    def values(self, task: int) -> dict[str, float]:
        parts = self._solution.tasks[task].parts
        return {
            split: sum_of_parts(parts, [own.value() for own in sums])
            for split, sums in self._sums[task].items()
        }


class _Tee:
    """A sink that passes predictions to others."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def restart(self) -> None:
        for sink in self._sinks:
            sink.restart()

    def add(self, rows: Rows, columns: Mapping[str, Column], vocabulary: Vocabulary) -> None:
        for sink in self._sinks:
            sink.add(rows, columns, vocabulary)


_SPLITS = {"public": PUBLIC, "private": PRIVATE}


def _slice(column: Column, place: slice) -> Column:
    if isinstance(column, Labels):
        return Labels(column.codes[place])
    if isinstance(column, Lists):
        return column.take(np.arange(*place.indices(len(column))))
    return column[place]


def _refuse_unless_finite(
    solution: Solution, task: int, values: Mapping[str, float], splits: Mapping[str, Mask]
) -> None:
    if all(math.isfinite(value) for value in values.values()):
        return
    truth = truth_as_predictions(solution, task)
    exact = {} if truth is None else _values(solution, task, truth, solution.vocabulary, splits)
    if not all(math.isfinite(value) for value in exact.values()):
        raise ScoringFailed(f"{solution.tasks[task].name} is not finite even for the true values.")
    # Finite for the truth, so the predictions are too large.
    message = "The predictions are so large that the score cannot be computed. Check their unit."
    raise InvalidSubmission([Problem("VALUE_TOO_LARGE", message)])


@cache
def _own_version() -> str:
    try:
        return version("heldout")
    except PackageNotFoundError:
        return "not installed"


def _score_custom(
    solution: Solution, metric: CustomMetric, source: Path | bytes, max_bytes: int, *, allow_weak: bool
) -> tuple[list[dict[str, float]], Received]:
    if solution.task.complete:
        texts, received = read_complete(source, solution, max_bytes=max_bytes)
    else:
        kept = Collected(len(solution.ids))
        received = read_submission(source, solution, kept, max_bytes=max_bytes)
        texts = texts_of(kept.columns(), kept.vocabulary)
    return [custom_values(solution, metric, texts, allow_weak=allow_weak)], received

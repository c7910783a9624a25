"""The best constant prediction of a challenge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.solution import Solution
from scorer.folds import CannotScoreTrain, train_solution
from scorer.reading.columns import Column, FloatArray, Labels, Vocabulary
from scorer.report import InvalidSubmission
from scorer.resampling.resampling import read, standard_error
from scorer.resampling.units import Aligned, NotResampled, value
from scorer.scoring import score


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The best prediction without a model; a useful score beats it."""

    name: str
    public: float
    private: float
    """For the organiser, before the close."""
    se_public: float | None
    """Standard error of `public`; None with the reason in `why_no_se`."""
    why_no_se: str
    aligned: Aligned
    """Its predictions; without columns where the metric is the organiser's own."""


def benchmark(challenge: Challenge, *, seed: int = 0, allow_weak_sandbox: bool = False) -> Benchmark:
    """Return the better of sample submission and best constant.

    Better on the public rows; the constant is made from public/train.csv.

    Constants are the mean, the median and the most frequent value of each target column, or the share of each
    class, whichever is best on train.

    Raises
    ------
    NotResampled
        There is neither a sample submission that can be scored nor a constant.
    """
    solution = challenge.solution
    sample = challenge.folder / SAMPLE_FILE
    if solution.task.custom is not None:
        if not sample.is_file():
            raise NotResampled(
                "The metric is the organiser's own and there is no sample submission to score."
            )
        report = score(challenge, sample, allow_weak_sandbox=allow_weak_sandbox)
        why = "The metric is the organiser's own function, which is not run on resamples."
        return Benchmark(
            "sample submission", report.public, report.private, None, why, Aligned({}, Vocabulary())
        )
    files: dict[str, Aligned] = {}
    if sample.is_file():
        with suppress(InvalidSubmission):  # `scorer.check` reports it; a constant takes its place
            files["sample submission"] = read(challenge, sample)
    constant = _best_constant(challenge)
    if constant is not None:
        name, aligned = constant
        files[name] = aligned
    if not files:
        raise NotResampled(
            "There is no sample submission that can be scored and no simple constant prediction."
        )
    better = max if solution.task.greater_is_better else min
    values = {name: value(solution, aligned, solution.public) for name, aligned in files.items()}
    best = better(values, key=values.__getitem__)
    private = value(solution, files[best], solution.private)
    try:
        se = standard_error(solution, files[best], solution.public, seed=seed)
    except NotResampled as error:
        return Benchmark(best, values[best], private, None, str(error), files[best])
    return Benchmark(best, values[best], private, se, "", files[best])


def _best_constant(challenge: Challenge) -> tuple[str, Aligned] | None:
    try:
        train = train_solution(challenge)
    except CannotScoreTrain:
        return None
    test = challenge.solution
    every = np.arange(len(train.ids))
    found: list[tuple[float, str, Aligned]] = []
    for name in ("mean", "median", "most frequent"):
        texts = _constants(train, name)
        if texts is None:
            continue
        there = value(train, _filled(train, texts), every)
        if math.isfinite(there):
            found.append((there, f"{name} of train", _filled(test, texts)))
    if not found:
        return None
    best = (max if test.task.greater_is_better else min)(found, key=lambda entry: entry[0])
    return best[1], best[2]


def _constants(train: Solution, statistic: str) -> dict[str, float | str] | None:
    """Return one constant per predicted column.

    A number or the name of a label; None if the target has another form.
    """
    found: dict[str, float | str] = {}
    for part, given in zip(train.task.parts, train.given[0], strict=True):
        cells = part.predicted_cells
        if part.metric.truth_roles or part.layout == "matrix":
            return None
        if part.layout == "classes":
            (labels,) = given.truth
            assert isinstance(labels, Labels)
            if statistic != "mean":
                return None
            codes = labels.codes[labels.codes >= 0]
            shares = np.bincount(codes, minlength=len(part.columns)) / len(codes)
            found.update(zip(part.columns, shares.tolist(), strict=True))
            continue
        if len(given.truth) != len(part.columns):
            return None
        for name, column in zip(part.columns, given.truth, strict=True):
            if isinstance(column, Labels) and cells.kind == "label":
                if statistic != "most frequent":
                    return None
                codes = column.codes[column.codes >= 0]
                found[name] = train.vocabulary.names[int(np.bincount(codes).argmax())]
            elif (
                isinstance(column, np.ndarray)
                and column.dtype != np.object_
                and cells.kind in ("number", "integer", "flag")
            ):
                numbers = np.asarray(column, dtype=np.float64)
                found[name] = _middle(
                    numbers[~np.isnan(numbers)],
                    statistic,
                    low=cells.low,
                    high=cells.high,
                    whole=cells.kind != "number",
                )
            else:
                return None
    return found


def _middle(column: FloatArray, statistic: str, *, low: float, high: float, whole: bool) -> float:
    if statistic == "mean":
        middle = float(np.mean(column))
    elif statistic == "median":
        middle = float(np.median(column))
    else:
        values, times = np.unique(column, return_counts=True)
        middle = float(values[times.argmax()])
    middle = min(max(middle, low), high)
    return float(round(middle)) if whole else middle


def _filled(solution: Solution, texts: Mapping[str, float | str]) -> Aligned:
    vocabulary = solution.vocabulary.copy()
    n = len(solution.ids)
    columns: dict[str, Column] = {}
    for name in solution.task.columns:
        held = texts.get(name, 0.0)
        if isinstance(held, str):
            columns[name] = Labels(np.full(n, vocabulary.code(held), dtype=np.int32))
        else:
            columns[name] = np.full(n, held)
    return Aligned(columns, vocabulary)

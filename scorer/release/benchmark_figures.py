"""Figures of a challenge's benchmark that the release rule needs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import Solution, truth_as_predictions
from scorer.challenges.task import Task
from scorer.custom_cells import holds_numbers, true_cells
from scorer.custom_values import custom_values
from scorer.overfitting.views import logit
from scorer.reading.columns import Column, Labels
from scorer.release import modes
from scorer.release.modes import UNLIMITED, Range
from scorer.release.oracle_budget import costs
from scorer.report import InvalidSubmission, ScoringFailed
from scorer.resampling.benchmark import Benchmark, benchmark
from scorer.resampling.resampling import standard_error
from scorer.resampling.units import Aligned, NotResampled, value


def benchmark_figures(challenge: Challenge, *, allow_weak_sandbox: bool = False) -> dict[str, Any]:
    """Return the benchmark's scores and the rounding steps, for JSON.

    They depend on hidden labels and are for organisers. Stored with the version under these keys:

    name, public, private, se_public (None with the reason in `why`), n_public; `step`, to which public scores
    are rounded; `range`, the lowest and highest that are shown (see `modes.shown_range`; None where there is
    no limit); `also_steps` and `also_ranges`, by side metric (those of unknown noise have none and are not
    shown); `costs`, what each release rule lets participants find out.
    """
    solution = challenge.solution
    n_public = solution.n_rows["public"]
    figures: dict[str, Any] = {
        "n_public": n_public,
        "range": list(UNLIMITED),
        "also_steps": {},
        "also_ranges": {},
    }
    try:
        found = benchmark(challenge, allow_weak_sandbox=allow_weak_sandbox)
    except NotResampled as reason:
        figures |= {"name": None, "public": None, "private": None, "se_public": None, "why": str(reason)}
        figures["step"] = modes.rounding_step(n_public, None)
    else:
        best = _best(solution, allow_weak_sandbox=allow_weak_sandbox)
        chance = _chance(challenge, found)
        step = modes.rounding_step(
            n_public, _usual_error(found, best, n_public) if chance is None else chance
        )
        figures |= {
            "name": found.name,
            "public": found.public,
            "private": found.private,
            "se_public": chance,
            "why": found.why_no_se,
            "step": step,
            "range": list(_range(solution.task, found.public, best, step)),
        }
        if found.se_public is not None:
            for task, given in zip(solution.tasks[1:], solution.given[1:], strict=True):
                alone = replace(solution, tasks=(task,), given=(given,))
                try:
                    spread = standard_error(alone, found.aligned, alone.public, seed=0)
                except NotResampled:
                    continue
                step = modes.rounding_step(n_public, spread)
                public = value(alone, found.aligned, alone.public)
                figures["also_steps"][task.name] = step
                figures["also_ranges"][task.name] = list(_range(task, public, _best(alone), step))
    figures["costs"] = _costs(challenge, figures)
    return figures


def is_endless(task: Task) -> bool:
    """Return whether a file can be worse than any bound."""
    clipped = len(task.parts) == 1 and getattr(task.parts[0].parameters, "eps", None) is not None
    return math.isinf(task.worst) and not (clipped and task.name == "log_loss")


def _range(task: Task, benchmark: float, best: float | None, step: float) -> Range:
    # Of an own metric nothing is known if even its best value is not.
    if not is_endless(task) or (task.custom is not None and best is None):
        return UNLIMITED
    return modes.shown_range(benchmark, best, step, greater_is_better=task.greater_is_better)


def _best(solution: Solution, *, allow_weak_sandbox: bool = False) -> float | None:
    """Return the best public score; None if unknown.

    The truth's own where the metric has no best value, as with every metric of the organiser.
    """
    task = solution.task
    if math.isfinite(task.best):
        return task.best
    try:
        if task.custom is not None:
            if task.complete or any(name not in solution.frame for name in task.columns):
                return None
            texts = {name: solution.frame[name].tolist() for name in task.columns}
            if not all(map(holds_numbers, map(true_cells, (texts[name] for name in task.numeric)))):
                return None  # predictions are numbers, and the truth is in words
            best = custom_values(solution, task.custom, texts, allow_weak=allow_weak_sandbox)["public"]
        else:
            truth = truth_as_predictions(solution)
            if truth is None or set(truth) != set(task.columns):
                return None
            best = value(solution, Aligned(truth, solution.vocabulary), solution.public)
    except (InvalidSubmission, ScoringFailed, NotResampled):
        return None
    return best if math.isfinite(best) else None


def _usual_error(found: Benchmark, best: float | None, n_public: int) -> float | None:
    """Return what the standard error of a mean of losses usually is.

    For metrics that are not resampled: 1/n alone would be next to no rounding where scores are large. A loss
    varies from row to row by about its mean.
    """
    return None if best is None else abs(found.public - best) / math.sqrt(n_public)


def _chance(challenge: Challenge, found: Benchmark) -> float | None:
    """Return how much chance changes a public score.

    In the metric's unit; None if unknown.

    It is the benchmark's standard error. A constant may have almost none: its AUC is always one half, and
    with even classes all of its log-losses are equal. If it is less than a quarter of the standard error of
    the benchmark with random noise, the latter is returned. No team's file is used.
    """
    solution, constant = challenge.solution, found.se_public
    if constant is None:
        return constant
    rng = np.random.default_rng(0)
    columns = {name: _noisy(column, challenge, rng) for name, column in found.aligned.columns.items()}
    file = replace(found.aligned, columns=columns)
    try:
        noisy = standard_error(solution, file, solution.public, seed=0)
    except NotResampled:
        return constant
    return constant if constant >= noisy / 4 else noisy


def _noisy(column: Column, challenge: Challenge, rng: np.random.Generator) -> Column:
    if isinstance(column, Labels):
        codes = np.unique(challenge.solution.given[0][0].class_codes)
        drawn = rng.choice(codes, len(column)).astype(column.codes.dtype) if len(codes) else column.codes
        return Labels(drawn)
    if not isinstance(column, np.ndarray) or column.dtype == np.object_:
        return column
    noise = rng.normal(size=len(column))
    if challenge.task.kind == "probability":
        return 1.0 / (1.0 + np.exp(-(logit(column.astype(np.float64)) + noise)))
    if np.isin(column, (0.0, 1.0)).all():
        return (noise > 0.0).astype(np.float64)
    return column + noise


def _costs(challenge: Challenge, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what each release rule reveals under the challenge's limits.

    None stands for no end.
    """
    task, limits = challenge.task, challenge.competition
    single = task.parts[0] if len(task.parts) == 1 else None
    clip = getattr(single.parameters, "eps", None) if single is not None and task.name == "log_loss" else None
    counts_rows = single is not None and task.name == "accuracy" and single.modifiers.weight is None
    found = costs(
        task.name,
        n_public=figures["n_public"],
        step=figures["step"],
        bounds=task.bounds,
        shown=tuple(figures["range"]),
        greater_is_better=task.greater_is_better,
        own_step=1 / figures["n_public"] if counts_rows else 0.0,
        clip=clip,
        benchmark=figures["public"],
        daily_limit=limits.daily_limit,
        days=limits.duration_days,
        total_limit=limits.total_limit,
    )
    return [
        {
            "mode": cost.mode,
            "submissions": cost.submissions if math.isfinite(cost.submissions) else None,
            "days": cost.days if math.isfinite(cost.days) else None,
            "share": cost.share,
            "words": cost.sentence,
        }
        for cost in found
    ]

"""What the release of public scores needs to know of a challenge: its benchmark, and steps no finer than chance."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from scorer.challenge import Challenge
from scorer.columns import Column
from scorer.overfitting import release
from scorer.overfitting.resampling import Benchmark, NotResampled, benchmark, standard_error
from scorer.overfitting.views import logit


def benchmark_terms(challenge: Challenge) -> dict[str, Any]:
    """For the version's row, ready for JSON; it depends on hidden labels and is for organisers.

    name, public, private, se_public (None with the reason in `why`), n_public; `step`, to which public scores
    are rounded; `also_steps`, by side metric (those whose chance is unknown have none and are not shown);
    `costs`, what each way of release would let participants find out.
    """
    solution = challenge.solution
    n_public = solution.n_rows["public"]
    terms: dict[str, Any] = {"n_public": n_public, "also_steps": {}}
    try:
        found = benchmark(challenge)
    except NotResampled as reason:
        terms |= {"name": None, "public": None, "private": None, "se_public": None, "why": str(reason)}
        terms["step"] = release.rounding_step(n_public, None)
    else:
        terms |= {
            "name": found.name,
            "public": found.public,
            "private": found.private,
            "se_public": found.se_public,
            "why": found.why_no_se,
            "step": release.rounding_step(n_public, _chance(challenge, found)),
        }
        if found.se_public is not None:
            for task, given in zip(solution.tasks[1:], solution.given[1:], strict=True):
                alone = replace(solution, tasks=(task,), given=(given,))
                try:
                    spread = standard_error(alone, found.aligned, alone.public, seed=0)
                except NotResampled:
                    continue
                terms["also_steps"][task.name] = release.rounding_step(n_public, spread)
    terms["costs"] = _costs(challenge, terms)
    return terms


def _chance(challenge: Challenge, found: Benchmark) -> float | None:
    """The standard error that the step is made from. Where classes are even, all losses of a constant probability are
    equal and its standard error is 0, which would show everything: so probabilities are also taken as those
    of a file with random logits of one unit around the benchmark's."""
    if found.se_public is None or challenge.task.kind != "probability":
        return found.se_public
    solution = challenge.solution
    rng = np.random.default_rng(0)
    columns: dict[str, Column] = {}
    for name, column in found.aligned.columns.items():
        if not isinstance(column, np.ndarray) or column.dtype == np.object_:
            return found.se_public
        moved = logit(column.astype(np.float64)) + rng.normal(size=len(column))
        columns[name] = 1.0 / (1.0 + np.exp(-moved))
    file = replace(found.aligned, columns=columns)
    try:
        return max(found.se_public, standard_error(solution, file, solution.public, seed=0))
    except NotResampled:
        return found.se_public


def _costs(challenge: Challenge, terms: dict[str, Any]) -> list[dict[str, Any]]:
    """What each way of showing scores gives away under the challenge's own limits; None stands for no end."""
    task, limits = challenge.task, challenge.competition
    single = task.parts[0] if len(task.parts) == 1 else None
    clip = getattr(single.parameters, "eps", None) if single is not None and task.name == "log_loss" else None
    counts_rows = single is not None and task.name == "accuracy" and single.modifiers.weight is None
    found = release.costs(
        task.name,
        n_public=terms["n_public"],
        step=terms["step"],
        bounds=task.bounds,
        greater_is_better=task.greater_is_better,
        own_step=1 / terms["n_public"] if counts_rows else 0.0,
        clip=clip,
        benchmark=terms["public"],
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

"""Test size, metric and public scores that let scores mean something."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import PRIVATE, PUBLIC, Solution, truth_as_predictions
from scorer.challenges.task import Task
from scorer.leakage.check import Found, Severity, check
from scorer.leakage.frame import Rows
from scorer.leakage.material import Material, NotChecked
from scorer.reading.columns import Column, FloatArray, Labels, Lists, take
from scorer.release.benchmark_figures import benchmark_figures, is_endless
from scorer.release.oracle_budget import OracleBudget, oracle_budget
from scorer.report import HeldoutError, InvalidSubmission
from scorer.resampling.benchmark import benchmark
from scorer.resampling.resampling import standard_error
from scorer.resampling.units import Aligned, NotResampled, value

_POWER = 2.8
"""1.96 + .84: a true difference of so many standard errors is detected in 80 % of cases at 5 %."""
_FEW = 100
"""Rows of the rarer class below which a private score moves with single rows."""
_VERY_FEW = 10
_FEW_ROWS = 20
_TEAMS = 100
_SKILL = 0.05
"""Spread of the teams' true scores in the forecast of ties, as a share of the way from benchmark to best."""
_WRONG = 0.3
"""Share of rows that an ordinary model is assumed to have wrong."""
_NEAR_CEILING = 0.005
"""Of the metric's range."""


@check("test_too_small", scope="challenge", needs=(), cost="200 resamples of n")
def test_too_small(material: Material) -> Iterator[Found]:
    """Too few test rows to separate a better submission from chance.

    effect: the difference of two submissions that is seen in 80 % of cases, as a share of the way from the
    benchmark to the best score. The standard error is the larger of a constant's and of a model's that has
    30 % of the rows wrong; differences of two models are taken to have the same one, as they do where their
    rows' losses correlate by one half.
    """
    challenge = material.challenge
    solution = challenge.solution
    is_own = challenge.task.custom is not None
    rows = np.flatnonzero(solution.private)
    n = len(rows)
    words, severity = [], None
    for target in material.hidden_targets:
        own = target.values[rows]
        own = own[~np.isnan(own)]
        if target.kind == "binary" and len(own):
            rarer = int(min((own == 0).sum(), (own == 1).sum()))
            if rarer < _FEW:
                words.append(f"the rarer class of {target.name} has {rarer} private rows")
                severity = _worse(severity, "warn" if rarer < _VERY_FEW else "info")
    if n < _FEW_ROWS:
        words.append(f"there are {n} private rows")
        severity = "warn"
    if is_own and severity is None:
        _refuse_own(challenge)
    spread = None if is_own else _spread(challenge, material.seed)
    effect = None
    if spread is not None:
        start, best, error = spread
        gap = abs(best - start)
        least = _POWER * error
        effect = least / gap if gap > 0 else math.inf
        if effect > 0.1:
            words.append(
                f"a score over {n:,} private rows has a standard error of about {error:.3g}, so only a "
                "difference of "
                f"{least:.3g} between two submissions is detected in 80 % of cases, {effect:.0%} of the "
                f"way from the benchmark ({start:.4g}) to the best score ({best:.4g}); "
                f"of {_TEAMS} teams whose true scores spread by {_SKILL:.0%} of that way about "
                f"{_tied(error, gap, material.seed)} would be tied for first"
            )
            severity = _worse(severity, "warn" if effect > 0.6 else "info")
    if severity is not None:
        text = "; ".join(words)
        yield Found(
            f"{text[:1].upper()}{text[1:]}.",
            "Keep more rows for the test, above all for the private side, or announce that close places "
            "are ties.",
            effect=effect,
            severity=severity,
        )


@check("oracle_budget", scope="challenge", needs=(), cost="1")
def oracle_budget_check(material: Material) -> Iterator[Found]:
    """Public scores enough to work out the public labels.

    Of one team within the competition's limits.

    effect: share of the public labels that can be recovered within the competition's own limits.
    """
    challenge = material.challenge
    _refuse_own(challenge)
    run = challenge.competition
    days = run.duration_days
    if days is None and run.opens_at and run.closes_at:
        length = datetime.fromisoformat(run.closes_at) - datetime.fromisoformat(run.opens_at)
        days = max(1, math.ceil(length.total_seconds() / 86_400))
    n = challenge.solution.n_rows["public"]
    budget = _budget(challenge, days)
    if budget.share < 1:
        return
    real = budget.formula in ("code", "comparison") or (
        budget.mode == "exact"
        and (is_endless(challenge.task) or (math.isfinite(budget.allowed) and budget.allowed >= n))
    )
    in_a_day = real and budget.submissions <= run.daily_limit
    severity: Severity = "warn" if real and (math.isfinite(budget.allowed) or in_a_day) else "info"
    if severity == "info" and budget.formula == "transcripts":
        return  # a bound from counting, far beyond known attacks
    yield Found(
        budget.sentence,
        "Show public scores rounded or by the ladder, set total_limit beside the daily limit, or give the "
        "public side more rows. The private side is not affected.",
        effect=budget.share,
        severity=severity,
    )


@check("metric_degenerate", scope="challenge", needs=(), cost="10 n", blocks=True)
def metric_degenerate(material: Material) -> Iterator[Found]:
    """Metrics undefined on a split, or won by a constant.

    effect: how far the best constant gets on the way from the worst to the best score, where these are
    finite.
    """
    challenge = material.challenge
    solution, task = challenge.solution, challenge.task
    if task.custom is not None:
        constant = list(_constant_targets(material))
        yield from constant
        if constant:
            return
        _refuse_own(challenge)
    truth = truth_as_predictions(solution)
    if truth is None or set(truth) != set(task.columns):
        raise NotChecked("the truth of this metric is no prediction, so no constant can be tried")
    better = max if task.greater_is_better else min
    for split, code in (("public", PUBLIC), ("private", PRIVATE)):
        rows = np.flatnonzero(solution.usage == code)
        best = task.best
        own = _value(solution, truth, rows)
        if own is None or math.isnan(own):
            yield Found(
                f"{task.name} has no value on the {split} rows, even for the true values.",
                "Draw the split again so that both sides have every class, or choose another metric.",
                severity="block",
                where=split,
            )
            continue
        if not task.truth_is_best or not math.isfinite(best):
            best = own
        values = {
            name: found
            for name, columns in _constants(truth, rows).items()
            if (found := _value(solution, columns, rows)) is not None and not math.isnan(found)
        }
        if not values:
            continue
        name = better(values, key=values.__getitem__)
        reached = values[name]
        low, high = task.bounds
        finite = math.isfinite(low) and math.isfinite(high)
        share = 1 - abs(best - reached) / (high - low) if finite else None
        if abs(best - reached) <= 1e-9 * max(1.0, abs(best)):
            yield Found(
                f"On the {split} rows the {name} as a constant prediction scores {reached:.6g}, which is "
                "the best possible score.",
                "Only one value is left to predict there: draw the split again, or choose a metric that "
                "distinguishes submissions.",
                effect=share,
                severity="block",
                where=split,
            )
        elif share is not None and share > 1 - _NEAR_CEILING:
            yield Found(
                f"On the {split} rows the {name} as a constant prediction scores {reached:.6g} of "
                f"{best:.6g}: submissions can hardly improve on it.",
                "Choose a metric that depends on the rarer class (average precision, balanced accuracy, "
                "log-loss).",
                effect=share,
                severity="warn",
                where=split,
            )
    if len(material.hidden_targets) > 1:
        yield from _constant_targets(material)


def _constant_targets(material: Material) -> Iterator[Found]:
    usage = material.challenge.solution.usage
    for target in material.hidden_targets:
        for split, code in (("public", PUBLIC), ("private", PRIVATE)):
            own_values = target.values[usage == code]
            own_values = own_values[~np.isnan(own_values)]
            if len(own_values) and own_values.min() == own_values.max():
                yield Found(
                    f"{target.name} has one value only in all {len(own_values):,} {split} rows.",
                    "Remove that column from the metric, or draw the split again.",
                    where=f"{split}, {target.name}",
                )


def _refuse_own(challenge: Challenge) -> None:
    if challenge.task.custom is not None:
        raise NotChecked("the metric is the organiser's own function, which is not run on parts of the rows")


def _worse(a: Severity | None, b: Severity) -> Severity:
    return "warn" if "warn" in (a, b) else b


# --- standard errors and ties -------------------------------------------------------------------------


def _spread(challenge: Challenge, seed: int) -> tuple[float, float, float] | None:
    """Return the benchmark's score, the best one, and an error.

    On the private rows. None if the metric gives none.
    """
    solution, task = challenge.solution, challenge.task
    rows = np.flatnonzero(solution.private)
    truth = truth_as_predictions(solution)
    files: list[Aligned] = []
    start = math.nan
    try:
        found = benchmark(challenge, seed=seed)
        start = found.private
        files.append(found.aligned)
    except (NotResampled, HeldoutError):
        pass
    best = task.best
    if truth is not None and set(truth) == set(task.columns):
        files.append(Aligned(_ordinary(truth, challenge.task, seed), solution.vocabulary))
        if not math.isfinite(best) or not task.truth_is_best:
            best = _value(solution, truth, rows) or best
        if math.isnan(start):
            tried = [_value(solution, columns, rows) for columns in _constants(truth, rows).values()]
            numbers = [one for one in tried if one is not None and math.isfinite(one)]
            if numbers:
                start = max(numbers) if task.greater_is_better else min(numbers)
    errors = []
    for file in files:
        try:
            errors.append(standard_error(solution, file, rows, seed=seed, n=100))
        except HeldoutError:
            continue
    errors = [error for error in errors if math.isfinite(error)]
    if not errors or not math.isfinite(best) or not math.isfinite(start):
        return None
    return start, best, max(errors)


def _ordinary(truth: Mapping[str, Column], task: Task, seed: int) -> dict[str, Column]:
    """Return predictions as a model might make them.

    Some rows are wrong, and numbers and probabilities are not quite right.
    """
    rng = np.random.default_rng(seed)
    n = len(next(iter(truth.values())))
    rows = np.arange(n)
    wrong = np.flatnonzero(rng.random(n) < _WRONG)
    rows[wrong] = rng.permutation(wrong)
    columns = {name: take(column, rows) for name, column in truth.items()}
    return {
        name: 0.5 * column + 0.5 * float(column.mean())
        if isinstance(column, np.ndarray) and column.dtype == np.float64 and task.cells(name).kind == "number"
        else column
        for name, column in columns.items()
    }


def _tied(error: float, gap: float, seed: int) -> int:
    """Return how many teams are tied with the leader.

    At 5 % one-sided, on average over boards drawn at random.
    """
    rng = np.random.default_rng(seed)
    skill = rng.normal(0, _SKILL * gap, (200, _TEAMS))
    seen = skill + rng.normal(0, error / math.sqrt(2), skill.shape)
    return round(float((seen > seen.max(axis=1, keepdims=True) - 1.645 * error).sum(axis=1).mean()))


def _budget(challenge: Challenge, days: int | None) -> OracleBudget:
    solution, task, run = challenge.solution, challenge.task, challenge.competition
    n = solution.n_rows["public"]
    figures = benchmark_figures(challenge)
    start, step = figures["public"], figures["step"]
    part = task.parts[0]
    clip = getattr(part.parameters, "eps", None) if part.metric.name == "log_loss" else None
    if len(task.parts) > 1:
        clip = None
    low, high = (0.0, math.log((1 - clip) / clip)) if clip else task.bounds
    if run.public_score == "exact":
        step = 1.0 / n if task.kind == "label" and part.metric.name == "accuracy" else 0.0
    return oracle_budget(
        task.name,
        mode=run.public_score,
        n_public=n,
        step=step,
        bounds=task.bounds,
        shown=tuple(figures["range"]),
        greater_is_better=task.greater_is_better,
        clip=clip,
        benchmark=start if start is not None and low <= start <= high else None,
        daily_limit=run.daily_limit,
        days=days,
        total_limit=run.total_limit,
    )


# --- constants ----------------------------------------------------------------------------------------


def _constants(truth: Mapping[str, Column], rows: Rows) -> dict[str, dict[str, Column]]:
    """Return constant predictions by name."""
    found: dict[str, dict[str, Column]] = {}
    numeric = {
        name: column
        for name, column in truth.items()
        if isinstance(column, np.ndarray) and column.dtype == np.float64
    }
    if len(numeric) == len(truth):
        for name, middle in (("mean", np.mean), ("median", np.median), ("most frequent value", _mode)):
            found[name] = {
                key: np.full(len(column), float(middle(np.asarray(column[rows], dtype=np.float64))))
                for key, column in numeric.items()
            }
        if 1 < len(numeric) <= 200 and all(np.isin(column, (0.0, 1.0)).all() for column in numeric.values()):
            common = max(numeric, key=lambda key: float(numeric[key][rows].sum()))
            found[f"class {common}"] = {
                key: np.full(len(column), float(key == common)) for key, column in numeric.items()
            }
        return found
    for rank in range(3):
        constant: dict[str, Column] = {}
        for name, column in truth.items():
            held = _frequent(column, rows, rank)
            if held is not None:
                constant[name] = held
        if len(constant) == len(truth):
            found["most frequent value" if rank == 0 else f"value of rank {rank + 1}"] = constant
    return found


def _frequent(column: Column, rows: Rows, rank: int) -> Column | None:
    """Return the value of a rank by frequency, if any."""
    if isinstance(column, Labels):
        keys: list[object] = take(column, rows).codes.tolist()
    elif isinstance(column, Lists):
        keys = [tuple(column.of(int(row)).tolist()) for row in rows]
    else:
        keys = column[rows].tolist()
    places: dict[object, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    ranked = sorted(places.values(), key=len, reverse=True)
    if rank >= len(ranked):
        return None
    return take(column, np.full(len(column), int(rows[ranked[rank][0]]), dtype=np.int64))


def _mode(values: FloatArray) -> float:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])


def _value(solution: Solution, columns: Mapping[str, Column], rows: Rows) -> float | None:
    """Return the ranking metric on some rows, unless it refuses."""
    try:
        return value(solution, Aligned(columns, solution.vocabulary), rows)
    except (InvalidSubmission, HeldoutError):
        return None

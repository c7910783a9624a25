"""Release rules: how much of a public score is shown.

A shown score answers a question about hidden labels. Rounding makes each answer smaller; the ladder answers
"no" to most. The ladder is Blum and Hardt's (ICML 2015) without parameters: a score is shown only if it beats
the shown one by c standard errors of the paired difference. Theirs starts at infinity, where an attacker can
climb for hundreds of files and read labels off every step; this one starts at the challenge's benchmark.

Standard library only, because the web process imports this module; the caller computes the standard errors.
benchmarks/integrity/oracle.py and boosting.py attack these functions.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

Mode = Literal["exact", "rounded", "ladder"]

NO_IMPROVEMENT = "NOTICE_NO_IMPROVEMENT"
"""Code of the notice beside a score that the ladder did not move."""

WORSE_THAN_SHOWN = "NOTICE_WORSE_THAN_SHOWN"
"""Code of the notice beside a score that is worse than the worst one that is shown."""

Range = tuple[float | None, float | None]
"""Lowest and highest score that is shown; None where there is no limit."""

UNLIMITED: Range = (None, None)

LADDER_C = 3.0
"""Standard errors that an improvement on the ladder must exceed. With 1 or 2 a team that sends 500 random
files gains .019 or .015 of public accuracy over private (n = 4,000), with 3 nothing measurable. The price:
honest teams see fewer of their small improvements."""


def nice_step(value: float) -> float:
    """Return the smallest nice step not below `value`.

    1, 2 or 5 x 10^j for any integer j.

    Raises
    ------
    ValueError
        If `value` is not finite and above 0.
    """
    require_positive(value, "a step")
    exact = Decimal(repr(float(value)))  # the decimal text: 0.1 is 0.1, not slightly above
    power = Decimal(1).scaleb(exact.adjusted())
    return float(next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= exact))


def rounding_step(n_public: int, standard_error: float | None) -> float:
    """Return the step to which public scores are rounded.

    max(1/n_public, standard_error/4), raised to a nice step.

    Parameters
    ----------
    n_public : int
        Scored public rows.
    standard_error : float or None
        Of the benchmark's public score, in the metric's unit; None if it could not be estimated. It is that
        of the benchmark, a constant, because a step made from a team's file would reveal labels. It is 0 if
        all of the benchmark's losses are equal, as the log-loss of one half is with even classes; the step is
        then 1/n_public, at which a ladder with c = 1 reveals about one label a file.

    Raises
    ------
    ValueError
        If `n_public` is below 1 or the standard error is negative or not finite.
    """
    require_rows(n_public)
    if standard_error is None:
        return nice_step(1 / n_public)
    require_not_negative(standard_error, "a standard error")
    return nice_step(max(1 / n_public, standard_error / 4))


def rounded(value: float, step: float) -> float:
    """Return the multiple of `step` nearest to `value`.

    It has no digit that the step does not need.

    Halves go to the even multiple, so that rounding has no bias. In decimal arithmetic: 0.15 rounded to 0.1
    is 0.2, and three steps of 0.1 are 0.3.

    Raises
    ------
    ValueError
        If `value` is not finite or `step` not finite and above 0.
    """
    require_finite(value, "a score")
    require_positive(step, "a step")
    unit = Decimal(repr(float(step)))
    multiple = (Decimal(repr(float(value))) / unit).to_integral_value(ROUND_HALF_EVEN)
    return float(multiple * unit) + 0.0  # -0.0 + 0.0 is 0.0


def shown_range(benchmark: float, best: float | None, step: float, *, greater_is_better: bool) -> Range:
    """Return the scores that may be shown of a metric without a worst value.

    Rounding alone does not limit such a metric: predictions of 1e6, 1e9 and 1e12 in three rows make a squared
    error whose leading digits tell which of them are public, and their labels. So every score that is further
    from the best one than twice the benchmark's is shown as the score there; at least 16 steps are left (4
    standard errors). A rounded score then has no more levels than there are steps from it to the best one.

    Parameters
    ----------
    benchmark : float
        Public score of the benchmark.
    best : float or None
        Best public score; None if unknown.
    step : float
        From `rounding_step`.
    """
    distance = 16 * step if best is None else max(16 * step, abs(benchmark - best))
    if greater_is_better:
        return rounded(benchmark - distance, step), None
    return None, rounded(benchmark + distance, step)


def within(value: float, limits: Range) -> float:
    """Return the value, or the limit that it passes."""
    low, high = limits
    if low is not None and value < low:
        return low
    return high if high is not None and value > high else value


def coarse_step(step: float) -> float:
    """Return the step for a team with coarsened feedback.

    Four times the step or a little more. A larger c protects much less against a team with a good model: what
    it can read goes with (benchmark - model) / step.
    """
    return nice_step(4 * step)


def ladder_accepts(
    candidate: float, released: float, se_difference: float, c: float, *, greater_is_better: bool
) -> bool:
    """Whether `candidate` improves on `released` significantly.

    By more than c * se_difference; equal is not more.

    Parameters
    ----------
    candidate : float
        The exact public score of the new file.
    released : float
        What the team sees now, at first the benchmark's score.
    se_difference : float
        sd(l_candidate - l_leader, ddof=1) / sqrt(n_public) of the per-row losses, the leader being the file
        that earned `released`; for metrics that are no mean of rows, a bootstrap's or jackknife's of the
        difference. It is 0 if every row changed by as much (then any improvement passes) and for the leader
        itself. The leader sent again may pass, since `released` is rounded and may lie above its score;
        `ladder_release` also requires half a step, which it never has.

    Raises
    ------
    ValueError
        If a score is not finite, or the standard error or c negative or not finite.
    """
    require_finite(candidate, "a score")
    require_finite(released, "a released score")
    require_not_negative(se_difference, "a standard error")
    require_not_negative(c, "c")
    improvement = candidate - released if greater_is_better else released - candidate
    return improvement > c * se_difference


def ladder_release(
    candidate: float, released: float, se_difference: float, *, c: float, step: float, greater_is_better: bool
) -> float | None:
    """Return the value to show instead of `released`.

    None if there is no significant improvement.

    A significant improvement that rounds to the same or a worse number is refused: shown scores only get
    better, by whole steps. So few histories of answers are possible (see `oracle_budget`). On None the caller
    keeps leader and losses, even if the file was slightly better: many small hidden improvements must add up
    to a shown one.

    Parameters
    ----------
    step : float
        From `rounding_step`. The value at the start need not be a multiple of it; it is compared as shown,
        that is, rounded.

    The others, and the errors, are those of `ladder_accepts`.
    """
    if not ladder_accepts(candidate, released, se_difference, c, greater_is_better=greater_is_better):
        return None
    value, shown = rounded(candidate, step), rounded(released, step)
    is_better = value > shown if greater_is_better else value < shown
    return value if is_better else None


def require_finite(value: float, what: str) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{what} must be finite, not {value}")


def require_not_negative(value: float, what: str) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{what} must be finite and not below 0, not {value}")


def require_positive(value: float, what: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{what} must be finite and above 0, not {value}")


def require_rows(n_public: int) -> None:
    if n_public < 1:
        raise ValueError(f"there must be at least one public row, not {n_public}")

"""How many submissions reveal the public labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scorer.release.modes import UNLIMITED, Mode, Range, require_not_negative, require_rows

Formula = Literal["code", "comparison", "levels", "transcripts"]


CODE_BITS = 40


"""Labels that the published code reads off one float64 log-loss. More is possible: with sums rounded once, as
this scorer's are, 48 were read of 1,000 rows."""


FLOAT_BITS = 53


"""Of a float64's significand; a metric without bounds can fill all of them."""


@dataclass(frozen=True, slots=True)
class OracleBudget:
    """How many submissions reveal the public labels.

    Under one release rule.
    """

    mode: Mode
    formula: Formula
    """code: the published attack on log-loss reads `bits` labels a file. comparison: its code does not fit,
    but one file still answers one yes/no question. levels: no attack is assumed; a score of this many levels
    cannot reveal more. transcripts: nor can all answers of a ladder together."""
    bits: float
    """Labels a submission, on average over the submissions it takes."""
    submissions: float
    """To recover every public label; inf if the formula allows no end."""
    fewest: float
    """A bound from counting answers: no attack, known or not, reads that many bits in fewer. The benchmark's
    own attack on rounded log-loss lies between this and `submissions`."""
    days: float
    """Days for `submissions` at the daily limit; inf if there is no daily limit or `submissions` is inf."""
    allowed: float
    """Submissions one team may send; inf without an end and a total limit."""
    share: float
    """Of the public labels, within what is allowed: 0 to 1."""
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, with None for infinity."""
        return {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in asdict(self).items()
        }


def oracle_budget(
    metric: str,
    *,
    mode: Mode,
    n_public: int,
    step: float,
    bounds: tuple[float, float],
    greater_is_better: bool,
    shown: Range = UNLIMITED,
    clip: float | None = None,
    benchmark: float | None = None,
    daily_limit: int | None = None,
    days: int | None = None,
    total_limit: int | None = None,
) -> OracleBudget:
    """Return what one release rule reveals of the public labels.

    A label counts as one bit.

    One bit is right for two classes of similar size. Labels of a rare class hold less and are read faster;
    three classes or more hold more.

    Log-loss (`clip` given), exact or rounded: m = floor(log2(L / (n_public * step))) + 1 labels a file, with
    L = ln((1 - clip) / clip). All rows are predicted one half and m rows get the logits n_public * step *
    2^j, so the steps of the score encode their labels (Whitehill 2017). Exact: `CODE_BITS`. If m is below 1,
    one label a file: for any step some file lies so near a rounding border that one row decides.

    Any other metric, exact or rounded: log2(range / step + 1) bits, the capacity of its levels, which no
    attack can exceed; `FLOAT_BITS` if it has no bounds or no step. Of a metric without bounds, shown exactly,
    an attack comes near: rows with predictions of very different size (benchmarks/integrity/sizes.py).

    Ladder: bits of single answers are no bound, since "no" is a free answer. But k answers are a walk of at
    most R whole steps from the benchmark to the best value, so there are at most C(k + R, R) of them (Blum
    and Hardt's argument), and all labels need log2 of that to reach n_public. This is a
    bound for every attack, not an attack: how near attacks come depends far more on the step than on c
    (benchmarks/integrity/oracle.py).

    Parameters
    ----------
    metric : str
        Its name, for the sentence.
    step : float
        The rounding step; for exact the metric's own, 1/n_public for accuracy, or 0 if it has none.
    bounds : (float, float)
        Lowest and highest value of the metric; either may be infinite.
    shown : (float or None, float or None)
        Lowest and highest score that is shown rounded, from `modes.shown_range`.
    clip : float or None
        The eps of log-loss, from 0 to a half, both excluded; None for any other metric.
    benchmark : float or None
        Where the ladder starts; None: at the worst value, as the published one does.
    daily_limit, days, total_limit : int or None
        Of one team; None where there is none.

    Raises
    ------
    ValueError
        If a number is out of its range, or rounded or ladder come without a step.
    """
    require_rows(n_public)
    require_not_negative(step, "a step")
    if step == 0.0 and mode != "exact":
        raise ValueError(f"{mode} needs a step above 0")
    for limit, name in ((daily_limit, "daily_limit"), (days, "days"), (total_limit, "total_limit")):
        if limit is not None and limit < 1:
            raise ValueError(f"{name} is {limit}; it must be 1 or more, or None")
    if not bounds[0] < bounds[1]:
        raise ValueError(f"bounds are {bounds}; the first must be below the second")
    low, high = bounds
    if clip is not None:
        if not 0.0 < clip < 0.5:
            raise ValueError(f"clip is {clip}; it must lie between 0 and 0.5")
        low, high = 0.0, math.log((1 - clip) / clip)
    if benchmark is not None and not low <= benchmark <= high:
        raise ValueError(f"the benchmark {benchmark} is not within the bounds {low} and {high}")

    allowed = min(
        math.inf if daily_limit is None or days is None else daily_limit * days,
        math.inf if total_limit is None else total_limit,
    )
    ends = (low, high)
    if mode == "rounded":
        ends = (
            low if shown[0] is None else max(low, shown[0]),
            high if shown[1] is None else min(high, shown[1]),
        )
    level_bits = _level_bits(ends[1] - ends[0], step)
    fewest: float = math.ceil(n_public / level_bits)
    formula: Formula
    if mode == "ladder":
        best, worst = (high, low) if greater_is_better else (low, high)
        height = abs(best - (worst if benchmark is None else benchmark)) / step
        formula = "transcripts"
        submissions = fewest = _smallest(lambda k: _walk_bits(k, height) >= n_public)
        bits = n_public / submissions
        known_bits = _walk_bits(allowed, height)
    else:
        if clip is None:
            formula, bits = "levels", level_bits
        else:
            code_bits = _code_bits(high, n_public, 2.0**-52 if mode == "exact" else step)
            formula = "code" if code_bits >= 1 else "comparison"
            bits = float(max(1, min(CODE_BITS, code_bits)))
        submissions = math.ceil(n_public / bits)
        known_bits = allowed * bits
    share = min(1.0, known_bits / n_public)
    return OracleBudget(
        mode=mode,
        formula=formula,
        bits=bits,
        submissions=submissions,
        fewest=fewest,
        days=submissions / daily_limit if daily_limit is not None else math.inf,
        allowed=allowed,
        share=share,
        sentence=_sentence(
            metric, mode, formula, n_public, step, bits, submissions, fewest, daily_limit, allowed, share
        ),
    )


def costs(
    metric: str,
    *,
    n_public: int,
    step: float,
    bounds: tuple[float, float],
    greater_is_better: bool,
    shown: Range = UNLIMITED,
    own_step: float = 0.0,
    clip: float | None = None,
    benchmark: float | None = None,
    daily_limit: int | None = None,
    days: int | None = None,
    total_limit: int | None = None,
) -> list[OracleBudget]:
    """Return the budgets of exact, rounded and ladder, in this order.

    `own_step` is the metric's own (1/n_public for accuracy, 0 if it has none) and the step of exact; `step`
    is the one that rounded and ladder show. Everything else, and the errors, as for `oracle_budget`.
    """
    modes: tuple[Mode, ...] = ("exact", "rounded", "ladder")
    return [
        oracle_budget(
            metric,
            mode=mode,
            n_public=n_public,
            step=own_step if mode == "exact" else step,
            bounds=bounds,
            greater_is_better=greater_is_better,
            shown=shown,
            clip=clip,
            benchmark=benchmark,
            daily_limit=daily_limit,
            days=days,
            total_limit=total_limit,
        )
        for mode in modes
    ]


def _code_bits(largest_logit: float, n_public: int, step: float) -> int:
    """Return how many rows' codes fit into one file.

    The codes n_public * step * 2^j must stay within the largest logit. Below 1: not even one.
    """
    return math.floor(math.log2(largest_logit / (n_public * step))) + 1


def _level_bits(width: float, step: float) -> float:
    if step == 0.0 or math.isinf(width):
        return FLOAT_BITS
    return min(FLOAT_BITS, math.log2(width / step + 2))  # both ends may round outward


def _walk_bits(k: float, height: float) -> float:
    """Return an upper bound of log2 C(k + R, R).

    k answers that each stay or move on, at most R whole steps.
    """
    if math.isinf(k):
        return math.inf
    if math.isinf(height):
        return k * FLOAT_BITS
    steps = math.floor(height) + 1  # both ends may round outward
    total, fewer = k + steps, min(k, steps)
    return fewer * math.log2(
        math.e * total / fewer
    )  # C(N, j) <= (eN/j)^j, without losing digits as lgamma does


def _smallest(enough: Callable[[int], bool]) -> float:
    """Return the smallest whole number that is enough.

    From 1 on; inf beyond 2^60. Every larger number must be enough too.
    """
    high = 1
    while not enough(high):
        high *= 2
        if high > 2**60:
            return math.inf
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _sentence(
    metric: str,
    mode: Mode,
    formula: Formula,
    n_public: int,
    step: float,
    bits: float,
    submissions: float,
    fewest: float,
    daily_limit: int | None,
    allowed: float,
    share: float,
) -> str:
    labels = f"all {n_public:,} public labels" if n_public > 1 else "the one public label"
    files = _count(submissions, "file")
    if daily_limit is not None and not math.isinf(submissions):
        files += f" ({_count(math.ceil(submissions / daily_limit), 'day')} at {daily_limit:,} a day)"
    shown = {
        "exact": "Shown exactly",
        "rounded": f"Rounded to {step:g}",
        "ladder": f"On a ladder of {step:g}",
    }[mode]
    bound = f"no attack can do it in fewer than {fewest:,.0f}"
    if formula == "code":
        words = f"{shown}, {metric} reveals about {bits:.0f} labels a file: {labels} after {files}; {bound}."
    elif formula == "comparison":
        words = f"{shown}, {metric} answers one yes/no question a file: {labels} after {files}; {bound}."
    elif formula == "levels":
        words = f"{shown}, {metric} can hold {bits:.1f} bits a file: {labels} take {files} or more."
        if mode == "exact" and bits == FLOAT_BITS:
            words += " One file also tells which of some 25 rows are public."
    elif math.isinf(submissions):
        words = f"{shown}, there are so few levels that {labels} take more files than can be sent."
    else:
        words = (
            f"{shown}, most answers are no: {labels} take {files} or more. "
            "A team with a good model reads the first ones sooner."
        )
    if math.isinf(allowed):
        return f"{words} No total limit and no last day stop that."
    verb = "give" if formula in ("code", "comparison") else "give at most"
    return f"{words} The {_count(allowed, 'file')} allowed {verb} {_percent(share)} of them."


def _count(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}" + ("" if number == 1 else "s")


def _percent(share: float) -> str:
    return "all" if share >= 1.0 else f"{100 * share:.2g} %"

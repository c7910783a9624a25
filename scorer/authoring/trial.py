"""Score a challenge's baselines, and judge whether its board can tell good from bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import scorer
from scorer.challenges.challenge import Challenge

POWER = 2.8
"""Standard errors of a difference that is found in 80 % of cases at the 5 % level: 1.96 + 0.84."""


@dataclass(frozen=True, slots=True)
class Trial:
    name: str
    public: float
    private: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How far apart the best baseline and the constant are, on each side of the board."""

    best: str
    public_gain: float
    """In the metric's unit; positive is better than the constant."""
    public_error: float
    """Standard error of that difference."""
    detectable: float
    """Smallest difference between two files like these that the public board shows in 80 % of cases."""

    @property
    def words(self) -> str:
        if self.public_gain <= 0:
            return (
                "No baseline is better than the constant on the public rows: the columns may not tell the "
                "target, or "
                "there are too few rows."
            )
        errors = self.public_gain / self.public_error if self.public_error > 0 else float("inf")
        sure = "can" if errors >= POWER else "cannot surely"
        return (
            f"The best baseline, {self.best}, beats the constant by {self.public_gain:.3g} on the public "
            "rows, "
            f"{min(errors, 999):.1f} standard errors: the board {sure} tell good from bad. Differences below "
            f"{self.detectable:.2g} are mostly luck."
        )


def trial(challenge: Challenge, files: Sequence[tuple[str, bytes]]) -> list[Trial]:
    """Score each (name, submission), in the order given."""
    scores = [(name, scorer.score(challenge, content)) for name, content in files]
    return [Trial(name, report.public, report.private) for name, report in scores]


def spread(
    challenge: Challenge, trials: Sequence[Trial], files: Sequence[tuple[str, bytes]]
) -> Spread | None:
    """Compare the first file, which is the constant, with the best of the others; None without others."""
    if len(trials) < 2:
        return None
    sign = 1.0 if challenge.task.greater_is_better else -1.0
    constant, *others = trials
    best = max(others, key=lambda one: sign * one.public)
    contents = dict(files)
    solution = challenge.solution
    first, second = (scorer.read(challenge, contents[one.name]) for one in (best, constant))
    try:
        error = scorer.se_of_difference(solution, first, second, solution.public, seed=0)
    except scorer.NotResampled:
        return None
    return Spread(best.name, sign * (best.public - constant.public), error, POWER * error)

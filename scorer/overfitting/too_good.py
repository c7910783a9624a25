"""Find scores that are better than a model can be.

After the close, with hidden labels, for the organiser only.

Every function takes figures from replicates of the scored rows (bootstrap or per-row losses) and returns one
verdict per team. Scores are oriented by `greater_is_better`; standard errors are in the score's unit and 0 or
more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from scorer.reading.columns import Column, FloatArray, Labels

MAX_Z = 6.0
"""1,000 teams pass this by chance on one board in a million; honest winners stay far below."""

MAX_GAP_Z = 4.0
"""Of a public-private gap against the board's own median; 1 in 30,000 by chance, one board of 200 in 150."""

MIN_ROWS_TO_MATCH = 100
"""On fewer private rows a model can be right in all of them; then the other files show how likely that is."""

_CHANCE = 1e-6
"""Of an ordinary file to be right in every row, below which the labels are taken to be known."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's verdict on one team.

    `statistic` above `threshold` is positive unless the words state more.
    """

    rule: str
    """too_good, exact_match or public_gap."""
    statistic: float
    threshold: float
    verdict: bool
    evidence: str
    advice: str


def too_good(
    scores: FloatArray,
    own_before: FloatArray,
    best_baseline: float,
    paired_errors: FloatArray,
    *,
    greater_is_better: bool,
    ceiling: float | None = None,
) -> list[Verdict]:
    """Judge which teams beat the best baseline implausibly.

    Parameters
    ----------
    scores, own_before : shape (n_teams,)
        Private score of the judged file, and of the best of the team's earlier files (nan if none).
    best_baseline
        Private score of the best registered baseline.
    paired_errors : shape (n_teams,)
        Standard error of score minus baseline over the same rows.
    ceiling
        The best score that noise in the labels allows (1 - irreducible error), if known; lower scores are not
        reported.

    Returns
    -------
    One verdict per team: positive if z = (score - baseline) / SE > 6 AND the score jumps by more than 6 SE
    over both the team's own best before and the 99 % quantile of the other teams, AND lies above `ceiling`.
    Strong competition or steady improvement is not too good; one file far ahead of everything is.
    """
    n_teams = _same_length(scores, own_before, paired_errors)
    sign = 1.0 if greater_is_better else -1.0
    oriented, before = sign * scores, sign * own_before
    verdicts = []
    for team in range(n_teams):
        error = float(paired_errors[team])
        others = np.delete(oriented, team)
        field = float(np.quantile(others, 0.99)) if len(others) else -math.inf
        over_baseline = _ratio(oriented[team] - sign * best_baseline, error)
        own = -math.inf if math.isnan(before[team]) else float(before[team])
        jump = _ratio(oriented[team] - max(own, field), error)
        statistic = min(over_baseline, jump)
        above = ceiling is None or oriented[team] > sign * ceiling
        found = statistic > MAX_Z and above
        evidence = (
            f"Private score {scores[team]:.6g}: {over_baseline:.1f} standard errors better than the "
            f"best baseline ({best_baseline:.6g}) and {_times(jump)} better than the team's own best "
            "before and nearly all other "
            f"teams{'' if ceiling is None else f'; noise in the labels allows {ceiling:.6g}'}."
        )
        advice = (
            "Hold the prize until the code was run again on data the team has not seen. A leak in the "
            "challenge explains this as well as misconduct: see whether several teams found it."
            if found
            else _NOTHING
        )
        verdicts.append(Verdict("too_good", statistic, MAX_Z, found, evidence, advice))
    return verdicts


def exact_match(
    predicted: Column, truth: Column, public: NDArray[np.bool_], private: NDArray[np.bool_]
) -> Verdict:
    """Judge whether a file is right in every row, and where.

    Parameters
    ----------
    predicted, truth
        Numbers or labels of shape (n_rows,), one vocabulary. Probabilities may be given: they match where
        they are within 1e-3 of a truth of 0 or 1 (a log loss below 1e-3).
    public, private : bool masks of shape (n_rows,)

    Returns
    -------
    The statistic is the share of private rows that match. Positive if all match on 100 private rows or more
    (the labels were found), or if all public rows match while private ones are ordinary: at a rate that
    makes the public run of matches less likely than 1e-6 (the public labels were probed).

    Raises
    ------
    ValueError
        For texts and lists, other shapes, or a split without rows.
    """
    matches = _matches(predicted, truth)
    if len(matches) != len(public) or len(public) != len(private):
        raise ValueError("predicted, truth and both masks must have one length")
    n_public, n_private = int(public.sum()), int(private.sum())
    if not n_public or not n_private:
        raise ValueError("both splits need rows")
    share_public, share = float(matches[public].mean()), float(matches[private].mean())
    leaked = share == 1.0 and n_private >= MIN_ROWS_TO_MATCH
    # By the rule of succession, so that the rate is above 0 if no private row is right.
    rate = (share * n_private + 1.0) / (n_private + 2.0)
    probed = share_public == 1.0 and share < 1.0 and n_public * math.log(rate) < math.log(1e-6)
    where = (
        "every private row is right, so the labels themselves were found"
        if leaked
        else "every public row is right and private rows are ordinary, so the public labels were probed"
        if probed
        else "nothing out of the ordinary"
    )
    evidence = (
        f"{share_public:.1%} of {n_public} public and {share:.1%} of {n_private} private rows match the "
        f"truth: {where}."
    )
    advice = (
        _LEAKED
        if leaked
        else "Rank by private rows only and look at the team's earlier files for probes."
        if probed
        else _NOTHING
    )
    return Verdict("exact_match", share, 1.0, leaked or probed, evidence, advice)


def judgeable_rate(n_private: int) -> float:
    """Return the rate of right rows below which a full match is no chance."""
    return math.exp(math.log(_CHANCE) / n_private)


def usual_rate(shares: Sequence[float], n_private: int) -> float:
    """Return what the best of other files is surely right in, at most.

    The upper end of the exact one-sided 99 % interval (Clopper and Pearson) of the best share; 1 without
    other files.
    """
    if not shares:
        return 1.0
    right = round(max(shares) * n_private)
    return 1.0 if right >= n_private else float(stats.beta.ppf(0.99, right + 1, n_private - right))


def judged_by_others(match: Verdict, n_private: int, usual: float) -> Verdict:
    """Return the verdict of `exact_match`, also on few private rows.

    A file that is right in all of n_private rows is positive if one that is right at the rate `usual` would
    be less often than once in a million.
    """
    if match.verdict or match.statistic < 1.0 or not usual < judgeable_rate(n_private):
        return match
    evidence = (
        f"All of {n_private} private rows match the truth, where the best of all other files is right in at "
        f"most {usual:.0%} at 99 % confidence: the labels themselves were found."
    )
    return replace(match, verdict=True, evidence=evidence, advice=_LEAKED)


def public_gap(
    public: FloatArray, private: FloatArray, errors: FloatArray, *, greater_is_better: bool
) -> list[Verdict]:
    """Judge which teams do better on public rows than the board.

    Parameters
    ----------
    public, private : shape (n_teams,)
        Scores of one file per team.
    errors : shape (n_teams,)
        Standard error of public minus private (the splits are disjoint: root of the summed variances).

    Returns
    -------
    One verdict per team: z of the gap minus the board's median z, since an easier public split is
    easier for all; positive above 4. Knowledge of few public labels is not detected on some hundred rows.
    """
    n_teams = _same_length(public, private, errors)
    sign = 1.0 if greater_is_better else -1.0
    z = np.array([_ratio(sign * (public[i] - private[i]), float(errors[i])) for i in range(n_teams)])
    usual = float(np.median(z)) if n_teams else 0.0
    verdicts = []
    for team in range(n_teams):
        statistic = float(z[team]) - usual if math.isfinite(usual) else 0.0
        found = statistic > MAX_GAP_Z
        evidence = (
            f"Public {public[team]:.6g}, private {private[team]:.6g}: the gap is {_times(float(z[team]))}, "
            f"where the board's median is {usual:.1f}."
        )
        advice = (
            "Look at the team's files in order: many small changes chosen by the public score, or probes."
            if found
            else _NOTHING
        )
        verdicts.append(Verdict("public_gap", statistic, MAX_GAP_Z, found, evidence, advice))
    return verdicts


_NOTHING = "Nothing to do."
_LEAKED = "Look for the labels in public sources and in the challenge's own files before you ask the team."


def _times(ratio: float) -> str:
    return "any number of standard errors" if math.isinf(ratio) else f"{ratio:.1f} standard errors"


def _ratio(difference: float, error: float) -> float:
    """Return a difference in standard errors.

    Without error every difference but 0 is infinite.
    """
    if error > 0.0:
        return float(difference) / error
    return 0.0 if difference == 0.0 else math.copysign(math.inf, difference)


def _same_length(*arrays: FloatArray) -> int:
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        raise ValueError("one value per team is needed in every array")
    return len(arrays[0])


def _matches(predicted: Column, truth: Column) -> NDArray[np.bool_]:
    if isinstance(predicted, Labels) and isinstance(truth, Labels):
        same: NDArray[np.bool_] = (predicted.codes == truth.codes) & (truth.codes >= 0)
    elif (
        isinstance(predicted, np.ndarray) and isinstance(truth, np.ndarray) and predicted.dtype != np.object_
    ):
        if predicted.shape != truth.shape or truth.dtype == np.object_:
            raise ValueError("predicted and truth must be numbers of one shape")
        is_flag = bool(np.isin(truth[~np.isnan(truth)], (0.0, 1.0)).all())
        near = 1e-3 if is_flag else 1e-9 * np.maximum(1.0, np.abs(truth))
        same = np.abs(predicted - truth) <= near
    else:
        raise ValueError("only numbers and labels can match exactly")
    return same

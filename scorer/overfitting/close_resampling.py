"""Chance in a final board, by resampling its rows.

A bootstrap of the private rows; re-splits of all rows into public and private.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import PRIVATE, PUBLIC, Solution, part_truth
from scorer.overfitting import board
from scorer.overfitting.close_teams import Team
from scorer.reading.columns import FloatArray, Labels, take
from scorer.report import InvalidSubmission
from scorer.resampling.engines import Prepared, in_blocks, needs_blocks, values_of_all
from scorer.resampling.resampling import read
from scorer.resampling.units import (
    BLOCKS,
    MAX_UNITS,
    NotResampled,
    ScoresDiffer,
    Units,
    counts,
    draw,
    is_plain_mean,
    row_losses,
    units,
    why_undefined,
)
from scorer.sandbox.sandbox import SandboxFailed

IntArray = NDArray[np.intp]


N_DRAWS = 1000


"""Bootstrap resamples of the private rows: the error of a 5 % quantile is then about 7 % of the spread."""


N_RESPLITS = 400


"""Re-splits of all scored rows: a p of .05 is then known to +- .02."""


_SLOW_DRAWS, _SLOW_RESPLITS = 200, 99


"""Where each value is recomputed."""


_MOST_SECONDS = 15.0


"""Estimated time to recompute values; above it they are approximated to first order."""


_MOST_NUMBERS = 25_000_000


"""Of terms in memory, 200 MB; with more, rows are put into fewer blocks."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All scored rows in units, each in one split."""

    what: Units
    is_public: NDArray[np.bool_]
    """Of each unit."""
    strata: IntArray
    """Of each unit: re-splits keep the number of public ones of each stratum."""
    first_order: bool
    n_draws: int
    n_resplits: int

    def part(self, *, public: bool) -> Units:
        """Return one split's units for a bootstrap, in their order."""
        mine = self.is_public == public
        number = np.cumsum(mine) - 1
        rows = mine[self.what.of]
        return Units(self.what.rows[rows], number[self.what.of[rows]], int(mine.sum()), self.what.kind)


def make_plan(challenge: Challenge, n_teams: int, seed: int, notices: list[str]) -> Plan:
    solution = challenge.solution
    decomposable = all(part.metric.decomposable for part in solution.task.parts)
    grouped = any(given.groups is not None for given in solution.given[0])
    n_scored = int(solution.scored.sum())
    evaluations = 2 * n_teams * (_SLOW_DRAWS + _SLOW_RESPLITS)
    seconds = evaluations * (1.5e-4 + 1.5e-7 * n_scored)
    first_order = not decomposable and not grouped and seconds > _MOST_SECONDS
    anew = not decomposable and not grouped and not first_order
    if first_order:
        notices.append(
            "Resampled values are computed to first order (influences of rows), since the metric is no "
            "sum over rows."
        )
    clusters = _declared_groups(challenge)
    limit = _MOST_NUMBERS // max(1, 2 * n_teams * _n_terms(solution))
    limit = max(BLOCKS, min(limit, MAX_UNITS))
    if first_order and needs_blocks(solution):
        limit = BLOCKS
        notices.append(f"The rows are resampled as {limit} random blocks.")
    pieces, offset = [], 0
    for code in (PUBLIC, PRIVATE):
        rows = np.flatnonzero(solution.usage == code)
        share = max(2, round(limit * len(rows) / n_scored))
        own = units(
            solution, rows, clusters=None if clusters is None else clusters[rows], limit=share, seed=seed
        )
        pieces.append((rows, own.of + offset, np.full(own.n, code == PUBLIC), own.kind))
        offset += own.n
    kinds = {kind for *_, kind in pieces}
    if kinds == {"groups"}:
        notices.append("Whole groups of rows are drawn, not single rows.")
    what = Units(
        np.concatenate([piece[0] for piece in pieces]),
        np.concatenate([piece[1] for piece in pieces]),
        offset,
        "rows" if kinds == {"rows"} else "groups",
    )
    return Plan(
        what,
        np.concatenate([piece[2] for piece in pieces]),
        _strata(challenge, what),
        first_order,
        _SLOW_DRAWS if anew else N_DRAWS,
        _SLOW_RESPLITS if anew else N_RESPLITS,
    )


def _n_terms(solution: Solution) -> int:
    """Return about how many numbers are kept per unit and file."""
    return sum(4 * max(1, len(part.columns)) for part in solution.task.parts)


def _strata(challenge: Challenge, what: Units) -> IntArray:
    """Return the stratum of each unit.

    Classes of the truth, if the challenge declares a stratified split and units are rows; else one stratum.
    """
    solution = challenge.solution
    plain = np.zeros(what.n, dtype=np.intp)
    if what.kind != "rows" or (challenge.split.strategy or "").strip().lower() != "stratified":
        return plain
    (truth, *_) = solution.given[0][0].truth
    codes = take(truth, what.rows)
    values: NDArray[Any] = (
        codes.codes
        if isinstance(codes, Labels)
        else np.asarray(codes)
        if isinstance(codes, np.ndarray)
        else plain
    )
    found, strata = np.unique(values, return_inverse=True)
    return strata.reshape(-1) if len(found) <= max(2, len(values) // 20) else plain


def _declared_groups(challenge: Challenge) -> IntArray | None:
    """Return each row's declared group from public/test.csv.

    None if it cannot be read.
    """
    name = getattr(challenge.split, "group", None)
    path = challenge.folder / "public" / "test.csv"
    names = challenge.solution.id_columns
    if not name or not path.is_file() or len(names) > 1:
        return None
    try:
        table = pd.read_csv(path, usecols=[names[0], name], dtype=str, keep_default_na=False)
    except (ValueError, OSError):  # no such column, or no table
        return None
    of = dict(zip(table[names[0]].tolist(), table[name].tolist(), strict=True))
    ids = list(challenge.solution.ids)
    if any(key not in of for key in ids):
        return None
    return np.unique(np.array([of[key] for key in ids], dtype=str), return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """From bootstrap resamples."""

    places: board.Places
    top: board.Top
    se_public: FloatArray
    se_private: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Resplit:
    shake_up: board.ShakeUp
    gaps: board.Gaps


def bootstrap_statistics(
    challenge: Challenge, teams: Sequence[Team], plan: Plan, seed: int, *, greater: bool
) -> Statistics:
    shown, finals = _prepared(teams)
    private = np.array([team.private for team in teams])
    drawn = _bootstrap(challenge.solution, finals, plan, public=False, n=plan.n_draws, seed=seed)
    # First-order values are those around all scored rows; only their spread is used.
    drawn += (private - _on_split(finals, plan, public=False))[:, None]
    on_public = _bootstrap(
        challenge.solution, shown, plan, public=True, n=min(200, plan.n_draws), seed=seed + 1
    )
    return Statistics(
        board.places(private, drawn, greater_is_better=greater),
        _top(challenge, teams, private, drawn, greater=greater),
        on_public.std(axis=1, ddof=1),
        drawn.std(axis=1, ddof=1),
    )


def _bootstrap(
    solution: Solution, files: Sequence[Prepared], plan: Plan, *, public: bool, n: int, seed: int
) -> FloatArray:
    """Shape (T, n)."""
    mine = plan.part(public=public)
    if mine.n < 2:
        raise NotResampled("there is only one unit to draw.")
    drawn = counts(draw(solution, mine, n, seed=seed), mine.n)
    places = np.flatnonzero(plan.is_public == public)

    def blocks() -> Iterator[NDArray[Any]]:
        for block in in_blocks(drawn):
            weights = np.zeros((len(block), plan.what.n), dtype=block.dtype)
            weights[:, places] = block
            yield weights

    found = values_of_all(files, blocks)
    if not np.isfinite(found).all():
        raise NotResampled(f"{solution.task.name} has no finite value on some resamples.")
    return found


def _on_split(files: Sequence[Prepared], plan: Plan, *, public: bool) -> FloatArray:
    weights = (plan.is_public == public).astype(np.uint16)[None, :]
    return values_of_all(files, lambda: iter([weights]))[:, 0]


def _top(
    challenge: Challenge, teams: Sequence[Team], private: FloatArray, drawn: FloatArray, *, greater: bool
) -> board.Top:
    order = np.argsort(-private if greater else private, kind="stable")[: board.TOP]
    solution = challenge.solution
    test = _pair_test(solution)
    if test == "bootstrap":
        first = int(order[0])
        p = [board.bootstrap_p(drawn[first], drawn[i], float(private[first] - private[i])) for i in order[1:]]
        return board.Top(order, np.array(p), board.holm(p), test)
    rows = np.flatnonzero(solution.private)
    try:
        files = [read(challenge, teams[i].final.source, scores=teams[i].final.scores) for i in order.tolist()]
    except (InvalidSubmission, ScoresDiffer, SandboxFailed, OSError) as unable:
        raise NotResampled("a file at the top could not be read again") from unable
    if test == "DeLong":
        part, given = solution.task.parts[0], solution.given[0][0]
        positive = part_truth(part, given, rows)[0] == 1.0
        scores = [np.asarray(file.columns[part.columns[0]])[rows] for file in files]
        p = [board.delong(scores[0], other, positive).p for other in scores[1:]]
        return board.Top(order, np.array(p), board.holm(p), test)
    losses = [row_losses(solution, file, rows) for file in files]
    right = [own > 0.5 for own in losses if own is not None]
    p = [board.mcnemar(right[0], other) for other in right[1:]]
    return board.Top(order, np.array(p), board.holm(p), test)


def _pair_test(solution: Solution) -> str:
    """Return the name of the test for two files.

    McNemar for right or wrong by row, DeLong for a plain area under the ROC curve, else the bootstrap.
    """
    part, given = solution.task.parts[0], solution.given[0][0]
    alone = len(solution.task.parts) == 1 and len(part.columns) == 1
    if alone and part.metric.name in ("accuracy", "classification_error") and is_plain_mean(solution):
        return "McNemar"
    plain = given.weights is None and given.groups is None and part.modifiers.transform is None
    plain = plain and not part.leaves_out
    stated = part.parameters.model_dump(exclude_none=True)
    if alone and part.metric.name == "roc_auc" and plain and not stated:
        positive = part_truth(part, given, np.flatnonzero(solution.private))[0] == 1.0
        if min(positive.sum(), (~positive).sum()) >= 2:
            return "DeLong"
    return "bootstrap"


def resplit_statistics(
    challenge: Challenge, teams: Sequence[Team], plan: Plan, seed: int, *, greater: bool
) -> Resplit:
    shown, finals = _prepared(teams)
    public_units = _random_resplits(challenge.solution, plan, seed)
    shown_public = values_of_all(shown, lambda: in_blocks(public_units))
    shown_private = values_of_all(shown, lambda: in_blocks(1 - public_units))
    final_private = shown_private.copy()
    for i, (one, other) in enumerate(zip(shown, finals, strict=True)):
        if one is not other:
            final_private[i] = values_of_all([other], lambda: in_blocks(1 - public_units))[0]
    if not (np.isfinite(shown_public).all() and np.isfinite(final_private).all()):
        raise NotResampled(f"{challenge.metric} has no finite value on some re-splits.")
    public, private = _on_split(shown, plan, public=True), _on_split(shown, plan, public=False)
    return Resplit(
        board.shake_up(
            public,
            _on_split(finals, plan, public=False),
            shown_public,
            final_private,
            greater_is_better=greater,
        ),
        board.gaps(public, private, shown_public, shown_private, greater_is_better=greater),
    )


def _random_resplits(solution: Solution, plan: Plan, seed: int) -> NDArray[np.uint16]:
    """Return random re-splits, shape (R, n_units).

    1 for units in the public part, as many of each stratum as in the real split.
    """
    rng = np.random.default_rng([seed, 0x5B1])
    found = np.empty((plan.n_resplits, plan.what.n), dtype=np.uint16)
    strata = [np.flatnonzero(plan.strata == stratum) for stratum in np.unique(plan.strata)]
    checked = any(part.metric.undefined is not None for part in solution.task.parts)
    tries = 0
    for row in found:
        while True:
            for own in strata:
                row[own] = rng.permutation(plan.is_public[own])
            if not checked:
                break
            on_public = row[plan.what.of] == 1
            sides = (plan.what.rows[on_public], plan.what.rows[~on_public])
            if not any(why_undefined(solution, side) for side in sides):
                break
            tries += 1
            if tries > 20 * plan.n_resplits:
                raise NotResampled(f"{solution.task.name} has no value on most random splits of these rows.")
    return found


def _prepared(teams: Sequence[Team]) -> tuple[list[Prepared], list[Prepared]]:
    pairs = [team.prepared for team in teams if team.prepared is not None]
    return [shown for shown, _ in pairs], [final for _, final in pairs]

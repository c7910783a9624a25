"""The report at the close of a competition: what of the final board is signal and what is noise.

It is computed when private scores are free to see. One part is for everyone; the other, gaps between public and
private scores by team, is for organisers, since a large gap is a reason to look and no verdict.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorer.challenges.challenge import Challenge
from scorer.challenges.solution import PRIVATE, PUBLIC, Solution, part_truth
from scorer.overfitting import board
from scorer.overfitting.diagnosis import Reading, diagnose
from scorer.reading.columns import FloatArray, Labels, take
from scorer.report import HeldoutError, InvalidSubmission
from scorer.resampling.benchmark import benchmark
from scorer.resampling.engines import Prepared, in_blocks, needs_blocks, prepare, values_of_all
from scorer.resampling.resampling import read
from scorer.resampling.units import (
    BLOCKS,
    MAX_UNITS,
    Aligned,
    NotResampled,
    ReadOtherwise,
    Units,
    counts,
    draw,
    is_plain_mean,
    row_losses,
    units,
    value,
    why_undefined,
)
from scorer.sandbox.sandbox import SandboxFailed
from scorer.scoring import score

log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
IntArray = NDArray[np.intp]

N_DRAWS = 1000
"""Bootstrap resamples of the private rows: the 5 % quantile of a difference is then known to about 7 % of its spread."""

N_RESPLITS = 400
"""Re-splits of all scored rows: a p of .05 is then known to +- .02."""

_SLOW_DRAWS, _SLOW_RESPLITS = 200, 99
"""Where each value is computed anew."""

_MOST_SECONDS = 15.0
"""Of computing values anew, by a guess; above it they are approximated to first order."""

_MOST_NUMBERS = 25_000_000
"""Of terms kept, 200 MB; the rows are put into fewer blocks if there would be more."""


@dataclass(frozen=True, slots=True)
class TeamFile:
    """One file of a team that stands on the board."""

    team_id: str
    name: str
    source: Path | bytes
    is_public_best: bool
    """Whether the team's public rank comes from this file."""
    is_final: bool
    """Whether it counts for the private board; of several the better private score does."""
    train: Reading | None = None
    """Of the team's own uploads, value and standard error, if there are any; the same for all of its files."""
    oof: Reading | None = None
    scores: tuple[float, float] | None = None
    """Public and private as they were stored, which the file must have again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Team:
    team_id: str
    name: str
    public: float
    private: float
    """Of the final file."""
    public_file_private: float
    """The private value of the file that made the public rank."""
    final: TeamFile
    prepared: tuple[Prepared, Prepared] | None
    """Of the file shown on the public board, and of the final one; None where nothing is resampled."""
    train: Reading | None
    oof: Reading | None


def close_report(
    challenge: Challenge, teams: Sequence[TeamFile], *, progress: Progress, seed: int
) -> dict[str, Any]:
    """Everything the page at the close shows, ready for JSON.

    Parameters
    ----------
    teams
        At least one file per team is its public best and at least one is final; a team without either is left
        out. 200 teams of 20,000 rows take well under a minute with any metric that is a sum, an area under the
        ROC curve, or made of a table of labels.
    progress
        Told a share from 0 to 1 and what is being done.

    Returns
    -------
    dict
        `public` is for everyone after the close: `board` (teams by private rank, with ties, rank intervals, p_first,
        standard errors and a diagnosis), `ties`, `top`, `shake_up`, `scatter`; `organiser` holds `gaps`. What could
        not be computed is None, and `notes` say why.

    A team whose files cannot be read again is left out, and `notes` say so.
    """
    solution = challenge.solution
    notes: list[str] = []
    greater = solution.task.greater_is_better
    files = _by_team(teams)
    if solution.task.custom is not None or not files:
        why = "The metric is the organiser's own function, which is not run on resamples: ties, rank intervals and the shake-up's null are not known."
        notes += [why] if files else ["No team has both a public and a final file."]
        found = _each(files, lambda own: _scored_only(challenge, own, greater=greater), notes)
        return _report(challenge, found, None, None, notes, seed, progress)

    plan = _plan(challenge, len(files), seed, notes)
    n_read = itertools.count(1)

    def team(own: Sequence[TeamFile]) -> _Team:
        number = next(n_read)
        progress(0.6 * (number - 1) / len(files), f"Reading files of team {number} of {len(files)}")
        return _team(challenge, own, plan, greater=greater)

    found = _each(files, team, notes)
    if not found:
        return _report(challenge, found, None, None, notes, seed, progress)
    progress(0.6, "Resampling the private rows")
    try:
        statistics = _statistics(challenge, found, plan, seed, greater=greater)
    except NotResampled as error:
        notes.append(f"Ties and rank intervals are not known: {error}")
        statistics = None
    progress(0.75, "Re-splitting public and private rows")
    try:
        resplit = _resplit(challenge, found, plan, seed, greater=greater)
    except NotResampled as error:
        notes.append(f"The shake-up's null is not known: {error}")
        resplit = None
    return _report(challenge, found, statistics, resplit, notes, seed, progress)


def _each(
    files: Sequence[Sequence[TeamFile]], read_team: Callable[[Sequence[TeamFile]], _Team], notes: list[str]
) -> list[_Team]:
    """The teams, but for those whose files are not read again: one file must not take the report from all others."""
    found = []
    for own in files:
        try:
            found.append(read_team(own))
        except NotResampled:
            raise
        except (HeldoutError, OSError, MemoryError) as unable:
            log.error("team %s is left out of the report: %s", own[0].team_id, unable)
            notes.append(f"A file of {own[0].name} could not be read again, so this team is left out.")
    return found


def _by_team(files: Sequence[TeamFile]) -> list[list[TeamFile]]:
    found: dict[str, list[TeamFile]] = {}
    for file in files:
        found.setdefault(file.team_id, []).append(file)
    return [
        own
        for own in found.values()
        if any(file.is_public_best for file in own) and any(file.is_final for file in own)
    ]


# --- what is resampled, and how -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """All scored rows in units, each of which lies in one split."""

    what: Units
    is_public: NDArray[np.bool_]
    """Of each unit."""
    strata: IntArray
    """Of each unit: re-splits keep the number of public ones of each stratum."""
    first_order: bool
    n_draws: int
    n_resplits: int

    def part(self, *, public: bool) -> Units:
        """One split's units as those of a bootstrap, in their order here."""
        mine = self.is_public == public
        number = np.cumsum(mine) - 1
        rows = mine[self.what.of]
        return Units(self.what.rows[rows], number[self.what.of[rows]], int(mine.sum()), self.what.kind)


def _plan(challenge: Challenge, n_teams: int, seed: int, notes: list[str]) -> _Plan:
    solution = challenge.solution
    decomposable = all(part.metric.decomposable for part in solution.task.parts)
    grouped = any(given.groups is not None for given in solution.given[0])
    n_scored = int(solution.scored.sum())
    evaluations = 2 * n_teams * (_SLOW_DRAWS + _SLOW_RESPLITS)
    seconds = evaluations * (1.5e-4 + 1.5e-7 * n_scored)
    first_order = not decomposable and not grouped and seconds > _MOST_SECONDS
    anew = not decomposable and not grouped and not first_order
    if first_order:
        notes.append(
            "Resampled values are computed to first order (influences of rows), since the metric is no sum over rows."
        )
    clusters = _declared_groups(challenge)
    limit = _MOST_NUMBERS // max(1, 2 * n_teams * _n_terms(solution))
    limit = max(BLOCKS, min(limit, MAX_UNITS))
    if first_order and needs_blocks(solution):
        limit = BLOCKS
        notes.append(f"The rows are resampled as {limit} random blocks.")
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
        notes.append("Whole groups of rows are drawn, not single rows.")
    what = Units(
        np.concatenate([piece[0] for piece in pieces]),
        np.concatenate([piece[1] for piece in pieces]),
        offset,
        "rows" if kinds == {"rows"} else "groups",
    )
    return _Plan(
        what,
        np.concatenate([piece[2] for piece in pieces]),
        _strata(challenge, what),
        first_order,
        _SLOW_DRAWS if anew else N_DRAWS,
        _SLOW_RESPLITS if anew else N_RESPLITS,
    )


def _n_terms(solution: Solution) -> int:
    """About how many numbers are kept for each unit of a file."""
    return sum(4 * max(1, len(part.columns)) for part in solution.task.parts)


def _strata(challenge: Challenge, what: Units) -> IntArray:
    """Classes of the truth where the challenge declares a stratified split and rows are single; else one stratum."""
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
    """Of each row of the solution its declared group in public/test.csv, if that can be read."""
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


# --- teams ----------------------------------------------------------------------------------------------


def _team(challenge: Challenge, files: Sequence[TeamFile], plan: _Plan, *, greater: bool) -> _Team:
    solution = challenge.solution
    shown = next(file for file in files if file.is_public_best)
    shown_aligned = read(challenge, shown.source, scores=shown.scores)
    shown_private = value(solution, shown_aligned, solution.private)
    best: tuple[float, TeamFile, Aligned] | None = None
    for file in files:
        if not file.is_final:
            continue
        aligned = shown_aligned if file is shown else read(challenge, file.source, scores=file.scores)
        private = shown_private if file is shown else value(solution, aligned, solution.private)
        if best is None or (private > best[0] if greater else private < best[0]):
            best = (private, file, aligned)
    assert best is not None
    private, final, final_aligned = best
    prepared = prepare(solution, shown_aligned, plan.what, first_order=plan.first_order)
    finals = prepared
    if final is not shown:
        finals = prepare(solution, final_aligned, plan.what, first_order=plan.first_order)
    return _Team(
        shown.team_id,
        shown.name,
        value(solution, shown_aligned, solution.public),
        private,
        shown_private,
        final,
        (prepared, finals),
        *_own(files),
    )


def _own(files: Sequence[TeamFile]) -> tuple[Reading | None, Reading | None]:
    train = next((file.train for file in files if file.train is not None), None)
    return train, next((file.oof for file in files if file.oof is not None), None)


def _scored_only(challenge: Challenge, files: Sequence[TeamFile], *, greater: bool) -> _Team:
    shown = next(file for file in files if file.is_public_best)
    reports = {id(file): score(challenge, file.source) for file in files if file is shown or file.is_final}
    better = max if greater else min
    final = better((file for file in files if file.is_final), key=lambda file: reports[id(file)].private)
    report = reports[id(shown)]
    return _Team(
        shown.team_id,
        shown.name,
        report.public,
        reports[id(final)].private,
        report.private,
        final,
        None,
        *_own(files),
    )


# --- statistics -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Statistics:
    """From bootstrap resamples."""

    places: board.Places
    top: board.Top
    se_public: FloatArray
    se_private: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Resplit:
    shake_up: board.ShakeUp
    gaps: board.Gaps


def _statistics(
    challenge: Challenge, teams: Sequence[_Team], plan: _Plan, seed: int, *, greater: bool
) -> _Statistics:
    shown, finals = _prepared(teams)
    private = np.array([team.private for team in teams])
    drawn = _bootstrap(challenge.solution, finals, plan, public=False, n=plan.n_draws, seed=seed)
    # To first order the values are those around all scored rows; their spread is what is wanted.
    drawn += (private - _on_split(finals, plan, public=False))[:, None]
    on_public = _bootstrap(
        challenge.solution, shown, plan, public=True, n=min(200, plan.n_draws), seed=seed + 1
    )
    return _Statistics(
        board.places(private, drawn, greater_is_better=greater),
        _top(challenge, teams, private, drawn, greater=greater),
        on_public.std(axis=1, ddof=1),
        drawn.std(axis=1, ddof=1),
    )


def _bootstrap(
    solution: Solution, files: Sequence[Prepared], plan: _Plan, *, public: bool, n: int, seed: int
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


def _on_split(files: Sequence[Prepared], plan: _Plan, *, public: bool) -> FloatArray:
    weights = (plan.is_public == public).astype(np.uint16)[None, :]
    return values_of_all(files, lambda: iter([weights]))[:, 0]


def _top(
    challenge: Challenge, teams: Sequence[_Team], private: FloatArray, drawn: FloatArray, *, greater: bool
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
    except (InvalidSubmission, ReadOtherwise, SandboxFailed, OSError) as unable:
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
    """McNemar for right-or-wrong by row, DeLong for a plain area under the ROC curve, else the bootstrap."""
    part, given = solution.task.parts[0], solution.given[0][0]
    alone = len(solution.task.parts) == 1 and len(part.columns) == 1
    if alone and part.metric.name in ("accuracy", "classification_error") and is_plain_mean(solution):
        return "McNemar"
    plain = given.weights is None and given.groups is None and part.modifiers.transform is None
    stated = part.parameters.model_dump(exclude_none=True)
    if alone and part.metric.name == "roc_auc" and plain and not stated:
        positive = part_truth(part, given, np.flatnonzero(solution.private))[0] == 1.0
        if min(positive.sum(), (~positive).sum()) >= 2:
            return "DeLong"
    return "bootstrap"


def _resplit(
    challenge: Challenge, teams: Sequence[_Team], plan: _Plan, seed: int, *, greater: bool
) -> _Resplit:
    shown, finals = _prepared(teams)
    public_units = _redealt(challenge.solution, plan, seed)
    shown_public = values_of_all(shown, lambda: in_blocks(public_units))
    shown_private = values_of_all(shown, lambda: in_blocks(1 - public_units))
    final_private = shown_private.copy()
    for i, (one, other) in enumerate(zip(shown, finals, strict=True)):
        if one is not other:
            final_private[i] = values_of_all([other], lambda: in_blocks(1 - public_units))[0]
    if not (np.isfinite(shown_public).all() and np.isfinite(final_private).all()):
        raise NotResampled(f"{challenge.metric} has no finite value on some re-splits.")
    public, private = _on_split(shown, plan, public=True), _on_split(shown, plan, public=False)
    return _Resplit(
        board.shake_up(
            public,
            _on_split(finals, plan, public=False),
            shown_public,
            final_private,
            greater_is_better=greater,
        ),
        board.gaps(public, private, shown_public, shown_private, greater_is_better=greater),
    )


def _redealt(solution: Solution, plan: _Plan, seed: int) -> NDArray[np.uint16]:
    """Shape (R, n_units): 1 for the units dealt to the public part, as many of each stratum as there are."""
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


def _prepared(teams: Sequence[_Team]) -> tuple[list[Prepared], list[Prepared]]:
    pairs = [team.prepared for team in teams if team.prepared is not None]
    return [shown for shown, _ in pairs], [final for _, final in pairs]


# --- the report ---------------------------------------------------------------------------------------------


def _report(
    challenge: Challenge,
    teams: Sequence[_Team],
    statistics: _Statistics | None,
    resplit: _Resplit | None,
    notes: list[str],
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    solution = challenge.solution
    greater = solution.task.greater_is_better
    progress(0.9, "Writing the report")
    rows = _board(challenge, teams, statistics, notes, greater=greater)
    report: dict[str, Any] = {
        "version": 1,
        "metric": challenge.metric,
        "greater_is_better": greater,
        "rows": solution.n_rows,
        "seed": seed,
        "notes": notes,
        "public": {
            "board": rows,
            "ties": None,
            "top": None,
            "shake_up": None,
            "scatter": [
                {
                    "team_id": team.team_id,
                    "name": team.name,
                    "public": team.public,
                    "private": team.public_file_private,
                }
                for team in teams
            ],
        },
        "organiser": {"gaps": None},
    }
    if statistics is not None:
        places, top = statistics.places, statistics.top
        report["public"]["ties"] = {
            "tied": int(places.tied.sum()),
            "may_be_best": int(places.may_be_best.sum()),
            "words": places.words,
        }
        report["public"]["top"] = {
            "test": top.test,
            "words": top.words,
            "against_first": [
                {"team_id": teams[i].team_id, "name": teams[i].name, "p": p, "p_holm": corrected}
                for i, p, corrected in zip(
                    top.teams[1:].tolist(), top.p.tolist(), top.holm.tolist(), strict=True
                )
            ],
        }
    if resplit is not None:
        moved, gaps = resplit.shake_up, resplit.gaps
        report["public"]["shake_up"] = {
            "mean_move": moved.mean_move,
            "kendall": moved.kendall,
            "top": moved.top,
            "top_kept": moved.top_kept,
            "null": {
                "mean_move": list(moved.null_mean_move),
                "kendall": list(moved.null_kendall),
                "top_kept": list(moved.null_top_kept),
            },
            "p": moved.p,
            "words": moved.words,
        }
        order = np.argsort(-gaps.centred, kind="stable").tolist()
        report["organiser"]["gaps"] = {
            "largest": gaps.largest,
            "p": gaps.p,
            "median": gaps.median,
            "p_median": gaps.p_median,
            "words": gaps.words,
            "teams": [
                {
                    "team_id": teams[i].team_id,
                    "name": teams[i].name,
                    "z": float(gaps.z[i]),
                    "centred": float(gaps.centred[i]),
                    "look": bool(gaps.centred[i] > board.SUSPICIOUS_Z),
                }
                for i in order
            ],
        }
    progress(1.0, "Done")
    return report


def _board(
    challenge: Challenge,
    teams: Sequence[_Team],
    statistics: _Statistics | None,
    notes: list[str],
    *,
    greater: bool,
) -> list[dict[str, Any]]:
    if not teams:
        return []
    private, public = (
        np.array(values) for values in zip(*((t.private, t.public) for t in teams), strict=True)
    )
    rank = board.ranks(private, greater_is_better=greater)
    before = board.ranks(public, greater_is_better=greater)
    known: Reading | None = None
    if statistics is not None:
        try:
            found = benchmark(challenge)
            known = None if found.se_public is None else (found.public, found.se_public)
        except (NotResampled, InvalidSubmission) as error:
            notes.append(f"Diagnoses go without a benchmark: {error}")
    rows = []
    for i in np.argsort(rank, kind="stable").tolist():
        team = teams[i]
        row: dict[str, Any] = {
            "team_id": team.team_id,
            "name": team.name,
            "rank_private": int(rank[i]),
            "rank_public": int(before[i]),
            "private": team.private,
            "public": team.public,
            "se_private": None,
            "tied_with_first": None,
            "may_be_best": None,
            "p_first": None,
            "rank_low": None,
            "rank_high": None,
            "diagnosis": None,
        }
        if statistics is not None:
            places = statistics.places
            se_public, se_private = float(statistics.se_public[i]), float(statistics.se_private[i])
            row |= {
                "se_private": se_private,
                "tied_with_first": bool(places.tied[i]),
                "may_be_best": bool(places.may_be_best[i]),
                "p_first": float(places.p_first[i]),
                "rank_low": int(places.rank_low[i]),
                "rank_high": int(places.rank_high[i]),
            }
            if team.oof is not None:
                row["diagnosis"] = diagnose(
                    greater_is_better=greater,
                    benchmark=known,
                    train=team.train,
                    oof=team.oof,
                    public=(team.public, se_public),
                    private=(team.public_file_private, se_private),
                ).as_dict()
        rows.append(row)
    return rows

"""The report at the close of a competition: what of the final board is signal and what is noise.

It is computed when private scores are free to see. One part is for everyone; the other, gaps between public and
private scores by team, is for organisers, since a large gap is a reason to look and no verdict.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scorer.challenges.challenge import Challenge
from scorer.overfitting import board
from scorer.overfitting.close_resampling import (
    Resplit,
    Statistics,
    bootstrap_statistics,
    make_plan,
    resplit_statistics,
)
from scorer.overfitting.close_teams import Team, TeamFile, by_team, read_team, read_teams, score_team
from scorer.overfitting.diagnosis import Reading, diagnose
from scorer.report import InvalidSubmission
from scorer.resampling.benchmark import benchmark
from scorer.resampling.units import NotResampled

Progress = Callable[[float, str], None]


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
    files = by_team(teams)
    if solution.task.custom is not None or not files:
        why = "The metric is the organiser's own function, which is not run on resamples: ties, rank intervals and the shake-up's null are not known."
        notes += [why] if files else ["No team has both a public and a final file."]
        found = read_teams(files, lambda own: score_team(challenge, own, greater=greater), notes)
        return _report(challenge, found, None, None, notes, seed, progress)

    plan = make_plan(challenge, len(files), seed, notes)
    n_read = itertools.count(1)

    def team(own: Sequence[TeamFile]) -> Team:
        number = next(n_read)
        progress(0.6 * (number - 1) / len(files), f"Reading files of team {number} of {len(files)}")
        return read_team(challenge, own, plan.what, first_order=plan.first_order, greater=greater)

    found = read_teams(files, team, notes)
    if not found:
        return _report(challenge, found, None, None, notes, seed, progress)
    progress(0.6, "Resampling the private rows")
    try:
        statistics = bootstrap_statistics(challenge, found, plan, seed, greater=greater)
    except NotResampled as error:
        notes.append(f"Ties and rank intervals are not known: {error}")
        statistics = None
    progress(0.75, "Re-splitting public and private rows")
    try:
        resplit = resplit_statistics(challenge, found, plan, seed, greater=greater)
    except NotResampled as error:
        notes.append(f"The shake-up's null is not known: {error}")
        resplit = None
    return _report(challenge, found, statistics, resplit, notes, seed, progress)


def _report(
    challenge: Challenge,
    teams: Sequence[Team],
    statistics: Statistics | None,
    resplit: Resplit | None,
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
    teams: Sequence[Team],
    statistics: Statistics | None,
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

"""The close report: signal and chance in the final board.

It is computed when the private scores may be seen. One part is public. The other, the gaps between public
and private scores by team, is for organisers only: a large gap is a reason to check, not a verdict.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from scorer.overfitting.close_teams import BoardFile, Team, by_team, read_team, read_teams, score_team
from scorer.overfitting.diagnosis import Diagnosis, Reading, diagnose
from scorer.report import InvalidSubmission
from scorer.resampling.benchmark import benchmark
from scorer.resampling.units import NotResampled

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One team of the board by private rank."""

    team_id: str
    name: str
    rank_private: int
    rank_public: int
    private: float
    public: float
    se_private: float | None = None
    """Standard error of `private`. This and the fields below are None where nothing was resampled."""
    tied_with_first: bool | None = None
    may_be_best: bool | None = None
    p_first: float | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    diagnosis: Diagnosis | None = None
    """Of teams that sent out-of-fold predictions."""


@dataclass(frozen=True, slots=True)
class Point:
    """A team in the plot of public against private scores."""

    team_id: str
    name: str
    public: float
    private: float


@dataclass(frozen=True, slots=True)
class Ties:
    tied: int
    may_be_best: int
    words: str


@dataclass(frozen=True, slots=True)
class AgainstFirst:
    """The test of a team's distance to the first."""

    team_id: str
    name: str
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class Top:
    test: str
    """bootstrap, McNemar or DeLong."""
    words: str
    against_first: tuple[AgainstFirst, ...]


@dataclass(frozen=True, slots=True)
class ShakeUpNull:
    """5 %, 50 % and 95 % quantiles over re-splits."""

    mean_move: tuple[float, float, float]
    kendall: tuple[float, float, float]
    top_kept: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ShakeUp:
    mean_move: float
    kendall: float
    top: int
    top_kept: int
    null: ShakeUpNull
    p: float
    words: str


@dataclass(frozen=True, slots=True)
class TeamGap:
    team_id: str
    name: str
    z: float
    centred: float
    look: bool
    """Whether an organiser should check this team."""


@dataclass(frozen=True, slots=True)
class Gaps:
    largest: float
    p: float
    median: float
    p_median: float
    words: str
    teams: tuple[TeamGap, ...]


@dataclass(frozen=True, slots=True)
class PublicPart:
    board: tuple[BoardRow, ...]
    ties: Ties | None
    top: Top | None
    shake_up: ShakeUp | None
    scatter: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class OrganiserPart:
    gaps: Gaps | None


@dataclass(frozen=True, slots=True)
class CloseReport:
    """The report at the close of a competition.

    What could not be computed is None, and a notice gives the reason.
    """

    version: int
    metric: str
    greater_is_better: bool
    rows: Mapping[str, int]
    seed: int
    notices: tuple[str, ...]
    public: PublicPart
    """Public after the close."""
    organiser: OrganiserPart

    def as_dict(self) -> dict[str, Any]:
        """Return the report as it is stored.

        `notices` have the key `notes`.
        """
        return {"notes" if key == "notices" else key: value for key, value in asdict(self).items()}


def close_report(
    challenge: Challenge, files: Sequence[BoardFile], *, progress: Progress, seed: int
) -> CloseReport:
    """Return the report of a closed competition.

    A team whose files cannot be read again is left out, and a notice says so.

    Parameters
    ----------
    files
        At least one file of each team is its public best and at least one is final; teams without either are
        left out. 200 teams of 20,000 rows take well under a minute with any metric that is a sum, an area
        under the ROC curve, or made of a table of labels.
    progress
        Called with a share from 0 to 1 and the current step.
    seed
        Of all random draws; the same seed and files give the same report.
    """
    notices: list[str] = []
    greater = challenge.solution.task.greater_is_better
    teams = by_team(files)
    if challenge.solution.task.custom is not None or not teams:
        why = (
            "The metric is the organiser's own function, which is not run on resamples: ties, rank "
            "intervals and the shake-up's null are not known."
        )
        notices += [why] if teams else ["No team has both a public and a final file."]
        found = read_teams(teams, lambda own: score_team(challenge, own, greater=greater), notices)
        return _report(challenge, found, None, None, notices, seed, progress)

    plan = make_plan(challenge, len(teams), seed, notices)
    n_read = itertools.count(1)

    def team(own: Sequence[BoardFile]) -> Team:
        number = next(n_read)
        progress(0.6 * (number - 1) / len(teams), f"Reading files of team {number} of {len(teams)}")
        return read_team(challenge, own, plan.what, first_order=plan.first_order, greater=greater)

    found = read_teams(teams, team, notices)
    if not found:
        return _report(challenge, found, None, None, notices, seed, progress)
    progress(0.6, "Resampling the private rows")
    try:
        statistics = bootstrap_statistics(challenge, found, plan, seed, greater=greater)
    except NotResampled as error:
        notices.append(f"Ties and rank intervals are not known: {error}")
        statistics = None
    progress(0.75, "Re-splitting public and private rows")
    try:
        resplit = resplit_statistics(challenge, found, plan, seed, greater=greater)
    except NotResampled as error:
        notices.append(f"The shake-up's null is not known: {error}")
        resplit = None
    return _report(challenge, found, statistics, resplit, notices, seed, progress)


def _report(
    challenge: Challenge,
    teams: Sequence[Team],
    statistics: Statistics | None,
    resplit: Resplit | None,
    notices: list[str],
    seed: int,
    progress: Progress,
) -> CloseReport:
    greater = challenge.solution.task.greater_is_better
    progress(0.9, "Writing the report")
    rows = _board(challenge, teams, statistics, notices, greater=greater)
    report = CloseReport(
        version=1,
        metric=challenge.metric,
        greater_is_better=greater,
        rows=challenge.solution.n_rows,
        seed=seed,
        notices=tuple(notices),
        public=PublicPart(
            board=tuple(rows),
            ties=None if statistics is None else _ties(statistics.places),
            top=None if statistics is None else _top(statistics.top, teams),
            shake_up=None if resplit is None else _shake_up(resplit.shake_up),
            scatter=tuple(Point(t.team_id, t.name, t.public, t.public_file_private) for t in teams),
        ),
        organiser=OrganiserPart(None if resplit is None else _gaps(resplit.gaps, teams)),
    )
    progress(1.0, "Done")
    return report


def _ties(places: board.Places) -> Ties:
    return Ties(int(places.tied.sum()), int(places.may_be_best.sum()), places.words)


def _top(top: board.Top, teams: Sequence[Team]) -> Top:
    each = zip(top.teams[1:].tolist(), top.p.tolist(), top.holm.tolist(), strict=True)
    against = (AgainstFirst(teams[i].team_id, teams[i].name, p, holm) for i, p, holm in each)
    return Top(top.test, top.words, tuple(against))


def _shake_up(moved: board.ShakeUp) -> ShakeUp:
    return ShakeUp(
        mean_move=moved.mean_move,
        kendall=moved.kendall,
        top=moved.top,
        top_kept=moved.top_kept,
        null=ShakeUpNull(moved.null_mean_move, moved.null_kendall, moved.null_top_kept),
        p=moved.p,
        words=moved.words,
    )


def _gaps(gaps: board.Gaps, teams: Sequence[Team]) -> Gaps:
    order = np.argsort(-gaps.centred, kind="stable").tolist()
    rows = (
        TeamGap(
            teams[i].team_id,
            teams[i].name,
            z=float(gaps.z[i]),
            centred=float(gaps.centred[i]),
            look=bool(gaps.centred[i] > board.SUSPICIOUS_Z),
        )
        for i in order
    )
    return Gaps(gaps.largest, gaps.p, gaps.median, gaps.p_median, gaps.words, tuple(rows))


def _board(
    challenge: Challenge,
    teams: Sequence[Team],
    statistics: Statistics | None,
    notices: list[str],
    *,
    greater: bool,
) -> list[BoardRow]:
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
            notices.append(f"Diagnoses go without a benchmark: {error}")
    rows = []
    for i in np.argsort(rank, kind="stable").tolist():
        team = teams[i]
        row = BoardRow(team.team_id, team.name, int(rank[i]), int(before[i]), team.private, team.public)
        if statistics is not None:
            row = _with_statistics(row, team, statistics, i, known, greater=greater)
        rows.append(row)
    return rows


def _with_statistics(
    row: BoardRow, team: Team, statistics: Statistics, i: int, known: Reading | None, *, greater: bool
) -> BoardRow:
    places = statistics.places
    se_public, se_private = float(statistics.se_public[i]), float(statistics.se_private[i])
    diagnosis = None
    if team.oof is not None:
        diagnosis = diagnose(
            greater_is_better=greater,
            benchmark=known,
            train=team.train,
            oof=team.oof,
            public=(team.public, se_public),
            private=(team.public_file_private, se_private),
        )
    return replace(
        row,
        se_private=se_private,
        tied_with_first=bool(places.tied[i]),
        may_be_best=bool(places.may_be_best[i]),
        p_first=float(places.p_first[i]),
        rank_low=int(places.rank_low[i]),
        rank_high=int(places.rank_high[i]),
        diagnosis=diagnosis,
    )

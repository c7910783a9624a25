"""Compute shown scores with the release rule: exact, rounded or ladder.

Every value that depends on hidden labels reveals something of them. So the board ranks by the shown score,
and every page, API and export reads it; only the organiser sees the exact one. Rounded: to a step no finer
than chance, and for a metric without a worst value no worse than a limit. Ladder: a team sees a new score
only if it is better than its last one by more than chance; it starts at the challenge's benchmark.
`scorer.release.modes` has the reasons and the measured effect of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base.errors import Refused
from app.base.models import (
    ChallengeVersion,
    Competition,
    PublicScore,
    Round,
    RoundState,
    Rung,
    Score,
    Standing,
    Submission,
    Team,
)
from scorer.release import modes

if TYPE_CHECKING:
    from scorer.report import Report


def _no_improvement(over: str) -> dict[str, str]:
    words = (
        f"No significant improvement over {over}, whose score is shown. "
        "The difference is within what chance alone would do on the public rows."
    )
    return {"code": modes.NO_IMPROVEMENT, "message": words}


def _worse_than_shown(limit: float) -> dict[str, str]:
    words = (
        f"The public score is worse than {limit:.12g}, which stands for every worse one. Check the unit of "
        "the predictions, and compare the file with the sample submission."
    )
    return {"code": modes.WORSE_THAN_SHOWN, "message": words}


@dataclass(frozen=True)
class ReleaseInputs:
    """What the release rule needs to show one submission's score."""

    mode: PublicScore
    step: float
    """0.0 if nothing is rounded."""
    limits: modes.Range
    """The lowest and highest score that is shown rounded."""
    also_steps: dict[str, float]
    also_limits: dict[str, modes.Range]
    standing_at: float
    """On the ladder: the score shown to the team now, at first the benchmark's."""
    leader_id: int | None
    """The submission that earned it; None for the benchmark."""
    leader_sha256: str | None
    leader_scores: tuple[float, float] | None
    """Its exact public and private score, to check the file when it is read again."""
    greater_is_better: bool


@dataclass(frozen=True)
class Shown:
    public: float
    also: dict[str, float]
    is_new_rung: bool = False
    notices: tuple[dict[str, Any], ...] = ()


class RungMoved(Exception):
    """Another file of the team was scored meanwhile; compare again."""


def refuse_impossible(version: ChallengeVersion, mode: PublicScore) -> None:
    """Refuse the ladder for a version without a benchmark.

    The ladder begins with a comparison, row by row, with the benchmark.
    """
    if mode is PublicScore.LADDER and (version.benchmark or {}).get("se_public") is None:
        why = (version.benchmark or {}).get("why", "this version was published before there were benchmarks")
        raise Refused(
            f"public_score: ladder is not possible here ({why}). "
            "Use rounded, or publish the challenge again and then open the competition."
        )


def mode_of(competition: Competition, version: ChallengeVersion, team: Team) -> PublicScore:
    """Return the release rule for a team.

    It is the competition's, but the ladder for a team whose feedback was coarsened.
    """
    mode = PublicScore(competition.public_score)
    can_climb = (version.benchmark or {}).get("se_public") is not None
    return PublicScore.LADDER if team.has_coarse_feedback and not team.is_baseline and can_climb else mode


def begin_ladder(session: Session, competition: Competition, team: Team | None = None) -> None:
    """Put teams on the ladder from their best shown score: one team, or all without a rung.

    Without a rung a team would be shown the benchmark's score after its next file.
    """
    round_id = session.scalars(
        select(Round.id).where(Round.competition_id == competition.id, Round.state == RoundState.ACTIVE)
    ).one()
    standings = select(Standing).where(Standing.competition_id == competition.id)
    if team is None:
        climbing = select(Rung.team_id).where(Rung.round_id == round_id)
        standings = standings.where(Standing.is_baseline.is_(False), Standing.team_id.not_in(climbing))
    else:
        standings = standings.where(Standing.team_id == team.id)
    for standing in session.scalars(standings).all():
        shown = -standing.public_key if competition.greater_is_better else standing.public_key
        session.merge(
            Rung(
                round_id=round_id,
                team_id=standing.team_id,
                shown=shown,
                submission_id=standing.public_submission_id,
            )
        )
    session.flush()


def release_inputs(session: Session, submission_id: int, round_id: int) -> ReleaseInputs:
    """Collect what `decide` and the row comparison need."""
    submission = session.get_one(Submission, submission_id)
    team = session.get_one(Team, submission.team_id)
    competition = session.get_one(Competition, submission.competition_id)
    version = session.get_one(ChallengeVersion, session.get_one(Round, round_id).version_id)
    benchmark = version.benchmark or {}
    mode = mode_of(competition, version, team)
    if mode is PublicScore.LADDER and (team.is_baseline or not submission.is_ranked):
        mode = PublicScore.ROUNDED  # an organiser's or late file: compared with none, it takes no rung
    rung = session.get(Rung, (round_id, team.id)) if mode is PublicScore.LADDER else None
    leader = None
    if rung is not None:
        found = (
            select(Submission.sha256, Score.public, Score.private)
            .join(Score, Score.submission_id == Submission.id)
            .where(Submission.id == rung.submission_id, Score.round_id == round_id)
        )
        leader = session.execute(found).one()
    step = float(benchmark.get("step", 0.0))
    if team.has_coarse_feedback and step:
        step = modes.coarse_step(step)
    return ReleaseInputs(
        mode=mode,
        step=0.0 if mode is PublicScore.EXACT else step,
        limits=_limits(benchmark.get("range")),
        also_steps=dict(benchmark.get("also_steps", {})),
        also_limits={name: _limits(ends) for name, ends in benchmark.get("also_ranges", {}).items()},
        standing_at=rung.shown if rung else float(benchmark.get("public") or 0.0),
        leader_id=rung.submission_id if rung else None,
        leader_sha256=leader.sha256 if leader else None,
        leader_scores=(leader.public, leader.private) if leader else None,
        greater_is_better=bool(version.manifest["metric"]["greater_is_better"]),
    )


def _limits(stored: list[float | None] | None) -> modes.Range:
    low, high = stored or modes.UNLIMITED  # versions published before there were limits have none
    return low, high


def decide(inputs: ReleaseInputs, report: Report, *, se_difference: float | None = None) -> Shown:
    """Return the shown values of a scored file.

    `se_difference` is the standard error of its difference to the leader, which only the ladder uses. None on
    the ladder means that the files cannot be compared, so the shown score does not change.
    """
    exact_also = {name: values["public"] for name, values in report.also.items()}
    if inputs.mode is PublicScore.EXACT or not inputs.step:
        return Shown(report.public, exact_also)
    # A side metric without its own step would reveal what the ranking metric hides.
    also = {
        name: modes.rounded(modes.within(value, inputs.also_limits.get(name, modes.UNLIMITED)), step)
        for name, value in exact_also.items()
        if (step := inputs.also_steps.get(name))
    }
    if inputs.mode is PublicScore.ROUNDED:
        public = modes.rounded(modes.within(report.public, inputs.limits), inputs.step)
        # By the rounded score, so that the notice reveals no more than the score.
        is_limited = modes.rounded(report.public, inputs.step) != public
        return Shown(public, also, notices=(_worse_than_shown(public),) if is_limited else ())
    climbed = None
    if se_difference is not None:
        climbed = modes.ladder_release(
            report.public,
            inputs.standing_at,
            se_difference,
            c=modes.LADDER_C,
            step=inputs.step,
            greater_is_better=inputs.greater_is_better,
        )
    if climbed is None:
        if inputs.leader_id is not None:
            # As it was shown then, perhaps in finer steps than now.
            return Shown(inputs.standing_at, {}, notices=(_no_improvement("your team's earlier file"),))
        return Shown(
            modes.rounded(inputs.standing_at, inputs.step), {}, notices=(_no_improvement("the benchmark"),)
        )
    return Shown(climbed, {}, is_new_rung=True)


def climb(
    session: Session, inputs: ReleaseInputs, shown: Shown, *, submission: Submission, round_id: int
) -> None:
    """Store a new rung, or raise RungMoved if another file came first.

    The caller holds the team's lock.
    """
    if inputs.mode is not PublicScore.LADDER:
        return
    rung = session.get(Rung, (round_id, submission.team_id), populate_existing=True)
    if (rung.submission_id if rung else None) != inputs.leader_id:
        raise RungMoved
    if not shown.is_new_rung:
        return
    if rung is None:
        rung = Rung(
            round_id=round_id, team_id=submission.team_id, shown=shown.public, submission_id=submission.id
        )
        session.add(rung)
    rung.shown, rung.submission_id = shown.public, submission.id
    session.flush()

"""Grades from final scores: piecewise linear between anchors, which the class's baselines give by default.

A grade is a pure function of the private score and the rule, so that a preview and a later computation agree.
It is in percent, from 0 to 100, and never falls when the score gets better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base.errors import Closed, Refused
from app.base.models import Competition, Membership, Standing, Team
from app.base.models_classes import Classroom, Enrolment, Role
from app.classes import grade_rules, rosters
from app.classes.grade_rules import Missing, Rule
from app.competing import leaderboard

WORST, MIDDLE, BEST, TOP = 0.0, 60.0, 85.0, 100.0
"""Percent at the worst, the middle and the best baseline, and at the best score of the class above it."""


@dataclass(frozen=True)
class Anchor:
    """A score, and the percent that it is worth."""

    name: str
    score: float
    percent: float


@dataclass(frozen=True)
class Grade:
    """The grade of one student."""

    enrolment: Enrolment
    team: str | None
    score: float | None
    """The private score that counted; None without a rank."""
    percent: float | None
    """None: left empty, as the rule says of students without a score."""
    why: str


@dataclass(frozen=True)
class Grading:
    """The grades of a class in one competition."""

    anchors: Sequence[Anchor]
    grades: Sequence[Grade]
    is_preview: bool
    """Of the public scores that the board shows; the final grades are of private ones."""


def default_anchors(
    baselines: Sequence[tuple[str, float]], best: float | None, *, greater_is_better: bool
) -> list[Anchor]:
    """Return the anchors that baselines give; refuse where there are fewer than two different scores."""
    sign = 1.0 if greater_is_better else -1.0
    by_score = sorted({score: name for name, score in baselines}.items(), key=lambda one: sign * one[0])
    if len(by_score) < 2:
        raise Refused(
            "Grades need at least two baselines with different scores, or two or more anchors of your own "
            "(SCORE=PERCENT)."
        )
    percents = {0: WORST, len(by_score) - 1: BEST}
    if len(by_score) > 2:
        percents[len(by_score) // 2] = MIDDLE
    found = [Anchor(by_score[at][1], by_score[at][0], percent) for at, percent in sorted(percents.items())]
    if best is not None and sign * best > sign * found[-1].score:
        found.append(Anchor("best of the class", best, TOP))
    return found


def own_anchors(
    wished: Sequence[tuple[str, float]], baselines: Mapping[str, float], *, greater_is_better: bool
) -> list[Anchor]:
    """Return anchors that an instructor wrote, each by a score or a baseline's name."""
    found, problems = [], []
    for text, percent in wished:
        try:
            score = baselines[text] if text in baselines else float(text)
        except ValueError:
            problems.append(f"{text!r} is neither a score nor a baseline; these are {', '.join(baselines)}")
            continue
        if not math.isfinite(score):
            problems.append(f"{text!r} is no finite score")
        if not 0 <= percent <= 100:
            problems.append(f"{percent:g} is not a percent from 0 to 100")
        found.append(Anchor(text, score, percent))
    sign = 1.0 if greater_is_better else -1.0
    found.sort(key=lambda one: sign * one.score)
    for worse, better in pairwise(found):
        if worse.score == better.score:
            problems.append(f"{worse.name} and {better.name} are the same score {worse.score:g}")
        elif worse.percent > better.percent:
            problems.append(f"{better.name} is a better score than {worse.name}, and is worth less")
    if len(found) < 2 and not problems:
        problems.append("there is one anchor, and two or more are needed")
    if problems:
        raise Refused(f"The anchors cannot be used: {'; '.join(problems)}.")
    return found


def percent(score: float, anchors: Sequence[Anchor], *, greater_is_better: bool) -> tuple[float, str]:
    """Return the percent of a score, with two decimals, and why; anchors are the worst first."""
    sign = 1.0 if greater_is_better else -1.0
    if sign * score <= sign * anchors[0].score:
        return round(anchors[0].percent, 2), f"not better than {anchors[0].name}"
    for worse, better in pairwise(anchors):
        if score == better.score:
            return round(better.percent, 2), f"as good as {better.name}"
        if sign * score < sign * better.score:
            share = (score - worse.score) / (better.score - worse.score)
            value = worse.percent + share * (better.percent - worse.percent)
            return round(min(value, better.percent), 2), f"between {worse.name} and {better.name}"
    return round(anchors[-1].percent, 2), f"better than {anchors[-1].name}"


def compute(
    session: Session,
    classroom: Classroom,
    competition: Competition,
    *,
    rule: Rule | None = None,
    now: datetime,
    may_preview: bool = False,
) -> Grading:
    """Return the grades of the active students under a rule, or the stored one.

    Before the final results it refuses, or with `may_preview` grades the public scores that the board shows.
    """
    is_preview = not competition.is_settled(now)
    if is_preview and not may_preview:
        raise Closed(f"{competition.title} has no final results yet, and grades are of private scores.")
    rule = rule if rule is not None else grade_rules.of(session, classroom, competition)
    upward = competition.greater_is_better
    sign = 1.0 if upward else -1.0
    students = [
        one for one in rosters.members(session, classroom) if one.role == Role.STUDENT and one.left_at is None
    ]
    rows = session.execute(
        select(Membership.user_id, Team, Standing.public_key if is_preview else Standing.private_key)
        .join(Team, Team.id == Membership.team_id)
        .outerjoin(Standing, Standing.team_id == Team.id)
        .where(Membership.competition_id == competition.id)
    )
    teams = {user_id: (team, None if key is None else -sign * key) for user_id, team, key in rows}
    reached = [
        score for one in students if (score := teams.get(one.user_id or 0, (None, None))[1]) is not None
    ]
    baselines = leaderboard.baselines(session, competition, now=now)
    if rule.anchors:
        anchors = own_anchors(rule.anchors, dict(baselines), greater_is_better=upward)
    else:
        best = max(reached, key=lambda score: sign * score, default=None)
        anchors = default_anchors(baselines, best, greater_is_better=upward)
    without = 0.0 if rule.missing is Missing.ZERO else None
    graded = [_grade(one, teams, anchors, without, greater_is_better=upward) for one in students]
    return Grading(anchors, graded, is_preview)


def try_rule(session: Session, competition: Competition, rule: Rule, *, now: datetime) -> None:
    """Refuse a rule whose anchors the competition's baselines cannot carry."""
    if rule.anchors:
        baselines = dict(leaderboard.baselines(session, competition, now=now))
        own_anchors(rule.anchors, baselines, greater_is_better=competition.greater_is_better)


def _grade(
    student: Enrolment,
    teams: Mapping[int, tuple[Team, float | None]],
    anchors: Sequence[Anchor],
    without: float | None,
    *,
    greater_is_better: bool,
) -> Grade:
    if student.user_id is None:
        return Grade(student, None, None, without, "has not joined the class")
    if student.user_id not in teams:
        return Grade(student, None, None, without, "has not joined the competition")
    team, score = teams[student.user_id]
    if score is None:
        why = "the team is off the board" if team.is_off_the_board else "no scored submission"
        return Grade(student, team.name, None, without, why)
    value, why = percent(score, anchors, greater_is_better=greater_is_better)
    return Grade(student, team.name, score, value, why)

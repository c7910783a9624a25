"""The states and scores of submissions, as a viewer may see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.base.errors import NotFound
from app.base.models import (
    Competition,
    Evaluation,
    FinalPick,
    Membership,
    Round,
    RoundState,
    Score,
    Standing,
    State,
    Submission,
    Team,
    User,
)
from app.competing import visibility

if TYPE_CHECKING:
    from app.people.accounts import Viewer


@dataclass(frozen=True)
class Status:
    """A submission as its team or an organiser may see it.

    `private` is None until the close.
    """

    id: int
    team_id: int
    team: str
    is_baseline: bool
    user_id: int | None
    sent_by: str | None
    """Name of the member that sent it; None for a baseline."""
    received_at: datetime
    filename: str
    message: str
    sha256: str
    size_bytes: int
    state: State
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    problems: Sequence[Mapping[str, Any]]
    problem_count: int
    fault: str | None
    public: float | None
    """The shown score, by which the board ranks."""
    public_exact: float | None
    """Before the close only for organisers."""
    private: float | None
    public_also: Mapping[str, float]
    private_also: Mapping[str, float]
    notices: Sequence[Mapping[str, Any]]
    provenance: Mapping[str, Any] | None
    is_picked: bool
    is_ranked: bool
    """False for a host submission and a late one."""
    is_late: bool
    is_by_agent: bool
    is_withdrawn: bool
    """Scored, and taken off the board by its team."""
    excluded_why: str | None
    """Why an organiser has taken it off the board; None: it was not."""


def statuses(
    session: Session,
    competition: Competition,
    *,
    now: datetime,
    team_id: int | None = None,
    user_id: int | None = None,
    submission_id: int | None = None,
    state: State | None = None,
    is_picked: bool = False,
    for_organiser: bool = False,
    limit: int = 50,
    before_id: int | None = None,
    after_id: int | None = None,
    is_oldest_first: bool = False,
    where: Sequence[ColumnElement[bool]] = (),
) -> list[Status]:
    """Return submissions with their state in the active round, newest first.

    With `is_picked` only final picks; `where` is what else holds of submission, team and evaluation. Private
    scores are filled in after the close, and for organisers always; faults only for organisers.
    """
    query = (
        select(Submission, Team, Evaluation, Score, FinalPick.submission_id, User.name)
        .join(Team, Team.id == Submission.team_id)
        .join(
            Round, and_(Round.competition_id == Submission.competition_id, Round.state == RoundState.ACTIVE)
        )
        .join(Evaluation, and_(Evaluation.submission_id == Submission.id, Evaluation.round_id == Round.id))
        .outerjoin(Score, and_(Score.submission_id == Submission.id, Score.round_id == Round.id))
        .outerjoin(
            FinalPick, and_(FinalPick.submission_id == Submission.id, FinalPick.team_id == Submission.team_id)
        )
        .outerjoin(User, User.id == Submission.user_id)
        .where(Submission.competition_id == competition.id, *where)
        .order_by(Submission.id if is_oldest_first else Submission.id.desc())
        .limit(limit)
    )
    if team_id is not None:
        query = query.where(Submission.team_id == team_id)
    if user_id is not None:
        query = query.where(Submission.user_id == user_id)
    if submission_id is not None:
        query = query.where(Submission.id == submission_id)
    if state is not None:
        query = query.where(Evaluation.state == state)
    if is_picked:
        query = query.where(FinalPick.submission_id.is_not(None))
    if before_id is not None:
        query = query.where(Submission.id < before_id)
    if after_id is not None:
        query = query.where(Submission.id > after_id)
    shows_private = for_organiser or competition.is_settled(now)
    found = []
    for submission, team, evaluation, score, picked, sent_by in session.execute(query):
        also = score.also if score else {}
        found.append(
            Status(
                id=submission.id,
                team_id=team.id,
                team=team.name,
                is_baseline=team.is_baseline,
                user_id=submission.user_id,
                sent_by=sent_by,
                received_at=submission.received_at,
                filename=submission.filename,
                message=submission.message,
                sha256=submission.sha256,
                size_bytes=submission.size_bytes,
                state=State(evaluation.state),
                attempt=evaluation.attempt,
                started_at=evaluation.started_at,
                finished_at=evaluation.finished_at,
                problems=evaluation.problems or [],
                problem_count=evaluation.problem_count,
                fault=evaluation.fault if for_organiser else None,
                public=score.shown if score else None,
                public_exact=score.public if score and shows_private else None,
                private=score.private if score and shows_private else None,
                public_also={name: values["public"] for name, values in also.items()}
                if shows_private
                else dict(score.shown_also)
                if score
                else {},
                private_also={name: values["private"] for name, values in also.items()}
                if shows_private
                else {},
                notices=score.notices if score else [],
                provenance=score.provenance if score and for_organiser else None,
                is_picked=picked is not None,
                is_ranked=submission.is_ranked,
                is_late=submission.is_late,
                is_by_agent=submission.is_by_agent,
                is_withdrawn=submission.withdrawn_at is not None,
                excluded_why=submission.excluded_why,
            )
        )
    return found


def visible(
    session: Session, viewer: Viewer, submission_id: int, *, now: datetime | None = None
) -> tuple[Submission, Competition]:
    """Return a submission of the viewer's team, or any for organisers and assistants.

    With `now` also a final one for judges, after the end. Else NotFound, as for one that does not exist.
    """
    submission = session.get(Submission, submission_id)
    if submission is not None:
        mine = select(Membership.user_id).where(
            Membership.team_id == submission.team_id, Membership.user_id == viewer.id
        )
        competition = session.get_one(Competition, submission.competition_id)
        is_shown = viewer.assists(competition.id) or session.scalar(mine) is not None
        if not is_shown and now is not None and viewer.has_role(competition.id):
            final = select(Standing.team_id).where(
                Standing.competition_id == competition.id, Standing.private_submission_id == submission_id
            )
            is_shown = competition.is_settled(now) and session.scalar(final) is not None
        if is_shown and visibility.may_see(session, competition, viewer):
            return submission, competition
    raise NotFound(f"There is no submission {submission_id} of yours.")


def files_sent(session: Session, team: Team, *, most: int) -> list[tuple[int, str, int]]:
    """Return id, sha256 and size of the latest submissions of a team."""
    wanted = select(Submission.id, Submission.sha256, Submission.size_bytes)
    mine = wanted.where(Submission.team_id == team.id).order_by(Submission.id.desc()).limit(most)
    return [(id_, sha256, size) for id_, sha256, size in session.execute(mine)]


def latest_isolation(session: Session, competition: Competition) -> str | None:
    """Return how the own metric was isolated when it last ran.

    None for a built-in metric.
    """
    latest = (
        select(Score.provenance)
        .join(Submission, Submission.id == Score.submission_id)
        .where(Submission.competition_id == competition.id)
        .order_by(Score.submission_id.desc())
        .limit(1)
    )
    found = session.scalar(latest) or {}
    return found.get("metric_isolation", found.get("isolation"))


def place_in_queue(session: Session, submission_id: int) -> int | None:
    """Return the place in the queue, 1 for the next.

    None if it is not queued.
    """
    mine = session.execute(
        select(Evaluation.next_try_at)
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state == RoundState.ACTIVE))
        .where(Evaluation.submission_id == submission_id, Evaluation.state == State.QUEUED)
    ).scalar_one_or_none()
    if mine is None:
        return None
    other = aliased(Evaluation)
    ahead = session.scalar(
        select(func.count())
        .select_from(other)
        .join(Round, and_(Round.id == other.round_id, Round.state == RoundState.ACTIVE))
        .where(
            other.state == State.QUEUED,
            or_(
                other.next_try_at < mine, and_(other.next_try_at == mine, other.submission_id < submission_id)
            ),
        )
    )
    return (ahead or 0) + 1


def state_counts(
    session: Session, competition: Competition | None = None, round_state: RoundState = RoundState.ACTIVE
) -> dict[State, int]:
    """Count evaluations by state, of one competition or of all."""
    query = (
        select(Evaluation.state, func.count())
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state == round_state))
        .group_by(Evaluation.state)
    )
    if competition is not None:
        query = query.where(Round.competition_id == competition.id)
    counts = {State(state): count for state, count in session.execute(query)}
    return {state: counts.get(state, 0) for state in State}

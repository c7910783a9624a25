"""Take a team or a single file off the board, and put it back.

The row of the board is derived, so nothing is lost: scores, picks and used uploads stay, and putting it back
gives the board of before. The team sees the reason. It goes on taking part; a team that shall not is
disqualified by a case.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import Competition, Membership, PublicScore, Submission, Team
from app.competing import evaluations, hosts, standings

SHORTEST, LONGEST = 10, 500
"""Characters of a reason."""


def take_off_team(
    session: Session, competition: Competition, team: Team, reason: str, *, by: str, now: datetime
) -> None:
    """Take a team off the board; its files are scored as before."""
    reason = read_reason(reason)
    evaluations.lock(session, competition.id, team.id)
    session.refresh(team)
    if team.merged_into_id is not None or team.is_baseline:
        raise Conflict(f"{team.name} is a baseline or has merged into another team.")
    if team.unranked_at is not None or team.is_host:
        raise Conflict(f"{team.name} is off the board already.")
    team.unranked_at, team.unranked_why = now, reason
    session.flush()
    standings.refresh(session, team.id)
    _log(session, "team unranked", competition, by, now, team=team.id, name=team.name, reason=reason)


def put_back_team(
    session: Session, competition: Competition, team: Team, reason: str, *, by: str, now: datetime
) -> None:
    """Put a team on the board again."""
    reason = read_reason(reason)
    evaluations.lock(session, competition.id, team.id)
    session.refresh(team)
    if team.unranked_at is None and not team.is_host:
        raise Conflict(f"{team.name} was not taken off the board by hand.")
    members = session.scalars(select(Membership.user_id).where(Membership.team_id == team.id)).all()
    if team.is_host and members and hosts.hosts_among(session, competition, members) == set(members):
        raise Conflict(f"{team.name} has only organisers, which know more than participants: it has no rank.")
    team.unranked_at = team.unranked_why = None
    team.is_host = False
    session.flush()
    standings.refresh(session, team.id)
    _log(session, "team ranked", competition, by, now, team=team.id, name=team.name, reason=reason)


def take_off_file(
    session: Session, competition: Competition, submission_id: int, reason: str, *, by: str, now: datetime
) -> None:
    """Take one file off the board; a final pick of it stays chosen and does not count.

    On the ladder not before the final results: files without improvement show the score of the file that they
    were compared with, and would keep it on the board.
    """
    reason = read_reason(reason)
    if competition.public_score == PublicScore.LADDER and not competition.is_settled(now):
        raise Conflict(
            "On the ladder later files show the score of the best one before them, so a single file can be "
            "taken off only once the final results are shown. The whole team can be taken off now."
        )
    submission = _locked(session, competition, submission_id)
    if submission.excluded_at is not None:
        raise Conflict(f"Submission {submission_id} is off the board already.")
    submission.excluded_at, submission.excluded_why = now, reason
    session.flush()
    standings.refresh(session, submission.team_id)
    _log(session, "submission excluded", competition, by, now, submission=submission_id, reason=reason)


def put_back_file(
    session: Session, competition: Competition, submission_id: int, reason: str, *, by: str, now: datetime
) -> None:
    """Let one file count again, also as the final pick that it was."""
    reason = read_reason(reason)
    submission = _locked(session, competition, submission_id)
    if submission.excluded_at is None:
        raise Conflict(f"Submission {submission_id} was not taken off the board.")
    submission.excluded_at = submission.excluded_why = None
    session.flush()
    standings.refresh(session, submission.team_id)
    _log(session, "submission included", competition, by, now, submission=submission_id, reason=reason)


def listed(session: Session, competition: Competition) -> tuple[list[Team], list[Submission]]:
    """Return the teams and files that are off the board by hand."""
    off = or_(Team.unranked_at.is_not(None), Team.is_host)
    here = select(Team).where(Team.competition_id == competition.id, off, Team.merged_into_id.is_(None))
    files = select(Submission).where(
        Submission.competition_id == competition.id, Submission.excluded_at.is_not(None)
    )
    return list(session.scalars(here.order_by(Team.id))), list(session.scalars(files.order_by(Submission.id)))


def _locked(session: Session, competition: Competition, submission_id: int) -> Submission:
    submission = session.get(Submission, submission_id)
    if submission is None or submission.competition_id != competition.id:
        raise NotFound(f"{competition.title} has no submission {submission_id}.")
    evaluations.lock(session, competition.id, submission.team_id)
    session.refresh(submission)  # a merge may have moved it
    return submission


def read_reason(text: str) -> str:
    """Return the reason of an organiser in one line; refuse one that is too short or too long."""
    reason = " ".join(text.split())
    if not SHORTEST <= len(reason) <= LONGEST:
        raise Refused(
            f"The reason has {len(reason)} characters; {SHORTEST} to {LONGEST} are needed. The team reads it."
        )
    return reason


def _log(
    session: Session, action: str, competition: Competition, by: str, now: datetime, **detail: str | int
) -> None:
    events.log(session, by, action, competition.slug, now=now, **detail)

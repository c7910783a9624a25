"""What follows from a change of a competition: in words, and how many teams notice it at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from app.base.models import (
    Competition,
    Evaluation,
    Phase,
    PublicScore,
    Quota,
    Round,
    RoundState,
    Standing,
    State,
    Submission,
    Team,
    Visibility,
)
from app.competing import extensions, standings
from app.competing.term_words import when


def of(session: Session, competition: Competition, name: str, new: Any, *, now: datetime) -> tuple[str, int]:
    """Return what participants see of a change, and how many teams notice it at once."""
    teams = _count(session, competition)
    match name:
        case "title":
            return "Every page and the API show this title; the address stays.", teams
        case "summary" if new is None:
            return "The list of competitions shows the challenge's own summary again.", teams
        case "summary":
            return "The list of competitions and the overview show this summary.", teams
        case "visibility":
            return _effect_of_visibility(Visibility(new), teams)
        case "opens_at" if new <= now:
            return "The data and uploads are available at once.", teams
        case "opens_at":
            return f"The data and uploads are available from {when(competition, new)} on.", teams
        case "closes_at":
            return _effect_of_close(session, competition, new, now=now), teams
        case "board_frozen_at" if new is None:
            return "The board shows all files again.", teams
        case "board_frozen_at":
            return f"From {when(competition, new)} {_FROZEN}", teams
        case "entry_closes_at":
            return f"The competition can be joined until {_until(competition, new)}.", 0
        case "teams_close_at":
            return f"Members of teams change, and teams merge, until {_until(competition, new)}.", teams
        case "total_limit" if new is None:
            return "Only the daily limit holds.", teams
        case "daily_limit" | "total_limit" | "pending_limit":
            return _effect_of_limit(session, competition, name, new, now=now)
        case "final_picks":
            moved = _count(session, competition, Team.id.in_(_other_finals(session, competition, new)))
            words = f"A team may pick {new} files. Without picks the best count, which are others for"
            return f"{words} {_teams(moved)}.", moved
        case "max_team_size":
            return f"A team may have {_members(new)}. No team has more now.", teams
        case "max_upload_mb":
            return f"Uploads of up to {new:g} MB are accepted. Files that arrived stay.", teams
        case "public_score":
            shown = _count(session, competition, Team.id.in_(select(Standing.team_id)))
            return _RULE_WORDS[PublicScore(new)], shown
        case "mark_agents":
            sent = select(Submission.team_id).where(Submission.is_by_agent)
            words = "carry the mark agent" if new else "no longer carry the mark agent"
            marked = _count(session, competition, Team.id.in_(sent))
            return f"Rows of the board whose file an agent has sent {words}.", marked
        case "late_submissions" if new:
            return _LATE, teams if competition.is_settled(now) else 0
        case "late_submissions":
            return "No late file is accepted. Those that were sent keep their scores.", teams
        case "archived" if new:
            return _ARCHIVED, teams
        case "archived":
            words = "late files and questions are accepted where these are allowed"
            return f"It is listed with the others again, and {words}.", teams
        case _ if new:
            return _PAUSED, teams
        case _:
            return "Uploads are accepted again.", teams


_LATE = (
    "Once private scores are shown, teams may send files that are scored and never ranked, within the daily "
    "limit, and see both scores of them."
)
_FROZEN = (
    "to the final results the board, ranks and badges show only the files that arrived before. A team still "
    "sees the scores of its own files."
)
_ARCHIVED = (
    "Its pages, board and data stay, and the first page lists it under Past. Late files, train files, "
    "questions and descriptions of methods are refused until it is brought back."
)
_PAUSED = (
    "Uploads are refused with the words that the organiser has paused it. Waiting files are scored, and the "
    "close does not move."
)
_RULE_WORDS = {
    PublicScore.EXACT: "Public scores are shown exactly.",
    PublicScore.ROUNDED: "Scores of new files are rounded. Scores that were shown stay as they are.",
    PublicScore.LADDER: (
        "Of a new file a score is shown only for a significant improvement on the team's best shown one. "
        "Scores that were shown stay as they are."
    ),
}


def _effect_of_visibility(new: Visibility, teams: int) -> tuple[str, int]:
    """Return the effect of another visibility; only a hidden competition is lost to its teams."""
    stay = f"{_teams(teams) if teams else 'No team'} that {'have' if teams > 1 else 'has'} joined"
    closed = "Calendar, badge and embedded board end, and visitors without an account find no page"
    match new:
        case Visibility.PUBLIC:
            return "All accounts and visitors see the competition.", 0
        case Visibility.UNLISTED:
            who = "accounts that open the private link, are on the list or are in a class that has it"
            return f"Only {who} find the competition; {stay} still sees it. {closed}.", 0
        case Visibility.INVITED:
            who = "accounts on the list or in a class that has it"
            return f"Only {who} find the competition; {stay} still sees it. {closed}.", 0
        case Visibility.HIDDEN:
            return f"Only organisers find the competition; {stay} no longer sees it or uploads.", teams


def _effect_of_close(
    session: Session, competition: Competition, new: datetime | None, *, now: datetime
) -> str:
    if new is None:
        return "It has no closing date, and no private score is shown until you give one."
    last = max(new, competition.extended_until or new)
    shown_at = when(competition, last + timedelta(seconds=competition.grace_seconds))
    closes = [e.closes_at for e in extensions.later_closes(session, competition, now=now)]
    later = sum(at is not None and at > new for at in closes)
    own = f" {later} extension{'' if later == 1 else 's'} can end later." if later else ""
    if competition.phase(now) is Phase.CLOSED:
        return (
            f"It is open again until {when(competition, new)}: teams upload and change final picks. No "
            f"private score has been shown, and none is before {shown_at}.{own}"
        )
    words = f"Uploads and final picks end on {when(competition, new)}; private scores are shown from"
    return f"{words} {shown_at} on.{own}"


def _effect_of_limit(
    session: Session, competition: Competition, name: str, new: int, *, now: datetime
) -> tuple[str, int]:
    """Return the effect of a limit of uploads, and of how many teams it refuses the next file now."""
    day = competition.day(now)
    of_day = select(Quota.team_id).where(Quota.day == day, Quota.used >= new)
    charged = select(Submission.team_id).where(
        Submission.competition_id == competition.id, Submission.is_charged
    )
    of_all = charged.group_by(Submission.team_id).having(func.count() >= new)
    words, full = {
        "daily_limit": ("files a day", of_day),
        "total_limit": ("files in all", of_all),
        "pending_limit": ("files that wait", _waiting(competition, at_least=new)),
    }[name]
    at_it = _count(session, competition, Team.id.in_(full))
    return f"A team may have {new} {words}. Accepted files stay; {_reached(at_it)} it.", at_it


def _count(session: Session, competition: Competition, *having: ColumnElement[bool]) -> int:
    """Return how many teams of participants fulfil the conditions."""
    asked = select(func.count()).select_from(Team)
    its = Team.competition_id == competition.id, Team.is_baseline.is_(False), Team.merged_into_id.is_(None)
    return session.scalar(asked.where(*its, *having)) or 0


def _waiting(competition: Competition, *, at_least: int) -> Select[int]:
    return (
        select(Submission.team_id)
        .join(Evaluation, Evaluation.submission_id == Submission.id)
        .join(Round, Round.id == Evaluation.round_id)
        .where(
            Submission.competition_id == competition.id,
            Round.state == RoundState.ACTIVE,
            Evaluation.state.in_((State.QUEUED, State.RUNNING)),
        )
        .group_by(Submission.team_id)
        .having(func.count() >= at_least)
    )


def _other_finals(session: Session, competition: Competition, picks: int) -> list[int]:
    """Return the teams of whose files another counts on the private board with so many picks."""
    stored = session.scalars(select(Standing).where(Standing.competition_id == competition.id))
    now = {one.team_id: one.private_submission_id for one in stored}
    then = standings.compute(
        session, competition, greater_is_better=competition.greater_is_better, final_picks=picks
    )
    return [one.team_id for one in then if now.get(one.team_id) != one.private_submission_id]


def _until(competition: Competition, at: datetime | None) -> str:
    return "the close" if at is None else when(competition, at)


def _teams(n: int) -> str:
    return f"{n} team{'' if n == 1 else 's'}"


def _reached(n: int) -> str:
    return f"{_teams(n) if n else 'no team'} {'have' if n > 1 else 'has'} reached"


def _members(n: int) -> str:
    return f"{n} member{'' if n == 1 else 's'}"

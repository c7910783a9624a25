"""The table of all submissions of a competition, for its organisers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, String, and_, cast, func, not_, or_, select
from sqlalchemy.orm import Session

from app.base import db
from app.base.models import (
    Competition,
    Evaluation,
    FinalPick,
    Round,
    RoundState,
    Standing,
    State,
    Submission,
    Team,
)
from app.competing import statuses
from app.competing.participants import MOST_SEARCH
from app.competing.statuses import Status


class Kind(StrEnum):
    """What is special about a submission."""

    PICKED = "picked"
    FINAL = "final"
    """The file of a team that counts in the final ranking."""
    LATE = "late"
    HOST = "host"
    """Of a host, so not ranked."""
    EXCLUDED = "off the board"
    WITHDRAWN = "withdrawn"
    CANCELLED = "cancelled"
    BASELINE = "baseline"
    AGENT = "agent"


@dataclass(frozen=True)
class Wanted:
    """Which submissions, and in which order."""

    search: str = ""
    """A part of the name of the team or the file, the beginning of the sha256, or the number."""
    state: State | None = None
    kind: Kind | None = None
    code: str = ""
    """Of a problem for which files were rejected."""
    team_id: int | None = None
    is_oldest_first: bool = False
    shows_private: bool = True
    """Whether the viewer may see private and exact scores before the end."""
    through_id: int | None = None
    """Only submissions up to this one."""


COLUMNS = (
    *("submission", "team", "sent_by", "received_at", "state", "file", "size_bytes", "sha256", "problems"),
    *("public", "public_exact", "private", "picked", "ranked", "late", "withdrawn", "excluded_why"),
)
"""Of the table as CSV."""


def csv_row(one: Status) -> list[Any]:
    """Return a submission as a row of `COLUMNS`."""
    scores = ("" if x is None else repr(x) for x in (one.public, one.public_exact, one.private))
    return [
        *(one.id, one.team, one.sent_by, one.received_at.isoformat(), str(one.state), one.filename),
        *(one.size_bytes, one.sha256, " ".join(codes(one)), *scores, one.is_picked, one.is_ranked),
        *(one.is_late, one.is_withdrawn, one.excluded_why),
    ]


def codes(one: Status) -> list[str]:
    """Return the codes of the problems of a submission, each once."""
    return list(dict.fromkeys(str(problem["code"]) for problem in one.problems))


def page(
    session: Session,
    competition: Competition,
    wanted: Wanted,
    *,
    now: datetime,
    limit: int,
    behind_id: int | None = None,
) -> list[Status]:
    """Return the submissions behind one, with what organisers may see."""
    return statuses.statuses(
        session,
        competition,
        now=now,
        team_id=wanted.team_id,
        for_organiser=wanted.shows_private,
        limit=limit,
        before_id=None if wanted.is_oldest_first else behind_id,
        after_id=behind_id if wanted.is_oldest_first else None,
        is_oldest_first=wanted.is_oldest_first,
        where=_conditions(competition, wanted),
    )


def walk(
    read: Callable[[], AbstractContextManager[Session]],
    competition_id: int,
    wanted: Wanted,
    *,
    each: int = 500,
) -> Iterator[Status]:
    """Return all submissions, page by page, each in a transaction of its own.

    A slow reader must not keep one open: SQLite could not fold its log back meanwhile.
    """
    behind = None
    while True:
        with read() as session:
            competition = session.get_one(Competition, competition_id)
            found = page(session, competition, wanted, now=db.now(session), limit=each, behind_id=behind)
        yield from found
        if len(found) < each:
            return
        behind = found[-1].id


def counted(session: Session, competition: Competition, wanted: Wanted) -> tuple[int, int, int | None]:
    """Return how many submissions match, of how many teams, and the newest."""
    query = (
        select(func.count(), func.count(Submission.team_id.distinct()), func.max(Submission.id))
        .join(Team, Team.id == Submission.team_id)
        .join(
            Round, and_(Round.competition_id == Submission.competition_id, Round.state == RoundState.ACTIVE)
        )
        .join(Evaluation, and_(Evaluation.submission_id == Submission.id, Evaluation.round_id == Round.id))
        .where(Submission.competition_id == competition.id, *_conditions(competition, wanted))
    )
    if wanted.team_id is not None:
        query = query.where(Submission.team_id == wanted.team_id)
    files, of_teams, newest = session.execute(query).one()
    return files, of_teams, newest


def _conditions(competition: Competition, wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    search = " ".join(wanted.search.split())[:MOST_SEARCH]
    if search:
        number = search.removeprefix("#")
        found.append(
            or_(
                Team.name.icontains(search, autoescape=True),
                Submission.filename.icontains(search, autoescape=True),
                Submission.sha256.startswith(search.lower(), autoescape=True),
                *([Submission.id == int(number[:18])] if number.isascii() and number.isdigit() else []),
            )
        )
    if wanted.state is State.SCORED:
        found.append(Evaluation.state == wanted.state)
    elif wanted.state is not None:
        # By the index of states: a rare one is not looked for among a million others.
        its = select(Evaluation.submission_id).join(Round, Round.id == Evaluation.round_id)
        active = Round.competition_id == competition.id, Round.state == RoundState.ACTIVE
        found.append(Submission.id.in_(its.where(*active, Evaluation.state == wanted.state)))
    if wanted.code:
        named = f'"code": "{wanted.code[:MOST_SEARCH]}"'
        found.append(Evaluation.state == State.REJECTED)
        found.append(cast(Evaluation.problems, String).contains(named, autoescape=True))
    if wanted.through_id is not None:
        found.append(Submission.id <= wanted.through_id)
    match wanted.kind:
        case Kind.PICKED:
            picked = select(FinalPick.submission_id).where(FinalPick.team_id == Submission.team_id)
            found.append(Submission.id.in_(picked.correlate(Submission)))
        case Kind.FINAL:
            counting = select(Standing.private_submission_id)
            found.append(Submission.id.in_(counting.where(Standing.competition_id == competition.id)))
        case Kind.LATE:
            found.append(Submission.is_late.is_(True))
        case Kind.HOST:
            found.append(and_(not_(Submission.is_ranked), not_(Submission.is_late)))
        case Kind.EXCLUDED:
            found.append(Submission.excluded_at.is_not(None))
        case Kind.WITHDRAWN:
            found.append(Submission.withdrawn_at.is_not(None))
        case Kind.CANCELLED:
            found.append(Submission.cancelled_at.is_not(None))
        case Kind.BASELINE:
            found.append(Team.is_baseline.is_(True))
        case Kind.AGENT:
            found.append(Submission.is_by_agent.is_(True))
        case _:
            pass
    return found

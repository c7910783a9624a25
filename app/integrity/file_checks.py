"""Check a file without submitting it: the scorer's reader judges its form, and no upload is charged.

The messages are those of a rejected submission, and a rejected check counts as one: both slow the team down
alike (app/competing/rejections.py), so that a check is no cheaper oracle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.base.errors import NotFound, QuotaExhausted
from app.base.models import Competition, FileCheck, Inspection, InspectionState, Membership, Team
from app.base.storage import ORPHAN_AGE, Blob
from app.competing import competitions, evaluations, rejections, submissions, upload_room, visibility
from app.integrity import inspections
from app.integrity.inspections import Kind
from app.people.accounts import Viewer

DAILY_LIMIT = 100
A_DAY = timedelta(days=1)
CHECKED_SOON = timedelta(seconds=2)


class CheckState(StrEnum):
    """The states of a check."""

    QUEUED = "queued"
    RUNNING = "running"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """A check as its team may see it."""

    id: int
    competition: str
    state: CheckState
    filename: str
    sha256: str
    size_bytes: int
    received_at: datetime
    finished_at: datetime | None
    problems: Sequence[Mapping[str, Any]]
    problem_count: int
    notices: Sequence[Mapping[str, Any]]


def admit(session: Session, competition: Competition, viewer: Viewer, *, received_at: datetime) -> Team:
    """Return the viewer's team; refuse a file to check before it is received."""
    team, _ = submissions.sender(session, competition, viewer, received_at=received_at)
    rejected = rejections.today(session, competition, team, received_at=received_at, now=received_at)
    if rejected.is_slowed:
        submissions.refuse_too_many_pending(session, competition, team, rejected)
    rejections.refuse_too_early(competition, rejected, now=received_at)
    if rejections.waiting_checks(session, team):
        raise QuotaExhausted(
            "A file of your team is being checked. Send the next when it has its answer.",
            retry_after=CHECKED_SOON,
        )
    _refuse_too_many(session, team, received_at)
    return team


def ask(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    blob: Blob,
    *,
    filename: str,
    received_at: datetime,
    now: datetime,
    most_bytes: int,
) -> int:
    """Queue the check of a file; return its id."""
    competitions.hold(session, competition.id)  # or the viewer could leave the team meanwhile
    team, _ = submissions.sender(session, competition, viewer, received_at=received_at)
    evaluations.lock(session, competition.id, team.id)  # two requests would both see room for one
    admit(session, competition, viewer, received_at=received_at)
    rejected = rejections.today(session, competition, team, received_at=received_at, now=now)
    if rejected.is_slowed:
        rejections.refuse_repeated(session, competition, team, blob.sha256, received_at=received_at)
    kept = session.scalar(
        select(func.sum(FileCheck.size_bytes)).where(
            FileCheck.team_id == team.id, FileCheck.received_at > now - ORPHAN_AGE
        )
    )
    upload_room.refuse_beyond_room(session, team.id, blob.size_bytes + int(kept or 0), most_bytes=most_bytes)
    inspection = inspections.add(session, competition, Kind.CHECK, by=viewer.name, now=now)
    session.add(
        FileCheck(
            inspection_id=inspection.id,
            team_id=team.id,
            user_id=viewer.id,
            received_at=received_at,
            day=competition.day(received_at),
            filename=submissions.safe_filename(filename),
            sha256=blob.sha256,
            size_bytes=blob.size_bytes,
        )
    )
    session.flush()
    return inspection.id


def _refuse_too_many(session: Session, team: Team, now: datetime) -> None:
    sent, first = session.execute(
        select(func.count(), func.min(FileCheck.received_at)).where(
            FileCheck.team_id == team.id, FileCheck.received_at > now - A_DAY
        )
    ).one()
    if sent >= DAILY_LIMIT:
        raise QuotaExhausted(
            f"{sent} files of your team were checked within a day, which is the limit. The next can be "
            f"checked at {first + A_DAY:%Y-%m-%d %H:%M} UTC; files can still be submitted.",
            retry_after=first + A_DAY - now,
        )


def get(session: Session, viewer: Viewer, check_id: int) -> Check:
    """Return a check of the viewer's team, or any for organisers.

    Else NotFound, as for one that does not exist.
    """
    found = session.execute(
        select(FileCheck, Inspection, Competition.slug)
        .join(Inspection, Inspection.id == FileCheck.inspection_id)
        .join(Competition, Competition.id == Inspection.competition_id)
        .where(FileCheck.inspection_id == check_id, visibility.seen_by(viewer))
    ).one_or_none()
    if found is not None and not viewer.assists(found[1].competition_id):
        mine = Membership.team_id == found[0].team_id, Membership.user_id == viewer.id
        if session.scalar(select(Membership.user_id).where(*mine)) is None:
            found = None
    if found is None:
        raise NotFound(f"There is no check {check_id} of yours.")
    file, inspection, slug = found
    result = inspection.result or {}
    return Check(
        id=check_id,
        competition=slug,
        state=_state(file, inspection),
        filename=file.filename,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        received_at=file.received_at,
        finished_at=inspection.finished_at,
        problems=result.get("problems", []),
        problem_count=result.get("problem_count", 0),
        notices=result.get("notices", []),
    )


def _state(file: FileCheck, inspection: Inspection) -> CheckState:
    if inspection.state != InspectionState.DONE:
        return CheckState(inspection.state)
    return CheckState.REJECTED if file.is_rejected else CheckState.ACCEPTED


def file_of(session: Session, check_id: int) -> str:
    """Return the sha256 of the file to check."""
    return session.get_one(FileCheck, check_id).sha256


def record(session: Session, check_id: int, *, is_rejected: bool, seconds: float) -> None:
    """Write the verdict, in the transaction that ends the inspection."""
    mine = FileCheck.inspection_id == check_id
    session.execute(update(FileCheck).where(mine).values(is_rejected=is_rejected, seconds=seconds))

"""Classes: made, found, listed, with their competitions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import Competition
from app.base.models_classes import ClassCompetition, Classroom, Enrolment
from app.classes import codes

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")


@dataclass(frozen=True)
class Listed:
    classroom: Classroom
    active: int
    joined: int


def make(session: Session, slug: str, *, title: str = "", by: str, now: datetime) -> Classroom:
    """Make a class with a class code of its own."""
    if not NAME.fullmatch(slug):
        raise Refused(
            f"{slug[:80]!r} cannot name a class: use 1 to 60 lower-case letters, digits and dashes, "
            "beginning and ending with a letter or digit."
        )
    title = " ".join(title.split()) or slug
    if len(title) > 200:
        raise Refused(f"The title has {len(title)} characters; at most 200 are kept.")
    classroom = Classroom(
        slug=slug,
        title=title,
        code=codes.new(codes.CLASS_CODE_LENGTH),
        columns={},
        made_by=by,
        created_at=now,
    )
    try:
        with session.begin_nested():
            session.add(classroom)
    except IntegrityError:
        raise Conflict(f"There is a class {slug} already; choose another name.") from None
    events.log(session, by, "class made", f"class {slug}", now=now, title=title)
    return classroom


def by_slug(session: Session, slug: str) -> Classroom:
    found = session.scalar(select(Classroom).where(Classroom.slug == slug))
    if found is None:
        raise NotFound(f"There is no class {slug}; `heldout class new {slug}` makes it.")
    return found


def by_code(session: Session, code: str) -> Classroom:
    """Return the class of a class code as `codes.typed` gives it."""
    found = session.scalar(select(Classroom).where(Classroom.code == code, Classroom.archived_at.is_(None)))
    if found is None:
        raise NotFound("There is no class with this code. Compare it with the one that the instructor shows.")
    return found


def seen_by(
    session: Session, slug: str, user_id: int, *, is_organiser: bool
) -> tuple[Classroom, Enrolment | None]:
    """Return a class and the user's enrolment; NotFound, as for no class, to others than its members."""
    found = session.scalar(select(Classroom).where(Classroom.slug == slug))
    mine = None
    if found is not None:
        its = Enrolment.classroom_id == found.id, Enrolment.user_id == user_id, Enrolment.left_at.is_(None)
        mine = session.scalar(select(Enrolment).where(*its))
    if found is None or (mine is None and not is_organiser):
        raise NotFound("There is no such page.")
    return found, mine


def lock(session: Session, classroom: Classroom) -> None:
    """Let one transaction at a time change the members of a class."""
    session.flush()
    session.refresh(classroom, with_for_update=True)


def listed(session: Session) -> list[Listed]:
    """Return all classes, newest first, with how many active members they have and how many joined."""
    active = func.count(Enrolment.id)
    rows = session.execute(
        select(Classroom, active, func.count(Enrolment.user_id))
        .outerjoin(Enrolment, (Enrolment.classroom_id == Classroom.id) & Enrolment.left_at.is_(None))
        .group_by(Classroom.id)
        .order_by(Classroom.id.desc())
    )
    return [Listed(*row) for row in rows]


def add_competition(
    session: Session, classroom: Classroom, competition: Competition, *, by: str, now: datetime
) -> None:
    """Make a competition one of the class; a second call changes nothing."""
    lock(session, classroom)
    if competition.id in {one.id for one in competitions_of(session, classroom)}:
        return
    session.add(ClassCompetition(classroom_id=classroom.id, competition_id=competition.id, created_at=now))
    events.log(
        session,
        by,
        "class competition added",
        f"class {classroom.slug}",
        now=now,
        competition=competition.slug,
    )


def competitions_of(session: Session, classroom: Classroom) -> list[Competition]:
    """Return the competitions of a class in the order in which they were added."""
    return list(
        session.scalars(
            select(Competition)
            .join(ClassCompetition, ClassCompetition.competition_id == Competition.id)
            .where(ClassCompetition.classroom_id == classroom.id)
            .order_by(ClassCompetition.id)
        )
    )

"""Instructors and assistants of a class, and what each may do in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, Forbidden, NotFound, Refused
from app.base.models import User
from app.base.models_classes import Classroom, Enrolment, Role
from app.classes import pseudonyms, rosters
from app.people import accounts
from app.people.accounts import Viewer

ROLES = (Role.INSTRUCTOR, Role.ASSISTANT)
NO_PAGE = "There is no such page."


class Right(StrEnum):
    """A group of actions in a class."""

    LOOK = "see the students and how far they are"
    HELP = "issue codes, add a student by hand, set one inactive or active"
    ROSTER = "import rosters"
    GRADES = "see and set grades"
    MANAGE = "change, archive and copy the class, its competitions and its staff"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.STUDENT: frozenset(),
    Role.ASSISTANT: frozenset({Right.LOOK, Right.HELP}),
    Role.INSTRUCTOR: frozenset(Right),
}
"""Organisers of the installation have every right in every class."""


def permitted(session: Session, slug: str, viewer: Viewer, right: Right) -> Classroom:
    """Return a class in which the viewer has this right; NotFound to all but its staff and organisers."""
    found = session.scalar(select(Classroom).where(Classroom.slug == slug))
    role = None if found is None else role_of(session, found, viewer)
    if found is None or role not in ROLES:
        raise NotFound(NO_PAGE)
    if right not in RIGHTS[role]:
        raise Forbidden(f"An assistant may not {right.value}. An instructor of {found.title} may.")
    return found


def role_of(session: Session, classroom: Classroom, viewer: Viewer) -> Role | None:
    """Return the viewer's role in a class; an organiser of the installation is an instructor of each."""
    if viewer.is_organiser:
        return Role.INSTRUCTOR
    its = Enrolment.classroom_id == classroom.id, Enrolment.user_id == viewer.id, Enrolment.left_at.is_(None)
    role = session.scalar(select(Enrolment.role).where(*its))
    return None if role is None else Role(role)


def listed(session: Session, classroom: Classroom) -> list[tuple[Enrolment, str]]:
    """Return the instructors and assistants of a class with the names of their accounts."""
    rows = session.execute(
        select(Enrolment, User.name)
        .join(User, User.id == Enrolment.user_id)
        .where(
            Enrolment.classroom_id == classroom.id,
            Enrolment.role.in_([role.value for role in ROLES]),
            Enrolment.left_at.is_(None),
        )
        .order_by(Enrolment.role.desc(), User.name)
    )
    return [(enrolment, name) for enrolment, name in rows]


def appoint(
    session: Session, classroom: Classroom, name: str, role: Role | str, *, by: str, now: datetime
) -> Enrolment:
    """Give an account a role in the class, or another one than it had."""
    if role not in ROLES:
        raise Refused(f"{str(role)[:20]!r} is no role of a class: use {' or '.join(ROLES)}.")
    user = accounts.by_name(session, name)
    present = rosters.members(session, classroom)
    mine = next((one for one in present if one.user_id == user.id), None)
    if mine is not None and mine.role == Role.STUDENT and mine.left_at is None:
        raise Conflict(f"{user.name} is a student of this class. Set that student inactive first.")
    if mine is None:
        free = pseudonyms.Free(one.pseudonym for one in present)
        mine = Enrolment(
            classroom_id=classroom.id, user_id=user.id, pseudonym=free.take(), is_by_hand=True, created_at=now
        )
        session.add(mine)
    mine.role, mine.left_at = Role(role).value, None
    session.flush()
    events.log(
        session, by, "class role given", f"class {classroom.slug}", now=now, account=user.name, role=mine.role
    )
    return mine


def dismiss(session: Session, classroom: Classroom, enrolment_id: int, *, by: str, now: datetime) -> str:
    """End the role of an instructor or assistant; return the account's name."""
    for enrolment, name in listed(session, classroom):
        if enrolment.id == enrolment_id:
            enrolment.left_at = now
            events.log(session, by, "class role ended", f"class {classroom.slug}", now=now, account=name)
            return name
    raise NotFound(f"The class has no instructor or assistant {enrolment_id}.")

"""Classes: made, found, listed, changed and copied, with their competitions."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import Competition
from app.base.models_classes import BoardNames, ClassCompetition, Classroom, Enrolment, Role
from app.classes import codes, staff
from app.people.accounts import Viewer

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")


RESERVED = ("new",)
"""Words that stand in addresses of pages where the name of a class may stand."""


@dataclass(frozen=True)
class Listed:
    classroom: Classroom
    active: int
    """Students that have not left."""
    joined: int
    """Students with an account."""


def make(
    session: Session,
    slug: str,
    *,
    title: str = "",
    names: BoardNames | str = BoardNames.FREE,
    by: str,
    now: datetime,
) -> Classroom:
    """Make a class with a class code of its own."""
    if not NAME.fullmatch(slug) or slug in RESERVED:
        raise Refused(
            f"{slug[:80]!r} cannot name a class: use 1 to 60 lower-case letters, digits and dashes, "
            "beginning and ending with a letter or digit."
        )
    title = _title(title) or slug
    classroom = Classroom(
        slug=slug,
        title=title,
        names=_names(names),
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


def free_slug(session: Session, title: str) -> str:
    """Return a name for a class of this title that no class has yet."""
    plain = unicodedata.normalize("NFKD", title.casefold().replace("ß", "ss"))
    base = "-".join(re.findall(r"[a-z0-9]+", plain.encode("ascii", "ignore").decode()))[:50].strip("-")
    base = base or "class"
    taken = set(session.scalars(select(Classroom.slug).where(Classroom.slug.startswith(base)))) | {*RESERVED}
    return next(
        name
        for name in (base, *(f"{base}-{number}" for number in range(2, len(taken) + 3)))
        if name not in taken
    )


def change(
    session: Session,
    classroom: Classroom,
    *,
    title: str | None = None,
    names: BoardNames | str | None = None,
    is_archived: bool | None = None,
    by: str,
    now: datetime,
) -> None:
    """Change what is given of a class. An archived class takes no codes; its pages stay."""
    lock(session, classroom)
    changed: dict[str, object] = {}
    if title is not None and (wanted := _title(title)) and wanted != classroom.title:
        classroom.title = changed["title"] = wanted
    if names is not None and names != classroom.names:
        classroom.names = changed["names"] = _names(names)
    if is_archived is not None and is_archived != (classroom.archived_at is not None):
        classroom.archived_at = now if is_archived else None
        changed["archived"] = is_archived
    if changed:
        events.log(session, by, "class changed", f"class {classroom.slug}", now=now, **changed)


def copied(
    session: Session, classroom: Classroom, slug: str, *, title: str = "", by: str, now: datetime
) -> Classroom:
    """Make a class for the next term: its staff, names and columns, without students and competitions."""
    made = make(session, slug, title=title or classroom.title, names=classroom.names, by=by, now=now)
    made.columns = dict(classroom.columns)
    for enrolment, name in staff.listed(session, classroom):
        staff.appoint(session, made, name, enrolment.role, by=by, now=now)
    events.log(session, by, "class copied", f"class {made.slug}", now=now, source=classroom.slug)
    return made


def _title(text: str) -> str:
    title = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(title) > 200:
        raise Refused(f"The title has {len(title)} characters; at most 200 are kept.")
    return title


def _names(value: BoardNames | str) -> str:
    try:
        return BoardNames(value).value
    except ValueError:
        raise Refused(f"names is {' or '.join(BoardNames)}, not {str(value)[:20]!r}.") from None


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


def listed(session: Session, viewer: Viewer | None = None) -> list[Listed]:
    """Return all classes, or those of a member, newest first, with their active and joined students."""
    query = _counted()
    if viewer is not None and not viewer.is_organiser:
        own = select(Enrolment.classroom_id).where(
            Enrolment.user_id == viewer.id, Enrolment.left_at.is_(None)
        )
        query = query.where(Classroom.id.in_(own))
    return [Listed(room, active, joined) for room, active, joined in session.execute(query)]


def counted(session: Session, classroom: Classroom) -> Listed:
    """Return one class as `listed` does."""
    room, active, joined = session.execute(_counted().where(Classroom.id == classroom.id)).one()
    return Listed(room, active, joined)


def _counted() -> Select[Any, Any, Any]:
    is_student = Enrolment.left_at.is_(None) & (Enrolment.role == Role.STUDENT.value)
    return (
        select(Classroom, func.count(Enrolment.id), func.count(Enrolment.user_id))
        .outerjoin(Enrolment, (Enrolment.classroom_id == Classroom.id) & is_student)
        .group_by(Classroom.id)
        .order_by(Classroom.id.desc())
    )


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


def competition_of(session: Session, classroom: Classroom, slug: str | None = None) -> Competition | None:
    """Return the named competition of a class, or the one that was added last; None if it has none."""
    found = competitions_of(session, classroom)
    if not slug:
        return found[-1] if found else None
    named = next((one for one in found if one.slug == slug), None)
    if named is None:
        raise NotFound(f"{slug[:60]} is no competition of this class.")
    return named

"""Codes with which students join a class without e-mail.

The class code leads to the page to join and permits nothing alone. A personal code joins as one student,
once. It has 50 random bits, of which the database has a hash under the installation's key: neither a copy
of the database nor one of the key alone shows a code.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import NotFound, Refused
from app.base.models import User
from app.base.models_classes import Classroom, Enrolment, JoinCode, Role
from app.classes import rosters
from app.people import accounts

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O and U."""
NOT_VALID = "This code is not valid in this class, or it was used. Ask the instructor for a new one."
CLASS_CODE_LENGTH, PERSONAL_LENGTH = 8, 10
_LOOK_ALIKE = str.maketrans("ILO", "110")


@dataclass(frozen=True)
class Issued:
    """A new code of a student; its text is stored nowhere."""

    enrolment: Enrolment
    code: str


def new(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def shown(code: str) -> str:
    """Return a code with a dash in its middle, as it is printed."""
    half = len(code) // 2
    return f"{code[:half]}-{code[half:]}"


def typed(text: str) -> str:
    """Return the code that a person meant: case, blanks, dashes and look-alikes do not count."""
    kept = "".join(c for c in text[:60].upper() if c.isalnum())
    return kept.translate(_LOOK_ALIKE)


def issue(
    session: Session,
    classroom: Classroom,
    *,
    key: str,
    by: str,
    now: datetime,
    only: Sequence[int] | None = None,
    again: bool = False,
) -> list[Issued]:
    """Make personal codes for the active students that have neither joined nor an unused code.

    `only` names students by their ids; one that has joined gets a code that sets a new password. With `again`
    an unused code is replaced, for strips that were lost; the old one ends.
    """
    waiting = [
        one for one in rosters.members(session, classroom) if one.left_at is None and one.role == Role.STUDENT
    ]
    if only is None:
        waiting = [one for one in waiting if one.user_id is None]
    else:
        waiting = [one for one in waiting if one.id in only]
        if len(waiting) != len(set(only)):
            raise Refused("A code is for an active student of the class.")
        refuse_powerful(session, waiting)
    if again:
        rosters.revoke_codes(session, [one.id for one in waiting], now=now)
        session.flush()
    having = set(
        session.scalars(
            select(JoinCode.enrolment_id)
            .join(Enrolment, Enrolment.id == JoinCode.enrolment_id)
            .where(
                Enrolment.classroom_id == classroom.id,
                JoinCode.used_at.is_(None),
                JoinCode.revoked_at.is_(None),
            )
        )
    )
    issued = []
    for enrolment in waiting:
        if enrolment.id in having:
            continue
        code = new(PERSONAL_LENGTH)
        made = JoinCode(enrolment_id=enrolment.id, code_hash=digest(code, key), made_by=by, created_at=now)
        session.add(made)
        issued.append(Issued(enrolment, code))
    session.flush()
    if issued:
        events.log(
            session, by, "join codes made", f"class {classroom.slug}", now=now, codes=len(issued), again=again
        )
    return issued


def owner(session: Session, classroom: Classroom, text: str, *, key: str) -> tuple[JoinCode, Enrolment]:
    """Return a personal code's row and its member; one answer for unknown, used and ended codes."""
    found = session.execute(
        select(JoinCode, Enrolment)
        .join(Enrolment, Enrolment.id == JoinCode.enrolment_id)
        .where(
            JoinCode.code_hash == digest(typed(text), key),
            JoinCode.used_at.is_(None),
            JoinCode.revoked_at.is_(None),
            Enrolment.classroom_id == classroom.id,
            Enrolment.left_at.is_(None),
        )
    ).one_or_none()
    if found is None:
        raise NotFound(NOT_VALID)
    return found[0], found[1]


def enrolment_of(session: Session, classroom_id: int, text: str, *, key: str) -> int | None:
    """Return the member whose valid code this is; None if it is not valid."""
    try:
        return owner(session, session.get_one(Classroom, classroom_id), text, key=key)[1].id
    except NotFound:
        return None


def refuse_powerful(session: Session, chosen: Sequence[Enrolment]) -> None:
    """Refuse a code that would set the password of an organiser, a host or the staff of a class."""
    ids = [one.user_id for one in chosen if one.user_id is not None]
    teaches = exists().where(
        Enrolment.user_id == User.id, Enrolment.role != Role.STUDENT.value, Enrolment.left_at.is_(None)
    )
    found = session.execute(
        select(User.name, User.is_organiser, accounts.hosted(), teaches).where(User.id.in_(ids))
    )
    if names := [row.name for row in found if row.is_organiser or row[2] or row[3]]:
        raise Refused(
            f"{', '.join(names)} organises competitions or teaches a class; a class sets no password of such "
            "an account. The operator does, with `heldout user password NAME`."
        )


def digest(code: str, key: str) -> bytes:
    mine = hmac.digest(key.encode(), b"heldout class codes", hashlib.sha256)
    return hmac.digest(mine, code.encode(), hashlib.sha256)

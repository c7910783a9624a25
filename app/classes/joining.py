"""Join a class with a personal code, as a new account or as the one that is signed in.

After that, a new code of the same student sets a new password: the instructor issues one when a password is
forgotten.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Conflict, Refused
from app.base.models import User
from app.base.models_classes import BoardNames, Classroom, Enrolment
from app.classes import codes, pseudonyms, rosters
from app.people import accounts
from app.people.accounts import Viewer


def join(
    session: Session,
    classroom: Classroom,
    code: str,
    *,
    key: str,
    name: str,
    password_hash: str,
    now: datetime,
) -> User:
    """Use a personal code up; return the student's account, a new one or the own one with a new password.

    Without a name, and in a class of pseudonyms, the account has the student's pseudonym.
    """
    row, enrolment = codes.owner(session, classroom, code, key=key)
    if enrolment.user_id is not None:
        user = session.get_one(User, enrolment.user_id)
        codes.refuse_powerful(session, [enrolment])  # it may have become an organiser since the code was made
        accounts.set_password(session, user.id, password_hash, now=now)
        action = "password set by code"
    else:
        name = "" if classroom.names == BoardNames.PSEUDONYM else name.strip()
        user = (
            accounts.register(session, name, password_hash, now=now)
            if name
            else _under_pseudonym(session, classroom, enrolment, password_hash, now=now)
        )
        enrolment.user_id = user.id
        action = "class joined"
    row.used_at = now
    session.flush()
    events.log(session, user.name, action, f"class {classroom.slug}", now=now, enrolment=enrolment.id)
    return user


def join_as(
    session: Session, classroom: Classroom, code: str, viewer: Viewer, *, key: str, now: datetime
) -> Enrolment:
    """Use a personal code up for the account that is signed in."""
    row, enrolment = codes.owner(session, classroom, code, key=key)
    if enrolment.user_id is not None:
        raise Refused("This code sets a new password. Sign out first, then enter it with the new password.")
    if any(one.user_id == viewer.id for one in rosters.members(session, classroom)):
        raise Conflict("Your account is in this class already. Sign out to join as another student.")
    enrolment.user_id = viewer.id
    row.used_at = now
    session.flush()
    events.log(
        session, viewer.name, "class joined", f"class {classroom.slug}", now=now, enrolment=enrolment.id
    )
    return enrolment


def _under_pseudonym(
    session: Session, classroom: Classroom, enrolment: Enrolment, password_hash: str, *, now: datetime
) -> User:
    """Register an account under the student's pseudonym, or another one where an account has it."""
    free = pseudonyms.Free(one.pseudonym for one in rosters.members(session, classroom))
    for _ in range(20):
        try:
            return accounts.register(session, enrolment.pseudonym, password_hash, now=now)
        except Conflict:
            enrolment.pseudonym = free.take()
            session.flush()
    raise Conflict("No pseudonym is free; type a name of your own.")

"""Which accounts see a competition: one condition, for pages, programs and lists.

To an account that may not see a competition there is none of this name: the refusal equals that of an unknown
name, so that names cannot be guessed. Organisers and hosts see every competition of theirs. A hidden one is
also hidden from the teams that have joined it.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, or_, select, true
from sqlalchemy.orm import Session

from app.base.errors import NotFound
from app.base.models import Competition, Membership, Visibility
from app.base.models_classes import ClassCompetition, Enrolment
from app.base.models_visibility import Admission
from app.people.accounts import Viewer


def find(session: Session, slug: str, viewer: Viewer | None) -> Competition:
    """Return a competition that the viewer may see; NotFound, as for an unknown name, for any other."""
    competition = session.scalar(select(Competition).where(Competition.slug == slug))
    if competition is None or not may_see(session, competition, viewer):
        raise NotFound(f"There is no competition {slug}.")
    return competition


def may_see(session: Session, competition: Competition, viewer: Viewer | None) -> bool:
    """Return whether a viewer, or a visitor without an account, may see a competition."""
    if competition.visibility == Visibility.PUBLIC:
        return True
    if viewer is None:
        return False
    here = select(Competition.id).where(Competition.id == competition.id, seen_by(viewer))
    return session.scalar(here) is not None


def seen_by(viewer: Viewer | None) -> ColumnElement[bool]:
    """Return the condition of the competitions that a viewer may see.

    Of one that is unlisted or by invitation: the accounts that have joined or are admitted, and the members
    of a class that it belongs to.
    """
    is_public = Competition.visibility == Visibility.PUBLIC
    if viewer is None:
        return is_public
    if viewer.is_organiser:
        return true()
    here = Competition.id
    joined = exists().where(Membership.competition_id == here, Membership.user_id == viewer.id)
    admitted = exists().where(
        Admission.competition_id == here, Admission.user_id == viewer.id, Admission.removed_at.is_(None)
    )
    enrolled = exists().where(
        ClassCompetition.competition_id == here,
        Enrolment.classroom_id == ClassCompetition.classroom_id,
        Enrolment.user_id == viewer.id,
        Enrolment.left_at.is_(None),
    )
    is_shared = Competition.visibility.in_((Visibility.UNLISTED, Visibility.INVITED))
    hosts = Competition.id.in_(viewer.hosted | viewer.assisted | viewer.judged)
    return or_(is_public, hosts, and_(is_shared, or_(joined, admitted, enrolled)))

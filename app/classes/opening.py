"""Make a class together with its competition and its instructor, from four answers."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Forbidden, NotFound, Refused
from app.base.models import ChallengeVersion, Competition
from app.base.models_classes import BoardNames, Classroom, Role
from app.classes import classes, staff
from app.competing import competitions
from app.people.accounts import Viewer


def begin(
    session: Session,
    viewer: Viewer,
    title: str,
    *,
    names: BoardNames | str,
    slug: str = "",
    version: ChallengeVersion | None = None,
    competition: Competition | None = None,
    closes_at: datetime | None = None,
    max_upload_bytes: int,
    now: datetime,
) -> Classroom:
    """Make a class, whose first instructor is the viewer.

    With a version its competition is opened, which closes at `closes_at`, in the challenge's zone where that
    has none; or it gets a competition that is there.
    """
    if not viewer.is_organiser:
        raise Forbidden("Organisers of the installation make classes, and appoint their instructors.")
    if not title.strip():
        raise Refused("Give the class a name.")
    slug = slug or classes.free_slug(session, title)
    classroom = classes.make(session, slug, title=title, names=names, by=viewer.name, now=now)
    if version is not None:
        zone = ZoneInfo(version.manifest["competition"]["timezone"])
        if closes_at is not None and closes_at.tzinfo is None:
            closes_at = closes_at.replace(tzinfo=zone)
        competition = competitions.open_(
            session,
            version,
            now=now,
            max_upload_bytes=max_upload_bytes,
            slug=_free_slug(session, version.challenge.slug, slug),
            changes={"closes_at": closes_at},
        )
        events.log(
            session,
            viewer.name,
            "competition opened",
            competition.slug,
            now=now,
            challenge=version.challenge.slug,
            for_class=slug,
        )
    if competition is not None:
        add_competition(session, classroom, competition, viewer, now=now)
    staff.appoint(session, classroom, viewer.name, Role.INSTRUCTOR, by=viewer.name, now=now)
    return classroom


def add_competition(
    session: Session, classroom: Classroom, competition: Competition, viewer: Viewer, *, now: datetime
) -> None:
    """Make a competition that the viewer organises one of the class; others do not exist for it."""
    if not viewer.organises(competition.id):
        raise NotFound(f"You organise no competition {competition.slug}; an owner adds you as a host.")
    classes.add_competition(session, classroom, competition, by=viewer.name, now=now)


def named(session: Session, viewer: Viewer, slug: str) -> Competition:
    """Return a competition that the viewer organises; the answer is the same for others and for none."""
    found = next((one for one in organised_by(session, viewer) if one.slug == slug), None)
    if found is None:
        raise NotFound(f"You organise no competition {slug[:60]}; an owner adds you as a host.")
    return found


def organised_by(session: Session, viewer: Viewer) -> list[Competition]:
    """Return the competitions that the viewer may add to a class, newest first."""
    return [
        one
        for one, _ in sorted(competitions.listed(session), key=lambda pair: -pair[0].id)
        if viewer.organises(one.id)
    ]


def _free_slug(session: Session, challenge: str, classroom: str) -> str:
    base = f"{challenge[:30]}-{classroom[:24]}".strip("-.")
    taken = set(session.scalars(select(Competition.slug).where(Competition.slug.startswith(base))))
    return next(
        name for name in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if name not in taken
    )

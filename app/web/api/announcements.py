"""The announcements of a competition, and those of the installation."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, Field
from sqlalchemy.orm import Session

from app.base import db
from app.base.models import Competition
from app.competing import visibility
from app.messages import announcements
from app.messages.announcements import LONGEST_TEXT, LONGEST_TITLE, AnnouncementState
from app.people.accounts import Viewer
from app.people.tokens import Scope
from app.web.api.access import organiser_of, organiser_token, sender
from app.web.api.models import Answer, Request, Time
from app.web.api.operations import operation, read_body
from app.web.context import bearer, parts
from app.web.json_answers import time_text


class Announcement(Answer):
    """Words of the organisers to all participants."""

    id: int
    title: str
    text: str = Field(description="Markdown.")
    state: AnnouncementState = Field(description="Only organisers get others than `published`.")
    is_automatic: bool = Field(description="Whether a change of the competition has written it.")
    publish_at: Time | None = Field(description="From when on it is shown; null: a draft.")
    edited_at: Time | None
    is_new: bool = Field(description="Whether you have not read it.")


class Announcements(Answer):
    """Announcements, newest first."""

    announcements: list[Announcement]
    unread: int


class NewAnnouncement(Request):
    """The words of an announcement, and when they are shown."""

    title: str = Field(min_length=1, max_length=LONGEST_TITLE)
    text: str = Field(min_length=1, max_length=LONGEST_TEXT, description="Markdown.")
    publish_at: AwareDatetime | None = Field(
        None, description="A time that is past: now. Null: a draft. A published one keeps its time."
    )


class Read(Answer):
    """How many announcements were new."""

    read: int


@operation(
    "GET",
    "/competitions/<slug:slug>/announcements",
    name="announcements",
    says="The announcements",
    answer=Announcements,
    refuses=(404,),
)
def announcement_index(slug: str) -> Announcements:
    """List the announcements of a competition, newest first; organisers get drafts too."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        return _listed(session, visibility.find(session, slug, user), user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/announcements/read",
    name="read_announcements",
    says="How many were new",
    answer=Read,
    refuses=(403, 404),
)
def announcement_read(slug: str) -> Read:
    """Note that you have read the announcements of a competition."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        return Read(read=announcements.mark_read(session, competition, user, now=now))


@operation(
    "POST",
    "/competitions/<slug:slug>/announcements",
    name="announce",
    says="The announcements",
    answer=Announcements,
    status=201,
    refuses=(403, 404, 422),
    body=NewAnnouncement,
    scope=Scope.ORGANISE,
)
def announcement_create(slug: str) -> Announcements:
    """Write an announcement of a competition."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        return _created(session, competition, me, now)


@operation(
    "PATCH",
    "/competitions/<slug:slug>/announcements/<id:announcement_id>",
    name="edit_announcement",
    says="The announcements",
    answer=Announcements,
    refuses=(403, 404, 409, 422),
    body=NewAnnouncement,
    scope=Scope.ORGANISE,
)
def announcement_edit(slug: str, announcement_id: int) -> Announcements:
    """Change an announcement; one that is shown is marked as edited."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        return _edited(session, competition, announcement_id, me, now)


@operation(
    "DELETE",
    "/competitions/<slug:slug>/announcements/<id:announcement_id>",
    name="withdraw_announcement",
    says="The announcements",
    answer=Announcements,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def announcement_withdraw(slug: str, announcement_id: int) -> Announcements:
    """Withdraw an announcement, or delete one that was not shown yet."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        announcements.withdraw(session, competition, announcement_id, by=me.name, now=now)
        return _listed(session, competition, me, now)


@operation("GET", "/announcements", name="site_announcements", says="The announcements", answer=Announcements)
def site_announcement_index() -> Announcements:
    """List the announcements of the installation, newest first."""
    with parts().database.read() as session:
        now = db.now(session)
        return _listed(session, None, bearer(session, now), now)


@operation(
    "POST",
    "/announcements/read",
    name="read_site_announcements",
    says="How many were new",
    answer=Read,
    refuses=(403,),
)
def site_announcement_read() -> Read:
    """Note that you have read the announcements of the installation."""
    with parts().database.begin() as session:
        now = db.now(session)
        return Read(read=announcements.mark_read(session, None, sender(session, now), now=now))


@operation(
    "POST",
    "/announcements",
    name="announce_to_all",
    says="The announcements",
    answer=Announcements,
    status=201,
    refuses=(403, 404, 422),
    body=NewAnnouncement,
    scope=Scope.ORGANISE,
)
def site_announcement_create() -> Announcements:
    """Write an announcement of the installation, such as a time of maintenance."""
    with parts().database.begin() as session:
        now = db.now(session)
        return _created(session, None, organiser_token(session, now), now)


@operation(
    "PATCH",
    "/announcements/<id:announcement_id>",
    name="edit_site_announcement",
    says="The announcements",
    answer=Announcements,
    refuses=(403, 404, 409, 422),
    body=NewAnnouncement,
    scope=Scope.ORGANISE,
)
def site_announcement_edit(announcement_id: int) -> Announcements:
    """Change an announcement of the installation."""
    with parts().database.begin() as session:
        now = db.now(session)
        return _edited(session, None, announcement_id, organiser_token(session, now), now)


@operation(
    "DELETE",
    "/announcements/<id:announcement_id>",
    name="withdraw_site_announcement",
    says="The announcements",
    answer=Announcements,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def site_announcement_withdraw(announcement_id: int) -> Announcements:
    """Withdraw an announcement of the installation, or delete one that was not shown yet."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser_token(session, now)
        announcements.withdraw(session, None, announcement_id, by=me.name, now=now)
        return _listed(session, None, me, now)


def _created(session: Session, competition: Competition | None, me: Viewer, now: datetime) -> Announcements:
    wanted = read_body(NewAnnouncement)
    words = announcements.read(wanted.title, wanted.text)
    announcements.create(session, competition, words, publish_at=wanted.publish_at, by=me.name, now=now)
    return _listed(session, competition, me, now)


def _edited(
    session: Session, competition: Competition | None, announcement_id: int, me: Viewer, now: datetime
) -> Announcements:
    wanted = read_body(NewAnnouncement)
    words = announcements.read(wanted.title, wanted.text)
    at = wanted.publish_at
    announcements.edit(session, competition, announcement_id, words, publish_at=at, by=me.name, now=now)
    return _listed(session, competition, me, now)


def _listed(session: Session, competition: Competition | None, user: Viewer, now: datetime) -> Announcements:
    writes = user.is_organiser if competition is None else user.organises(competition.id)
    found = announcements.listed(session, competition, user, now=now, for_organiser=writes)
    return Announcements(
        announcements=[
            Announcement(
                id=one.id,
                title=one.title,
                text=one.text,
                state=one.state,
                is_automatic=one.is_automatic,
                publish_at=time_text(one.publish_at),
                edited_at=time_text(one.edited_at),
                is_new=one.is_new,
            )
            for one in found
        ],
        unread=sum(one.is_new for one in found),
    )

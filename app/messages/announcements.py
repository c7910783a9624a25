"""Announcements: words of the organisers to all participants of a competition, or of the installation.

One is a draft, published from a time on, or withdrawn. The time alone decides what is shown, so no process
has to publish a scheduled one.

Read state is a row for each account and announcement, written when the account opens the page. Of a person
nothing else is kept here: the author of an announcement is only in the audit log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, exists, literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base import events, times
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import Competition, User
from app.base.models_messages import Announcement, AnnouncementReading
from app.people.accounts import Viewer
from scorer.report import Problem

LONGEST_TITLE = 120
LONGEST_TEXT = 20_000
MOST_SHOWN = 200
INSTALLATION = "installation"
"""The subject of the events of announcements without a competition."""


class AnnouncementState(StrEnum):
    """What becomes of an announcement, which its times decide."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Entry:
    """An announcement as one viewer sees it."""

    id: int
    title: str
    text: str
    state: AnnouncementState
    is_automatic: bool
    publish_at: datetime | None
    edited_at: datetime | None
    is_new: bool
    """Whether the viewer has not read it yet; False for visitors."""


@dataclass(frozen=True)
class Words:
    """A title and a Markdown text, valid as an announcement."""

    title: str
    text: str


def read(title: str, text: str) -> Words:
    """Return the words of an announcement; refuse with every problem."""
    title = " ".join(title.split())
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    wrong = []
    if not (0 < len(title) <= LONGEST_TITLE and title.isprintable()):
        words = f"a title has 1 to {LONGEST_TITLE} printable characters; this one has {len(title)}"
        wrong.append(Problem("BAD_VALUE", words, column="title"))
    if not text or len(text) > LONGEST_TEXT or "\0" in text:
        words = f"a text has 1 to {LONGEST_TEXT} characters; this one has {len(text)}"
        wrong.append(Problem("BAD_VALUE", words, column="text"))
    if wrong:
        listed = "; ".join(problem.message for problem in wrong)
        raise Refused(f"Nothing was saved: {listed}.", wrong)
    return Words(title, text)


def listed(
    session: Session,
    competition: Competition | None,
    viewer: Viewer | None,
    *,
    now: datetime,
    for_organiser: bool = False,
) -> list[Entry]:
    """Return the announcements that a viewer may see, newest first; without a competition the installation's.

    Organisers also see drafts, which come first, and scheduled and withdrawn ones.
    """
    found = select(Announcement).where(_of(competition))
    if not for_organiser:
        found = found.where(_is_published(now))
    ordered = found.order_by(Announcement.publish_at.desc().nulls_first(), Announcement.id.desc())
    rows = session.scalars(ordered.limit(MOST_SHOWN)).all()
    unread = _unread(session, competition, viewer, now=now) if viewer is not None else []
    return [_entry(row, now, is_new=row.id in unread) for row in rows]


def unread_rows(
    kind: str, viewer: Viewer, *, now: datetime, competition: ScalarSelect[int] | None = None
) -> Select[str, int, str, datetime | None]:
    """Return the statement of what a viewer has not read: kind, id, title and time.

    Of one competition, or without one of the installation; there only what came after the account, since a
    new one need not read of past maintenance.
    """
    of = Announcement.competition_id == competition if competition is not None else _of(None)
    found = select(
        literal(kind).label("kind"),
        Announcement.id.label("id"),
        Announcement.title.label("title"),
        Announcement.publish_at.label("at"),
    ).where(of, _is_unread(viewer, now))
    if competition is None:
        joined = select(User.created_at).where(User.id == viewer.id).scalar_subquery()
        found = found.where(Announcement.publish_at >= joined)
    return found


def unread_everywhere(viewer: Viewer, *, now: datetime) -> Select[int | None]:
    """Return the statement of the competitions of what a viewer has not read, one row each announcement."""
    of_any = Announcement.competition_id.is_not(None)
    return select(Announcement.competition_id).where(of_any, _is_unread(viewer, now))


def mark_read(session: Session, competition: Competition | None, viewer: Viewer, *, now: datetime) -> int:
    """Note that a viewer has read all that is published; return how many were new."""
    new = _unread(session, competition, viewer, now=now)
    rows = [AnnouncementReading(announcement_id=id_, user_id=viewer.id, read_at=now) for id_ in new]
    try:
        with session.begin_nested():
            session.add_all(rows)
    except IntegrityError:  # read in another tab at the same time
        return 0
    return len(new)


def get(session: Session, competition: Competition | None, announcement_id: int, *, now: datetime) -> Entry:
    """Return one announcement as organisers see it."""
    return _entry(_row(session, competition, announcement_id), now, is_new=False)


def create(
    session: Session,
    competition: Competition | None,
    words: Words,
    *,
    publish_at: datetime | None,
    by: str,
    now: datetime,
    is_automatic: bool = False,
) -> Announcement:
    """Save an announcement, shown from `publish_at` on: None makes a draft, a time that is past means now."""
    made = Announcement(
        competition_id=competition.id if competition is not None else None,
        title=words.title,
        text=words.text,
        is_automatic=is_automatic,
        created_at=now,
        publish_at=_time(publish_at, now),
    )
    session.add(made)
    session.flush()
    _log(session, "announcement saved" if made.publish_at is None else _PUBLISHED, made, competition, by, now)
    return made


def edit(
    session: Session,
    competition: Competition | None,
    announcement_id: int,
    words: Words,
    *,
    publish_at: datetime | None,
    by: str,
    now: datetime,
) -> Announcement:
    """Change the words, and when they are shown; a published one keeps its time and is marked as edited."""
    row = _row(session, competition, announcement_id)
    if row.withdrawn_at is not None:
        raise Conflict(f"Announcement {row.id} is withdrawn: write a new one.")
    is_changed = (row.title, row.text) != (words.title, words.text)
    row.title, row.text = words.title, words.text
    if _state(row, now) is AnnouncementState.PUBLISHED:
        if is_changed:
            row.edited_at = now
            _log(session, "announcement edited", row, competition, by, now)
    else:
        row.publish_at = _time(publish_at, now)
        action = "announcement saved" if row.publish_at is None else _PUBLISHED
        _log(session, action, row, competition, by, now)
    session.flush()
    return row


def withdraw(
    session: Session, competition: Competition | None, announcement_id: int, *, by: str, now: datetime
) -> AnnouncementState:
    """Take an announcement off the page, or delete one that was never shown; return which state it had."""
    row = _row(session, competition, announcement_id)
    before = _state(row, now)
    if before is AnnouncementState.WITHDRAWN:
        raise Conflict(f"Announcement {row.id} is withdrawn already.")
    _log(session, "announcement withdrawn", row, competition, by, now)
    if before is AnnouncementState.PUBLISHED:
        row.withdrawn_at = now
    else:
        session.delete(row)
    session.flush()
    return before


def readings(session: Session, user_id: int) -> list[tuple[Announcement, datetime]]:
    """Return the announcements that an account has read, with the time, for its personal data."""
    found = (
        select(Announcement, AnnouncementReading.read_at)
        .join(AnnouncementReading, AnnouncementReading.announcement_id == Announcement.id)
        .where(AnnouncementReading.user_id == user_id)
        .order_by(AnnouncementReading.read_at, Announcement.id)
    )
    return [(row, at) for row, at in session.execute(found)]


_PUBLISHED = "announcement published"


def _of(competition: Competition | None) -> ColumnElement[bool]:
    if competition is None:
        return Announcement.competition_id.is_(None)
    return Announcement.competition_id == competition.id


def _is_published(now: datetime) -> ColumnElement[bool]:
    return and_(Announcement.publish_at <= now, Announcement.withdrawn_at.is_(None))


def _is_unread(viewer: Viewer, now: datetime) -> ColumnElement[bool]:
    mine = AnnouncementReading.user_id == viewer.id
    is_read = exists().where(AnnouncementReading.announcement_id == Announcement.id, mine)
    return and_(_is_published(now), ~is_read)


def _unread(session: Session, competition: Competition | None, viewer: Viewer, *, now: datetime) -> list[int]:
    """Return the ids of what a viewer has not read."""
    here = select(literal(competition.id)).scalar_subquery() if competition is not None else None
    return [row.id for row in session.execute(unread_rows("", viewer, now=now, competition=here))]


def _row(session: Session, competition: Competition | None, announcement_id: int) -> Announcement:
    row = session.scalar(select(Announcement).where(Announcement.id == announcement_id, _of(competition)))
    if row is None:
        raise NotFound(f"There is no announcement {announcement_id} here.")
    return row


def _time(publish_at: datetime | None, now: datetime) -> datetime | None:
    if publish_at is None:
        return None
    if not times.is_possible(publish_at):
        raise Refused(f"Nothing was saved: {times.impossible('publish_at', publish_at)}.")
    return max(publish_at, now)


def _state(row: Announcement, now: datetime) -> AnnouncementState:
    if row.withdrawn_at is not None:
        return AnnouncementState.WITHDRAWN
    if row.publish_at is None:
        return AnnouncementState.DRAFT
    return AnnouncementState.PUBLISHED if row.publish_at <= now else AnnouncementState.SCHEDULED


def _entry(row: Announcement, now: datetime, *, is_new: bool) -> Entry:
    return Entry(
        row.id, row.title, row.text, _state(row, now), row.is_automatic, row.publish_at, row.edited_at, is_new
    )


def _log(
    session: Session, action: str, row: Announcement, competition: Competition | None, by: str, now: datetime
) -> None:
    detail: dict[str, Any] = {
        "announcement": row.id,
        "title": row.title,
        "sha256": hashlib.sha256(row.text.encode()).hexdigest(),
    }
    if action == _PUBLISHED and row.publish_at is not None and row.publish_at > now:
        detail["from"] = row.publish_at.isoformat()
    if row.is_automatic:
        detail["automatic"] = True
    subject = competition.slug if competition is not None else INSTALLATION
    events.log(session, by, action, subject, now=now, **detail)

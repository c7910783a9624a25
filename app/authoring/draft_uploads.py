"""Files for drafts that a client sends first and names a draft for afterwards.

The address of an upload is a permission by itself, so it is random, lives for an hour and takes one file of
the announced size. The file is encrypted while it arrives (`app.base.inbox`). A broken one cannot be
continued, because what has arrived cannot be read back: it is sent again from its beginning.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.base.errors import Forbidden, NotFound, QuotaExhausted, Refused, TooLarge
from app.base.models import User
from app.base.models_drafts import DraftUpload
from app.base.storage import Blob
from app.people.accounts import Viewer

LIFE = timedelta(hours=1)
MOST_WAITING = 60
"""Uploads of one account that no draft has taken: more than a draft may have files."""


@dataclass(frozen=True)
class Sent:
    """A file that has arrived."""

    blob: Blob
    size_bytes: int
    key_id: int


def issue(session: Session, viewer: Viewer, *, size_bytes: int, most_bytes: int, now: datetime) -> str:
    """Return the secret of a new upload; `most_bytes` limits the account's waiting files together."""
    if not viewer.is_organiser:
        raise Forbidden("Only organisers of the installation prepare competitions.")
    if size_bytes <= 0:
        raise Refused("The file is empty.")
    # Locked: two concurrent requests would both see room for one.
    session.scalars(select(User).where(User.id == viewer.id).with_for_update()).one()
    mine = DraftUpload.user_id == viewer.id
    session.execute(delete(DraftUpload).where(mine, DraftUpload.expires_at <= now))
    count, waiting = session.execute(select(func.count(), func.sum(DraftUpload.size_bytes)).where(mine)).one()
    if count >= MOST_WAITING:
        raise QuotaExhausted(
            f"You have begun {count} uploads that no competition has taken, which is the limit. Each counts "
            "for an hour."
        )
    if int(waiting or 0) + size_bytes > most_bytes:
        raise TooLarge.over(most_bytes)
    secret = secrets.token_urlsafe(32)
    session.add(
        DraftUpload(
            token_hash=_digest(secret),
            user_id=viewer.id,
            size_bytes=size_bytes,
            created_at=now,
            expires_at=now + LIFE,
        )
    )
    return secret


def waiting(session: Session, secret: str, *, now: datetime) -> DraftUpload:
    """Return an upload by its secret; NotFound if there is none, or it is over."""
    found = session.scalar(
        select(DraftUpload).where(DraftUpload.token_hash == _digest(secret), DraftUpload.expires_at > now)
    )
    if found is None:
        raise NotFound("There is no such upload, or it is older than an hour; begin a new one.")
    return found


def fill(session: Session, upload_id: int, blob: Blob, *, key_id: int) -> str | None:
    """Record the file of an upload; return the stored file that it replaces."""
    upload = session.scalars(
        select(DraftUpload).where(DraftUpload.id == upload_id).with_for_update()
    ).one_or_none()
    if upload is None:
        raise NotFound("This upload was taken or is over; begin a new one.")
    before = upload.sha256
    upload.sha256, upload.key_id = blob.sha256, key_id
    session.flush()
    return before


def take(session: Session, viewer: Viewer, secret: str, *, now: datetime) -> Sent:
    """Return the file of the viewer's upload, which cannot be taken again."""
    upload = waiting(session, secret, now=now)
    if upload.user_id != viewer.id:
        raise NotFound("There is no such upload, or it is older than an hour; begin a new one.")
    if upload.sha256 is None or upload.key_id is None:
        raise Refused("The file of this upload has not arrived; send it first.")
    sent = Sent(Blob(upload.sha256, upload.size_bytes), upload.size_bytes, upload.key_id)
    session.delete(upload)
    session.flush()
    return sent


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

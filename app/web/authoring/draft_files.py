"""Receive files of drafts: each is encrypted while it arrives, so that only workers can read it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from app.authoring import drafts
from app.authoring.drafts import FileKind, Source
from app.base import db, inbox
from app.base.models_drafts import Draft, InboxKey
from app.base.storage import Blob
from app.people.accounts import Viewer
from app.web.context import parts
from app.web.uploads import Upload, receiving, slot

Identify = Callable[[Session, datetime], Viewer]


def begin(identify: Identify, source: Source, *, check_form: Callable[[], None] | None = None) -> int:
    """Receive a table and make a draft of it; return the draft's id."""
    settings = parts().settings
    with parts().database.read() as session:
        me = identify(session, db.now(session))
        drafts.refuse_too_many(session, me)
        key = inbox.newest_key(session)
    with slot(me.id), receiving(inbox.inbox(parts().storage, key), settings.draft_bytes) as upload:
        if check_form is not None:
            check_form()
        blob = upload.incoming.keep()
    with parts().database.begin() as session:
        now = db.now(session)
        draft = drafts.create(session, identify(session, now), source, now=now)
        queued, removed = _add(session, draft, FileKind.TABLE, upload, blob, key, me, now)
    _after(queued, removed)
    return draft.id


def take(
    draft_id: int, kind: FileKind, identify: Identify, *, check_form: Callable[[], None] | None = None
) -> None:
    """Receive a file of a draft."""
    with parts().database.read() as session:
        me = identify(session, db.now(session))
        draft = drafts.get(session, me, draft_id)
        left = drafts.room(session, draft, kind, most_bytes=parts().settings.draft_bytes)
        key = inbox.newest_key(session)
    with slot(me.id), receiving(inbox.inbox(parts().storage, key), left) as upload:
        if check_form is not None:
            check_form()
        blob = upload.incoming.keep()
    with parts().database.begin() as session:
        now = db.now(session)
        draft = drafts.get(session, identify(session, now), draft_id, locked=True)
        queued, removed = _add(session, draft, kind, upload, blob, key, me, now)
    _after(queued, removed)


def _add(
    session: Session,
    draft: Draft,
    kind: FileKind,
    upload: Upload,
    blob: Blob,
    key: InboxKey,
    me: Viewer,
    now: datetime,
) -> tuple[list[int], list[str]]:
    _, queued, removed = drafts.add_file(
        session,
        draft,
        kind,
        blob,
        name=upload.filename,
        size_bytes=upload.incoming.size_bytes,
        key_id=key.id,
        by=me.name,
        now=now,
        most_bytes=parts().settings.draft_bytes,
    )
    parts().storage.refuse_unless_stored(blob)
    return queued, removed


def _after(queued: list[int], removed: list[str]) -> None:
    for step_id in queued:
        parts().hints.send_step(step_id)
    for sha256 in removed:
        parts().storage.remove(sha256)

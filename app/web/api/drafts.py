"""Drafts of competitions: what organisers do on the four screens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import request, url_for
from sqlalchemy.orm import Session

from app.authoring import draft_steps, drafts
from app.authoring.drafts import FileKind, View
from app.base import db
from app.base.errors import Refused
from app.base.models_drafts import Draft
from app.people.accounts import Viewer
from app.people.tokens import Scope
from app.web.api import drafts_models as models
from app.web.api.access import organiser_token
from app.web.api.operations import operation, read_body
from app.web.authoring import draft_files
from app.web.context import parts
from app.web.json_answers import time_text


@operation(
    "GET",
    "/drafts",
    name="drafts",
    says="Drafts",
    answer=models.Drafts,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def draft_index() -> models.Drafts:
    """List your drafts, last changed first."""
    with parts().database.read() as session:
        me = organiser_token(session, db.now(session))
        found = [_draft(drafts.view(session, draft)) for draft in drafts.listed(session, me)]
    return models.Drafts(drafts=found)


@operation(
    "POST",
    "/drafts",
    name="make_draft",
    says="The draft",
    answer=models.Draft,
    status=201,
    refuses=(403, 404, 422, 429),
    body=models.NewDraft,
    has_location=True,
    scope=Scope.ORGANISE,
)
def draft_create() -> tuple[models.Draft, dict[str, str]]:
    """Begin a draft from a table or from given parts."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser_token(session, now)
        wanted = read_body(models.NewDraft)
        draft = drafts.create(session, me, wanted.source, now=now, choices=wanted.choices)
        answer = _draft(drafts.view(session, draft))
    return answer, {"Location": url_for("api.draft_show", draft_id=answer.id)}


@operation(
    "GET",
    "/drafts/<id:draft_id>",
    name="draft",
    says="The draft",
    answer=models.Draft,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def draft_show(draft_id: int) -> models.Draft:
    """Get a draft: its choices, files and what its steps report."""
    with parts().database.read() as session:
        me = organiser_token(session, db.now(session))
        return _draft(drafts.view(session, drafts.get(session, me, draft_id)))


@operation(
    "PATCH",
    "/drafts/<id:draft_id>",
    name="change_draft",
    says="The draft",
    answer=models.Draft,
    refuses=(403, 404, 409, 422),
    body=models.DraftChange,
    scope=Scope.ORGANISE,
)
def draft_change(draft_id: int) -> models.Draft:
    """Change choices of a draft; those that are absent stay as they are."""

    def work(session: Session, _me: Viewer, draft: Draft, now: datetime) -> list[int]:
        wanted = read_body(models.DraftChange)
        return drafts.change(session, draft, wanted.choices, now=now, revision=wanted.revision)

    return _changed(draft_id, work)


@operation(
    "POST",
    "/drafts/<id:draft_id>/files",
    name="send_draft_file",
    says="The draft",
    answer=models.Draft,
    status=202,
    refuses=(403, 404, 409, 413, 422, 429),
    query=models.DraftFileQuery,
    takes_file=True,
    scope=Scope.ORGANISE,
)
def draft_file_create(draft_id: int) -> models.Draft:
    """Send a file of a draft, which is encrypted for the workers while it arrives."""
    kind = request.args.get("kind", "")
    if kind not in set(FileKind):
        with parts().database.read() as session:
            organiser_token(session, db.now(session))
        raise Refused(f"kind is one of {', '.join(FileKind)}, not {kind[:20]!r}.")
    draft_files.take(draft_id, FileKind(kind), organiser_token)
    with parts().database.read() as session:
        me = organiser_token(session, db.now(session))
        return _draft(drafts.view(session, drafts.get(session, me, draft_id)))


@operation(
    "DELETE",
    "/drafts/<id:draft_id>/files/<id:file_id>",
    name="delete_draft_file",
    says="The draft",
    answer=models.Draft,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def draft_file_delete(draft_id: int, file_id: int) -> models.Draft:
    """Delete a file of a draft."""
    removed: list[str] = []

    def work(session: Session, me: Viewer, draft: Draft, now: datetime) -> list[int]:
        queued, files = drafts.remove_file(session, draft, file_id, by=me.name, now=now)
        removed.extend(files)
        return queued

    answer = _changed(draft_id, work)
    for sha256 in removed:
        parts().storage.remove(sha256)
    return answer


@operation(
    "POST",
    "/drafts/<id:draft_id>/mend",
    name="mend_draft",
    says="The draft",
    answer=models.Draft,
    refuses=(403, 404, 409, 422),
    body=models.Mend,
    scope=Scope.ORGANISE,
)
def draft_mend(draft_id: int) -> models.Draft:
    """Make a change that the audit proposes."""

    def work(session: Session, _me: Viewer, draft: Draft, now: datetime) -> list[int]:
        wanted = read_body(models.Mend)
        return drafts.mend(session, draft, wanted.code, wanted.change, now=now)

    return _changed(draft_id, work)


@operation(
    "POST",
    "/drafts/<id:draft_id>/repeat",
    name="repeat_draft",
    says="The draft",
    answer=models.Draft,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def draft_repeat(draft_id: int) -> models.Draft:
    """Queue failed steps again."""
    return _changed(draft_id, lambda session, _me, draft, now: draft_steps.repeat(session, draft, now=now))


@operation(
    "POST",
    "/drafts/<id:draft_id>/open",
    name="open_draft",
    says="The draft, which is being opened",
    answer=models.Draft,
    status=202,
    refuses=(403, 404, 409, 422),
    scope=Scope.ORGANISE,
)
def draft_open(draft_id: int) -> models.Draft:
    """Build the challenge, publish it and open the competition."""

    def work(session: Session, me: Viewer, draft: Draft, now: datetime) -> list[int]:
        return drafts.open_(session, draft, by=me.name, now=now)

    return _changed(draft_id, work)


@operation(
    "DELETE",
    "/drafts/<id:draft_id>",
    name="delete_draft",
    says="The other drafts",
    answer=models.Drafts,
    refuses=(403, 404, 409),
    scope=Scope.ORGANISE,
)
def draft_delete(draft_id: int) -> models.Drafts:
    """Delete a draft with its files; an open competition stays."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser_token(session, now)
        draft = drafts.get(session, me, draft_id, locked=True)
        removed = drafts.delete_(session, draft, by=me.name, now=now)
        left = [_draft(drafts.view(session, each)) for each in drafts.listed(session, me)]
    for sha256 in removed:
        parts().storage.remove(sha256)
    return models.Drafts(drafts=left)


def _changed(draft_id: int, work: Callable[[Session, Viewer, Draft, datetime], list[int]]) -> models.Draft:
    with parts().database.begin() as session:
        me = organiser_token(session, db.now(session))
        draft = drafts.get(session, me, draft_id, locked=True)
        queued = work(session, me, draft, db.now(session))
        answer = _draft(drafts.view(session, draft))
    for step_id in queued:
        parts().hints.send_step(step_id)
    return answer


def _draft(seen: View) -> models.Draft:
    return models.Draft(
        id=seen.id,
        source=seen.source,
        state=seen.state,
        revision=seen.revision,
        title=seen.title,
        slug=seen.slug,
        competition=seen.competition,
        is_ready=seen.is_ready,
        choices=seen.choices.shown(),
        files=[
            models.DraftFile(
                id=file.id,
                kind=FileKind(file.kind),
                name=file.name,
                size_bytes=file.size_bytes,
                received_at=file.received_at.isoformat(),
            )
            for file in seen.files
        ],
        steps=[
            models.Step(
                kind=step.kind,
                state=step.state,
                progress=step.progress,
                doing=step.doing,
                attempt=step.attempt,
                refused=step.refused,
                result=_plain(step.result),
            )
            for step in seen.steps.values()
        ],
        created_at=seen.created_at.isoformat(),
        updated_at=seen.updated_at.isoformat(),
        opened_at=time_text(seen.opened_at),
        links=models.DraftLinks(
            self=url_for("api.draft_show", draft_id=seen.id), page=url_for("drafts.show", draft_id=seen.id)
        ),
    )


def _plain(result: Any) -> dict[str, Any] | None:
    return None if result is None else dict(result)

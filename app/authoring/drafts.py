"""Drafts: competitions that an organiser prepares, from the first file to the opening.

A draft has a document of choices (`draft_choices`), encrypted files (`app.base.inbox`) and steps that workers
do (`draft_steps`). Only its owner sees it, and of its files no more than names, counts and what the steps
report: columns, types, missing shares, names of classes; never a row, never which row has which label.
Functions that change something return the steps they queued: the caller sends hints for them after the
commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.authoring import draft_choices, draft_steps
from app.authoring.draft_choices import DraftChoices
from app.authoring.draft_steps import BASELINE, Kind, result_of
from app.base import events
from app.base.errors import Conflict, Forbidden, NotFound, QuotaExhausted, Refused, TooLarge
from app.base.models import Challenge, Competition, User
from app.base.models_drafts import Draft, DraftFile, DraftState, DraftStep, StepState
from app.base.models_roles import Role
from app.base.storage import Blob
from app.competing import roles
from app.competing.submissions import safe_filename
from app.people.accounts import Viewer

MOST_DRAFTS = 10
"""Drafts of one person that are not open yet."""
MOST_FILES = 50
MAX_NAME_BYTES = 200
ABANDONED_AFTER = timedelta(days=60)
"""Since the last change of a draft that was not opened; `heldout storage gc` then deletes it."""


class Source(StrEnum):
    """What a draft is made from."""

    TABLE = "table"
    """One labelled table, which is divided here."""
    PARTS = "parts"
    """Data files that were divided elsewhere, with a solution."""


class FileKind(StrEnum):
    """What a file of a draft is."""

    TABLE = "table"
    TRAIN = "train"
    TEST = "test"
    SAMPLE = "sample"
    SOLUTION = "solution"
    METRIC = "metric"
    """An own metric, metric.py."""
    DATA = "data"
    """Another file that participants may download."""


OF_SOURCE = {
    Source.TABLE: (FileKind.TABLE,),
    Source.PARTS: tuple(kind for kind in FileKind if kind is not FileKind.TABLE),
}
SEVERAL = (FileKind.DATA,)
"""Kinds of which a draft may have several files; of others a new file replaces the old one."""


@dataclass(frozen=True)
class Step:
    """The work of one kind, as the owner sees it."""

    kind: Kind
    state: StepState
    progress: float
    doing: str
    attempt: int
    result: Mapping[str, Any] | None
    """What the step found; None until it is done, and if it refused."""
    refused: str | None
    """Why the files or choices cannot be used, in words."""

    @property
    def is_over(self) -> bool:
        return self.state in (StepState.DONE, StepState.FAILED)


@dataclass(frozen=True)
class View:
    """A draft as its owner sees it."""

    id: int
    source: Source
    state: DraftState
    revision: int
    title: str
    slug: str | None
    choices: DraftChoices
    files: Sequence[DraftFile]
    steps: Mapping[Kind, Step]
    competition: str | None
    created_at: datetime
    updated_at: datetime
    opened_at: datetime | None

    @property
    def is_working(self) -> bool:
        """Return whether a worker has something to do, so that a page asks again."""
        return any(not step.is_over for step in self.steps.values())

    def result(self, kind: Kind) -> Mapping[str, Any] | None:
        """Return what the step of a kind found; None until it has."""
        step = self.steps.get(kind)
        return None if step is None else step.result

    @property
    def is_ready(self) -> bool:
        """Return whether it can be opened, as far as files and choices of data go."""
        if self.source is Source.PARTS:
            return bool((self.result(Kind.CHECK) or {}).get("ready"))
        audit, train = self.result(Kind.AUDIT), self.steps.get(Kind.TRAIN)
        return bool(audit and not draft_steps.reveals(audit, self.choices)) and not (
            train is not None and train.refused
        )


def create(
    session: Session,
    viewer: Viewer,
    source: Source,
    *,
    now: datetime,
    title: str = "Untitled",
    choices: Mapping[str, Any] | None = None,
) -> Draft:
    """Begin a draft; refuse more than ten of one person that are not open."""
    _refuse_unless_organiser(viewer)
    # Two requests would both see room for one.
    session.execute(select(User.id).where(User.id == viewer.id).with_for_update())
    refuse_too_many(session, viewer)
    made = draft_choices.changed(DraftChoices(), choices or {})
    draft = Draft(
        owner_id=viewer.id,
        source=source,
        slug=made.slug,
        title=(made.title or title)[:120],
        choices=made.document(),
        created_at=now,
        updated_at=now,
    )
    session.add(draft)
    session.flush()
    events.log(session, viewer.name, "draft created", _subject(draft), now=now, source=source)
    return draft


def refuse_too_many(session: Session, viewer: Viewer) -> None:
    """Refuse another draft of a person with ten that are not open."""
    live = select(func.count()).where(Draft.owner_id == viewer.id, Draft.state != DraftState.OPEN)
    if (count := session.scalar(live) or 0) >= MOST_DRAFTS:
        raise QuotaExhausted(f"You have {count} drafts, which is the limit; open or delete one first.")


def get(session: Session, viewer: Viewer, draft_id: int, *, locked: bool = False) -> Draft:
    """Return a draft of the viewer; NotFound for another's. `locked` before a change."""
    _refuse_unless_organiser(viewer)
    draft = draft_steps.lock(session, draft_id) if locked else session.get(Draft, draft_id)
    if draft is None or draft.owner_id != viewer.id:
        raise NotFound(f"You have no draft {draft_id}.")
    return draft


def by_slug(session: Session, viewer: Viewer, slug: str) -> Draft:
    """Return the viewer's newest draft with this slug; NotFound without one."""
    _refuse_unless_organiser(viewer)
    mine = Draft.owner_id == viewer.id, Draft.slug == slug
    draft = session.scalar(select(Draft).where(*mine).order_by(Draft.id.desc()).limit(1))
    if draft is None:
        raise NotFound(f"You have no draft {slug}.")
    return draft


def listed(session: Session, viewer: Viewer) -> list[Draft]:
    """Return the drafts of the viewer, last changed first."""
    _refuse_unless_organiser(viewer)
    mine = select(Draft).where(Draft.owner_id == viewer.id)
    return list(session.scalars(mine.order_by(Draft.updated_at.desc(), Draft.id.desc())))


def view(session: Session, draft: Draft) -> View:
    """Return all that the owner may see of a draft."""
    competition = None
    if draft.competition_id is not None:
        competition = session.scalar(select(Competition.slug).where(Competition.id == draft.competition_id))
    return View(
        id=draft.id,
        source=Source(draft.source),
        state=DraftState(draft.state),
        revision=draft.revision,
        title=draft.title,
        slug=draft.slug,
        choices=draft_choices.read(draft.choices),
        files=[file for file in draft_steps.files_of(session, draft.id) if file.kind != BASELINE],
        steps={kind: _step(row) for kind, row in draft_steps.current(session, draft).items()},
        competition=competition,
        created_at=draft.created_at,
        updated_at=draft.updated_at,
        opened_at=draft.opened_at,
    )


def _step(row: DraftStep) -> Step:
    return Step(
        kind=Kind(row.kind),
        state=StepState(row.state),
        progress=row.progress,
        doing=row.doing,
        attempt=row.attempt,
        result=result_of(row),
        refused=(row.result or {}).get("refused"),
    )


# -- changes -----------------------------------------------------------------------------------


def change(
    session: Session, draft: Draft, changes: Mapping[str, Any], *, now: datetime, revision: int | None = None
) -> list[int]:
    """Change choices; return the steps this queued. Refuse every wrong entry at once.

    Conflict if `revision` is given and the draft has another one. `draft` is locked.
    """
    refuse_unless_editable(draft)
    if revision is not None and revision != draft.revision:
        raise Conflict(
            f"The draft was changed elsewhere meanwhile (revision {draft.revision}, this is for {revision}). "
            "Reload the page, and make the change again."
        )
    choices = draft_choices.changed(draft_choices.read(draft.choices), changes)
    document = choices.document()
    if document != draft.choices:
        draft.choices = document
        draft.slug = choices.slug
        draft.title = choices.title or draft.title
        _touch(draft, now)
    return draft_steps.advance(session, draft, now=now)


def mend(
    session: Session, draft: Draft, code: str, change_: Mapping[str, Any], *, now: datetime
) -> list[int]:
    """Make a change that the audit proposed; Conflict if it does not propose it now. `draft` is locked."""
    row = draft_steps.current(session, draft).get(Kind.AUDIT)
    proposed = (result_of(row) or {}).get("mends", ())
    if not any(each["code"] == code and each["change"] == dict(change_) for each in proposed):
        raise Conflict("The audit does not propose this any more; reload the page.")
    choices = draft_choices.read(draft.choices)
    changes = dict(change_)
    if "drop" in changes:
        changes["drop"] = sorted({*choices.drop, *changes["drop"]})
    return change(session, draft, changes, now=now)


def room(session: Session, draft: Draft, kind: FileKind, *, most_bytes: int) -> int:
    """Return how many bytes a new file of this kind may have; refuse if it can have none.

    Asked before the file is received. `most_bytes` limits the files of one draft together.
    """
    refuse_unless_editable(draft)
    if kind not in OF_SOURCE[Source(draft.source)]:
        takes = ", ".join(OF_SOURCE[Source(draft.source)])
        raise Refused(f"This draft takes no file of the kind {kind}; it takes {takes}.")
    kept = [file for file in draft_steps.files_of(session, draft.id) if not _is_replaced(file, kind)]
    if len(kept) >= MOST_FILES:
        raise QuotaExhausted(f"The draft has {len(kept)} files, which is the limit; delete some first.")
    left = most_bytes - sum(file.size_bytes for file in kept)
    if left <= 0:
        raise TooLarge.over(most_bytes)
    return left


def _is_replaced(file: DraftFile, kind: FileKind) -> bool:
    return file.kind == kind and kind not in SEVERAL


def add_file(
    session: Session,
    draft: Draft,
    kind: FileKind,
    blob: Blob,
    *,
    name: str,
    size_bytes: int,
    key_id: int,
    by: str,
    now: datetime,
    most_bytes: int,
) -> tuple[DraftFile, list[int], list[str]]:
    """Record a received file; return it, the steps this queued, and stored files to remove.

    `blob` is the encrypted file, `size_bytes` of its content; `draft` is locked. A file of another content
    leaves the choices as they are. The caller removes the stored files after the commit.
    """
    if size_bytes > room(session, draft, kind, most_bytes=most_bytes):
        raise TooLarge.over(most_bytes)
    name = safe_filename(name)
    if name.startswith(".") or len(name.encode()) > MAX_NAME_BYTES:
        raise Refused(f"A file's name has at most {MAX_NAME_BYTES} bytes and does not begin with a dot.")
    removed = []
    for file in draft_steps.files_of(session, draft.id):
        if _is_replaced(file, kind) or (file.kind == kind and file.name == name):
            removed.append(file.sha256)
            session.delete(file)
    added = DraftFile(
        draft_id=draft.id,
        kind=kind,
        name=name,
        sha256=blob.sha256,
        size_bytes=size_bytes,
        key_id=key_id,
        received_at=now,
    )
    session.add(added)
    session.flush()
    if kind is FileKind.TABLE and draft.title == "Untitled":
        draft.title = _title_of(name)
    _touch(draft, now)
    events.log(
        session, by, "draft file received", _subject(draft), now=now, kind=kind, name=name, size=size_bytes
    )
    return added, draft_steps.advance(session, draft, now=now), removed


def remove_file(
    session: Session, draft: Draft, file_id: int, *, by: str, now: datetime
) -> tuple[list[int], list[str]]:
    """Delete a file of a draft; return the steps this queued and stored files to remove."""
    refuse_unless_editable(draft)
    file = session.get(DraftFile, file_id)
    if file is None or file.draft_id != draft.id or file.kind == BASELINE:
        raise NotFound(f"The draft has no file {file_id}.")
    session.delete(file)
    _touch(draft, now)
    events.log(session, by, "draft file removed", _subject(draft), now=now, kind=file.kind, name=file.name)
    return draft_steps.advance(session, draft, now=now), [file.sha256]


def open_(session: Session, draft: Draft, *, by: str, now: datetime) -> list[int]:
    """Let a worker build, publish and open the competition; return the steps this queued.

    Refuses what can be known before, with every reason at once. `draft` is locked. The state is `opening`
    until the worker is done: then `open`, or `editing` with the reason in the step `build`.
    """
    refuse_unless_editable(draft)
    seen = view(session, draft)
    choices = seen.choices
    wrong = []
    if not seen.is_ready:
        wrong.append(_not_ready(seen))
    if choices.title is None:
        wrong.append("Give it a title.")
    if choices.slug is None:
        wrong.append("Give it a name for its address (slug).")
    elif is_taken(session, choices.slug):
        wrong.append(f"The name {choices.slug} is taken by another competition or challenge; choose another.")
    if choices.closes_at is not None and choices.closes_at <= now:
        wrong.append("The close is past; choose a later one.")
    if wrong:
        raise Refused(" ".join(wrong))
    draft_steps.forget_builds(session, draft)
    draft.state = DraftState.OPENING
    _touch(draft, now)
    events.log(session, by, "draft opening", _subject(draft), now=now, slug=choices.slug)
    return draft_steps.advance(session, draft, now=now)


def _not_ready(seen: View) -> str:
    if seen.source is Source.PARTS:
        check = seen.result(Kind.CHECK)
        return "The solution is not ready." if check else "The solution is not checked yet."
    audit = seen.result(Kind.AUDIT)
    if audit is not None and draft_steps.reveals(audit, seen.choices):
        return "The data reveal the labels; mend the findings of the audit, or accept each with a reason."
    refused = [step.refused for step in seen.steps.values() if step.refused and step.kind is not Kind.BUILD]
    return refused[0] if refused else "The table is not divided and audited yet."


def is_taken(session: Session, slug: str) -> bool:
    """Return whether a competition or challenge has this name."""
    return (
        session.scalar(select(Challenge.id).where(Challenge.slug == slug)) is not None
        or session.scalar(select(Competition.id).where(Competition.slug == slug)) is not None
    )


def published(session: Session, draft_id: int, slug: str) -> None:
    """Record which competition a draft became, before the rest of its build: that may end early."""
    draft = draft_steps.lock(session, draft_id)
    if draft is not None and draft.state == DraftState.OPENING:
        draft.competition_id = session.scalar(select(Competition.id).where(Competition.slug == slug))


def opened(session: Session, draft: Draft, competition: Competition, *, now: datetime) -> list[str]:
    """Record that a draft became a competition; return stored files to remove, which it needs no longer."""
    draft.state = DraftState.OPEN
    draft.competition_id = competition.id
    draft.opened_at = now
    _touch(draft, now)
    owner = _owner(session, draft)
    # An organiser may have made the account an owner between publication and this.
    if not any(host.name == owner and host.role is Role.OWNER for host in roles.listed(session, competition)):
        roles.add(session, competition, owner, Role.OWNER, by=owner, now=now)
    events.log(session, owner, "draft opened", _subject(draft), now=now, competition=competition.slug)
    return _remove_files(session, draft)


def delete_(session: Session, draft: Draft, *, by: str, now: datetime) -> list[str]:
    """Delete a draft; return its stored files, for the caller to remove after the commit.

    An open competition stays; one that is being opened cannot be stopped. `draft` is locked.
    """
    if draft.state == DraftState.OPENING:
        raise Conflict("The competition is being opened; wait until it is.")
    events.log(session, by, "draft deleted", _subject(draft), now=now)
    session.execute(delete(DraftStep).where(DraftStep.draft_id == draft.id))
    files = _remove_files(session, draft)
    session.delete(draft)
    session.flush()
    return files


def delete_abandoned(session: Session, *, now: datetime) -> list[str]:
    """Delete drafts without a change for sixty days, and files of open ones; return the stored files."""
    old = Draft.state == DraftState.EDITING, Draft.updated_at < now - ABANDONED_AFTER
    removed = []
    for draft in session.scalars(select(Draft).where(*old).order_by(Draft.id).with_for_update()):
        removed += delete_(session, draft, by="clean-up", now=now)
    kept = select(Draft).join(DraftFile, DraftFile.draft_id == Draft.id).where(Draft.state == DraftState.OPEN)
    for draft in session.scalars(kept).unique():
        removed += _remove_files(session, draft)
    return removed


def refuse_unless_editable(draft: Draft) -> None:
    """Refuse to change a draft that is being opened or open."""
    if draft.state == DraftState.OPENING:
        raise Conflict("The competition is being opened; nothing can be changed now.")
    if draft.state == DraftState.OPEN:
        raise Conflict("The competition is open; change it on its own pages.")


def _remove_files(session: Session, draft: Draft) -> list[str]:
    files = [file.sha256 for file in draft_steps.files_of(session, draft.id)]
    session.execute(delete(DraftFile).where(DraftFile.draft_id == draft.id))
    return files


def _touch(draft: Draft, now: datetime) -> None:
    draft.revision += 1
    draft.updated_at = now


def _owner(session: Session, draft: Draft) -> str:
    return session.get_one(User, draft.owner_id).name


def _subject(draft: Draft) -> str:
    return f"draft {draft.id}"


def _title_of(name: str) -> str:
    words = " ".join(PurePosixPath(name).name.partition(".")[0].replace("_", " ").split())
    return (words[:1].upper() + words[1:])[:120] or "Untitled"


def _refuse_unless_organiser(viewer: Viewer) -> None:
    if not viewer.is_organiser:
        raise Forbidden("Only organisers prepare competitions.")

"""The tables of drafts: competitions that organisers prepare, their files and the work on them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, UtcTime
from app.base.leases import Leased, WorkState
from app.base.models import Id


class DraftState(StrEnum):
    """The states of a draft; only app.authoring moves it."""

    EDITING = "editing"
    OPENING = "opening"
    """A worker builds and publishes it; nothing can be changed."""
    OPEN = "open"


class StepState(StrEnum):
    """The states of a step; only app.authoring.draft_steps moves it."""

    QUEUED = WorkState.QUEUED.value
    RUNNING = WorkState.RUNNING.value
    DONE = "done"
    FAILED = WorkState.FAILED.value


class InboxKey(Base):
    """A public key that encrypts what organisers upload; the private one is in the vault."""

    __tablename__ = "inbox_key"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary(32))
    private_sha256: Mapped[str] = mapped_column(String(64))
    """The name of the private key in the vault."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class Draft(Base):
    """A competition that an organiser prepares."""

    __tablename__ = "draft"
    __table_args__ = (Index("ix_draft_slug", "slug"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    source: Mapped[str] = mapped_column(String(10))
    """table: one labelled table; parts: given data files with a solution."""
    slug: Mapped[str | None] = mapped_column(String(60))
    """Of the choices, to find it by; None until it is chosen."""
    title: Mapped[str] = mapped_column(String(120))
    state: Mapped[str] = mapped_column(String(10), default=DraftState.EDITING)
    revision: Mapped[int] = mapped_column(default=1)
    """Counts the changes: a page that shows an older one must not overwrite a newer."""
    choices: Mapped[dict[str, Any]] = mapped_column(JSON)
    """app.authoring.draft_choices.DraftChoices."""
    competition_id: Mapped[int | None] = mapped_column(ForeignKey("competition.id"))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)
    opened_at: Mapped[datetime | None] = mapped_column(UtcTime)


class DraftFile(Base):
    """An uploaded file of a draft, encrypted for the workers."""

    __tablename__ = "draft_file"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    draft_id: Mapped[int] = mapped_column(ForeignKey("draft.id"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    """app.authoring.drafts.FileKind."""
    name: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    """Of the encrypted file, its name in storage. Of the content it would let few labels be guessed."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """Of the content."""
    key_id: Mapped[int] = mapped_column(ForeignKey("inbox_key.id"))
    received_at: Mapped[datetime] = mapped_column(UtcTime)


class DraftStep(Leased, Base):
    """One step of the work on a draft, done under a lease.

    The key is a digest of all that the result depends on, so that a choice that changes something else leaves
    the result valid.
    """

    __tablename__ = "draft_step"
    __table_args__ = (
        UniqueConstraint("draft_id", "kind", "key"),
        Index("ix_draft_step_due", "state", "next_try_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    draft_id: Mapped[int] = mapped_column(ForeignKey("draft.id"))
    kind: Mapped[str] = mapped_column(String(10))
    """app.authoring.draft_steps.Kind."""
    key: Mapped[str] = mapped_column(String(64))
    progress: Mapped[float] = mapped_column(default=0.0)
    """0 to 1."""
    doing: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """What pages may show; {"refused": words} if the table or the choices cannot be used."""


class DraftUpload(Base):
    """Permission to send one file for a draft, before it is said for which; of its secret only a hash."""

    __tablename__ = "draft_upload"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """The announced size, which the file must have."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the encrypted file; None until it has arrived."""
    key_id: Mapped[int | None] = mapped_column(ForeignKey("inbox_key.id"))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)

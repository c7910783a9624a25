"""The requests and answers about drafts as models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.authoring.draft_steps import Kind
from app.authoring.drafts import FileKind, Source
from app.base.models_drafts import DraftState, StepState
from app.web.api.models import Answer, AnyObject, Link, Request, Time


class NewDraft(Request):
    """A draft to begin."""

    source: Source = Field(Source.TABLE, description="One table, or data files with a solution.")
    choices: dict[str, Any] = Field({}, description="As in a draft's `choices`.")


class DraftChange(Request):
    """Choices to change."""

    choices: dict[str, Any] = Field(description="By name; null takes the default or the proposal.")
    revision: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Refuse if the draft has another revision by now."
    )


class DraftFileQuery(Request):
    """What the file is."""

    kind: FileKind = Field(description="What the file is.")
    filename: str = Field("submission.csv", description="Its name, whose ending says its format.")


class Mend(Request):
    """A change that the audit proposes, as its result has it."""

    code: str
    change: dict[str, Any]


class DraftFile(Answer):
    """An uploaded file; its content cannot be read back."""

    id: int
    kind: FileKind
    name: str
    size_bytes: int
    received_at: Time


class Step(Answer):
    """The work of one kind on the draft."""

    kind: Kind
    state: StepState
    progress: float = Field(description="0 to 1.")
    doing: str
    attempt: int
    refused: str | None = Field(description="Why the files or choices cannot be used.")
    result: AnyObject | None = Field(
        description="Columns, split, findings, scores of baselines; never a row of the table."
    )


class DraftLinks(Answer):
    """Addresses of the draft."""

    self: Link
    page: Link


class Draft(Answer):
    """A competition that is prepared."""

    id: int
    source: Source
    state: DraftState
    revision: int
    title: str
    slug: str | None
    competition: str | None = Field(description="The competition that it became.")
    is_ready: bool = Field(description="Whether files and choices allow to open it.")
    choices: AnyObject = Field(description="Every choice but the secret seed.")
    files: list[DraftFile]
    steps: list[Step]
    created_at: Time
    updated_at: Time
    opened_at: Time | None
    links: DraftLinks


class Drafts(Answer):
    """The drafts of an account."""

    drafts: list[Draft]

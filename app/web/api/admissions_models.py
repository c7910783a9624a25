"""The models of access to a competition that is not public."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.base.models import Visibility
from app.base.models_visibility import Way
from app.competing.admissions import MOST_AT_ONCE
from app.web.api.models import Answer, Request, Time


class Admitted(Answer):
    """An account that is admitted."""

    name: str
    way: Way = Field(description="By the list or by the private link.")
    admitted_by: str
    admitted_at: Time
    has_joined: bool


class Access(Answer):
    """The accounts that are admitted, the newest first."""

    competition: str
    visibility: Visibility
    link_made_at: Time | None = Field(description="When the live private link was made; null: there is none.")
    admitted: list[Admitted]


class MadeLink(Answer):
    """A private link, which is shown only in this answer."""

    competition: str
    link: str


class NewAdmissions(Request):
    """Names of accounts that are admitted."""

    names: list[Annotated[str, Field(min_length=1, max_length=40)]] = Field(
        min_length=1, max_length=MOST_AT_ONCE
    )


class Entry(Request):
    """A private link, or the part behind its last slash."""

    link: str = Field(min_length=1, max_length=500)


class Entered(Answer):
    """The competition that you see from now on."""

    competition: str
    title: str

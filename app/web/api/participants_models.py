"""The requests and answers about the tables of teams and submissions as models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.base.models import State
from app.competing.participants import MOST_SEARCH, TeamPlace
from app.web.api.models import Absent, Answer, Request, SubmissionsQuery, Time


class ParticipantsTable(Request):
    """Which teams, and in which order."""

    search: str = Field("", max_length=MOST_SEARCH, description="A part of a team's or a member's name.")
    state: TeamPlace | Absent = None
    extended: bool = Field(False, description="Only teams with an extension.")
    sort: Literal["name", "newest", "score", "last", "uploads"] = Field(
        "name", description="By score, last or uploads: teams with a row on the board first."
    )


class ParticipantsQuery(ParticipantsTable):
    """Which page of the teams."""

    cursor: str | Absent = Field(None, max_length=400, description="`next_cursor` of the page before.")
    limit: int = Field(50, ge=1, le=200, description="Maximum number of teams.")


class Participant(Answer):
    """A team as its organisers see it."""

    id: int
    team: str
    members: list[str]
    state: TeamPlace
    reason: str | None = Field(description="Why it is off the board or disqualified.")
    joined_at: Time
    uploads: int
    rejected: int
    failed: int
    waiting: int
    late: int
    public: float | None = Field(description="The best shown score.")
    private: float | None = Field(description="Of its row on the board.")
    last_upload_at: Time | None
    closes_at: Time | None = Field(description="A later close by an extension.")
    daily_extra: int
    total_extra: int


class Participants(Answer):
    """A page of teams."""

    competition: str
    participants: list[Participant]
    next_cursor: str | None = Field(description="Null on the last page.")


class SubmissionsTable(Request):
    """Which submissions of all teams, and in which order."""

    search: str = Field(
        "",
        max_length=MOST_SEARCH,
        description="A part of the team's or the file's name, the beginning of the SHA-256, or the number.",
    )
    state: State | Absent = Field(None, description="Only those in this state.")
    kind: (
        Literal[
            "picked", "final", "late", "host", "off the board", "withdrawn", "cancelled", "baseline", "agent"
        ]
        | Absent
    ) = None
    code: str = Field("", max_length=60, pattern="^[A-Za-z0-9_]*$", description="Of a problem.")
    team: int | Absent = Field(None, ge=1, le=2**63 - 1, description="The id of a team.")
    sort: Literal["newest", "oldest"] = "newest"


class OrganisedQuery(SubmissionsTable, SubmissionsQuery):
    """Which page of all submissions."""

"""The models of the board and the close report."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.competing.leaderboard import MAX_PAGE_SIZE, PAGE_SIZE
from app.web.api.models import Absent, Answer, Request, Time


class Row(Answer):
    """A line of the board."""

    rank: int | None = Field(description="Null for a baseline.")
    team: str
    members: list[str] = Field(description="Of a team of several, in the order of joining.")
    is_baseline: bool
    is_mine: bool
    score: float
    also: dict[str, float]
    entries: int
    last_at: Time
    moved: int | None
    method: str | None = Field(description="What the team says of its method, once private scores are shown.")
    method_link: str | None = Field(description="To code or a paper; as `method`.")
    is_by_agent: bool = Field(
        description="An agent has sent the shown file; always false where the competition marks none."
    )


class Board(Answer):
    """A page of the board."""

    competition: str
    scores: Literal["public", "private"]
    page: int
    pages: int
    total: int
    rows: list[Row]
    mine: Row | None
    next_cursor: str | None = Field(
        description="Of the page behind this one, by rank; null if this one is not full, or in other orders."
    )


BoardOrder = Literal["rank", "-rank", "team", "-team", "entries", "-entries", "last", "-last"]


class BoardQuery(Request):
    """Which page of the board, and in which order."""

    cursor: str | Absent = Field(
        None, max_length=200, description="`next_cursor` of the page before; no row is shown twice."
    )
    page: int = Field(1, ge=1, le=1_000_000, description="Page number, from 1.")
    page_size: int = Field(PAGE_SIZE, ge=1, le=MAX_PAGE_SIZE, description="Rows per page.")
    search: str = Field("", description="Only teams whose name contains this.")
    sort: BoardOrder = Field("rank", description="Sort order; `-` in front reverses it.")
    scores: Literal["current", "public"] = Field(
        "current", description="`public`: the public scores also after the close."
    )


class Report(BaseModel):
    """The public part of the close report; further keys are its sections."""

    model_config = ConfigDict(extra="allow")

    competition: str
    made_at: Time | None
    metric: Any
    greater_is_better: bool
    rows: Any
    notes: list[Any]

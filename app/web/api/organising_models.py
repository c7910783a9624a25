"""The requests and answers of organisers' operations as models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, ConfigDict, Field

from app.base.models import PublicScore
from app.base.models_roles import Role
from app.competing.changes import LONGEST_SUMMARY, LONGEST_TITLE, RANGES
from app.web.api.models import Absent, Answer, Request, Time


def _whole(name: str) -> Any:
    least, most = RANGES[name]
    return Field(ge=least, le=most)


class Changes(Request):
    """What to change of a competition; a field that is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=1, max_length=LONGEST_TITLE)] | Absent = None
    summary: Annotated[str, Field(max_length=LONGEST_SUMMARY)] | None = Field(
        None, description="Null: the challenge's own."
    )
    opens_at: AwareDatetime | Absent = Field(
        None, description="Until it has opened; a time that is past: now."
    )
    closes_at: AwareDatetime | None = Field(None, description="In the future. Null: no closing date.")
    entry_closes_at: AwareDatetime | None = Field(
        None, description="Until when one can join. Null: until the close."
    )
    teams_close_at: AwareDatetime | None = Field(
        None, description="Until when teams change and merge. Null: until the close."
    )
    daily_limit: Annotated[int, _whole("daily_limit")] | Absent = None
    total_limit: Annotated[int, _whole("total_limit")] | None = Field(
        None, description="Null: no limit but the daily one."
    )
    pending_limit: Annotated[int, _whole("pending_limit")] | Absent = None
    final_picks: Annotated[int, _whole("final_picks")] | Absent = None
    max_team_size: Annotated[int, _whole("max_team_size")] | Absent = None
    max_upload_mb: Annotated[float, Field(gt=0)] | Absent = None
    public_score: PublicScore | Absent = Field(None, description="Only stricter: exact, rounded, ladder.")
    mark_agents: bool | Absent = None
    paused: bool | Absent = None


class ChangeQuery(Request):
    """Whether to change or only to show what would change."""

    dry_run: bool = False
    seen: str | Absent = Field(
        None, description="The digest of a preview: refuse if the change would do something else by now."
    )


class Change(Answer):
    """One term that changes, and what follows."""

    name: str
    before: Any = Field(description="As challenge.yaml writes it.")
    after: Any
    effect: str = Field(description="What participants see of it.")
    teams: int = Field(description="How many teams notice it at once.")


class Preview(Answer):
    """What a change of a competition does, or would do."""

    competition: str
    is_applied: bool
    digest: str
    changes: list[Change]


class Host(Answer):
    """An account with a role in a competition."""

    name: str
    role: Role
    added_by: str
    added_at: Time


class Hosts(Answer):
    """The hosts of a competition, owners first."""

    competition: str
    hosts: list[Host]


class NewHost(Request):
    """An account that gets a role; its own files are not ranked from then on."""

    name: str = Field(pattern="^[A-Za-z0-9._-]{1,40}$")
    role: Role = Role.COHOST

"""The requests and answers of organisers' operations as models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from app.base.models import InspectionState, PublicScore, State, Visibility
from app.base.models_roles import Role
from app.competing.automatic_announcements import LONGEST_NOTE
from app.competing.changes import LONGEST_SUMMARY, LONGEST_TITLE, RANGES
from app.competing.extensions import MOST_EXTRA
from app.integrity.cases import MAX_REASON, MIN_REASON, Action, CaseState
from app.web.api.models import Absent, Answer, AnyObject, Request, Time


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
    visibility: Visibility | Absent = Field(
        None, description="Unlisted: by private link or list. Invited: by list. Hidden: organisers alone."
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
    board_frozen_at: AwareDatetime | None = Field(
        None, description="From when to the final results the board shows only earlier files. Null: never."
    )
    daily_limit: Annotated[int, _whole("daily_limit")] | Absent = None
    total_limit: Annotated[int, _whole("total_limit")] | None = Field(
        None, description="Null: no limit but the daily one."
    )
    pending_limit: Annotated[int, _whole("pending_limit")] | Absent = None
    final_picks: Annotated[int, _whole("final_picks")] | Absent = None
    max_team_size: Annotated[int, _whole("max_team_size")] | Absent = None
    max_upload_mb: Annotated[float, Field(ge=0.001)] | Absent = None
    public_score: PublicScore | Absent = Field(None, description="Only stricter: exact, rounded, ladder.")
    mark_agents: bool | Absent = None
    late_submissions: bool | Absent = Field(
        None, description="Accept files after the end, which are scored and never ranked."
    )
    paused: bool | Absent = None
    archived: bool | Absent = Field(
        None,
        description="Once private scores are shown: it is listed as past and takes no files and questions.",
    )
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] | Absent = Field(
        None, description="Your words to the announcement of the change, in Markdown."
    )


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


class ChangeAnnouncement(Answer):
    """The announcement that a change publishes, with the old and the new value of each term."""

    title: str
    text: str = Field(description="Markdown.")


class Preview(Answer):
    """What a change of a competition does, or would do."""

    competition: str
    is_applied: bool
    digest: str
    changes: list[Change]
    announcement: ChangeAnnouncement | None = Field(description="Null: participants need not know.")


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


# -- the run -----------------------------------------------------------------------------------


class Logged(Answer):
    """An entry of the log."""

    action: str
    actor: str
    at: Time
    detail: AnyObject


class Organised(Answer):
    """A competition as its organisers see it."""

    competition: str
    counts: dict[State, int] = Field(description="Evaluations of the active round by state.")
    open_cases: int
    isolation: str | None = Field(description="How an own metric was isolated when it last ran.")
    log: list[Logged] = Field(description="The latest entries, newest first.")


class Closed(Answer):
    """A competition that was closed."""

    competition: str
    extensions_ended: int


class Retried(Answer):
    """A failed submission that is queued again, with three new attempts."""

    submission: int


class NewRescore(Request):
    """How to score all submissions again."""

    repeat: bool = Field(False, description="Score twice, to check that the metric is deterministic.")


class Place(Answer):
    """Rank and score of a team; a baseline has no rank."""

    rank: int | None
    score: float


class Moved(Answer):
    """A team's places before and after a rescore; null without a row."""

    team: str
    is_baseline: bool
    public: list[Place | None] = Field(min_length=2, max_length=2)
    private: list[Place | None] = Field(min_length=2, max_length=2)


class Rescore(Answer):
    """What applying a rescore would change."""

    competition: str
    draft: int
    seen: str = Field(description="Send it to apply or discard: what was reviewed.")
    reason: str
    is_finished: bool
    repeats: int
    losses: int = Field(description="Submissions that would lose their score.")
    unequal: int = Field(description="Submissions with another score in a repeat.")
    changed: int = Field(description="Rows of the board that would change.")
    changes: list[Moved]


class BegunRescore(Answer):
    """A rescore that has begun; the board stays until it is applied."""

    competition: str
    submissions: int


class Seen(Request):
    """A rescore as it was reviewed; refused if it has changed since."""

    draft: int
    seen: str = Field(max_length=64)


class EndedRescore(Answer):
    """A rescore that was applied or discarded."""

    competition: str
    draft: int
    is_applied: bool


class Extension(Answer):
    """What one team is granted beyond the limits."""

    id: int
    team: str
    closes_at: Time | None
    daily_extra: int
    total_extra: int
    reason: str
    granted_by: str
    created_at: Time
    revoked_at: Time | None


class Extensions(Answer):
    """The extensions of a competition, newest first."""

    competition: str
    extensions: list[Extension]


class NewExtension(Request):
    """A later close or more uploads for one team."""

    team: str = Field(max_length=60)
    reason: str = Field(max_length=500)
    closes_at: AwareDatetime | Absent = None
    daily_extra: int = Field(0, ge=0, le=MOST_EXTRA)
    total_extra: int = Field(0, ge=0, le=MOST_EXTRA)


class NamedTeam(Request):
    """A team by its name."""

    team: str = Field(max_length=60)


class MoveReason(Request):
    """Why an organiser takes a team or a file off the board, or puts it back."""

    reason: str = Field(
        min_length=10, max_length=500, description="The team reads why it is off; the log holds both."
    )


class MovedTeam(NamedTeam, MoveReason):
    """A team to take off the board or to put back."""


class MovedSubmission(Answer):
    """A file that was taken off the board or put back."""

    submission: int
    is_on_the_board: bool = Field(description="Whether it counts, as far as the organiser decides.")


class RenamedTeam(NamedTeam):
    """A team and the name that it gets."""

    name: str = Field(max_length=500)


class TeamName(Answer):
    """A team by its name of now."""

    competition: str
    team: str


# -- integrity ---------------------------------------------------------------------------------


class CaseTeam(Answer):
    """A team of a case."""

    id: int
    name: str
    has_coarse_feedback: bool
    disqualified_at: Time | None
    disqualified_why: str | None


class Case(Answer):
    """A suspicion about teams that an organiser decides."""

    id: int
    code: str
    state: CaseState
    strength: float
    evidence: str
    advice: str
    teams: list[CaseTeam]
    first_seen_at: Time
    last_seen_at: Time
    detail: AnyObject
    log: list[Logged] = Field(description="Of a single case only.")


class Cases(Answer):
    """The cases of a competition: open ones first, then by strength."""

    competition: str
    cases: list[Case]
    open: int


class CaseAction(Request):
    """What to do with a case, and why; the team reads the reason of a disqualification."""

    action: Action
    reason: str = Field(min_length=MIN_REASON, max_length=MAX_REASON)
    team: int | Absent = Field(None, description="The id of one team of a pair; default: the first.")


class DecidedCase(Answer):
    """A case after an action."""

    said: str
    case: Case


class NewInspection(Request):
    """Long work to begin now."""

    kind: Literal["scan", "report"]


class Inspection(Answer):
    """A scan for cases or a close report."""

    id: int
    kind: str
    state: InspectionState
    progress: float
    created_at: Time


class Inspections(Answer):
    """The newest inspection of each kind."""

    competition: str
    inspections: list[Inspection]


class SignInLimits(Request):
    """Whose failed sign-ins to forget."""

    account: str | Absent = Field(None, max_length=40)
    address: str | Absent = Field(None, max_length=100)
    of_all: bool = False


class Lifted(Answer):
    """Failed sign-ins that were forgotten."""

    account: str | None
    address: str | None
    of_all: bool

"""The requests and answers of the API as models; the OpenAPI document is generated from them.

A field with a default may be absent from an answer; all others are always there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from app.base.models import Phase, PublicScore, State
from app.integrity.file_checks import CheckState
from app.people.tokens import DEFAULT_DAYS, MOST_DAYS, Scope

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Link = Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Absent = SkipJsonSchema[None]
"""Of a field that is left out where there is no value."""
AnyObject = dict[str, Any]


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid")


class Request(BaseModel):
    """A part of a request; what it does not name is ignored, so that newer clients can be served."""

    model_config = ConfigDict(extra="ignore")


# -- refusals ----------------------------------------------------------------------------------


class Problem(Answer):
    """One reason why a file or a request is refused."""

    model_config = ConfigDict(extra="ignore")  # stored ones may be of another version

    code: str = Field(description="A stable name, such as MISSING_IDS.")
    message: str
    count: int = Field(description="Number of places with this problem.")
    line: int | Absent = None
    id: str | Absent = None
    column: str | Absent = None
    value: str | Absent = None
    file: str | Absent = None


class Refusal(Answer):
    """A problem document of RFC 9457; `detail` is a message for the user."""

    type: str
    title: str
    status: int
    detail: str
    problems: list[Problem] = Field(description="The same as `errors`, for clients of before.")
    errors: list[Problem] = Field(description="Every problem with its place.")
    request_id: str | Absent = None


class Notice(Answer):
    """A likely mistake in a file that is accepted."""

    model_config = ConfigDict(extra="ignore")

    code: str
    message: str


# -- accounts ----------------------------------------------------------------------------------


class OwnToken(Answer):
    """The token of this request. Its last use is noted at most once a minute."""

    label: str
    scope: Scope
    expires_at: Time | None
    last_used_at: Time | None


class Me(Answer):
    """The account of the token."""

    name: str
    is_organiser: bool
    token: OwnToken


class TokenEntry(Answer):
    """A token of the account."""

    id: int
    label: str
    hint: str = Field(description="The first characters of the token.")
    scope: Scope
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None


class Tokens(Answer):
    """The tokens of the account that are not revoked, newest first."""

    tokens: list[TokenEntry]


class NewToken(Request):
    """A token to make; it may do no more than the token of this request, and expires no later."""

    label: str = Field("token", max_length=60)
    scope: Scope = Scope.READ
    days: int = Field(DEFAULT_DAYS, ge=1, le=MOST_DAYS)


class MadeToken(Answer):
    """A new token, which is shown only now."""

    token: str
    tokens: list[TokenEntry]


# -- competitions ------------------------------------------------------------------------------


class ListedCompetition(Answer):
    """A competition in the list."""

    slug: str
    title: str
    summary: str
    phase: Phase
    is_paused: bool
    is_archived: bool = Field(description="Listed as past; takes nothing from participants.")
    opens_at: Time
    closes_at: Time | None
    settles_at: Time | None = Field(
        description="When no upload can arrive any more and private scores are shown."
    )
    timezone: str
    metric_name: str
    greater_is_better: bool
    teams: int


class Competitions(Answer):
    """All competitions, newest first."""

    competitions: list[ListedCompetition]


class Limits(Answer):
    """What a team may send."""

    daily: int
    total: int | None
    pending: int
    final_picks: int
    team_size: int
    upload_bytes: int
    entry_closes_at: Time | None = Field(description="Until when one can join; null: until the close.")
    teams_close_at: Time | None = Field(description="Until when teams can change and merge; null: the close.")


class ShownScore(Answer):
    """How exact a public score is shown."""

    shown: PublicScore
    step: float | None


class Competition(Answer):
    """A competition: its task, rules and limits."""

    slug: str
    title: str
    summary: str
    phase: Phase
    is_paused: bool
    is_archived: bool = Field(description="Listed as past; takes nothing from participants.")
    opens_at: Time
    closes_at: Time | None
    settles_at: Time | None = Field(
        description="When no upload can arrive any more and private scores are shown."
    )
    timezone: str
    metric_name: str
    greater_is_better: bool
    description: str = Field(description="Markdown.")
    metric: AnyObject
    submission: AnyObject
    split: AnyObject
    baselines: list[AnyObject]
    version: int
    limits: Limits
    public_score: ShownScore
    marks_agents: bool = Field(description="The board marks rows whose file an agent has sent.")
    late_submissions: bool = Field(
        description="Once private scores are shown, files are accepted, scored and never ranked."
    )
    passport: list[AnyObject]
    folds: AnyObject | None
    team: str | None = Field(description="Your team in this competition, or null before you join.")


class File(Answer):
    """A public file."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    name: str
    size: int
    sha256: Sha256
    n_rows: int | None
    columns: list[AnyObject] | None = Field(alias="schema")
    link: Link
    download: str = Field(description="Full address that needs no token, valid for an hour.")


class Files(Answer):
    """The public files."""

    files: list[File]


class Ids(Answer):
    """The ids of a submission, in any order.

    The digest is the sha256 of the ids in ascending order of their code points, each followed by a line feed,
    in UTF-8. The parts of an id of several columns are joined by U+001F.
    """

    columns: list[str]
    form: Literal["integer", "text"] = Field(description="Ids are compared as texts, without outer spaces.")
    rule: Literal["exactly_once", "others_ignored", "not_checked"]
    file: str | None = Field(description="The public file that has these ids.")
    count: int | None
    sha256: Sha256 | None
    values: list[str] | None = Field(description="All of them, where they are few.")


class Column(Answer):
    """A prediction column."""

    name: str
    kind: Literal["number", "integer", "flag", "label", "list", "text"]
    holds: str = Field(description="The same for people.")
    low: float | None
    high: float | None
    may_be_empty: bool
    separator: str | None = Field(description="Between the items of a cell, where it holds several.")
    graded: bool = Field(description="Whether each item is item:grade.")
    grammar: str | None = Field(description="The form of a text.")
    labels: list[str] | None = Field(
        description="The known labels, where public files hold all of them; others give a notice."
    )


class RowRule(Answer):
    """A rule over several cells of a row."""

    rule: Literal["sums_to_1", "positive_sum", "checked_by_server"]
    columns: list[str]
    tolerance: float | None


class MetricKind(Answer):
    """The ranking metric, for warnings about what is legal but unlikely."""

    name: str
    kind: str


class Schema(Answer):
    """What a file of predictions must look like, from public knowledge alone."""

    competition: str
    version: int = Field(description="Of the challenge; another version may ask for another form.")
    header: list[str] = Field(description="The columns that the file must have, in any order.")
    formats: list[Literal["csv", "csv.gz", "zip", "parquet"]] = Field(description="A zip holds one CSV file.")
    max_bytes: int = Field(description="Of the file as sent, and unpacked.")
    ids: Ids | None = Field(description="Null for a version that was published before there were schemas.")
    columns: list[Column] | None
    rows: list[RowRule] | None
    metric: MetricKind | None


# -- checks ------------------------------------------------------------------------------------


class CheckLinks(Answer):
    """Where a check is found."""

    self: Link


class Check(Answer):
    """A file that is checked and not submitted; it costs no upload and gets no score."""

    id: int
    competition: str
    state: CheckState
    filename: str
    sha256: Sha256
    size_bytes: int
    received_at: Time
    finished_at: Time | None
    problems: list[Problem] = Field(description="Of a rejected file, as a submission would have them.")
    problem_count: int
    notices: list[Notice] = Field(description="Of an accepted file.")
    links: CheckLinks


# -- submissions -------------------------------------------------------------------------------

SignedLine = Annotated[str, Field(pattern="^heldout-receipt-1 ")]
SIGNED = "One signed line that proves the upload: competition, id, team, sha256, size and time."
RANKED = "False for a file of an organiser and for a late one, which are scored and never ranked."
LATE = "Sent after the end, when private scores were shown."
LATER = f"{SIGNED} Null if the log's record of the upload is missing or differs."


class Quota(Answer):
    """What your team may still send today."""

    limit: int
    used: int
    remaining: int
    pending: int
    total_limit: int | None
    total_used: int | None
    pending_limit: int = Field(description="1 from `rejected_limit` rejected files on.")
    rejected: int = Field(description="Files of the team that were rejected today, checks included.")
    rejected_limit: int
    next_at: Time | None = Field(
        description="When the next file can be sent after a rejected one; null: at once."
    )
    resets_at: Time
    timezone: str
    is_late: bool = Field(description="The next file would be late: scored, and not ranked.")


class Links(Answer):
    """Where a submission is found."""

    self: Link
    file: Link
    page: Link


class Receipt(Answer):
    """The file is stored, counts once, and ends scored, rejected or failed."""

    id: int
    sha256: Sha256
    size_bytes: int
    received_at: Time
    state: Literal[State.QUEUED]
    remaining_today: int
    is_replay: bool = Field(description="True for an earlier upload with the same Idempotency-Key.")
    is_ranked: bool = Field(description=RANKED)
    is_late: bool = Field(description=LATE)
    receipt: SignedLine | None = Field(description=LATER)
    receipt_key: str = Field(description="Public key of this installation; verifies its receipts.")
    links: Links


class SubmitQuery(Request):
    """How a file is submitted."""

    sandbox: bool = Field(
        False, description="Score the file and never rank it. Only for organisers, all of whose files are so."
    )


class NewUpload(Request):
    """A file that is sent first and submitted afterwards."""

    filename: str = Field("submission.csv", max_length=200)
    size_bytes: int = Field(ge=1, le=2**63 - 1, description="Exact size of the file.")


class Upload(Answer):
    """Where the file goes, once and without a token: `PUT` its bytes to `address`."""

    upload: str = Field(description="Names the file when it is submitted.")
    address: str
    expires_at: Time


class SentUpload(Request):
    """An upload whose file has been sent."""

    upload: str = Field(max_length=200)
    message: str = Field("", max_length=500)
    sandbox: bool = Field(False, description="Score the file and never rank it. Only for organisers.")


class AlsoScores(Answer):
    """The values of the metrics shown beside the ranking one."""

    public: dict[str, float]
    private: dict[str, float] | None


class Submission(Answer):
    """A submission as its team may see it."""

    id: int
    competition: str
    team: str
    state: State
    place_in_queue: int | None
    received_at: Time
    started_at: Time | None
    finished_at: Time | None
    filename: str
    message: str
    sha256: Sha256
    size_bytes: int
    public: float | None
    private: float | None = Field(description="Null until the competition is over.")
    also: AlsoScores
    problems: list[Problem]
    problem_count: int
    notices: list[Notice]
    fault: str | None = Field(description="Shown to organisers only.")
    sent_by: str | None = Field(description="The member that sent it; null for a baseline.")
    is_picked: bool
    is_ranked: bool = Field(description=RANKED)
    is_late: bool = Field(description=LATE)
    is_by_agent: bool = Field(description="Sent through the MCP endpoint.")
    is_withdrawn: bool = Field(description="Taken off the board by your team; its upload stays used.")
    excluded_why: str | None = Field(description="Why an organiser took it off the board; null: it counts.")
    receipt: SignedLine | None = Field(description=LATER)
    links: Links


class Submissions(Answer):
    """A page of submissions, newest first."""

    submissions: list[Submission]
    next_cursor: str | None = Field(description="Of the page with older ones; null if there are none.")


class SubmissionsQuery(Request):
    """Which page of submissions."""

    cursor: str | Absent = Field(None, max_length=200, description="`next_cursor` of the page before.")
    limit: int = Field(50, ge=1, le=200, description="Maximum number of submissions.")
    before: int | Absent = Field(None, ge=1, le=2**63 - 1, description="Only those with a smaller id.")


class TrainFileLinks(Answer):
    """Where train files are found."""

    index: Link
    page: Link


class TrainFile(Answer):
    """Predictions for the training rows, beside a submission."""

    submission: int
    kind: Literal["oof", "train"]
    state: State
    sha256: Sha256
    size_bytes: int
    received_at: Time
    result: AnyObject | None
    problems: list[AnyObject] | None
    links: TrainFileLinks


class TrainFiles(Answer):
    """The train files of a submission."""

    train_files: list[TrainFile]

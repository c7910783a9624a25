"""The entries of challenge.yaml as strict models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from scorer.challenges.strategies import strategy_named

DEFINITION_FILE = "challenge.yaml"


SAMPLE_FILE = "public/sample_submission.csv"
TRAIN_FILE = "public/train.csv"


def _as_text(value: object) -> object:
    # A class column named 0 and a licence written as 4.0 are text, though YAML reads numbers.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path or an odd name; a folder of zones
        raise ValueError(f'"{name}" is not a time zone; use a name such as UTC or Europe/Berlin') from None
    return name


def _aware(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a time; write it like 2026-10-01T09:00:00+02:00') from None
    if moment.tzinfo is None:
        raise ValueError(f'"{text}" has no offset from UTC; write it like 2026-10-01T09:00:00+02:00')
    return moment


Text = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]


Moment = Annotated[str, Field(min_length=1), AfterValidator(lambda text: _aware(text).isoformat())]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Source(_Part):
    """Where the data come from."""

    name: Text
    licence: Text | None = None
    citation: Text | None = None


class SubmissionForm(_Part):
    id: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    """Default: the first column of the solution. Several columns make an id together."""
    columns: Annotated[list[Text], Field(min_length=1)]
    extra_ids: Literal["refuse", "ignore"] = "refuse"
    """Rows whose id is not in the solution."""
    parquet: bool = False
    """Whether Parquet files are accepted beside CSV."""
    max_bytes: Annotated[int, Field(ge=1000)] | None = None
    """Of the unpacked file; default: twice the size of a file with every digit of every number."""


class CompetitionDefaults(_Part):
    """Default limits and dates of a competition."""

    daily_limit: Annotated[int, Field(ge=1, le=10_000)] = 5
    total_limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Of a team over the whole competition; default: no limit but the daily one."""
    public_score: Literal["exact", "rounded", "ladder"] = "rounded"
    """How public scores are shown before the close."""
    mark_agents: bool = False
    """Whether the board marks rows whose file was sent through the MCP endpoint."""
    late_submissions: bool = False
    """Whether teams may send files after the end, which are scored and not ranked."""
    pending_limit: Annotated[int, Field(ge=1, le=1000)] = 3
    final_picks: Annotated[int, Field(ge=1, le=100)] = 2
    max_team_size: Annotated[int, Field(ge=1, le=1000)] = 4
    timezone: Annotated[Text, AfterValidator(_known_timezone)] = "UTC"
    opens_at: Moment | None = None
    closes_at: Moment | None = None
    entry_closes_at: Moment | None = None
    """Until when participants may join; default: until the close."""
    teams_close_at: Moment | None = None
    """Until when members of teams may change and teams may merge; default: until the close."""
    duration_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    max_upload_mb: Annotated[float, Field(ge=0.000_1, le=10_000)] | None = None


class Split(BaseModel):
    """How the rows were divided.

    It is shown and compared with the data by the audit. More keys are allowed (seed, note).
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    strategy: Annotated[Text, AfterValidator(lambda text: strategy_named(text) or text)] | None = None
    """random, stratified, grouped or sequential, or a synonym; `strategies` has the words.

    Other words are refused when a folder is read, but not in versions that were published with one.
    """
    group: Text | None = None
    """Column of train and test whose values must not be in both: a patient, a speaker, a site."""
    time: Text | None = None
    """Column of train and test that orders rows in time."""
    public_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None


class Example(_Part):
    """A submission in examples/ with its expected scores or problem code."""

    file: Text
    public: Annotated[float, Field(allow_inf_nan=False)] | None = None
    private: Annotated[float, Field(allow_inf_nan=False)] | None = None
    refused: Text | None = None


class Baseline(_Part):
    """A script in baselines/ that makes a submission from public/.

    It writes the submission to the path in its arguments.
    """

    name: Text | None = None
    script: Text


class Definition(_Part):
    """challenge.yaml, format 1."""

    format: Literal[1] = 1
    title: Text | None = None
    summary: Text = ""
    source: Source | None = None
    metric: Text | dict[str, Any]
    also: list[Text | dict[str, Any]] = []
    submission: SubmissionForm
    competition: CompetitionDefaults = CompetitionDefaults()
    split: Split = Split()
    examples: list[Example] = []
    baselines: list[Baseline] | None = None

"""Everything that is chosen for a draft, as one document.

What is None is proposed or has its default. The same document and the same files give the same folder as
`heldout challenge from-table` with the same options.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from app.base import times
from app.base.errors import Refused
from app.competing.competitions import RESERVED
from scorer.authoring.choices import Predicted, Strategy
from scorer.report import Problem

MAX_DESCRIPTION = 100_000


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("no time zone; use a name such as UTC or Europe/Berlin") from None
    return name


def _possible(at: datetime) -> datetime:
    if not times.is_possible(at):
        raise ValueError(times.impossible("the time", at))
    return at


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a line break or another control character; use printable characters")
    return text


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a NUL, which is no text")
    return text


def _free_slug(slug: str) -> str:
    if slug in RESERVED:
        raise ValueError("reserved for an address; choose another")
    return slug


Column = Annotated[str, Field(min_length=1, max_length=1000)]
Line = Annotated[str, AfterValidator(_printable)]
Moment = Annotated[AwareDatetime, AfterValidator(_possible)]
Share = Annotated[float, Field(ge=0.01, le=0.95)]


class DraftChoices(BaseModel):
    """What a person has chosen; of a table the entries are those of the engine's wishes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: Column | None = None
    """The column to predict, of a draft from a table."""
    predicted: Predicted | None = None
    id: Column | None = None
    """Of a table the column that new ids replace; of given parts the id of the solution and sample."""
    strategy: Strategy | None = None
    time: Column | None = None
    group: Column | None = None
    test_share: Share = 0.3
    public_share: Share = 0.3
    drop: Annotated[list[Column], Field(max_length=20_000)] = []
    without_duplicates: bool = False
    without_rare: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Secret. None: drawn by the workers, from a key that the web process does not have."""
    columns: Annotated[list[Column], Field(max_length=1000)] | None = None
    """Of given parts: what is predicted. None: the columns of the sample, or of the solution."""
    overrides: dict[str, Annotated[str, Field(min_length=10, max_length=500)]] = {}
    """By code of a blocking finding, the reason to open in spite of it, which is logged."""
    metric: Annotated[str, Field(max_length=100)] | None = None
    metric_parameters: dict[str, bool | str | Annotated[float, Field(allow_inf_nan=False)]] = {}
    """Of given parts; an own metric needs greater_is_better."""
    title: Annotated[Line, Field(min_length=1, max_length=120)] | None = None
    slug: (
        Annotated[
            str,
            Field(max_length=60, pattern=r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$"),
            AfterValidator(_free_slug),
        ]
        | None
    ) = None
    summary: Annotated[Line, Field(max_length=300)] | None = None
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION), AfterValidator(_without_nul)] | None = None
    """Markdown. None: drafted from facts of the table."""
    opens_at: Moment | None = None
    """None: as soon as it is published."""
    closes_at: Moment | None = None
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_known_zone)] = "UTC"
    daily_limit: Annotated[int, Field(ge=1, le=10_000)] = 5
    total_limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    pending_limit: Annotated[int, Field(ge=1, le=1000)] = 3
    final_picks: Annotated[int, Field(ge=1, le=100)] = 2
    max_team_size: Annotated[int, Field(ge=1, le=1000)] = 4
    public_score: Literal["exact", "rounded", "ladder"] = "rounded"
    mark_agents: bool = False
    late_submissions: bool = False

    def terms(self) -> dict[str, Any]:
        """Return the terms of the competition, as `competitions.open_` takes them."""
        return {name: getattr(self, name) for name in TERMS}

    def document(self) -> dict[str, Any]:
        """Return it as JSON for a row."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def shown(self) -> dict[str, Any]:
        """Return all of it that a page may show: all but the seed."""
        return self.model_dump(mode="json", exclude={"seed"})


TERMS = (
    *("opens_at", "closes_at", "timezone", "daily_limit", "total_limit", "pending_limit", "final_picks"),
    *("max_team_size", "public_score", "mark_agents", "late_submissions"),
)
SPLIT = (
    *("target", "id", "strategy", "time", "group", "test_share", "public_share", "drop"),
    *("without_duplicates", "without_rare", "seed"),
)
"""What the division of a table and its audit depend on, beside the kind of the target."""
METRIC = ("predicted", "metric", "metric_parameters")
WORDS = ("title", "slug", "summary", "description")


def read(document: Mapping[str, Any]) -> DraftChoices:
    """Return the choices of a row."""
    return DraftChoices.model_validate(document)


def changed(choices: DraftChoices, changes: Mapping[str, Any]) -> DraftChoices:
    """Return the choices with changes; refuse with every wrong entry at once."""
    try:
        made = DraftChoices.model_validate(choices.model_dump() | dict(changes))
    except ValidationError as wrong:
        problems = [_problem(each) for each in wrong.errors()]
        raise Refused(" ".join(each.message for each in problems), problems) from None
    if made.opens_at and made.closes_at and made.closes_at <= made.opens_at:
        raise Refused("It would close before it opens; choose a later close.")
    return made


def _problem(error: Mapping[str, Any]) -> Problem:
    name = ".".join(str(part) for part in error["loc"] if not isinstance(part, int)) or "choices"
    words = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        words = f"there is no such choice; there are {', '.join(DraftChoices.model_fields)}"
    return Problem("BAD_CHOICE", f"{name}: {words[:1].lower()}{words[1:].rstrip('.')}.", column=name)


def digest(choices: DraftChoices, names: Sequence[str], *more: object) -> str:
    """Return a digest of some of the choices and of more facts."""
    document = choices.model_dump(mode="json")
    facts = [{name: document[name] for name in names}, *more]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

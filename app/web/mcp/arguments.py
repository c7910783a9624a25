"""The arguments of the tools; their JSON schemas are made from these models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.web.api.board_models import BoardOrder

MOST_WAIT_SECONDS = 25
"""Clients give a call up after 30 to 60 seconds, and a wait holds a thread."""
MOST_TEXT_BYTES = 65_536

Slug = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$", description="Name of a competition, such as biopsy."),
]
Id = Annotated[int, Field(ge=1, le=2**63 - 1, description="Number of a submission.")]
Content = Annotated[
    str | None, Field(description="The file as text: CSV with a header. Give this or `upload`.", min_length=1)
]
Ticket = Annotated[
    str | None, Field(description="The `upload` of begin_upload, after its file was sent.", min_length=1)
]
Filename = Annotated[str, Field(max_length=200, min_length=1, description="Name to show for the file.")]
Wait = Annotated[
    int,
    Field(ge=0, le=MOST_WAIT_SECONDS, description="Seconds to wait for the result; call again after that."),
]
Cursor = Annotated[
    str | None, Field(max_length=200, description="`next_cursor` of the page before; leave out at first.")
]


class Arguments(BaseModel):
    """The arguments of a tool; unknown ones are refused, since they are spelling errors."""

    model_config = ConfigDict(extra="forbid")


class Nothing(Arguments):
    """No argument."""


class OfCompetition(Arguments):
    """Which competition."""

    competition: Slug


class ReadFile(OfCompetition):
    """A part of a public file."""

    name: Annotated[str, Field(max_length=200, description="Name in the answer of list_files.")]
    offset: Annotated[int, Field(ge=0, description="First byte: 0, or `next_offset` of the call before.")] = 0
    max_bytes: Annotated[int, Field(ge=1, le=MOST_TEXT_BYTES)] = 16_384


class CheckFile(OfCompetition):
    """A file to check without submitting it."""

    content: Annotated[str, Field(description="The file as text: CSV with a header.", min_length=1)]
    filename: Filename = "submission.csv"
    wait_seconds: Wait = 20


class CheckResult(Arguments):
    """Which check."""

    check: Annotated[int, Field(ge=1, le=2**63 - 1, description="The `id` of check_file.")]
    wait_seconds: Wait = 0


class BeginUpload(OfCompetition):
    """A file that is too large for `content`."""

    size_bytes: Annotated[int, Field(ge=1, le=2**63 - 1, description="Exact size of the file.")]
    filename: Filename = "submission.csv"


class Submit(OfCompetition):
    """A file of predictions."""

    content: Content = None
    upload: Ticket = None
    filename: Filename = "submission.csv"
    message: Annotated[str, Field(max_length=500, description="A note for your team.")] = ""
    idempotency_key: Annotated[
        str | None,
        Field(max_length=120, description="A text of your own: a call repeated with it counts once."),
    ] = None
    sandbox: Annotated[bool, Field(description="Score and never rank; only for organisers.")] = False
    wait_seconds: Wait = 0


class OneSubmission(Arguments):
    """Which submission."""

    submission: Id


class Result(OneSubmission):
    """Which submission, and how long to wait for its end."""

    wait_seconds: Wait = 0


class Pick(OneSubmission):
    """A final pick, made or taken back."""

    picked: bool = True


class Submissions(OfCompetition):
    """Which page of submissions."""

    limit: Annotated[int, Field(ge=1, le=200)] = 20
    cursor: Cursor = None


class Board(OfCompetition):
    """Which page of the board."""

    page_size: Annotated[int, Field(ge=1, le=200)] = 20
    cursor: Cursor = None
    search: Annotated[str, Field(max_length=60, description="Only teams whose name contains this.")] = ""
    sort: BoardOrder = "rank"


class Rename(OfCompetition):
    """A new name of your team."""

    name: Annotated[str, Field(max_length=200, min_length=1)]


class Join(OfCompetition):
    """Which competition to join, and under which rules."""

    accept_rules: Annotated[
        int | None, Field(ge=1, le=2**31 - 1, description="The version that the user has read and accepts.")
    ] = None


class AcceptRules(OfCompetition):
    """Which version of the rules to accept."""

    version: Annotated[int, Field(ge=1, le=2**31 - 1, description="As `rules` gave it.")]


class ChangeTeam(OfCompetition):
    """One change of your team."""

    change: Annotated[
        Literal[
            "invite",
            "revoke",
            "join",
            "leave",
            "remove",
            "captain",
            "offer_merge",
            "accept_merge",
            "end_offer",
            "method",
        ],
        Field(
            description="invite: make a link; revoke: an invite; join: by a link; leave; remove: a member; "
            "captain: hand over to a member; offer_merge: to a team; accept_merge, end_offer: an offer; "
            "method: describe it for the board after the close."
        ),
    ]
    target: Annotated[
        str, Field(max_length=500, description="The link, member, team, or number of the invite or offer.")
    ] = ""
    link: Annotated[str, Field(max_length=300, description="Of a method: to code or a paper.")] = ""
    uses: Annotated[int, Field(ge=1, le=1000, description="Of an invite: members that may join.")] = 1
    days: Annotated[int, Field(ge=1, le=30, description="Of an invite: until it expires.")] = 7

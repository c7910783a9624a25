"""The models of teams: members, invites, merges, final picks."""

from __future__ import annotations

from pydantic import Field

from app.competing.invites import MOST_DAYS
from app.web.api.models import Absent, Answer, Link, Request, Time


class Joined(Answer):
    """Your team."""

    competition: str
    team: str


class Joining(Request):
    """With which rules you join."""

    accept_rules: int | Absent = Field(
        None, ge=1, le=2**31 - 1, description="The version of the rules that you accept, where there are any."
    )


class Invite(Answer):
    """A live invite link of the team, without its text."""

    id: int
    uses: int
    most_uses: int
    made_by: str
    created_at: Time
    expires_at: Time


class Offer(Answer):
    """An open offer to merge."""

    id: int
    team: str = Field(description="The team that offers it and continues.")
    other_team: str = Field(description="The team that would end.")
    is_ours: bool = Field(description="Your team has made it, and can withdraw it.")
    members: list[str] = Field(description="Of both teams.")
    made_by: str
    created_at: Time


class Team(Answer):
    """Your team in a competition."""

    competition: str
    team: str
    members: list[str]
    captain: str = Field(description="The member that invites, removes and merges.")
    places: int = Field(description="Members that may still join.")
    is_open: bool = Field(description="False once teams no longer change.")
    has_files: bool = Field(description="From the first submission on, members can no longer leave.")
    invites: list[Invite]
    offers: list[Offer]
    final_picks: list[int] = Field(description="Submissions that you picked; without any, the best count.")
    most_picks: int
    method: str | None = Field(description="What the team says of its method; on the board after the close.")
    method_link: str | None = Field(description="To code or a paper.")
    method_removed_why: str | None = Field(
        description="Why an organiser removed the description, until you write another."
    )


class Method(Request):
    """What your team says of its method; empty texts remove it."""

    text: str = Field("", max_length=2000)
    link: str = Field("", max_length=2000, description="To code or a paper: https://...")


class Merged(Team):
    """Your team after a merge."""

    keeps_picks: bool = Field(description="False: there were more final picks than allowed, so none is left.")


class MadeInvite(Answer):
    """An invite with its link, which is shown only once."""

    link: Link
    invite: Invite


class NewInvite(Request):
    """An invite link for your team."""

    days: int = Field(7, ge=1, le=MOST_DAYS, description="Until it expires.")
    uses: int = Field(1, ge=1, le=1000, description="Members that may join with it.")


class InviteLink(Request):
    """An invite link, or the part behind its last slash."""

    link: str = Field(min_length=1, max_length=500)


class Member(Request):
    """A member of your team."""

    member: str = Field(min_length=1, max_length=60)


class OtherTeam(Request):
    """Another team of the competition, by its name on the board."""

    team: str = Field(min_length=1, max_length=60)


class NewName(Request):
    """Another name for your team."""

    name: str = Field(min_length=1, max_length=60)


class Pick(Request):
    """Whether a submission is a final pick."""

    picked: bool = True

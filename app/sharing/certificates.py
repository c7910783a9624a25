"""Certificates: a signed line that names a person's final rank, which anybody can check.

The line is stored nowhere. It is signed with the key of the receipts, so the same public key checks it, also
without the installation. The installation itself adds whether the rank is still the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base.errors import NotFound, Refused
from app.base.models import Competition, Team, Visibility
from app.competing import positions, receipts, teams
from app.people.accounts import Viewer

KIND = "heldout-certificate-"
_FORM = re.compile(
    r"(?P<signed>heldout-certificate-1 competition=(?P<competition>\S+) team=(?P<team>[0-9]{1,19}) "
    r"rank=(?P<rank>[0-9]{1,9}) of=(?P<teams>[0-9]{1,9}) score=(?P<score>\S{1,30}) "
    r"challenge=(?P<challenge>[0-9a-f]{64}) settled=(?P<settled>\S+) name=(?P<name>\S*) "
    r"holder=(?P<holder>\S+)) "
    r"signature=(?P<signature>[A-Za-z0-9_-]{86})"
)


@dataclass(frozen=True)
class Certificate:
    """What a certificate states."""

    competition: str
    team_id: int
    rank: int
    teams: int
    score: float
    """The private score that counted."""
    challenge: str
    """The digest of the challenge's version."""
    settled_at: datetime
    team: str
    holder: str

    def __str__(self) -> str:
        settled = self.settled_at.astimezone(UTC).isoformat(timespec="seconds")
        return (
            f"heldout-certificate-1 competition={self.competition} team={self.team_id} rank={self.rank} "
            f"of={self.teams} score={self.score!r} challenge={self.challenge} settled={settled} "
            f"name={quote(self.team, safe='')} holder={quote(self.holder, safe='')}"
        )


@dataclass(frozen=True)
class Standing:
    """What is true of a certificate now."""

    certificate: Certificate
    title: str | None
    """The competition's; None if it is no longer here."""
    rank: int | None
    """Now; None without a row on the board."""
    is_same: bool
    """Whether rank, number of teams, score and version are still those of the certificate."""


def of(session: Session, competition: Competition, viewer: Viewer, *, now: datetime) -> Certificate:
    """Return the certificate of a member of a ranked team; NotFound before the final results."""
    if not competition.is_settled(now):
        raise NotFound("There are certificates once the final results are shown.")
    team = teams.of(session, competition, viewer.id)
    found = _now(session, competition, team, viewer.name, now=now) if team is not None else None
    if found is None:
        raise NotFound("Your team has no rank in the final results, so there is no certificate.")
    return found


def check(session: Session, certificate: Certificate, *, now: datetime) -> Standing:
    """Compare a certificate, whose signature fits, with the board."""
    its = Competition.slug == certificate.competition, Competition.visibility != Visibility.HIDDEN
    competition = session.scalar(select(Competition).where(*its))
    if competition is None:
        return Standing(certificate, None, None, is_same=False)
    team = session.get(Team, certificate.team_id)
    if team is None or team.competition_id != competition.id or not competition.is_settled(now):
        return Standing(certificate, competition.title, None, is_same=False)
    found = _now(session, competition, team, certificate.holder, now=now)
    if found is None:
        return Standing(certificate, competition.title, None, is_same=False)
    stated, present = ((one.rank, one.teams, one.score, one.challenge) for one in (certificate, found))
    return Standing(certificate, competition.title, found.rank, is_same=stated == present)


def read(text: str, public_key: str) -> Certificate:
    """Return what a certificate's line states; refuse a bad signature."""
    found = _FORM.fullmatch(" ".join(text.split()))
    if found is None:
        raise Refused(
            "This is no complete certificate: give the line from `heldout-certificate-1` to the end of its "
            "signature."
        )
    receipts.refuse_unless_signed(found["signed"], found["signature"], public_key)
    return Certificate(
        competition=found["competition"],
        team_id=int(found["team"]),
        rank=int(found["rank"]),
        teams=int(found["teams"]),
        score=float(found["score"]),
        challenge=found["challenge"],
        settled_at=datetime.fromisoformat(found["settled"]),
        team=unquote(found["name"]),
        holder=unquote(found["holder"]),
    )


def _now(
    session: Session, competition: Competition, team: Team, holder: str, *, now: datetime
) -> Certificate | None:
    place = positions.place(session, competition, team.id, now=now)
    if place is None or competition.settles_at is None:
        return None
    return Certificate(
        competition=competition.slug,
        team_id=team.id,
        rank=place.rank,
        teams=place.teams,
        score=place.score,
        challenge=competition.version.digest,
        settled_at=competition.settles_at,
        team=team.name,
        holder=holder,
    )

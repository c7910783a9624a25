"""The certificate of the token's user in a competition."""

from __future__ import annotations

from flask import url_for
from pydantic import Field

from app.base import db
from app.competing import visibility
from app.sharing import certificates
from app.web.api.models import Answer, Time
from app.web.api.operations import operation
from app.web.context import bearer, parts


class Certificate(Answer):
    """A certificate of the final rank, signed with the key of the receipts."""

    competition: str
    holder: str
    team: str
    rank: int
    teams: int = Field(description="Ranked teams.")
    score: float = Field(description="The private score that counted.")
    challenge: str = Field(description="The digest of the challenge's version.")
    settled_at: Time
    line: str = Field(description="What is signed, with the signature; `heldout receipt verify` checks it.")
    address: str = Field(description="The page that checks it, for all.")


@operation(
    "GET",
    "/competitions/<slug:slug>/certificate",
    name="certificate",
    says="The certificate",
    answer=Certificate,
    refuses=(404,),
)
def certificate_show(slug: str) -> Certificate:
    """Get your certificate, once the final results are shown and your team is ranked."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        made = certificates.of(session, visibility.find(session, slug, user), user, now=now)
    line = parts().signer.sign(made)
    return Certificate(
        competition=made.competition,
        holder=made.holder,
        team=made.team,
        rank=made.rank,
        teams=made.teams,
        score=made.score,
        challenge=made.challenge,
        settled_at=made.settled_at.isoformat(),
        line=line,
        address=url_for("certificates.check", line=line, _external=True),
    )

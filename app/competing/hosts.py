"""Host submissions: files of the organisers, which are scored and never ranked.

An organiser tries out a competition with files of its own, which may be the solution. Such a file takes no
rank, no pick and no upload of a quota, and no scan or report counts it.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import Session, aliased

from app.base.errors import Forbidden
from app.base.models import Competition, Membership, Standing, Team, User
from app.base.models_roles import Host
from app.people.accounts import Viewer

NOT_RANKED = "not ranked: submitted by the host"


def is_ranked(session: Session, competition: Competition, viewer: Viewer, *, sandbox: bool = False) -> bool:
    """Return whether a file of this account is ranked; refuse `sandbox` for one that is no organiser's.

    By the account and not by the token, whose scope may be a participant's. A former host is not ranked
    either: it has seen what participants do not see.
    """
    is_host = viewer.id in hosts_among(session, competition, [viewer.id])
    if sandbox and not is_host:
        raise Forbidden(
            "Only an organiser can send a file that is scored and not ranked: leave out `sandbox`."
        )
    return not is_host


def hosts_among(session: Session, competition: Competition, user_ids: Collection[int]) -> set[int]:
    """Return which of these accounts organise the installation or the competition, or did."""
    everywhere = select(User.id).where(User.id.in_(user_ids), User.is_organiser)
    here = select(Host.user_id).where(Host.user_id.in_(user_ids), Host.competition_id == competition.id)
    return {*session.scalars(everywhere), *session.scalars(here)}


def teams_of_hosts(competition: Competition) -> Select[int]:
    """Return the teams of a competition whose members all organise, or did."""
    knows = select(User.id).where(User.is_organiser)
    knows_too = select(Host.user_id).where(Host.competition_id == competition.id)
    other = aliased(Membership)
    participants = exists().where(
        other.team_id == Membership.team_id, other.user_id.not_in(knows), other.user_id.not_in(knows_too)
    )
    return select(Membership.team_id).where(
        Membership.competition_id == competition.id,
        or_(Membership.user_id.in_(knows), Membership.user_id.in_(knows_too)),
        ~participants,
    )


def ranked_teams(session: Session) -> list[tuple[str, str]]:
    """Return competition and name of the teams of organisers alone that are on a board."""
    others = select(Membership.user_id).join(User, User.id == Membership.user_id).where(~User.is_organiser)
    teams = (
        select(Competition.slug, Team.name)
        .join(Competition, Competition.id == Team.competition_id)
        .join(Standing, Standing.team_id == Team.id)
        .where(
            exists(select(Membership.user_id).where(Membership.team_id == Team.id)),
            ~exists(others.where(Membership.team_id == Team.id)),
        )
        .order_by(Team.id)
    )
    return [(slug, name) for slug, name in session.execute(teams)]

"""Extensions: a later close or more uploads for one team.

A team's limits are those of the competition plus its extensions that are not revoked. Private scores stay
hidden from all teams until the last extended close (`Competition.extended_until`), because a team that may
still submit could use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.base import events, times
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import Competition, Extension, Phase, Team

MIN_REASON = 10
MOST_EXTRA = 1000


@dataclass(frozen=True)
class Limits:
    """Close, daily and total limit of one team."""

    closes_at: datetime | None
    daily_limit: int
    total_limit: int | None

    def phase(self, competition: Competition, moment: datetime) -> Phase:
        if moment < competition.opens_at:
            return Phase.UPCOMING
        return Phase.CLOSED if self.closes_at is not None and moment >= self.closes_at else Phase.OPEN


def limits(session: Session, competition: Competition, team: Team | None) -> Limits:
    """Return the limits of a team, its extensions included."""
    common = Limits(competition.closes_at, competition.daily_limit, competition.total_limit)
    if team is None:
        return common
    later, daily, total = session.execute(
        select(
            func.max(Extension.closes_at), func.sum(Extension.daily_extra), func.sum(Extension.total_extra)
        ).where(Extension.team_id == team.id, Extension.revoked_at.is_(None))
    ).one()
    closes_at = common.closes_at
    if closes_at is not None and later is not None:
        closes_at = max(closes_at, later)
    limit = None if common.total_limit is None else common.total_limit + (total or 0)
    return Limits(closes_at, common.daily_limit + (daily or 0), limit)


def grant(
    session: Session,
    competition: Competition,
    team_name: str,
    *,
    reason: str,
    by: str,
    now: datetime,
    closes_at: datetime | None = None,
    daily_extra: int = 0,
    total_extra: int = 0,
) -> Extension:
    """Grant a team an extension, or refuse it with every problem."""
    _lock(session, competition)
    team = _team(session, competition, team_name)
    reason = " ".join(reason.split())
    wrong = []
    if len(reason) < MIN_REASON:
        wrong.append(f"the reason is shorter than {MIN_REASON} characters")
    if closes_at is None and not daily_extra and not total_extra:
        wrong.append("it grants nothing: give a later close, more uploads a day or more in all")
    if not (0 <= daily_extra <= MOST_EXTRA and 0 <= total_extra <= MOST_EXTRA):
        wrong.append(f"extra uploads are 0 to {MOST_EXTRA}")
    if closes_at is not None and competition.closes_at is None:
        wrong.append(f"{competition.slug} has no closing time to extend")
    elif closes_at is not None and not times.is_possible(closes_at):
        wrong.append(times.impossible("the later close", closes_at))
    elif closes_at is not None and closes_at <= max(competition.closes_at or now, now):
        wrong.append("the later close is not after the competition's own and now")
    if total_extra and competition.total_limit is None:
        wrong.append(f"{competition.slug} has no limit over the whole run")
    if closes_at is not None and competition.is_settled(now):
        # A team that has seen the private scores could use them.
        wrong.append(
            "its private scores are already shown, so a later close would be unfair to the other teams"
        )
    if wrong:
        raise Refused(f"No extension for {team.name}: {'; '.join(wrong)}.")
    extension = Extension(
        competition_id=competition.id,
        team_id=team.id,
        closes_at=closes_at,
        daily_extra=daily_extra,
        total_extra=total_extra,
        reason=reason[:500],
        granted_by=by,
        created_at=now,
    )
    session.add(extension)
    session.flush()
    _keep_latest(session, competition)
    events.log(
        session,
        by,
        "extension granted",
        competition.slug,
        now=now,
        team=team.name,
        reason=extension.reason,
        closes_at=closes_at.isoformat() if closes_at else None,
        daily_extra=daily_extra,
        total_extra=total_extra,
    )
    return extension


def revoke(session: Session, competition: Competition, extension_id: int, *, by: str, now: datetime) -> None:
    """Revoke an extension; submissions sent under it stay."""
    _lock(session, competition)
    extension = session.get(Extension, extension_id)
    if extension is None or extension.competition_id != competition.id:
        raise NotFound(f"{competition.slug} has no extension {extension_id}.")
    if extension.revoked_at is not None:
        raise Conflict(f"Extension {extension_id} is already revoked.")
    extension.revoked_at = now
    session.flush()
    _keep_latest(session, competition)
    events.log(session, by, "extension revoked", competition.slug, now=now, extension=extension_id)


def of_team(session: Session, team: Team) -> list[Extension]:
    """Return the extensions of a team, revoked ones included."""
    return list(session.scalars(select(Extension).where(Extension.team_id == team.id).order_by(Extension.id)))


def later_closes(session: Session, competition: Competition, *, now: datetime) -> list[Extension]:
    """Return the extensions with a close later than now."""
    return list(
        session.scalars(
            select(Extension)
            .where(
                Extension.competition_id == competition.id,
                Extension.revoked_at.is_(None),
                Extension.closes_at > now,
            )
            .order_by(Extension.id)
        )
    )


def listed(session: Session, competition: Competition) -> list[tuple[Extension, str]]:
    """Return every extension with its team's name, newest first."""
    found = session.execute(
        select(Extension, Team.name)
        .join(Team, Team.id == Extension.team_id)
        .where(Extension.competition_id == competition.id)
        .order_by(Extension.id.desc())
    )
    return [(extension, name) for extension, name in found]


def _keep_latest(session: Session, competition: Competition) -> None:
    competition.extended_until = session.scalar(
        select(func.max(Extension.closes_at)).where(
            Extension.competition_id == competition.id, Extension.revoked_at.is_(None)
        )
    )
    session.flush()


def _team(session: Session, competition: Competition, name: str) -> Team:
    team = session.scalar(
        select(Team).where(
            Team.competition_id == competition.id,
            Team.name == name,
            Team.is_baseline.is_(False),
            Team.merged_into_id.is_(None),
        )
    )
    if team is None:
        raise NotFound(f"{competition.slug} has no team {name[:60]!r}.")
    return team


def _lock(session: Session, competition: Competition) -> None:
    """Block uploads, which read the limits, and reload the competition."""
    session.refresh(competition, with_for_update={"of": Competition})

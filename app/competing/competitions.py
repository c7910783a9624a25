"""Open, find and close competitions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.base import failpoints, times
from app.base.errors import Conflict, NotFound, Refused
from app.base.models import (
    ChallengeVersion,
    Competition,
    Membership,
    Phase,
    PublicScore,
    Round,
    RoundState,
    Team,
    User,
    Visibility,
)
from app.base.models_roles import Host
from app.competing import automatic_announcements, extensions, score_release

RESERVED = ("list", "data", "submissions", "submission-url")
"""Words that stand in addresses of the API where the name of a competition may stand."""

REJECTED_LIMIT = 20
"""Rejected files of a team in a day, from which on it is slowed: free retries would be an oracle."""


def open_(
    session: Session,
    version: ChallengeVersion,
    *,
    now: datetime,
    max_upload_bytes: int,
    slug: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Competition:
    """Open a competition of a challenge version.

    `changes` override the challenge's defaults; None keeps the default.
    """
    slug = slug or version.challenge.slug
    if slug.lower() in RESERVED:
        raise Refused(f"A competition cannot be named {slug}; choose another name with --slug.")
    if session.scalar(select(Competition.id).where(Competition.slug == slug)) is not None:
        raise Conflict(f"There is already a competition {slug}; choose another with --slug.")
    defaults = dict(version.manifest["competition"])
    defaults.update({k: v for k, v in (changes or {}).items() if v is not None})
    upload_mb = defaults.get("max_upload_mb")
    opens_at = _moment(defaults.get("opens_at")) or now
    closes_at = _moment(defaults.get("closes_at"))
    deadlines = {name: _moment(defaults.get(name)) for name in ("entry_closes_at", "teams_close_at")}
    for name, at in {"opens_at": opens_at, "closes_at": closes_at, **deadlines}.items():
        if at is not None and not times.is_possible(at):
            raise Refused(f"{slug} was not opened: {times.impossible(name, at)}.")
    if closes_at is None and defaults.get("duration_days"):
        closes_at = opens_at + timedelta(days=defaults["duration_days"])
    if closes_at is not None and closes_at <= max(opens_at, now):
        raise Refused(
            f"{slug} would close on {closes_at:%Y-%m-%d %H:%M %Z}, which is not after its opening and now; "
            "choose a later --closes-at."
        )
    late = [name for name, at in deadlines.items() if at and closes_at and at > closes_at]
    if late:
        raise Refused(f"{slug} would close on {closes_at:%Y-%m-%d %H:%M %Z}, before {' and '.join(late)}.")
    visibility = defaults.get("visibility", Visibility.PUBLIC)
    if visibility not in set(Visibility):
        raise Refused(f"{str(visibility)[:20]!r} is no visibility; use one of {', '.join(Visibility)}.")
    mode = PublicScore(defaults.get("public_score", PublicScore.ROUNDED))
    score_release.refuse_impossible(version, mode)
    competition = Competition(
        slug=slug,
        title=defaults.get("title") or version.manifest["title"],
        version_id=version.id,
        opens_at=opens_at,
        closes_at=closes_at,
        timezone=defaults["timezone"],
        daily_limit=defaults["daily_limit"],
        total_limit=defaults.get("total_limit"),
        public_score=mode,
        visibility=visibility,
        pending_limit=defaults["pending_limit"],
        rejected_limit=REJECTED_LIMIT,
        final_picks=defaults["final_picks"],
        max_team_size=defaults["max_team_size"],
        **deadlines,
        max_upload_bytes=min(max_upload_bytes, int(upload_mb * 1e6)) if upload_mb else max_upload_bytes,
        greater_is_better=version.manifest["metric"]["greater_is_better"],
        marks_agents=defaults.get("mark_agents", False),
        allows_late=defaults.get("late_submissions", False),
        created_at=now,
    )
    session.add(competition)
    session.flush()
    session.add(
        Round(
            competition_id=competition.id,
            version_id=version.id,
            state=RoundState.ACTIVE,
            reason="opened",
            created_at=now,
        )
    )
    session.flush()
    return competition


def by_slug(session: Session, slug: str) -> Competition:
    competition = session.scalar(select(Competition).where(Competition.slug == slug))
    if competition is None:
        raise NotFound(f"There is no competition {slug}.")
    return competition


def listed(session: Session, *having: ColumnElement[bool]) -> list[tuple[Competition, int]]:
    """Return the competitions that fulfil the conditions with their numbers of teams, newest first.

    Baselines and teams of organisers, whose files are not ranked, do not count.
    """
    role = Host.user_id == Membership.user_id, Host.competition_id == Membership.competition_id
    organisers = (
        select(Membership.team_id)
        .join(User, User.id == Membership.user_id)
        .where(or_(User.is_organiser, exists(select(Host.user_id).where(*role))))
    )
    teams = (
        select(func.count())
        .select_from(Team)
        .where(
            Team.competition_id == Competition.id,
            Team.is_baseline.is_(False),
            Team.merged_into_id.is_(None),
            Team.id.not_in(organisers),
        )
        .scalar_subquery()
    )
    found = session.execute(
        select(Competition, teams).where(*having).order_by(Competition.created_at.desc(), Competition.slug)
    )
    return [(competition, count) for competition, count in found]


def close(session: Session, competition: Competition, *, by: str, now: datetime) -> int:
    """Close a competition now and announce it; return how many later closes ended with it.

    Teams' extensions end too, and uploads that are still arriving get no grace period. The caller holds the
    `lock` and has read the clock after taking it, so that every upload accepted before is in time.
    """
    later = extensions.later_closes(session, competition, now=now)
    if competition.phase(now) is Phase.CLOSED and not later:
        raise Conflict(
            f"{competition.slug} has been closed since {competition.closes_at:%Y-%m-%d %H:%M} UTC."
        )
    for extension in later:
        extensions.revoke(session, competition, extension.id, by=by, now=now)
        failpoints.reach("close.revoked")
    if competition.phase(now) is not Phase.CLOSED:
        words = automatic_announcements.of_early_close(competition, competition.closes_at, now)
        automatic_announcements.publish(session, competition, words, by=by, now=now)
        competition.closes_at = now
    competition.grace_seconds = 0
    session.flush()
    failpoints.reach("close.written")
    return len(later)


def of_challenge(session: Session, version: ChallengeVersion) -> list[Competition]:
    """Return the competitions of any version of the same challenge."""
    sibling = aliased(ChallengeVersion)
    return list(
        session.scalars(
            select(Competition)
            .join(sibling, Competition.version_id == sibling.id)
            .where(sibling.challenge_id == version.challenge_id)
            .order_by(Competition.id)
        )
    )


def lock(session: Session, competition: Competition) -> None:
    """Block uploads, new scores and changes of teams until the transaction ends, and reload the row."""
    session.flush()  # or the reload would discard the caller's own changes
    session.refresh(competition, with_for_update={"of": Competition})


def hold(session: Session, competition_id: int) -> None:
    """Take the lock that uploads and scores share: no close and no change of a team's members meanwhile."""
    session.execute(select(Competition.id).where(Competition.id == competition_id).with_for_update(read=True))


def active_round(session: Session, competition: Competition) -> Round:
    return session.scalars(
        select(Round).where(Round.competition_id == competition.id, Round.state == RoundState.ACTIVE)
    ).one()


def draft_round(session: Session, competition: Competition) -> Round | None:
    return session.scalar(
        select(Round).where(Round.competition_id == competition.id, Round.state == RoundState.DRAFT)
    )


def _moment(value: str | datetime | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value

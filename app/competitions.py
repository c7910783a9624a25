"""Competitions: runs of a challenge version, and the rounds that score them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, literal, select, update
from sqlalchemy.orm import Session, aliased

from app import leaderboard
from app.errors import Conflict, NotFound, Refused
from app.models import (
    ChallengeVersion,
    Competition,
    Evaluation,
    Round,
    RoundState,
    State,
    Submission,
    Team,
)

REJECTED_LIMIT = 20  # refused files a team may send in a day: free retries without end would be an oracle


def open_(
    session: Session,
    version: ChallengeVersion,
    *,
    now: datetime,
    max_upload_bytes: int,
    slug: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Competition:
    """Start a competition of a challenge version, with the challenge's defaults and the given changes."""
    slug = slug or version.challenge.slug
    if session.scalar(select(Competition.id).where(Competition.slug == slug)) is not None:
        raise Conflict(f"There is already a competition {slug}; choose another with --slug.")
    defaults = dict(version.manifest["competition"])
    defaults.update({k: v for k, v in (changes or {}).items() if v is not None})
    upload_mb = defaults.get("max_upload_mb")
    opens_at = _moment(defaults.get("opens_at")) or now
    closes_at = _moment(defaults.get("closes_at"))
    if closes_at is None and defaults.get("duration_days"):
        closes_at = opens_at + timedelta(days=defaults["duration_days"])
    if closes_at is not None and closes_at <= max(opens_at, now):
        raise Refused(
            f"{slug} would close on {closes_at:%Y-%m-%d %H:%M %Z}, which is not after its opening and now; "
            "choose a later --closes-at."
        )
    competition = Competition(
        slug=slug,
        title=defaults.get("title") or version.manifest["title"],
        version_id=version.id,
        opens_at=opens_at,
        closes_at=closes_at,
        timezone=defaults["timezone"],
        daily_limit=defaults["daily_limit"],
        pending_limit=defaults["pending_limit"],
        rejected_limit=REJECTED_LIMIT,
        final_picks=defaults["final_picks"],
        max_team_size=defaults["max_team_size"],
        max_upload_bytes=min(max_upload_bytes, int(upload_mb * 1e6)) if upload_mb else max_upload_bytes,
        greater_is_better=version.manifest["metric"]["greater_is_better"],
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


def listed(session: Session) -> list[tuple[Competition, int]]:
    """Every competition with its number of teams, newest first."""
    teams = (
        select(func.count())
        .select_from(Team)
        .where(Team.competition_id == Competition.id, Team.is_baseline.is_(False))
        .scalar_subquery()
    )
    found = session.execute(
        select(Competition, teams).order_by(Competition.created_at.desc(), Competition.slug)
    )
    return [(competition, count) for competition, count in found]


def close(competition: Competition, *, now: datetime) -> None:
    """End it now. Files being uploaded at this moment were received in time and still count."""
    if competition.closes_at is not None and competition.closes_at <= now:
        raise Conflict(
            f"{competition.slug} has been closed since {competition.closes_at:%Y-%m-%d %H:%M} UTC."
        )
    competition.closes_at = now


def of_challenge(session: Session, version: ChallengeVersion) -> list[Competition]:
    """The competitions that run any version of this version's challenge."""
    sibling = aliased(ChallengeVersion)
    return list(
        session.scalars(
            select(Competition)
            .join(sibling, Competition.version_id == sibling.id)
            .where(sibling.challenge_id == version.challenge_id)
            .order_by(Competition.id)
        )
    )


def take_version(
    session: Session, competition: Competition, version: ChallengeVersion, *, rescore: bool, now: datetime
) -> bool:
    """Move a competition to another version of its challenge; True if that began a rescore.

    Words and baselines change at once. A changed solution or metric would change what the scores on
    the board mean, so once there are submissions it needs an explicit rescore.
    """
    old = competition.version
    changed = [
        what
        for what, differs in (
            ("solution", old.solution_digest != version.solution_digest),
            ("metric", old.metric_digest != version.metric_digest),
        )
        if differs
    ]
    entries = _submission_count(session, competition)
    if changed and entries and not rescore:
        raise Conflict(
            f"The {' and the '.join(changed)} changed, and {competition.slug} has {entries} submissions scored "
            "under the old one. Publish with --rescore to score them all anew."
        )
    if changed and entries:
        begin_rescore(session, competition, version, reason=f"new {' and '.join(changed)}", now=now)
        return True
    active = active_round(session, competition)
    active.version_id = version.id
    competition.version_id = version.id
    competition.version = version
    competition.greater_is_better = version.manifest["metric"]["greater_is_better"]
    return False


def begin_rescore(
    session: Session, competition: Competition, version: ChallengeVersion, *, reason: str, now: datetime
) -> int:
    """Score every submission anew, aside: the old board stands until the last one is done.

    Returns how many submissions will be scored. A draft still at work is replaced.
    """
    session.execute(select(Competition.id).where(Competition.id == competition.id).with_for_update())
    session.execute(
        update(Round)
        .where(Round.competition_id == competition.id, Round.state == RoundState.DRAFT)
        .values(state=RoundState.RETIRED)
    )
    draft = Round(
        competition_id=competition.id,
        version_id=version.id,
        state=RoundState.DRAFT,
        reason=reason,
        created_at=now,
    )
    session.add(draft)
    session.flush()
    everything = select(
        Submission.id,
        literal(draft.id),
        literal(State.QUEUED.value),
        literal(0),
        literal(0),
        literal(now, Evaluation.next_try_at.type),
    ).where(Submission.competition_id == competition.id)
    columns = ["submission_id", "round_id", "state", "attempt", "problem_count", "next_try_at"]
    session.execute(insert(Evaluation).from_select(columns, everything))
    return _submission_count(session, competition)


def activate_finished_drafts(session: Session) -> list[str]:
    """Put every draft round whose work is done in the place of its active one; the competitions moved.

    A draft with a submission that has a score today and failed there waits for the organiser: taking
    it would silently drop that team from the board.
    """
    drafts = session.scalars(select(Round).where(Round.state == RoundState.DRAFT)).all()
    return [slug for draft in drafts if (slug := _activate(session, draft))]


def _activate(session: Session, draft: Round) -> str | None:
    competition = session.scalars(
        select(Competition).where(Competition.id == draft.competition_id).with_for_update()
    ).one()
    active = active_round(session, competition)
    new, old = aliased(Evaluation), aliased(Evaluation)
    unready = session.scalar(
        select(func.count())
        .select_from(new)
        .outerjoin(old, (old.submission_id == new.submission_id) & (old.round_id == active.id))
        .where(
            new.round_id == draft.id,
            new.state.in_((State.QUEUED, State.RUNNING))
            | ((new.state == State.FAILED) & (old.state == State.SCORED)),
        )
    )
    if unready:
        return None
    active.state = RoundState.RETIRED
    session.flush()  # the old round leaves before the new one enters: only one may be active
    draft.state = RoundState.ACTIVE
    version = session.get_one(ChallengeVersion, draft.version_id)
    competition.version_id = version.id
    competition.version = version
    competition.greater_is_better = version.manifest["metric"]["greater_is_better"]
    session.flush()
    leaderboard.refresh_all(session, competition)
    return competition.slug


def active_round(session: Session, competition: Competition) -> Round:
    return session.scalars(
        select(Round).where(Round.competition_id == competition.id, Round.state == RoundState.ACTIVE)
    ).one()


def draft_round(session: Session, competition: Competition) -> Round | None:
    return session.scalar(
        select(Round).where(Round.competition_id == competition.id, Round.state == RoundState.DRAFT)
    )


def _submission_count(session: Session, competition: Competition) -> int:
    count = select(func.count()).select_from(Submission).where(Submission.competition_id == competition.id)
    return session.scalar(count) or 0


def _moment(value: str | datetime | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value

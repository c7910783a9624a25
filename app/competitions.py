"""Competitions: runs of a challenge version, and the rounds that score them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, insert, literal, select
from sqlalchemy.orm import Session, aliased

from app import leaderboard, points, releases
from app.errors import Conflict, NotFound, Refused
from app.models import (
    ChallengeVersion,
    Competition,
    Evaluation,
    PublicScore,
    Round,
    RoundState,
    Score,
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
    mode = PublicScore(defaults.get("public_score", PublicScore.ROUNDED))
    releases.refuse_impossible(version, mode)
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
    """End it now, without the grace that a closing date known beforehand gives to uploads on their way."""
    if competition.closes_at is not None and competition.closes_at <= now:
        raise Conflict(
            f"{competition.slug} has been closed since {competition.closes_at:%Y-%m-%d %H:%M} UTC."
        )
    competition.closes_at = now
    competition.grace_seconds = 0


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

    Words and baselines change at once. A change of what scores mean needs an explicit rescore once there
    are submissions. A rescore towards yet another version, if one is at work, is given up.
    """
    _lock(session, competition)
    draft = draft_round(session, competition)
    if draft is not None and draft.version_id != version.id:
        _discard(session, draft)
    releases.refuse_impossible(version, PublicScore(competition.public_score))
    changed = _changes_of_meaning(competition.version, version)
    entries = _submission_count(session, competition)
    if changed and entries and not rescore:
        raise Conflict(
            f"The {' and the '.join(changed)} changed, and {competition.slug} has {entries} submissions scored "
            "under the old one. Publish with --rescore to score them all anew."
        )
    if changed and entries:
        begin_rescore(session, competition, version, reason=f"new {' and '.join(changed)}", now=now)
        return True
    active_round(session, competition).version_id = version.id
    _show_version(competition, version)
    return False


def _changes_of_meaning(old: ChallengeVersion, new: ChallengeVersion) -> list[str]:
    """What of a version makes scores incomparable, in words; empty if only texts and files changed."""

    def form(version: ChallengeVersion) -> tuple[Any, Any]:
        submission = version.manifest.get("submission", {})
        return submission.get("id"), submission.get("columns")

    differences = {
        "solution": old.solution_digest != new.solution_digest,
        "metric": old.metric_digest != new.metric_digest,
        "submission's columns": form(old) != form(new),
        "metrics shown beside it": old.manifest.get("also") != new.manifest.get("also"),
    }
    return [what for what, differs in differences.items() if differs]


def begin_rescore(
    session: Session, competition: Competition, version: ChallengeVersion, *, reason: str, now: datetime
) -> int:
    """Score every submission anew, aside: the old board stands until the last one is done.

    Returns how many submissions will be scored. A draft still at work is replaced.
    """
    releases.refuse_impossible(version, PublicScore(competition.public_score))
    discard_rescore(session, competition)
    draft = Round(
        competition_id=competition.id,
        version_id=version.id,
        state=RoundState.DRAFT,
        reason=reason,
        created_at=now,
    )
    session.add(draft)
    session.flush()
    points.reach("rescore.drafted")
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
    points.reach("rescore.filled")
    return _submission_count(session, competition)


def discard_rescore(session: Session, competition: Competition) -> bool:
    """Give up a rescore at work; the board stays as it is. True if there was one."""
    _lock(session, competition)
    draft = draft_round(session, competition)
    if draft is not None:
        _discard(session, draft)
    return draft is not None


def _discard(session: Session, draft: Round) -> None:
    """The round stays in the history; its rows go, so that nobody works on them or walks over them."""
    session.execute(delete(Score).where(Score.round_id == draft.id))
    session.execute(delete(Evaluation).where(Evaluation.round_id == draft.id))
    points.reach("discard.cleared")
    draft.state = RoundState.RETIRED
    session.flush()


def finished_drafts(session: Session) -> list[int]:
    """Draft rounds in which nothing waits for a score any more."""
    waiting = (
        select(Evaluation.submission_id)
        .where(Evaluation.round_id == Round.id, Evaluation.state.in_((State.QUEUED, State.RUNNING)))
        .exists()
    )
    return list(session.scalars(select(Round.id).where(Round.state == RoundState.DRAFT, ~waiting)))


def activate(session: Session, draft_id: int, *, accept_losses: bool = False) -> str | None:
    """Put a finished draft in the place of its competition's active round; the competition's slug.

    None, and nothing changes, if work is left or the draft was replaced meanwhile. Submissions that have
    a score today and none in the draft would drop from the board without a word: such a draft waits
    until the organiser accepts the losses or gives the rescore up.
    """
    draft = session.get_one(Round, draft_id)
    competition = session.get_one(Competition, draft.competition_id)
    _lock(session, competition)
    session.refresh(draft)
    if draft.state != RoundState.DRAFT or draft_id not in finished_drafts(session):
        return None
    active = active_round(session, competition)
    if not accept_losses and losses(session, draft, active):
        return None
    active.state = RoundState.RETIRED
    session.flush()  # the old round leaves before the new one enters: only one may be active
    points.reach("activate.retired")
    draft.state = RoundState.ACTIVE
    _show_version(competition, session.get_one(ChallengeVersion, draft.version_id))
    session.flush()
    points.reach("activate.swapped")
    leaderboard.refresh_all(session, competition)
    points.reach("activate.ranked")
    return competition.slug


def losses(session: Session, draft: Round, active: Round) -> int:
    """Submissions with a score in the active round that were rejected or failed in the draft."""
    new, old = aliased(Evaluation), aliased(Evaluation)
    lost = (
        select(func.count())
        .select_from(new)
        .join(old, and_(old.submission_id == new.submission_id, old.round_id == active.id))
        .where(
            new.round_id == draft.id,
            new.state.in_((State.FAILED, State.REJECTED)),
            old.state == State.SCORED,
        )
    )
    return session.scalar(lost) or 0


def _show_version(competition: Competition, version: ChallengeVersion) -> None:
    competition.version_id = version.id
    competition.version = version
    competition.greater_is_better = version.manifest["metric"]["greater_is_better"]


def _lock(session: Session, competition: Competition) -> None:
    """No upload is accepted and no score recorded beside what follows, until the transaction ends."""
    session.execute(select(Competition.id).where(Competition.id == competition.id).with_for_update())


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

"""What a submission's result page says beside the score: rank, best, baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.base.models import Competition, Team
from app.competing import freezing, leaderboard, positions
from app.competing.statuses import Status


@dataclass(frozen=True)
class Distance:
    """A baseline and how far the submission is from it."""

    name: str
    score: float
    by: float
    """Positive if the submission is better."""


@dataclass(frozen=True)
class Outcome:
    score: float
    is_private: bool
    best_before: Status | None
    """The team's best earlier file."""
    rank: int | None
    """The public rank on the present board with this file; None after the close and for unranked files."""
    rank_before: int | None
    """The same without it; None for a team's first score."""
    distances: Sequence[Distance]
    """Of all baselines, best first."""

    @property
    def next_aim(self) -> Distance | None:
        """Return the nearest baseline that is better."""
        return next((one for one in reversed(self.distances) if one.by < 0), None)


def outcome(
    session: Session, competition: Competition, entry: Status, past: Sequence[Status], *, now: datetime
) -> Outcome | None:
    """Return what a scored submission means; None without a score.

    `past` are the submissions of its team. Scores are private once the competition is settled, else public.
    """
    is_private = competition.is_settled(now) and entry.private is not None
    score = entry.private if is_private else entry.public
    if score is None:
        return None
    sign = 1.0 if competition.greater_is_better else -1.0
    earlier = [one for one in past if one.id < entry.id and _counts(one) and one.public is not None]
    best = max(earlier, key=lambda one: (sign * (one.public or 0.0), -one.id), default=None)
    rank = rank_before = None
    is_off = session.get_one(Team, entry.team_id).is_off_the_board
    if (
        not is_private
        and not freezing.is_frozen(competition, now)
        and _counts(entry)
        and not is_off
        and not entry.is_baseline
        and entry.public is not None
    ):
        shown = [entry.public] + ([best.public] if best is not None and best.public is not None else [])
        better = max(shown, key=lambda value: sign * value)
        rank = positions.rank_of(session, competition, entry.team_id, better, now=now)
        if len(shown) > 1:
            rank_before = positions.rank_of(session, competition, entry.team_id, shown[1], now=now)
    distances = [
        Distance(name, value, sign * (score - value))
        for name, value in leaderboard.baselines(session, competition, now=now)
    ]
    return Outcome(score, is_private, best, rank, rank_before, distances)


def _counts(entry: Status) -> bool:
    return entry.is_ranked and not entry.is_withdrawn and entry.excluded_why is None

"""The position of a team in a competition: rank, best score, distance to the next place, uploads left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import BigInteger, ColumnElement, Date, Select, and_, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from app.base.models import (
    Competition,
    Extension,
    Membership,
    Quota,
    Round,
    RoundState,
    Score,
    Standing,
    Submission,
    Team,
)
from app.competing import freezing


@dataclass(frozen=True)
class Position:
    """What the strip on each page of a competition shows of the viewer's own team."""

    team_id: int
    team: str
    rank: int | None
    """None without a row on the board."""
    teams: int
    """Ranked teams."""
    score: float | None
    is_private: bool
    next_rank: int | None
    """The rank of the next better score; None for the first."""
    gap: float | None
    """The distance to that score, 0 or more."""
    left_today: int
    daily_limit: int


def of(session: Session, competition: Competition, user_id: int, *, now: datetime) -> Position | None:
    """Return the position of the user's team, or None before joining.

    One statement. Its numbers are those of the board that the user may see: public until it is settled.
    """
    is_private = competition.is_settled(now)
    values = {"competition": competition.id, "user": user_id, "day": competition.day(now)}
    found = session.execute(_statement(is_private, freezing.table(competition, now)), values).one_or_none()
    if found is None:
        return None
    limit = competition.daily_limit + (found.extra or 0)
    has_row = found.key is not None
    has_next = found.next_key is not None
    return Position(
        team_id=found.id,
        team=found.name,
        rank=1 + found.ahead if has_row else None,
        teams=found.teams,
        score=(-found.key if competition.greater_is_better else found.key) if has_row else None,
        is_private=is_private,
        next_rank=1 + found.ahead - found.tied_there if has_next else None,
        gap=found.key - found.next_key if has_next else None,
        left_today=max(0, limit - (found.used or 0)),
        daily_limit=limit,
    )


def rank_of(session: Session, competition: Competition, team_id: int, score: float, *, now: datetime) -> int:
    """Return the public rank that a team would have now with this public score."""
    table = freezing.table(competition, now)
    key = -score if competition.greater_is_better else score
    return 1 + _ahead(session, competition, team_id, table.public_key < key, table)


@dataclass(frozen=True)
class Place:
    """The place of a ranked team on the board that all may see."""

    rank: int
    teams: int
    score: float


def place(session: Session, competition: Competition, team_id: int, *, now: datetime) -> Place | None:
    """Return a team's place, public until it is settled and then final; None without a row on the board."""
    is_private = competition.is_settled(now)
    table = freezing.table(competition, now)
    row = cast("freezing.Row | None", session.get(table, (competition.id, team_id)))
    if row is None or row.is_baseline:
        return None
    key, column = (row.private_key, table.private_key) if is_private else (row.public_key, table.public_key)
    return Place(
        rank=1 + _ahead(session, competition, team_id, column < key, table),
        teams=ranked_teams(session, competition, now=now),
        score=-key if competition.greater_is_better else key,
    )


def ranked_teams(session: Session, competition: Competition, *, now: datetime) -> int:
    """Return how many teams have a rank on the board that all may see."""
    table = freezing.table(competition, now)
    ranked = table.competition_id == competition.id, table.is_baseline.is_(False)
    return session.scalar(select(func.count()).select_from(table).where(*ranked)) or 0


@dataclass(frozen=True)
class Uncounted:
    """A team's best file that did not count for the final ranking, and the rank that it would have had."""

    submission_id: int
    private: float
    rank: int


def best_uncounted(
    session: Session, competition: Competition, team_id: int, *, now: datetime
) -> Uncounted | None:
    """Return the team's best file by private score if another one counted; for this team's eyes alone.

    None until the competition is settled, because it tells private scores.
    """
    if not competition.is_settled(now):
        return None
    counted = session.get(Standing, (competition.id, team_id))
    if counted is None:
        return None
    key = -Score.private if competition.greater_is_better else Score.private
    best = session.execute(
        select(Score.submission_id, Score.private, key.label("key"))
        .join(Submission, Submission.id == Score.submission_id)
        .join(Round, and_(Round.id == Score.round_id, Round.state == RoundState.ACTIVE))
        .where(
            Submission.team_id == team_id,
            Submission.is_ranked,
            Submission.withdrawn_at.is_(None),
            Submission.excluded_at.is_(None),
            key < counted.private_key,
        )
        .order_by(key, Submission.id)
        .limit(1)
    ).one_or_none()
    if best is None:
        return None
    rank = 1 + _ahead(session, competition, team_id, Standing.private_key < best.key, Standing)
    return Uncounted(best.submission_id, best.private, rank)


def _ahead(
    session: Session,
    competition: Competition,
    team_id: int,
    is_better: ColumnElement[bool],
    table: freezing.Table,
) -> int:
    others = (table.competition_id == competition.id, table.is_baseline.is_(False), table.team_id != team_id)
    return session.scalar(select(func.count()).select_from(table).where(*others, is_better)) or 0


@lru_cache(maxsize=3)  # building it costs more than running it
def _statement(is_private: bool, table: freezing.Table) -> Select[Any]:
    key = "private_key" if is_private else "public_key"
    competition = bindparam("competition", type_=BigInteger)
    mine, other, before = table, aliased(table), aliased(table)
    my_key, other_key, before_key = (getattr(one, key) for one in (mine, other, before))

    def ranked(one: Any) -> Any:
        return and_(one.competition_id == competition, one.is_baseline.is_(False))

    next_key = (
        select(func.max(other_key)).where(ranked(other), other_key < my_key).correlate(mine).scalar_subquery()
    )
    ahead = select(func.count()).where(ranked(other), other_key < my_key).correlate(mine).scalar_subquery()
    tied_there = (
        select(func.count()).where(ranked(before), before_key == next_key).correlate(mine).scalar_subquery()
    )
    extra = select(func.sum(Extension.daily_extra)).where(
        Extension.team_id == Team.id, Extension.revoked_at.is_(None)
    )
    used = select(Quota.used).where(Quota.team_id == Team.id, Quota.day == bindparam("day", type_=Date))
    return (
        select(
            Team.id,
            Team.name,
            my_key.label("key"),
            ahead.label("ahead"),
            next_key.label("next_key"),
            tied_there.label("tied_there"),
            select(func.count()).where(ranked(other)).scalar_subquery().label("teams"),
            extra.correlate(Team).scalar_subquery().label("extra"),
            used.correlate(Team).scalar_subquery().label("used"),
        )
        .join(Membership, Membership.team_id == Team.id)
        .outerjoin(mine, and_(mine.team_id == Team.id, mine.competition_id == competition))
        .where(Membership.competition_id == competition, Membership.user_id == bindparam("user"))
    )

"""The tables of teams and of all submissions, for the organisers of a competition.

A page is a range of an index behind the last row of the page before, so its time does not depend on how many
teams there are. Orders by the board begin with the teams that have a row there; the others follow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, not_, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from app.base.errors import Refused
from app.base.models import (
    Competition,
    Evaluation,
    Extension,
    Membership,
    Round,
    RoundState,
    Score,
    Standing,
    State,
    Submission,
    Team,
    User,
)
from app.competing import hosts

MOST_SEARCH = 60


class TeamPlace(StrEnum):
    """Where a team stands: the filter and the column of the table."""

    RANKED = "ranked"
    UNSCORED = "no score"
    """Without a file that counts for the board."""
    OFF = "off the board"
    DISQUALIFIED = "disqualified"
    HOST = "host"
    BASELINE = "baseline"


class Order(StrEnum):
    NAME = "name"
    NEWEST = "newest"
    SCORE = "score"
    LAST = "last"
    UPLOADS = "uploads"


@dataclass(frozen=True)
class Participant:
    """A team as its organisers see it."""

    id: int
    name: str
    members: tuple[str, ...]
    place: TeamPlace
    why: str | None
    """Why it is off the board or disqualified."""
    joined_at: datetime
    uploads: int
    rejected: int
    failed: int
    waiting: int
    late: int
    public: float | None
    """The best shown score."""
    private: float | None
    """Of the row on the board, exact; None without one."""
    last_at: datetime | None
    """Of the last upload."""
    closes_at: datetime | None
    """A later close by an extension."""
    daily_extra: int
    total_extra: int


COLUMNS = (
    *("team_id", "team", "members", "state", "reason", "joined_at", "uploads", "rejected", "failed"),
    *("waiting", "late", "best_public", "private", "last_upload_at", "closes_at", "daily_extra"),
    "total_extra",
)
"""Of the table as CSV."""


def csv_row(one: Participant) -> list[Any]:
    """Return a team as a row of `COLUMNS`."""
    return [
        *(one.id, one.name, ", ".join(one.members), str(one.place), one.why, _text(one.joined_at)),
        *(one.uploads, one.rejected, one.failed, one.waiting, one.late, _number(one.public)),
        *(_number(one.private), _text(one.last_at), _text(one.closes_at), one.daily_extra, one.total_extra),
    ]


def _text(at: datetime | None) -> str:
    return at.isoformat() if at else ""


def _number(score: float | None) -> str:
    return "" if score is None else repr(score)


@dataclass(frozen=True)
class Wanted:
    """Which teams, and in which order."""

    search: str = ""
    """A part of the name of the team or of a member."""
    place: TeamPlace | None = None
    is_extended: bool = False
    order: Order = Order.NAME
    shows_private: bool = True
    """Whether the viewer may see private scores."""


@dataclass(frozen=True)
class Page:
    """A part of a table."""

    rows: Sequence[Participant]
    following: str | None
    """The cursor of the next page; None: this is the last."""


def page(
    session: Session, competition: Competition, wanted: Wanted, *, limit: int, cursor: str | None = None
) -> Page:
    """Return the teams behind a cursor; refuse one of another order."""
    behind = _Cursor.read(cursor, wanted.order) if cursor else None
    matching = _matching(competition, wanted)
    found: list[tuple[int, Any]] = []
    is_by_board = wanted.order not in (Order.NAME, Order.NEWEST)
    if not (is_by_board and behind and behind.is_rest):
        found = _ids(session, competition, matching, wanted.order, behind, limit + 1)
    cut = len(found)
    if is_by_board and len(found) <= limit:
        # Then the teams without a row on the board.
        after = int(behind.team_id) if behind and behind.is_rest else 0
        others = select(Team.id).where(*matching, Team.id > after, not_(_has_row(competition)))
        others = others.order_by(Team.id).limit(limit + 1 - len(found))
        found += [(team_id, None) for team_id in session.scalars(others)]
    shown = found[:limit]
    following = None
    if len(found) > limit:
        team_id, key = shown[-1]
        following = _Cursor(wanted.order, team_id, key, is_rest=is_by_board and limit > cut).text
    rows = _described(session, competition, [team_id for team_id, _ in shown])
    if not wanted.shows_private:
        rows = [replace(row, private=None) for row in rows]
    return Page(rows, following)


def walk(
    read: Callable[[], AbstractContextManager[Session]],
    competition_id: int,
    wanted: Wanted,
    *,
    each: int = 500,
) -> Iterator[Participant]:
    """Return all teams, page by page, each in a transaction of its own.

    `read` opens one. A slow reader must not keep one open: SQLite could not fold its log back meanwhile.
    """
    cursor = None
    while True:
        with read() as session:
            competition = session.get_one(Competition, competition_id)
            found = page(session, competition, wanted, limit=each, cursor=cursor)
        yield from found.rows
        if (cursor := found.following) is None:
            return


@dataclass(frozen=True)
class _Cursor:
    order: Order
    team_id: int
    key: Any
    """Of the row: its name, or what it has on the board, as JSON holds it."""
    is_rest: bool = False
    """Whether the row is among those without one on the board."""

    @property
    def text(self) -> str:
        return json.dumps([self.order.value, self.team_id, self.key, self.is_rest], separators=(",", ":"))

    @staticmethod
    def read(text: str, order: Order) -> _Cursor:
        """Return a cursor from its text; refuse one of another order."""
        try:
            of, team_id, key, is_rest = json.loads(text)
            cursor = _Cursor(Order(of), team_id, key, is_rest is True)
            if of != order or type(team_id) is not int or not 0 <= team_id < 2**63:
                raise ValueError
            _values(cursor)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise Refused(
                "This is no cursor of this table; use that of the page before, unchanged."
            ) from None
        return cursor


def _values(behind: _Cursor) -> tuple[Any, ...]:
    """Return what the order compares, of the last row of the page before."""
    if behind.is_rest or behind.order is Order.NEWEST:
        return (behind.team_id,)
    if behind.order is Order.NAME:
        if not isinstance(behind.key, str) or "\0" in behind.key:
            raise ValueError
        return (behind.key,)
    if behind.order is Order.UPLOADS:
        if type(behind.key) is not int or not 0 <= behind.key < 2**63:
            raise ValueError
        return (behind.key, behind.team_id)
    if behind.order is Order.LAST:
        return (_moment(behind.key), behind.team_id)
    score, at = behind.key
    return (float(score), _moment(at), behind.team_id)


def _moment(text: Any) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError
    return at


def _ids(
    session: Session,
    competition: Competition,
    matching: Sequence[ColumnElement[bool]],
    order: Order,
    behind: _Cursor | None,
    limit: int,
) -> list[tuple[int, Any]]:
    """Return the ids of a page with their keys, of teams with a row on the board if the order needs one."""
    columns: Mapping[Order, tuple[Any, ...]] = {
        Order.NAME: (Team.name,),
        Order.NEWEST: (Team.id,),
        Order.SCORE: (Standing.public_key, Standing.public_at, Standing.team_id),
        Order.LAST: (Standing.last_at, Standing.team_id),
        Order.UPLOADS: (Standing.entries, Standing.team_id),
    }
    by = columns[order]
    is_ascending = order in (Order.NAME, Order.SCORE)
    query: Select[Any] = select(Team.id, *by).where(*matching)
    if order not in (Order.NAME, Order.NEWEST):
        query = query.join(Standing, Standing.team_id == Team.id)
        query = query.where(Standing.competition_id == competition.id)
    if behind is not None:
        place = tuple_(*by) if len(by) > 1 else by[0]
        values = _values(behind)
        last = tuple_(*values) if len(by) > 1 else values[0]
        query = query.where(place > last if is_ascending else place < last)
    query = query.order_by(*(column.asc() if is_ascending else column.desc() for column in by)).limit(limit)
    found = []
    for team_id, *key in session.execute(query):
        kept = [one.isoformat() if isinstance(one, datetime) else one for one in key]
        found.append((team_id, {Order.SCORE: kept[:2]}.get(order, kept[0])))
    return found


def _matching(competition: Competition, wanted: Wanted) -> list[ColumnElement[bool]]:
    found = [Team.competition_id == competition.id, Team.merged_into_id.is_(None)]
    search = " ".join(wanted.search.split())[:MOST_SEARCH]
    if search:
        with_member = (
            select(Membership.team_id)
            .join(User, User.id == Membership.user_id)
            .where(Membership.competition_id == competition.id, User.name.icontains(search, autoescape=True))
        )
        found.append(or_(Team.name.icontains(search, autoescape=True), Team.id.in_(with_member)))
    if wanted.is_extended:
        granted = select(Extension.team_id).where(
            Extension.competition_id == competition.id, Extension.revoked_at.is_(None)
        )
        found.append(Team.id.in_(granted))
    if wanted.place is not None:
        found.append(_is_at(competition, wanted.place))
    return found


def _is_at(competition: Competition, place: TeamPlace) -> ColumnElement[bool]:
    """Return the condition of a place, which is the same as `_place`'s."""
    of_hosts = or_(Team.is_host, Team.id.in_(hosts.teams_of_hosts(competition)))
    row = _has_row(competition)
    is_out = Team.disqualified_at.is_not(None)
    is_off = Team.unranked_at.is_not(None)
    conditions: dict[TeamPlace, ColumnElement[bool]] = {
        TeamPlace.BASELINE: Team.is_baseline.is_(True),
        TeamPlace.DISQUALIFIED: is_out,
        TeamPlace.HOST: and_(not_(is_out), of_hosts),
        TeamPlace.OFF: and_(not_(is_out), is_off, not_(of_hosts)),
        TeamPlace.RANKED: and_(not_(Team.is_baseline), not_(is_out), row),
        TeamPlace.UNSCORED: and_(
            not_(Team.is_baseline), not_(is_out), not_(is_off), not_(of_hosts), not_(row)
        ),
    }
    return conditions[place]


def _has_row(competition: Competition) -> ColumnElement[bool]:
    row = aliased(Standing)
    its = row.competition_id == competition.id, row.team_id == Team.id
    return select(row.team_id).where(*its).correlate(Team).exists()


def _place(team: Team, row: Standing | None, *, is_of_hosts: bool) -> TeamPlace:
    if team.is_baseline:
        return TeamPlace.BASELINE
    if team.disqualified_at is not None:
        return TeamPlace.DISQUALIFIED
    if row is not None:
        return TeamPlace.RANKED
    if is_of_hosts:
        return TeamPlace.HOST
    return TeamPlace.OFF if team.unranked_at is not None else TeamPlace.UNSCORED


@dataclass
class _Counts:
    uploads: int = 0
    by_state: dict[State, int] = field(default_factory=dict)
    late: int = 0
    last_at: datetime | None = None
    best: float | None = None


def _described(session: Session, competition: Competition, ids: Collection[int]) -> list[Participant]:
    """Return the teams with these ids in this order, each fact in one query for all."""
    teams = {team.id: team for team in session.scalars(select(Team).where(Team.id.in_(ids)))}
    rows = {
        row.team_id: row
        for row in session.scalars(
            select(Standing).where(Standing.competition_id == competition.id, Standing.team_id.in_(ids))
        )
    }
    members: dict[int, dict[int, str]] = {}
    for team_id, user_id, name in session.execute(
        select(Membership.team_id, User.id, User.name)
        .join(User, User.id == Membership.user_id)
        .where(Membership.team_id.in_(ids))
        .order_by(Membership.joined_at, Membership.user_id)
    ):
        members.setdefault(team_id, {})[user_id] = name
    known = hosts.hosts_among(session, competition, [one for its in members.values() for one in its])
    of_hosts = {team_id for team_id, its in members.items() if its.keys() <= known}
    granted = {
        team_id: (closes_at, daily, total)
        for team_id, closes_at, daily, total in session.execute(
            select(
                Extension.team_id,
                func.max(Extension.closes_at),
                func.sum(Extension.daily_extra),
                func.sum(Extension.total_extra),
            )
            .where(Extension.team_id.in_(ids), Extension.revoked_at.is_(None))
            .group_by(Extension.team_id)
        )
    }
    counts = _counts(session, competition, ids)
    sign = -1.0 if competition.greater_is_better else 1.0
    found = []
    for team_id in ids:
        team, row, its = teams[team_id], rows.get(team_id), counts.get(team_id) or _Counts()
        closes_at, daily_extra, total_extra = granted.get(team_id, (None, 0, 0))
        found.append(
            Participant(
                id=team_id,
                name=team.name,
                members=tuple(members.get(team_id, {}).values()),
                place=_place(team, row, is_of_hosts=team.is_host or team_id in of_hosts),
                why=team.disqualified_why or team.unranked_why,
                joined_at=team.created_at,
                uploads=its.uploads,
                rejected=its.by_state.get(State.REJECTED, 0),
                failed=its.by_state.get(State.FAILED, 0),
                waiting=its.by_state.get(State.QUEUED, 0) + its.by_state.get(State.RUNNING, 0),
                late=its.late,
                public=sign * row.public_key if row else its.best,
                private=sign * row.private_key if row else None,
                last_at=its.last_at,
                closes_at=closes_at,
                daily_extra=daily_extra,
                total_extra=total_extra,
            )
        )
    return found


def _counts(session: Session, competition: Competition, ids: Collection[int]) -> dict[int, _Counts]:
    """Return of each team its files by state in the active round, and the best shown score."""
    best = func.max(Score.shown) if competition.greater_is_better else func.min(Score.shown)
    query = (
        select(
            Submission.team_id,
            Evaluation.state,
            func.count(),
            func.sum(case((Submission.is_late, 1), else_=0)),
            func.max(Submission.received_at),
            best,
        )
        .join(
            Round, and_(Round.competition_id == Submission.competition_id, Round.state == RoundState.ACTIVE)
        )
        .join(Evaluation, and_(Evaluation.submission_id == Submission.id, Evaluation.round_id == Round.id))
        .outerjoin(Score, and_(Score.submission_id == Submission.id, Score.round_id == Round.id))
        .where(Submission.team_id.in_(ids))
        .group_by(Submission.team_id, Evaluation.state)
    )
    found: dict[int, _Counts] = {}
    for team_id, state, count, late, last_at, shown in session.execute(query):
        its = found.setdefault(team_id, _Counts())
        its.uploads += count
        its.by_state[State(state)] = count
        its.late += late or 0
        its.last_at = max(filter(None, (its.last_at, last_at)))
        if shown is not None:
            its.best = shown
    return found

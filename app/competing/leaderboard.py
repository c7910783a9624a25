"""The board as one viewer may see it.

Page, API, CSV and charts read `board()`. A team's standing is derived from its scores and rewritten when they
change. Reading a page costs an index range, and no cache has to be invalidated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Float,
    Integer,
    Select,
    String,
    Subquery,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.base.db import UtcTime
from app.base.errors import Refused
from app.base.models import Competition, Membership, Standing, Submission, Team
from app.competing import freezing, teams

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
_COMPETITION = bindparam("competition", type_=BigInteger)
_ESCAPED = re.compile("[/%_]")  # special characters of LIKE


class Sort(StrEnum):
    RANK = "rank"
    TEAM = "team"
    ENTRIES = "entries"
    LAST = "last"


@dataclass(frozen=True)
class Row:
    """One line of the board; a baseline has no rank."""

    rank: int | None
    team_id: int
    team: str
    is_baseline: bool
    is_mine: bool
    score: float
    also: Mapping[str, float]
    entries: int
    last_at: datetime
    submission_id: int
    moved: int | None
    """Places gained from the public board to the private one; None before the close."""
    is_by_agent: bool
    """An agent has sent the file that the row shows; false where the competition marks none."""
    members: Sequence[str] = ()
    """Of a team of several, in the order of joining; the name of a lone participant may be a pseudonym."""
    method: str | None = None
    """What the team says of its method; None before private scores are shown."""
    method_link: str | None = None
    """To code or a paper; as `method`."""


@dataclass(frozen=True)
class Place:
    """A place on the board by rank; a page may begin behind it, whatever moves before it."""

    key: float
    at: datetime
    team_id: int
    is_private: bool


@dataclass(frozen=True)
class BoardView:
    rows: Sequence[Row]
    mine: Row | None
    """The viewer's own row, on whichever page it is."""
    mine_place: int | None
    """Position of the own row among teams and baselines, without ties."""
    total: int
    """Rows on all pages that match the search."""
    page: int
    page_size: int
    is_private: bool
    last: Place | None
    """Of the last row, where a following page may begin behind it; None for other orders than by rank."""

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.page_size))

    @property
    def mine_page(self) -> int | None:
        """The page of the whole board, sorted by rank, with the own row."""
        return None if self.mine_place is None else -(-self.mine_place // self.page_size)

    @property
    def also(self) -> Sequence[str]:
        return sorted({name for row in self.rows for name in row.also})


def board(
    session: Session,
    competition: Competition,
    *,
    now: datetime,
    viewer_id: int | None = None,
    page: int = 1,
    page_size: int = PAGE_SIZE,
    search: str = "",
    sort: Sort = Sort.RANK,
    descending: bool = False,
    after: Place | None = None,
    shows_public: bool = False,
) -> BoardView:
    """Return a page of the board: public scores until the close, private after.

    With `shows_public` it has the public scores also after the close. With `after` it is the page behind this
    place, in the order of ranks; `page` is ignored then.

    Equal scores share a rank (1, 1, 3), and the earlier file is first. One statement over the standings, so
    the cost does not grow with the number of submissions; only the rows of the page are ranked, by counting
    in the index.
    """
    is_private = competition.is_settled(now) and not shows_public
    page = max(1, page)
    if after is not None:
        if after.is_private != is_private:
            raise Refused("The board shows other scores since this cursor was made; begin at its first page.")
        page, sort, descending = 1, Sort.RANK, False
    page_size = max(1, min(page_size, MAX_PAGE_SIZE))
    found = session.execute(
        _statement(
            sort,
            table=freezing.table(competition, now),
            is_private=is_private,
            is_search=bool(search.strip()),
            has_viewer=viewer_id is not None,
            descending=descending,
            is_behind=after is not None,
        ),
        {
            "competition": competition.id,
            "viewer": viewer_id,
            "search": _ESCAPED.sub(r"/\g<0>", search.strip()),
            "limit": page_size,
            "offset": (page - 1) * page_size,
            **({"after_key": after.key, "after_at": after.at, "after_id": after.team_id} if after else {}),
        },
    ).all()

    mine = next((r for r in found if r.is_own), None)
    row = partial(
        _row,
        competition=competition,
        mine_id=mine.team_id if mine else None,
        is_private=is_private,
        by_agents=_by_agents(session, competition, found),
        members=teams.members_of(session, {r.team_id for r in found}),
        shows_methods=competition.is_settled(now),
    )
    listed = sorted((r for r in found if not r.is_own), key=_python_order(sort), reverse=descending)
    return BoardView(
        rows=[row(r) for r in listed],
        mine=row(mine) if mine else None,
        mine_place=mine.place if mine else None,
        total=found[0].total if found else 0,
        page=page,
        page_size=page_size,
        is_private=is_private,
        last=Place(listed[-1].key, listed[-1].at, listed[-1].team_id, is_private)
        if listed and sort is Sort.RANK and not descending
        else None,
    )


def _by_agents(session: Session, competition: Competition, found: Sequence[Any]) -> frozenset[int]:
    """Return which of the shown files agents have sent, where the competition marks them."""
    if not competition.marks_agents:
        return frozenset()
    shown = {r.submission_id for r in found}
    sent = select(Submission.id).where(Submission.id.in_(shown), Submission.is_by_agent)
    return frozenset(session.scalars(sent))


def whole(session: Session, competition: Competition, *, now: datetime) -> tuple[list[Row], bool]:
    """Return every row of the board, and whether its scores are private."""
    rows: list[Row] = []
    view = board(session, competition, now=now, page_size=MAX_PAGE_SIZE)
    while view.rows:
        rows += view.rows
        view = board(session, competition, now=now, page_size=MAX_PAGE_SIZE, after=view.last)
    return rows, view.is_private


@dataclass(frozen=True)
class Shift:
    """A team's ranks on both boards."""

    team_id: int
    team: str
    public_rank: int
    rank: int
    score: float

    @property
    def gained(self) -> int:
        return self.public_rank - self.rank


def shake_up(session: Session, competition: Competition, *, now: datetime) -> list[Shift]:
    """Return the ranks of all teams on both boards, by the final rank; nothing before it is settled."""
    if not competition.is_settled(now):
        return []
    public, private = (
        func.rank().over(order_by=key).label(name)
        for key, name in ((Standing.public_key, "public_rank"), (Standing.private_key, "rank"))
    )
    found = session.execute(
        select(Standing.team_id, Team.name, public, private, Standing.private_key)
        .join(Team, Team.id == Standing.team_id)
        .where(Standing.competition_id == competition.id, Standing.is_baseline.is_(False))
        .order_by(Standing.private_key, Standing.private_at, Standing.team_id)
    )
    sign = -1 if competition.greater_is_better else 1
    return [Shift(id_, name, before, rank, sign * key) for id_, name, before, rank, key in found]


# There are at most 160 statements, and building one costs more than running it.
@lru_cache(maxsize=160)
def _statement(
    sort: Sort,
    *,
    table: freezing.Table,
    is_private: bool,
    is_search: bool,
    has_viewer: bool,
    descending: bool,
    is_behind: bool,
) -> Select[Any]:
    here = table.competition_id == _COMPETITION
    # Only ids are sorted; the other columns are read for one page. Names are joined only to search or sort.
    picked = select(table.team_id).where(here)
    count = select(func.count()).select_from(table).where(here)
    if is_search or sort is Sort.TEAM:
        picked = picked.join(Team, Team.id == table.team_id)
    if is_search:
        matches = Team.name.icontains(bindparam("search", type_=String), escape="/")
        picked = picked.where(matches)
        count = count.join(Team, Team.id == table.team_id).where(matches)
    if is_behind:
        picked = picked.where(_is_behind(table=table, is_private=is_private))
    picked = picked.order_by(*_order(sort, table=table, is_private=is_private, descending=descending))
    limit, offset = (bindparam(name, type_=Integer) for name in ("limit", "offset"))
    wanted = picked.limit(limit).offset(offset).subquery()
    rows: Select[Any] | CompoundSelect[Any] = (
        _rows(table=table, is_private=is_private, is_own=False)
        .where(here)
        .join(wanted, wanted.c.team_id == table.team_id)
    )
    if has_viewer:
        my_team = select(Membership.team_id).where(
            Membership.competition_id == _COMPETITION,
            Membership.user_id == bindparam("viewer", type_=BigInteger),
        )
        own = _rows(table=table, is_private=is_private, is_own=True).where(
            here, table.team_id == my_team.scalar_subquery()
        )
        rows = union_all(rows, own)
    shown = rows.cte("shown")

    ranks = _ranks(shown, "key", table=table, is_private=is_private)
    statement: Select[Any] = (
        select(
            shown,
            Team.name,
            Team.method,
            Team.method_link,
            ranks.c.rank,
            count.scalar_subquery().label("total"),
        )
        .join(Team, Team.id == shown.c.team_id)
        .join(ranks, ranks.c.value == shown.c.key)
    )
    if is_private:
        public_ranks = _ranks(shown, "public_key", table=table, is_private=False)
        statement = statement.add_columns(public_ranks.c.rank.label("public_rank")).join(
            public_ranks, public_ranks.c.value == shown.c.public_key
        )
    return statement


def baselines(session: Session, competition: Competition, *, now: datetime) -> list[tuple[str, float]]:
    """Return the baselines' names and scores on the board, best first."""
    table = freezing.table(competition, now)
    key = table.private_key if competition.is_settled(now) else table.public_key
    found = session.execute(
        select(Team.name, key)
        .join(Team, Team.id == table.team_id)
        .where(table.competition_id == competition.id, table.is_baseline)
        .order_by(key)
    )
    sign = -1 if competition.greater_is_better else 1
    return [(name, sign * value) for name, value in found]


def _rows(*, table: freezing.Table, is_private: bool, is_own: bool) -> Select[Any]:
    """Select the board's rows, with the position of the own row."""
    key, at = _keys(table, is_private=is_private)
    place: ColumnElement[int] = literal(0)
    if is_own:
        other = aliased(table)
        other_key, other_at = _keys(other, is_private=is_private)
        stands_before = or_(
            other_key < key, other_at < at, and_(other_at == at, other.team_id <= table.team_id)
        )
        place = (
            select(func.count())
            .where(other.competition_id == table.competition_id, other_key <= key, stands_before)
            .scalar_subquery()
        )
    columns: tuple[ColumnElement[Any] | InstrumentedAttribute[Any], ...] = (
        table.team_id,
        table.is_baseline,
        table.entries,
        table.last_at,
        key.label("key"),
        at.label("at"),
        table.public_key.label("public_key"),
        (table.private_also if is_private else table.public_also).label("also"),
        (table.private_submission_id if is_private else table.public_submission_id).label("submission_id"),
        literal(is_own).label("is_own"),
        place.label("place"),
    )
    return select(*columns)


def _ranks(shown: CTE, column: str, *, table: freezing.Table, is_private: bool) -> Subquery:
    """Rank every key of the shown rows.

    The rank is one more than the number of teams before it. Baselines are not counted. Teams are counted from
    each shown key to the next, so that each row is counted once in any sort order.
    """
    distinct = select(shown.c[column].label("value")).distinct().subquery()
    before = func.lag(distinct.c.value).over(order_by=distinct.c.value)
    steps = select(distinct.c.value, before.label("before")).subquery()
    key, _ = _keys(table, is_private=is_private)
    teams = select(func.count()).where(
        table.competition_id == _COMPETITION, table.is_baseline.is_(False), key < steps.c.value
    )
    between = case(
        (steps.c.before.is_(None), teams.scalar_subquery()),
        else_=teams.where(key >= steps.c.before).scalar_subquery(),
    )
    counted = select(steps.c.value, between.label("teams")).subquery()
    ahead = func.sum(counted.c.teams).over(order_by=counted.c.value)
    return select(counted.c.value, (1 + cast(ahead, Integer)).label("rank")).subquery()


def _keys(
    table: freezing.Table, *, is_private: bool
) -> tuple[InstrumentedAttribute[float], InstrumentedAttribute[datetime]]:
    """Return the columns that order the board: score key, then time.

    The team's id decides between equal ones.
    """
    if is_private:
        return table.private_key, table.private_at
    return table.public_key, table.public_at


def _is_behind(*, table: freezing.Table, is_private: bool) -> ColumnElement[bool]:
    """Select what comes after a place in the order of ranks."""
    key, at = _keys(table, is_private=is_private)
    after_key, after_at = bindparam("after_key", type_=Float), bindparam("after_at", type_=UtcTime)
    after_id = bindparam("after_id", type_=BigInteger)
    later = or_(at > after_at, and_(at == after_at, table.team_id > after_id))
    return or_(key > after_key, and_(key == after_key, later))


def _order(
    sort: Sort, *, table: freezing.Table, is_private: bool, descending: bool
) -> list[ColumnElement[Any]]:
    by_rank = (*_keys(table, is_private=is_private), table.team_id)
    first: dict[Sort, tuple[Any, ...]] = {
        Sort.RANK: (),
        Sort.TEAM: (func.lower(Team.name),),
        Sort.ENTRIES: (table.entries,),
        Sort.LAST: (table.last_at,),
    }
    return [column.desc() if descending else column.asc() for column in (*first[sort], *by_rank)]


def _python_order(sort: Sort) -> Callable[[Any], tuple[Any, ...]]:
    """Return the key that sorts one page again.

    A UNION and a join lose the order.
    """
    first: dict[Sort, Callable[[Any], Any]] = {
        Sort.RANK: lambda row: row.key,
        Sort.TEAM: lambda row: row.name.lower(),
        Sort.ENTRIES: lambda row: row.entries,
        Sort.LAST: lambda row: row.last_at,
    }
    return lambda row: (first[sort](row), row.key, row.at, row.team_id)


def _row(
    found: Any,
    *,
    competition: Competition,
    mine_id: int | None,
    is_private: bool,
    by_agents: frozenset[int],
    members: Mapping[int, Sequence[str]],
    shows_methods: bool,
) -> Row:
    is_ranked = not found.is_baseline
    return Row(
        rank=found.rank if is_ranked else None,
        team_id=found.team_id,
        team=found.name,
        is_baseline=found.is_baseline,
        is_mine=found.team_id == mine_id,
        score=-found.key if competition.greater_is_better else found.key,
        also=found.also,
        entries=found.entries,
        last_at=found.last_at,
        submission_id=found.submission_id,
        moved=found.public_rank - found.rank if is_private and is_ranked else None,
        is_by_agent=found.submission_id in by_agents,
        members=members[found.team_id] if len(members[found.team_id]) > 1 else (),
        method=found.method if shows_methods else None,
        method_link=found.method_link if shows_methods else None,
    )


# -- writing standings -------------------------------------------------------------------------

"""The board: what a viewer may see of it at a moment. Page, API, CSV and charts all read `board()`.

A team's row is derived from its scores and rewritten whenever they change, so reading a page costs
an index range and nothing ever has to be invalidated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, delete, func, literal, null, select, union_all
from sqlalchemy import false as never
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.models import (
    Competition,
    FinalPick,
    Membership,
    Phase,
    Round,
    RoundState,
    Score,
    Standing,
    Submission,
    Team,
)

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


class Sort(StrEnum):
    RANK = "rank"
    TEAM = "team"
    ENTRIES = "entries"
    LAST = "last"


@dataclass(frozen=True)
class Row:
    """One line of the board. A baseline has no rank: it shows where it would stand."""

    rank: int | None
    place: int
    """1, 2, 3 ... through teams and baselines together, without ties; finds the page a row is on."""
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
    """Places gained (lost, if negative) from the public board to the private one; None before the close."""


@dataclass(frozen=True)
class BoardView:
    rows: Sequence[Row]
    mine: Row | None
    """The viewer's own row, wherever it stands."""
    total: int
    """Rows that match the search, on all pages."""
    page: int
    page_size: int
    is_private: bool

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.page_size))

    @property
    def mine_page(self) -> int | None:
        """The page of the unfiltered board, by rank, that holds the own row."""
        return -(-self.mine.place // self.page_size) if self.mine else None

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
) -> BoardView:
    """A page of the board as the viewer may see it: public scores until the close, private after.

    Equal scores share a rank (1, 1, 3); among them the earlier file stands first. It is one statement
    over the teams' rows, so its cost does not grow with the number of submissions.
    """
    is_private = competition.phase(now) is Phase.CLOSED
    page = max(1, page)
    page_size = max(1, min(page_size, MAX_PAGE_SIZE))
    matches = Team.name.icontains(search.strip(), autoescape=True) if search.strip() else None

    ranked = _ranked(competition, is_private=is_private)
    # Names are joined last, to the rows of one page, unless they decide which rows those are.
    listed = select(ranked).order_by(*_order(ranked, sort, descending=descending))
    if matches is not None or sort is Sort.TEAM:
        listed = listed.join(Team, Team.id == ranked.c.team_id)
    if matches is not None:
        listed = listed.where(matches)
    wanted = listed.limit(page_size).offset((page - 1) * page_size).subquery()

    count = select(func.count()).select_from(Standing).where(Standing.competition_id == competition.id)
    if matches is not None:
        count = count.join(Team, Team.id == Standing.team_id).where(matches)
    own_team = select(Membership.team_id).where(
        Membership.competition_id == competition.id, Membership.user_id == viewer_id
    )
    own = ranked.c.team_id == own_team.scalar_subquery() if viewer_id is not None else never()
    sought = union_all(
        select(wanted, literal(False).label("is_own")),
        select(ranked, literal(True).label("is_own")).where(own),
    ).subquery()
    statement = select(sought, Team.name, count.scalar_subquery().label("total")).join(
        Team, Team.id == sought.c.team_id
    )

    found = session.execute(statement).all()
    mine = next((r for r in found if r.is_own), None)
    mine_id = mine.team_id if mine else None
    rows = [_row(r, competition, mine_id) for r in found if not r.is_own]
    rows.sort(key=_python_order(sort), reverse=descending)
    return BoardView(
        rows=rows,
        mine=_row(mine, competition, mine_id) if mine else None,
        total=found[0].total if found else 0,
        page=page,
        page_size=page_size,
        is_private=is_private,
    )


def baselines(session: Session, competition: Competition, *, now: datetime) -> list[tuple[str, float]]:
    """The baselines' names and scores as the board shows them at this moment, best first."""
    key = Standing.private_key if competition.phase(now) is Phase.CLOSED else Standing.public_key
    found = session.execute(
        select(Team.name, key)
        .join(Team, Team.id == Standing.team_id)
        .where(Standing.competition_id == competition.id, Standing.is_baseline)
        .order_by(key)
    )
    sign = -1 if competition.greater_is_better else 1
    return [(name, sign * value) for name, value in found]


def _ranked(competition: Competition, *, is_private: bool) -> Subquery:
    """Every team's row with its place and rank; baselines are ranked apart, so they displace nobody."""
    key, at = (
        (Standing.private_key, Standing.private_at)
        if is_private
        else (Standing.public_key, Standing.public_at)
    )

    def rank(by: InstrumentedAttribute[float]) -> ColumnElement[int]:
        return func.rank().over(partition_by=Standing.is_baseline, order_by=by)

    return (
        select(
            Standing.team_id,
            Standing.is_baseline,
            Standing.entries,
            Standing.last_at,
            key.label("key"),
            (Standing.private_also if is_private else Standing.public_also).label("also"),
            (Standing.private_submission_id if is_private else Standing.public_submission_id).label(
                "submission_id"
            ),
            func.row_number().over(order_by=(key, at, Standing.team_id)).label("place"),
            rank(key).label("rank"),
            (rank(Standing.public_key) if is_private else null()).label("public_rank"),
        )
        .where(Standing.competition_id == competition.id)
        .subquery("ranked")
    )


def _order(ranked: Subquery, sort: Sort, *, descending: bool) -> tuple[ColumnElement[Any], ...]:
    first: ColumnElement[Any] = {
        Sort.RANK: ranked.c.place,
        Sort.TEAM: func.lower(Team.name),
        Sort.ENTRIES: ranked.c.entries,
        Sort.LAST: ranked.c.last_at,
    }[sort]
    return (first.desc(), ranked.c.place.desc()) if descending else (first, ranked.c.place)


def _python_order(sort: Sort) -> Any:
    """The same order again for one page: a UNION does not promise to keep it."""
    return {
        Sort.RANK: lambda row: row.place,
        Sort.TEAM: lambda row: (row.team.lower(), row.place),
        Sort.ENTRIES: lambda row: (row.entries, row.place),
        Sort.LAST: lambda row: (row.last_at, row.place),
    }[sort]


def _row(found: Any, competition: Competition, mine_id: int | None) -> Row:
    rank = None if found.is_baseline else found.rank
    return Row(
        rank=rank,
        place=found.place,
        team_id=found.team_id,
        team=found.name,
        is_baseline=found.is_baseline,
        is_mine=found.team_id == mine_id,
        score=-found.key if competition.greater_is_better else found.key,
        also=found.also,
        entries=found.entries,
        last_at=found.last_at,
        submission_id=found.submission_id,
        moved=found.public_rank - rank if rank is not None and found.public_rank is not None else None,
    )


# -- keeping the rows --------------------------------------------------------------------------


def refresh(session: Session, team_id: int) -> None:
    """Rewrite one team's row from its scores in the active round. The caller holds the team's lock."""
    team = session.get_one(Team, team_id)
    competition = session.get_one(Competition, team.competition_id)
    session.execute(
        delete(Standing).where(Standing.competition_id == competition.id, Standing.team_id == team_id)
    )
    entries = session.execute(_entries(competition).where(Submission.team_id == team_id)).all()
    if entries:
        session.add(_standing(competition, team, entries))
    session.flush()


def refresh_all(session: Session, competition: Competition) -> None:
    """Rewrite the whole board, after a rescore has taken the place of the old scores."""
    session.execute(delete(Standing).where(Standing.competition_id == competition.id))
    session.expire_all()
    teams = {
        team.id: team for team in session.scalars(select(Team).where(Team.competition_id == competition.id))
    }
    by_team: dict[int, list[Any]] = {}
    for entry in session.execute(_entries(competition)):
        by_team.setdefault(entry.team_id, []).append(entry)
    session.add_all(_standing(competition, teams[team_id], entries) for team_id, entries in by_team.items())
    session.flush()


def _entries(
    competition: Competition,
) -> Select[int, int, datetime, float, float, dict[str, dict[str, float]], bool]:
    return (
        select(
            Submission.id,
            Submission.team_id,
            Submission.received_at,
            Score.public,
            Score.private,
            Score.also,
            FinalPick.submission_id.is_not(None).label("is_picked"),
        )
        .join(
            Round, and_(Round.competition_id == Submission.competition_id, Round.state == RoundState.ACTIVE)
        )
        .join(Score, and_(Score.submission_id == Submission.id, Score.round_id == Round.id))
        .outerjoin(
            FinalPick, and_(FinalPick.submission_id == Submission.id, FinalPick.team_id == Submission.team_id)
        )
        .where(Submission.competition_id == competition.id)
        .order_by(Submission.received_at, Submission.id)
    )


def _standing(competition: Competition, team: Team, entries: Sequence[Any]) -> Standing:
    """The row of one team. Private counts the best of its final picks; without picks, of as many files
    as may be picked, taken by public score: what Kaggle does for those who forget."""
    sign = -1.0 if competition.greater_is_better else 1.0
    # Python's sort is stable and entries come in order of time: the earlier of two equals wins.
    by_public = sorted(entries, key=lambda e: sign * e.public)
    finals = [e for e in entries if e.is_picked] or by_public[: competition.final_picks]
    best, final = by_public[0], min(finals, key=lambda e: sign * e.private)
    return Standing(
        competition_id=competition.id,
        team_id=team.id,
        is_baseline=team.is_baseline,
        entries=len(entries),
        last_at=max(e.received_at for e in entries),
        public_key=sign * best.public,
        public_at=best.received_at,
        public_submission_id=best.id,
        public_also={name: values["public"] for name, values in best.also.items()},
        private_key=sign * final.private,
        private_at=final.received_at,
        private_submission_id=final.id,
        private_also={name: values["private"] for name, values in final.also.items()},
    )

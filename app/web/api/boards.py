"""The board and the close report."""

from __future__ import annotations

from app.base import db
from app.competing import competitions, leaderboard
from app.competing.leaderboard import Sort
from app.integrity import inspections
from app.web.api import models
from app.web.api.operations import operation, read_query
from app.web.context import bearer, parts
from app.web.json_answers import time_text


@operation(
    "GET",
    "/competitions/<slug:slug>/leaderboard",
    name="leaderboard",
    says="The page",
    answer=models.Board,
    refuses=(404, 422),
    query=models.BoardQuery,
    is_conditional=True,
)
def board(slug: str) -> models.Board:
    """Get a page of the leaderboard."""
    wanted = read_query(models.BoardQuery)
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = competitions.by_slug(session, slug)
        view = leaderboard.board(
            session,
            competition,
            now=now,
            viewer_id=user.id,
            page=wanted.page,
            page_size=wanted.page_size,
            search="".join(c for c in wanted.search if c.isprintable())[:60],
            sort=Sort(wanted.sort.removeprefix("-")),
            descending=wanted.sort.startswith("-"),
        )
    return models.Board(
        competition=slug,
        scores="private" if view.is_private else "public",
        page=view.page,
        pages=view.pages,
        total=view.total,
        rows=[_row(row) for row in view.rows],
        mine=_row(view.mine) if view.mine else None,
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/report",
    name="report",
    says="The report",
    answer=models.Report,
    refuses=(403, 404),
)
def report(slug: str) -> models.Report:
    """Get the close report, once there is one."""
    with parts().database.read() as session:
        now = db.now(session)
        bearer(session, now)
        competition = competitions.by_slug(session, slug)
        inspection = inspections.report(session, competition, for_organiser=False, now=now)
    result = inspection.result or {}
    return models.Report(
        competition=slug,
        made_at=time_text(inspection.finished_at),
        metric=result.get("metric"),
        greater_is_better=competition.greater_is_better,
        rows=result.get("rows"),
        notes=result.get("notes", []),
        **result.get("public", {}),
    )


def _row(row: leaderboard.Row) -> models.Row:
    return models.Row(
        rank=row.rank,
        team=row.team,
        is_baseline=row.is_baseline,
        is_mine=row.is_mine,
        score=row.score,
        also=dict(row.also),
        entries=row.entries,
        last_at=row.last_at.isoformat(),
        moved=row.moved,
    )

"""The board and the close report."""

from __future__ import annotations

import csv
import io

from flask import Response

from app.base import db
from app.base.csv_cells import csv_cell
from app.competing import leaderboard, visibility
from app.competing.leaderboard import Sort
from app.integrity import inspections
from app.web.api import board_models, cursors
from app.web.api.operations import CSV, operation, read_query, revalidated
from app.web.context import bearer, parts
from app.web.json_answers import time_text


@operation(
    "GET",
    "/competitions/<slug:slug>/leaderboard",
    name="leaderboard",
    says="The page",
    answer=board_models.Board,
    refuses=(404, 422),
    query=board_models.BoardQuery,
    is_conditional=True,
)
def board(slug: str) -> board_models.Board:
    """Get a page of the leaderboard."""
    wanted = read_query(board_models.BoardQuery)
    after = None if wanted.cursor is None else cursors.read_place(wanted.cursor)
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = visibility.find(session, slug, user)
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
            after=after,
            shows_public=wanted.scores == "public",
        )
    return board_models.Board(
        competition=slug,
        scores="private" if view.is_private else "public",
        page=view.page,
        pages=view.pages,
        total=view.total,
        rows=[_row(row) for row in view.rows],
        mine=_row(view.mine) if view.mine else None,
        next_cursor=cursors.of_place(view.last) if view.last and len(view.rows) == view.page_size else None,
    )


@operation(
    "GET",
    "/competitions/<slug:slug>/leaderboard.csv",
    name="leaderboard_csv",
    says="A CSV file",
    answer=CSV,
    refuses=(404,),
)
def board_csv(slug: str) -> Response:
    """Download the whole leaderboard as CSV."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = visibility.find(session, slug, user)
        rows, _ = leaderboard.whole(session, competition, now=now)
    also = sorted({name for row in rows for name in row.also})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    marked = ["is_by_agent"] if competition.marks_agents else []
    names = ["rank", "team", "is_baseline", "score", *also, "entries", "last_at", *marked]
    table.writerow(map(csv_cell, names))
    for row in rows:
        values = [row.rank, row.team, row.is_baseline, repr(row.score)]
        values += [repr(row.also[name]) if name in row.also else "" for name in also]
        values += [row.entries, row.last_at.isoformat(), *([row.is_by_agent] if marked else [])]
        table.writerow(map(csv_cell, values))
    answer = Response(text.getvalue(), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{slug}-leaderboard.csv"'
    return revalidated(answer)


@operation(
    "GET",
    "/competitions/<slug:slug>/report",
    name="report",
    says="The report",
    answer=board_models.Report,
    refuses=(403, 404),
)
def report(slug: str) -> board_models.Report:
    """Get the close report, once there is one."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        competition = visibility.find(session, slug, user)
        inspection = inspections.report(session, competition, for_organiser=False, now=now)
    result = inspection.result or {}
    return board_models.Report(
        competition=slug,
        made_at=time_text(inspection.finished_at),
        metric=result.get("metric"),
        greater_is_better=competition.greater_is_better,
        rows=result.get("rows"),
        notes=result.get("notes", []),
        **result.get("public", {}),
    )


def _row(row: leaderboard.Row) -> board_models.Row:
    return board_models.Row(
        rank=row.rank,
        team=row.team,
        members=list(row.members),
        is_baseline=row.is_baseline,
        is_mine=row.is_mine,
        score=row.score,
        also=dict(row.also),
        entries=row.entries,
        last_at=row.last_at.isoformat(),
        moved=row.moved,
        method=row.method,
        method_link=row.method_link,
        is_by_agent=row.is_by_agent,
    )

"""The board: ranks, ties, baselines, search, sorting, and privacy until the close."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.base.models import Competition, Standing, Team
from app.base.storage import Blob
from app.competing import competitions, leaderboard, picks, standings, submissions, teams
from app.competing.leaderboard import BoardView, Sort
from app.people import accounts
from app.people.accounts import Viewer
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite


def board(world: World, *, closed: bool = False, **asked: Any) -> BoardView:
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        now = NOON + timedelta(days=1)
        competition.closes_at = now - timedelta(seconds=competition.grace_seconds) if closed else None
        return leaderboard.board(session, competition, now=now, **asked)


def add_teams(world: World, scores: dict[str, float]) -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        for name in scores:
            user = accounts.register(session, name, None, now=NOON)
            teams.join(session, competition, Viewer(user.id, user.name, False), now=NOON)
    for n, (name, score) in enumerate(scores.items()):
        world.score(score, by=name, now=NOON + timedelta(seconds=n))


def add_baseline(world: World, name: str, public: float) -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.baseline(session, competition, name, now=NOON)
        submission_id = submissions.post_baseline(
            session,
            competition,
            team,
            Blob(hashlib.sha256(f"{name}{public}".encode()).hexdigest(), 1),
            filename="b.csv",
            message="",
            now=NOON,
        )
    claim = world.claim(submission_id)
    assert claim
    world.record(claim, public)


def test_equal_scores_share_a_rank_with_the_earlier_first(world: World) -> None:
    add_teams(world, {"cy": 0.3, "di": 0.2, "ed": 0.3, "fay": 0.4})
    assert [(row.rank, row.team) for row in board(world).rows] == [
        (1, "di"),
        (2, "cy"),
        (2, "ed"),
        (4, "fay"),
    ]


def test_greater_is_better_sorts_descending(world: World) -> None:
    world.change(greater_is_better=True)
    add_teams(world, {"cy": 0.3, "di": 0.9})
    assert [(row.team, row.score) for row in board(world).rows] == [("di", 0.9), ("cy", 0.3)]


def test_baseline_is_sorted_by_score_without_a_rank(world: World) -> None:
    add_teams(world, {"cy": 0.3, "di": 0.5})
    add_baseline(world, "Dummy", 0.4)
    assert [(row.rank, row.team, row.is_baseline) for row in board(world).rows] == [
        (1, "cy", False),
        (None, "Dummy", True),
        (2, "di", False),
    ]


@on_sqlite
def test_newest_file_of_a_baseline_replaces_the_older_one(world: World) -> None:
    add_baseline(world, "Tree", 0.1)
    add_baseline(world, "Tree", 0.4)
    (row,) = board(world).rows
    assert (row.score, row.entries) == (0.4, 2)


@on_sqlite
def test_baseline_keeps_one_row_although_a_team_has_its_name(world: World) -> None:
    with world.database.begin() as session:
        session.query(Team).filter(Team.name == "ada").one().name = "Tree"
    for score in (0.1, 0.2, 0.3):
        add_baseline(world, "Tree", score)
    assert [row.team for row in board(world).rows] == ["Tree (baseline)"]


def test_team_is_ranked_by_its_best_file_with_its_number_of_entries(world: World) -> None:
    for n, score in enumerate((0.5, 0.3, 0.4)):
        world.score(score, now=NOON + timedelta(hours=n))
    (row,) = board(world).rows
    assert (row.score, row.entries, row.last_at) == (0.3, 3, NOON + timedelta(hours=2))


def test_own_row_is_returned_with_every_page(world: World) -> None:
    add_teams(world, {f"p{n:02}": n / 100 for n in range(30)})
    viewer = world.viewer("p25")
    first = board(world, viewer_id=viewer.id, page_size=10)
    assert first.mine
    assert (first.mine.rank, first.mine_page, first.pages, first.total) == (26, 3, 3, 30)
    assert not any(row.is_mine for row in first.rows)
    third = board(world, viewer_id=viewer.id, page_size=10, page=3)
    assert [row.team for row in third.rows if row.is_mine] == ["p25"]


def test_search_keeps_the_ranks_of_the_whole_board(world: World) -> None:
    add_teams(world, {"anna": 0.1, "bert": 0.2, "joanna": 0.3, "percy": 0.4})
    with world.database.begin() as session:
        session.query(Team).filter(Team.name == "percy").one().name = "100%"
    assert [(row.rank, row.team) for row in board(world, search="ANN").rows] == [(1, "anna"), (3, "joanna")]
    assert [row.team for row in board(world, search="%").rows] == ["100%"]
    assert board(world, search="unknown").rows == []


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (Sort.RANK, ["Zed", "amy", "bo"]),
        (Sort.TEAM, ["amy", "bo", "Zed"]),
        (Sort.LAST, ["amy", "Zed", "bo"]),
        (Sort.ENTRIES, ["Zed", "bo", "amy"]),
    ],
)
def test_every_column_sorts_both_ways(world: World, sort: Sort, expected: list[str]) -> None:
    add_teams(world, {"amy": 0.2, "zed": 0.1, "bo": 0.3})
    with world.database.begin() as session:
        session.query(Team).filter(Team.name == "zed").one().name = "Zed"
        session.query(Standing).filter(Standing.public_key == 0.2).one().entries = 9
    assert [row.team for row in board(world, sort=sort).rows] == expected
    assert [row.team for row in board(world, sort=sort, descending=True).rows] == expected[::-1]


def test_private_scores_rank_after_the_close_with_moves(world: World) -> None:
    world.score(0.1, 0.9, by="ada")
    world.score(0.2, 0.3, by="bob")
    before = board(world)
    assert [(row.team, row.moved) for row in before.rows] == [("ada", None), ("bob", None)]
    after = board(world, closed=True)
    assert [(row.rank, row.team, row.score, row.moved) for row in after.rows] == [
        (1, "bob", 0.3, 1),
        (2, "ada", 0.9, -1),
    ]


@on_sqlite
def test_private_scores_are_not_on_the_board_before_the_close(world: World) -> None:
    world.score(0.1, 0.123456789)
    assert "0.123456789" not in repr(board(world))
    assert "0.123456789" in repr(board(world, closed=True))


def test_final_picks_count_or_else_the_best_public_files(world: World) -> None:
    best, second = world.score(0.1, 0.5), world.score(0.2, 0.4)
    unlikely = world.score(0.9, 0.1, now=NOON + timedelta(seconds=1))
    assert board(world, closed=True).rows[0].submission_id == second, (
        "two picks are allowed, so the two best public files"
    )
    with world.database.begin() as session:
        competition = session.query(Competition).one()
        team = session.query(Team).filter(Team.name == "ada").one()
        picks.pick_final(session, competition, team, unlikely, picked=True, now=NOON)
    assert board(world, closed=True).rows[0].submission_id == unlikely
    assert board(world).rows[0].submission_id == best, "picks do not change the public board"


def test_every_page_of_the_board_is_one_statement_and_one_for_the_members(world: World) -> None:
    add_teams(world, {"cy": 0.3, "di": 0.5})
    viewer = world.viewer("cy")
    for asked in ({}, {"search": "c"}, {"sort": Sort.TEAM}, {"page": 2, "page_size": 1}):
        with world.database.read() as session:
            competition = competitions.by_slug(session, world.slug)
            statements: list[str] = []
            engine = session.get_bind()
            event.listen(engine, "before_cursor_execute", lambda *args, s=statements: s.append(args[2]))
            leaderboard.board(session, competition, now=NOON, viewer_id=viewer.id, **asked)
            assert len(statements) == 2


@on_sqlite
def test_refreshed_board_equals_the_stored_board(world: World) -> None:
    add_teams(world, {"cy": 0.3, "di": 0.5, "ed": 0.3})
    add_baseline(world, "Dummy", 0.4)
    kept = board(world)
    with world.database.begin() as session:
        standings.refresh_all(session, competitions.by_slug(session, world.slug))
    assert board(world) == kept

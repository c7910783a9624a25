"""Teams and files that are taken off the board and put back."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from app.base.errors import Conflict, NotFound, Refused
from app.base.models import PublicScore, Standing, Submission
from app.competing import competitions, exclusions, leaderboard, picks, positions, standings, teams
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

WHY = "it used the test labels"


def board(world: World) -> list[tuple[str, int | None, float]]:
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        rows = leaderboard.board(session, competition, now=NOON).rows
    return [(row.team, row.rank, row.score) for row in rows]


def move(world: World, what: str, which: str | int) -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        found = teams.by_name(session, competition, which) if isinstance(which, str) else which
        getattr(exclusions, what)(session, competition, found, WHY, by="grace", now=NOON)


def test_team_is_taken_off_the_board_and_put_back_as_it_was(world: World) -> None:
    world.score(0.4, 0.4)
    world.score(0.5, 0.5, by="bob")
    before = board(world)
    move(world, "take_off_team", "ada")
    assert board(world) == [("bob", 1, 0.5)]
    world.score(0.1, 0.1)  # it goes on taking part
    assert board(world) == [("bob", 1, 0.5)]
    with pytest.raises(Conflict, match="off the board already"):
        move(world, "take_off_team", "ada")
    move(world, "put_back_team", "ada")
    assert [row[:2] for row in board(world)] == [row[:2] for row in before]
    with pytest.raises(Conflict, match="was not taken off"):
        move(world, "put_back_team", "ada")


def test_file_is_taken_off_the_board_and_put_back_with_its_pick(world: World) -> None:
    best, other = world.score(0.2, 0.9), world.score(0.4, 0.4)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.by_name(session, competition, "ada")
        picks.pick_final(session, competition, team, best, picked=True, now=NOON)
    before = board(world)
    move(world, "take_off_file", best)
    assert board(world) == [("ada", 1, 0.4)]
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        assert session.get_one(Submission, best).excluded_why == WHY
        team = teams.by_name(session, competition, "ada")
        assert positions.place(session, competition, team.id, now=NOON) == positions.Place(1, 1, 0.4)
        row = session.get_one(Standing, (competition.id, team.id))
        assert row.private_submission_id == other
        picks.pick_final(session, competition, team, best, picked=False, now=NOON)
        with pytest.raises(Conflict, match="off the board: it can be no final pick"):
            picks.pick_final(session, competition, team, best, picked=True, now=NOON)
        session.rollback()
    move(world, "put_back_file", best)
    assert board(world) == before
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.by_name(session, competition, "ada")
        assert session.get_one(Standing, (competition.id, team.id)).private_submission_id == best


@on_sqlite
def test_a_file_stays_on_the_ladder_until_the_final_results(world: World) -> None:
    """Later files without improvement show its score."""
    number = world.score(0.2, 0.9)
    with world.database.begin() as session:
        competitions.by_slug(session, world.slug).public_score = PublicScore.LADDER
    with pytest.raises(Conflict, match="only once the final results are shown"):
        move(world, "take_off_file", number)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        competitions.close(session, competition, by="grace", now=NOON - timedelta(hours=1))
    move(world, "take_off_file", number)
    assert board(world) == []


@on_sqlite
def test_a_reason_is_needed_and_the_file_must_be_of_the_competition(world: World) -> None:
    number = world.score(0.2, 0.9)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        for reason in ("", "too short", "x" * 501):
            with pytest.raises(Refused, match="The reason has"):
                exclusions.take_off_file(session, competition, number, reason, by="grace", now=NOON)
        with pytest.raises(NotFound):
            exclusions.take_off_file(session, competition, number + 1000, WHY, by="grace", now=NOON)


@on_sqlite
@pytest.mark.parametrize("seed", range(4))
def test_board_equals_its_computation_after_random_moves(world: World, seed: int) -> None:
    draw = random.Random(seed)
    numbers = [
        world.score(draw.random(), draw.random(), by=name) for name in ("ada", "bob") for _ in range(3)
    ]
    for _ in range(30):
        kind = draw.choice(["take_off_team", "put_back_team", "take_off_file", "put_back_file", "score"])
        try:
            if kind == "score":
                numbers.append(world.score(draw.random(), draw.random(), by=draw.choice(["ada", "bob"])))
            else:
                move(world, kind, draw.choice(["ada", "bob"]) if "team" in kind else draw.choice(numbers))
        except (Conflict, Refused):
            continue
        with world.database.read() as session:
            competition = competitions.by_slug(session, world.slug)
            stored = {row.team_id: row.public_key for row in session.query(Standing)}
            computed = standings.compute(
                session, competition, greater_is_better=competition.greater_is_better
            )
            assert stored == {row.team_id: row.public_key for row in computed}
            excluded = {
                id_ for (id_,) in session.query(Submission.id).where(Submission.excluded_at.is_not(None))
            }
            assert not excluded & {row.public_submission_id for row in computed}

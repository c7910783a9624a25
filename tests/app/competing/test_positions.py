"""The strip's numbers, the shake-up and the best uncounted file, as a team may see them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from app.base.models import Competition, Team
from app.competing import competitions, extensions, leaderboard, picks, positions
from tests.app.competing.test_leaderboard import add_baseline, add_teams
from tests.app.conftest import NOON, World

LATER = NOON + timedelta(minutes=5)


def of(session: Session, world: World, *, is_closed: bool = False) -> Competition:
    found = competitions.by_slug(session, world.slug)
    ago = timedelta(seconds=found.grace_seconds)
    found.closes_at = LATER - ago if is_closed else LATER + timedelta(days=30)
    return found


def position(world: World, name: str, *, is_closed: bool = False) -> positions.Position | None:
    with world.database.read() as session:
        found = of(session, world, is_closed=is_closed)
        return positions.of(session, found, world.viewer(name).id, now=LATER)


def test_rank_gap_and_uploads_left_are_those_of_the_public_board(world: World) -> None:
    add_baseline(world, "Prior only", 0.1)
    add_teams(world, {"cy": 0.5, "di": 0.25, "ed": 0.25})
    cy, di = position(world, "cy"), position(world, "di")
    assert cy is not None
    assert (cy.rank, cy.teams, cy.score, cy.next_rank, cy.gap) == (3, 3, 0.5, 1, 0.25)
    assert cy.left_today == cy.daily_limit - 1
    assert di is not None
    assert (di.rank, di.next_rank, di.gap, di.is_private) == (1, None, None, False)


def test_a_team_without_a_score_has_no_rank_and_greater_may_be_better(world: World) -> None:
    world.change(greater_is_better=True)
    joined = position(world, "ada")
    assert joined is not None
    assert (joined.rank, joined.score, joined.gap, joined.teams) == (None, None, None, 0)
    add_teams(world, {"cy": 0.5, "di": 0.75})
    cy = position(world, "cy")
    assert cy is not None
    assert (cy.rank, cy.score, cy.next_rank, cy.gap) == (2, 0.5, 1, 0.25)


def test_an_extension_adds_uploads(world: World) -> None:
    before = position(world, "ada")
    assert before is not None
    with world.database.begin() as session:
        extensions.grant(
            session,
            competitions.by_slug(session, world.slug),
            before.team,
            reason="the network was down",
            by="grace",
            now=NOON,
            daily_extra=2,
        )
    after = position(world, "ada")
    assert after is not None
    assert (after.left_today, after.daily_limit) == (before.left_today + 2, before.daily_limit + 2)


def test_private_ranks_wait_until_the_competition_is_settled(world: World) -> None:
    picked, better = world.score(0.1, 0.9, by="ada"), world.score(0.4, 0.2, by="ada")
    world.score(0.2, 0.3, by="bob")
    with world.database.begin() as session:
        competition, team = session.query(Competition).one(), session.query(Team).filter_by(name="ada").one()
        picks.pick_final(session, competition, team, picked, picked=True, now=NOON)
        team_id = team.id
    ada = position(world, "ada")
    assert ada is not None
    assert (ada.rank, ada.score, ada.is_private) == (1, 0.1, False)
    with world.database.read() as session:
        running = of(session, world)
        assert positions.best_uncounted(session, running, team_id, now=LATER) is None
        assert leaderboard.shake_up(session, running, now=LATER) == []
        assert positions.rank_of(session, running, team_id, 0.25, now=LATER) == 2
    ada = position(world, "ada", is_closed=True)
    assert ada is not None
    assert (ada.rank, ada.score, ada.is_private, ada.next_rank) == (2, 0.9, True, 1)
    with world.database.read() as session:
        settled = of(session, world, is_closed=True)
        assert positions.best_uncounted(session, settled, team_id, now=LATER) == positions.Uncounted(
            better, 0.2, 1
        )
        shifts = leaderboard.shake_up(session, settled, now=LATER)
    assert [(one.team, one.rank, one.public_rank, one.gained, one.score) for one in shifts] == [
        ("bob", 1, 2, 1, 0.3),
        ("ada", 2, 1, -1, 0.9),
    ]

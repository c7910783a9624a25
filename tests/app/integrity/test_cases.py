"""Cases: only organisers decide them, and every action is logged."""

from __future__ import annotations

import pytest

from app.base.errors import Conflict, Forbidden, NotFound, Refused
from app.base.models import Case, Event, Team
from app.competing import competitions, leaderboard, standings
from app.integrity import cases
from app.integrity.cases import Action, CaseState, Suspicion
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

REASON = "compared both notebooks by hand"


def record(world: World, *suspicions: Suspicion) -> int:
    with world.database.begin() as session:
        return cases.record(session, competitions.by_slug(session, world.slug), suspicions, now=NOON)


def act(
    world: World, action: Action, *, reason: str = REASON, case_id: int = 1, team_id: int | None = None
) -> str:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        return cases.act(
            session, competition, case_id, action, team_id=team_id, reason=reason, actor="grace", now=NOON
        )


def one(world: World) -> Case:
    with world.database.read() as session:
        return session.query(Case).one()


def ranked(world: World) -> list[str]:
    with world.database.read() as session:
        view = leaderboard.board(session, competitions.by_slug(session, world.slug), now=NOON)
        return [row.team for row in view.rows]


def ids(world: World) -> tuple[int, int]:
    with world.database.read() as session:
        first, second = (team.id for team in session.query(Team).order_by(Team.id))
    return first, second


def test_a_pair_of_teams_is_one_case_in_either_order(world: World) -> None:
    ada, bob = ids(world)
    assert record(world, Suspicion("copies", ada, "e", "a", 5.0, other_team_id=bob)) == 1
    assert record(world, Suspicion("copies", bob, "more", "a", 6.0, other_team_id=ada)) == 0
    assert (one(world).evidence, one(world).strength) == ("more", 6.0)


def test_a_dismissed_case_reopens_only_if_much_stronger(world: World) -> None:
    ada, _ = ids(world)
    record(world, Suspicion("probing", ada, "e", "a", 4.0))
    act(world, Action.DISMISS)
    record(world, Suspicion("probing", ada, "e", "a", 5.0))
    assert one(world).state == CaseState.DISMISSED
    record(world, Suspicion("probing", ada, "e", "a", 9.0))
    assert one(world).state == CaseState.OPEN


def test_a_disqualified_team_leaves_the_board_sees_the_reason_and_can_be_reinstated(world: World) -> None:
    ada, bob = ids(world)
    world.score(0.4, by="ada")
    world.score(0.5, by="bob")
    record(world, Suspicion("copies", ada, "e", "a", 5.0, other_team_id=bob))
    act(world, Action.DISQUALIFY, team_id=bob)
    assert ranked(world) == ["ada"]
    with pytest.raises(Forbidden, match=REASON):
        world.submit("again", by="bob")
    # A score that arrives meanwhile does not bring it back.
    with world.database.begin() as session:
        standings.refresh_all(session, competitions.by_slug(session, world.slug))
    assert ranked(world) == ["ada"]
    with pytest.raises(Conflict, match="already"):
        act(world, Action.DISQUALIFY, team_id=bob)
    act(world, Action.REINSTATE, team_id=bob)
    assert ranked(world) == ["ada", "bob"]


def test_every_action_is_logged_with_its_actor_and_reason(world: World) -> None:
    ada, _ = ids(world)
    record(world, Suspicion("probing", ada, "e", "a", 4.0))
    for action in (Action.NOTE, Action.DISMISS, Action.REOPEN):
        act(world, action)
    with world.database.read() as session:
        log = session.query(Event).filter_by(subject="case 1").order_by(Event.id).all()
    assert [(event.actor, event.action) for event in log] == [
        ("scan", "seen"),
        ("grace", "note"),
        ("grace", "dismiss"),
        ("grace", "reopen"),
    ]
    assert log[1].detail["reason"] == REASON


@on_sqlite
@pytest.mark.parametrize(
    ("more", "refused", "words"),
    [
        ({"reason": "no"}, Refused, "10 to 500 characters"),
        ({"case_id": 7}, NotFound, "no case 7"),
        ({"team_id": 999}, Refused, "not about that team"),
    ],
)
def test_an_action_without_reason_case_or_team_is_refused(
    world: World, more: dict[str, object], refused: type[Exception], words: str
) -> None:
    ada, _ = ids(world)
    record(world, Suspicion("probing", ada, "e", "a", 4.0))
    with pytest.raises(refused, match=words):
        act(world, Action.DISQUALIFY, **more)  # type: ignore[arg-type]


@on_sqlite
def test_feedback_cannot_be_coarsened_without_a_benchmark(world: World) -> None:
    ada, _ = ids(world)
    record(world, Suspicion("probing", ada, "e", "a", 4.0))
    with pytest.raises(Refused, match="no benchmark"):
        act(world, Action.COARSEN)


def test_cases_are_listed_open_first_then_by_strength(world: World) -> None:
    ada, bob = ids(world)
    record(
        world,
        Suspicion("probing", ada, "e", "a", 4.0),
        Suspicion("gap", ada, "e", "a", 8.0),
        Suspicion("gap", bob, "e", "a", 6.0),
    )
    act(world, Action.DISMISS, case_id=2)
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        assert [(v.case.code, v.team.name) for v in cases.listed(session, competition)] == [
            ("gap", "bob"),
            ("probing", "ada"),
            ("gap", "ada"),
        ]
        assert cases.open_count(session, competition) == 2

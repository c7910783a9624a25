"""A waiting submission can be cancelled, in a race with the workers, and a scored one withdrawn."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.base.errors import Closed, Conflict
from app.base.models import Event, FinalPick, Standing, State, Submission
from app.competing import (
    cancellations,
    competitions,
    picks,
    positions,
    rejections,
    rescores,
    standings,
    teams,
    withdrawals,
)
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite


def cancel(world: World, submission_id: int, by: str = "ada") -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.by_name(session, competition, by)
        cancellations.cancel(session, competition, team, submission_id, by=by, now=NOON)


def test_cancelled_submission_is_given_back_and_is_no_rejected_file(world: World) -> None:
    number = world.submit().id
    cancel(world, number)
    cancel(world, number)
    assert (world.state(number), world.used()) == (State.REJECTED, 0)
    assert world.evaluation(number).problems == cancellations.PROBLEMS
    assert world.claim() is None
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.by_name(session, competition, "ada")
        today = rejections.today(session, competition, team, received_at=NOON, now=NOON)
        assert today.count == 0
        assert session.query(Event).filter(Event.action == "submission cancelled").count() == 1


@on_sqlite
def test_claimed_or_finished_submission_is_not_cancelled(world: World) -> None:
    number = world.submit().id
    claim = world.claim(number)
    assert claim is not None
    for finish in (lambda: None, lambda: world.record(claim)):
        finish()
        with pytest.raises(Conflict, match="being scored or has its result"):
            cancel(world, number)
        assert world.used() == 1
    with world.database.read() as session:
        assert session.get_one(Submission, number).cancelled_at is None


@on_sqlite
def test_rescore_leaves_a_cancelled_submission_rejected_and_uncharged(world: World) -> None:
    kept, number = world.score(0.5), world.submit("other").id
    cancel(world, number)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        rescores.begin_rescore(session, competition, competition.version, reason="test", now=NOON)
    with pytest.raises(Conflict):
        cancel(world, kept)
    claim = world.claim()
    assert claim is not None
    assert claim.submission_id == kept
    world.record(claim)
    assert world.claim() is None
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        draft = competitions.draft_round(session, competition)
        assert draft is not None
        assert rescores.activate(session, draft.id, by="grace", now=NOON, accept_losses=True) is not None
    assert (world.state(kept), world.state(number), world.used()) == (State.SCORED, State.REJECTED, 1)
    assert world.evaluation(number).problems == cancellations.PROBLEMS


def test_of_a_cancel_and_a_claim_at_the_same_time_one_wins(world: World) -> None:
    """A file that is scored and given back would be a free look at the board."""
    world.change(daily_limit=20)
    for n in range(8):
        number = world.submit(f"{n}").id
        start = threading.Barrier(2)

        def race(act: str, number: int = number, start: threading.Barrier = start) -> bool:
            start.wait()
            if act == "claim":
                return world.claim(number) is not None
            try:
                cancel(world, number)
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            claimed, cancelled = pool.map(race, ("claim", "cancel"))
        assert claimed != cancelled
        assert world.state(number) == (State.RUNNING if claimed else State.REJECTED)
    with world.database.read() as session:
        charged = session.query(Submission).filter(Submission.is_charged).count()
    assert world.used() == charged


def withdraw(world: World, submission_id: int) -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.by_name(session, competition, "ada")
        withdrawals.withdraw(session, competition, team, submission_id, by="ada", now=NOON)


def pick(world: World, submission_id: int) -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.by_name(session, competition, "ada")
        picks.pick_final(session, competition, team, submission_id, picked=True, now=NOON)


def board(world: World) -> list[tuple[int, int, int]]:
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        fresh = standings.compute(session, competition, greater_is_better=False)
        stored = session.query(Standing).all()
        found = [(s.public_submission_id, s.private_submission_id, s.entries) for s in stored]
        assert found == [(s.public_submission_id, s.private_submission_id, s.entries) for s in fresh]
        return found


def test_withdrawn_submission_leaves_board_and_picks_and_stays_charged(world: World) -> None:
    """Also after the close, where an unpicked file that would have been better is named."""
    best, other = world.score(0.2, 0.1), world.score(0.4, 0.3)
    pick(world, best)
    assert board(world) == [(best, best, 2)]
    withdraw(world, best)
    withdraw(world, best)
    assert (board(world), world.used(), world.state(best)) == ([(other, other, 1)], 2, State.SCORED)
    with pytest.raises(Conflict, match="is withdrawn: it can be no final pick"):
        pick(world, best)
    waiting = world.submit("waits").id
    with pytest.raises(Conflict, match="has no score, so it counts for no board"):
        withdraw(world, waiting)
    with world.database.read() as session:
        assert session.query(FinalPick).count() == 0
        assert session.query(Event).filter(Event.action == "submission withdrawn").count() == 1
    world.change(closes_at=NOON, grace_seconds=0)
    with pytest.raises(Closed, match="only until the competition closes"):
        withdraw(world, other)
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.by_name(session, competition, "ada")
        assert positions.best_uncounted(session, competition, team.id, now=NOON) is None


@on_sqlite
def test_rescore_leaves_a_withdrawn_submission_off_the_board(world: World) -> None:
    best, other = world.score(0.2), world.score(0.4)
    withdraw(world, best)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        rescores.begin_rescore(session, competition, competition.version, reason="test", now=NOON)
    while (claim := world.claim()) is not None:
        world.record(claim, 0.1 if claim.submission_id == best else 0.3)
    with world.database.begin() as session:
        draft = competitions.draft_round(session, competitions.by_slug(session, world.slug))
        assert draft is not None
        assert rescores.activate(session, draft.id, by="grace", now=NOON, accept_losses=True) is not None
    assert board(world) == [(other, other, 1)]

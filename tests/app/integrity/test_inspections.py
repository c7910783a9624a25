"""Long work about a competition: planned when due, held under a lease, never lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.base.leases import LeaseLost
from app.base.models import Inspection, InspectionState
from app.competing import competitions, rescores
from app.integrity import inspections
from app.integrity.inspections import Claim, Kind
from tests.app.conftest import LEASE, NOON, World
from worker import lease_keeper

DAY = timedelta(days=1)


def ask(world: World, kind: Kind = Kind.SCAN, *, now=NOON) -> int:  # type: ignore[no-untyped-def]
    with world.database.begin() as session:
        return inspections.ask(
            session, competitions.by_slug(session, world.slug), kind, by="grace", now=now
        ).id


def claim(world: World, *, now=NOON) -> Claim | None:  # type: ignore[no-untyped-def]
    with world.database.begin() as session:
        return inspections.claim(session, "host/1/2", lease=LEASE, now=now)


def due(world: World, *, now) -> list[Kind]:  # type: ignore[no-untyped-def]
    with world.database.begin() as session:
        wanted = inspections.due(session, now=now)
        for competition, kind in wanted:
            inspections.ask(session, competition, kind, by="sweeper", now=now)
        return [kind for _, kind in wanted]


def finish(world: World, work: Claim, *, now=NOON) -> None:  # type: ignore[no-untyped-def]
    with world.database.begin() as session:
        inspections.finish(session, work, {"public": {}}, now=now)


def row(world: World) -> Inspection:
    with world.database.read() as session:
        return session.query(Inspection).order_by(Inspection.id.desc()).first()  # type: ignore[return-value]


def test_a_second_request_is_the_same_inspection_until_a_worker_claims_it(world: World) -> None:
    first = ask(world)
    assert ask(world) == first
    assert claim(world) is not None
    assert ask(world) != first  # it may have read the scores before what is asked about now


def test_one_run_at_a_time_may_write(world: World) -> None:
    ask(world)
    first = claim(world)
    assert first is not None
    assert claim(world) is None
    second = claim(world, now=NOON + LEASE * 2)
    assert second is not None
    assert second.attempt == 2
    with pytest.raises(LeaseLost):
        finish(world, first)
    finish(world, second)
    assert row(world).state == InspectionState.DONE


def test_an_expired_lease_is_renewed_while_no_other_run_has_it(world: World) -> None:
    """A clock set forward must not cost a report the hours it has run."""
    ask(world)
    work = claim(world)
    assert work is not None
    late = NOON + LEASE * 2
    with world.database.begin() as session:
        inspections.renew(session, work, lease=LEASE, now=late, progress=0.5, doing="reading")
    assert claim(world, now=late + LEASE / 2) is None


def test_the_leases_of_a_killed_work_horse_end_at_once(world: World) -> None:
    ask(world)
    assert claim(world) is not None
    with world.database.begin() as session:
        assert lease_keeper.holders(session, "host/") == {"host/1/2"}
        assert lease_keeper.expire(session, "host/1/3", now=NOON) == 0
        assert lease_keeper.expire(session, "host/1/2", now=NOON) == 1
    again = claim(world)
    assert again is not None
    assert again.attempt == 2


def test_after_three_failures_an_inspection_is_failed(world: World) -> None:
    ask(world)
    now = NOON
    for attempt in range(3):
        now += DAY
        work = claim(world, now=now)
        assert work is not None
        assert work.attempt == attempt + 1
        with world.database.begin() as session:
            stage = inspections.give_back(session, work, "boom", now=now)
    assert stage is InspectionState.FAILED
    assert row(world).fault == "boom"
    assert claim(world, now=now + DAY) is None


def test_a_run_that_goes_silent_three_times_has_failed(world: World) -> None:
    ask(world)
    now = NOON
    for _ in range(3):
        assert claim(world, now=now) is not None
        now += LEASE * 2
    assert claim(world, now=now) is None
    with world.database.begin() as session:
        assert inspections.fail_exhausted(session, now=now) == [1]


def test_an_open_competition_is_scanned_once_a_day_if_there_is_anything_new(world: World) -> None:
    assert due(world, now=NOON) == []
    world.score(0.4)
    assert due(world, now=NOON + timedelta(hours=1)) == [Kind.SCAN]
    assert due(world, now=NOON + timedelta(hours=2)) == []
    assert due(world, now=NOON + DAY * 2) == []
    world.score(0.3, now=NOON + DAY * 2)
    assert due(world, now=NOON + DAY * 2 + timedelta(hours=3)) == [Kind.SCAN]


def test_a_settled_competition_gets_a_last_scan_and_one_report_and_another_after_a_rescore(
    world: World,
) -> None:
    world.score(0.4)
    world.change(closes_at=NOON + timedelta(hours=1))
    assert due(world, now=NOON + timedelta(minutes=30)) == [Kind.SCAN]
    after = NOON + timedelta(hours=2)
    assert due(world, now=after) == [Kind.SCAN, Kind.REPORT]
    assert due(world, now=after + DAY * 30) == []
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        rescores.begin_rescore(session, competition, competition.version, reason="test", now=after)
    claimed = world.claim(now=after)
    assert claimed is not None
    world.record(claimed, 0.41, now=after)
    with world.database.begin() as session:
        draft = competitions.draft_round(session, competitions.by_slug(session, world.slug))
        assert draft is not None
        rescores.activate(session, draft.id, by="grace", now=NOON)
    assert due(world, now=after + DAY) == [Kind.SCAN, Kind.REPORT]


def test_no_report_while_the_last_files_are_still_being_scored(world: World) -> None:
    world.score(0.4)
    world.submit("late")
    world.change(closes_at=NOON + timedelta(hours=1))
    assert due(world, now=NOON + timedelta(hours=2)) == []


def test_a_scan_sees_every_teams_files_in_order_of_time(world: World) -> None:
    first, second = world.score(0.5), world.score(0.4, now=NOON + timedelta(minutes=1))
    world.score(0.6, by="bob")
    ask(world)
    work = claim(world)
    assert work is not None
    with world.database.read() as session:
        ada, bob = inspections.entrants(session, work)
    assert [file.submission_id for file in ada.files] == [first, second]
    assert (ada.public_id, ada.shown) == (second, 0.4)
    assert [file.public for file in bob.files] == [0.6]

"""Only the database's clock counts; jumps of it cost little and are reported."""

from __future__ import annotations

import ast
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import app
import worker
from app.base import db, events, heartbeats
from app.base.db import Database
from app.base.leases import LeaseLost
from app.base.models import Event, State
from app.competing import competitions, evaluations
from app.integrity import inspections
from app.operating import doctor
from tests.app.competing.test_fairness import another_competition
from tests.app.conftest import LEASE, NOON, World
from worker import sweeper

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
BACK = NOON - HOUR


def follow(world: World, now: datetime) -> int:
    with world.database.begin() as session:
        return evaluations.follow_clock(session, lease=LEASE, now=now)


def hints(world: World, now: datetime) -> list[int]:
    with world.database.begin() as session:
        return evaluations.unfinished(session, now=now, hint_after=15 * SECOND)


def test_only_the_database_module_reads_the_wall_clock() -> None:
    """So hosts whose clocks differ by minutes agree."""
    read = set()
    for package in (app, worker):
        root = Path(package.__file__ or "").parent
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and (
                    (
                        node.attr in ("now", "utcnow", "today")
                        and ast.unparse(node.value) in ("datetime", "date")
                    )
                    or (node.attr in ("time", "time_ns") and ast.unparse(node.value) == "time")
                ):
                    read.add(str(path.relative_to(root.parent)))
    # Storage compares with the times of its own files, written by the same machine.
    assert read == {"app/base/db.py", "app/base/storage.py"}


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
def test_on_postgresql_the_servers_clock_is_used(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    right = datetime.now(tz=NOON.tzinfo)

    class TenMinutesAhead(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return right + 10 * MINUTE

    monkeypatch.setattr(db, "datetime", TenMinutesAhead)
    with database.read() as session:
        assert abs(db.now(session) - right) < MINUTE


def test_a_competition_keeps_its_turns_when_the_clock_is_set_back(world: World) -> None:
    """Its last turn is in the future, which must not delay it for an hour."""
    another_competition(world, "other")
    first = [world.submit(f"a{n}").id for n in range(3)]
    assert world.claim() is not None
    world.slug = "other"
    second = [world.submit(f"o{n}", now=BACK).id for n in range(3)]
    served = [claim.submission_id for n in range(5) if (claim := world.claim(now=BACK + n * SECOND))]
    assert served == [second[0], first[1], second[1], first[2], second[2]]


def test_a_dead_workers_lease_ends_within_a_minute_when_the_clock_is_set_back(world: World) -> None:
    number = world.submit().id
    assert world.claim() is not None
    assert world.claim(now=BACK) is None
    assert follow(world, BACK) == 1
    assert world.claim(now=BACK + MINUTE + SECOND) is not None
    assert world.evaluation(number).attempt == 2


def test_inspections_follow_a_clock_that_was_set_back(world: World) -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        inspections.ask(session, competition, inspections.Kind.SCAN, by="grace", now=NOON)
    with world.database.begin() as session:
        assert inspections.claim(session, "host/1/2", lease=LEASE, now=NOON) is not None
    with world.database.begin() as session:
        assert not inspections.is_any_due(session, now=BACK + 10 * MINUTE)
        assert inspections.follow_clock(session, lease=LEASE, now=BACK) == 1
        assert inspections.is_any_due(session, now=BACK + MINUTE + SECOND)
        assert inspections.unfinished(session, now=BACK + MINUTE + SECOND, hint_after=15 * SECOND)


def test_a_live_run_keeps_its_lease_when_the_clock_is_set_back(world: World) -> None:
    world.submit()
    claim = world.claim()
    assert claim is not None
    follow(world, BACK)
    with world.database.begin() as session:
        evaluations.renew(session, claim, lease=LEASE, now=BACK + 10 * SECOND)
    assert world.claim(now=BACK + 30 * SECOND) is None
    assert follow(world, BACK + 30 * SECOND) == 0
    world.record(claim, now=BACK + 35 * SECOND)


def test_when_the_clock_is_set_forward_another_run_takes_over_and_the_first_loses_its_lease(
    world: World,
) -> None:
    number = world.submit().id
    first, second = world.claim(), world.claim(now=NOON + HOUR)
    assert first is not None
    assert second is not None
    world.record(second, now=NOON + HOUR)
    with pytest.raises(LeaseLost):
        world.record(first, public=0.9, now=NOON + HOUR)
    assert (world.state(number), world.used()) == (State.SCORED, 1)


def test_a_hint_from_the_future_is_sent_again(world: World) -> None:
    number = world.submit().id
    assert hints(world, BACK) == [number]
    assert hints(world, BACK + SECOND) == []


def test_a_pause_after_a_failed_attempt_does_not_grow_by_the_jump(world: World) -> None:
    world.submit()
    claim = world.claim()
    assert claim is not None
    world.give_back(claim)
    assert follow(world, NOON) == 0
    assert world.claim(now=BACK) is None
    assert follow(world, BACK) == 1
    assert world.claim(now=BACK) is not None


def test_a_worker_last_seen_in_the_future_is_not_alive(world: World) -> None:
    with world.database.begin() as session:
        heartbeats.beat(session, "host/1", "worker", now=NOON)
    with world.database.read() as session:
        assert heartbeats.alive(session, now=NOON + SECOND)
        assert not heartbeats.alive(session, now=BACK)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_doctor_reports_that_the_clock_was_set(world: World, jump: timedelta) -> None:
    clock = sweeper.Clock()
    with world.database.read() as session:
        now = db.now(session)
    assert clock.jumped(now) is None
    assert clock.jumped(now) is None
    seconds = clock.jumped(now + jump)
    assert seconds is not None
    assert abs(seconds - jump.total_seconds()) < 5
    assert clock.jumped(now + jump) is None, "reported once"
    with world.database.begin() as session:
        events.log(session, "sweeper", "clock jumped", "clock", now=NOON + jump, seconds=round(seconds))
    with world.database.read() as session:
        (check,) = [
            c for c in doctor.check_database(session, now=NOON + jump) if c.name == "The clock was not set"
        ]
    assert not check.is_ok
    assert f"set {jump.total_seconds():+.0f} s" in check.words.replace("3599", "3600").replace("3601", "3600")


def test_the_sweeper_writes_a_jump_of_the_clock_into_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = sweeper.Clock()
    sweeper._follow_clock(world.database, clock, LEASE)
    real = db.now
    monkeypatch.setattr(db, "now", lambda session: real(session) + HOUR)
    sweeper._follow_clock(world.database, clock, LEASE)
    with world.database.read() as session:
        (event,) = session.query(Event).filter(Event.action == "clock jumped")
    assert event.detail["seconds"] in (3599, 3600, 3601)

"""The doctor's checks: all pass on a sound installation, broken ones give advice."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from app.base import heartbeats
from app.operating import doctor
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite


def broken(world: World, now: datetime = NOON) -> dict[str, str]:
    with world.database.read() as session:
        return {
            check.name: check.words for check in doctor.check_database(session, now=now) if not check.is_ok
        }


@pytest.fixture
def sound(world: World) -> World:
    world.score(0.4)
    world.score(0.3, by="bob")
    claim = world.claim(world.submit("wrong").id)
    assert claim is not None
    world.reject(claim)
    with world.database.begin() as session:
        for kind in ("worker", "sweeper"):
            heartbeats.beat(session, f"host/{kind}", kind, now=NOON)
    return world


def by_hand(world: World, statement: str) -> None:
    with world.database.engine.begin() as connection:
        connection.execute(text(statement))


@on_sqlite
def test_all_checks_pass_on_a_sound_installation(sound: World) -> None:
    assert broken(sound) == {}


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("UPDATE quota SET used = used + 1 WHERE team_id = 1", "Quotas equal the counted files"),
        ("UPDATE submission SET is_charged = :f WHERE id = 1", "Quotas equal the counted files"),
        ("UPDATE standing SET private_key = 0.0 WHERE team_id = 1", "Boards match their scores"),
        ("DELETE FROM standing", "Boards match their scores"),
        ("DELETE FROM score WHERE submission_id = 1", "Exactly the scored evaluations have a score"),
        ("UPDATE evaluation SET state = 'failed' WHERE submission_id = 3", "No evaluation failed"),
        ("DELETE FROM evaluation WHERE submission_id = 3", "Every submission has an evaluation"),
    ],
)
def test_a_change_by_hand_fails_its_check(sound: World, statement: str, name: str) -> None:
    by_hand(sound, statement.replace(":f", "0" if sound.database.is_sqlite else "false"))
    assert name in broken(sound)


@on_sqlite
def test_a_submission_that_waits_too_long_is_reported_with_advice(sound: World) -> None:
    number = sound.submit("more").id
    found = broken(sound, NOON + timedelta(hours=1))
    assert f"submission {number} is queued" in found["Nothing is stuck"]
    assert found["Workers and sweepers run"] == "no worker is alive; no sweeper is alive"


def test_an_expired_lease_is_reported_only_after_a_grace_period(sound: World) -> None:
    sound.submit("more")
    assert sound.claim() is not None
    assert "Nothing is stuck" not in broken(sound, NOON + timedelta(seconds=60))
    assert "Nothing is stuck" in broken(sound, NOON + timedelta(minutes=3))


def test_a_sample_holds_submissions_of_each_competition(sound: World) -> None:
    with sound.database.read() as session:
        assert len(doctor.sample(session, seed=1)) == 1
        assert sorted(doctor.sample(session, seed=1, share=1.0)) == [1, 2, 3]

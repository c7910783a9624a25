"""Updates of facts that the database itself refuses, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app import migrations
from app.base.db import Database
from app.base.models import Score, State
from app.operating import audit_log
from tests.app.conftest import NOON, World


def refused(database: Database, statement: str, words: str) -> None:
    with pytest.raises(IntegrityError, match=words), database.begin() as session:
        session.execute(text(statement))


def change(database: Database, statement: str) -> int:
    with database.begin() as session:
        return int(session.execute(text(statement)).rowcount)  # type: ignore[attr-defined]


@pytest.mark.parametrize("column", ["solution_digest", "metric_digest", "digest"])
def test_digests_of_a_version_cannot_be_updated(world: World, column: str) -> None:
    other = "f" * 64
    refused(world.database, f"UPDATE challenge_version SET {column} = '{other}'", "is written once")


def test_version_cannot_be_renumbered_or_deleted_but_its_texts_may_change(world: World) -> None:
    refused(world.database, "UPDATE challenge_version SET number = 7", "is written once")
    refused(world.database, "DELETE FROM challenge_version", "is kept for good")
    # The texts of a challenge do not change its labels.
    assert change(world.database, "UPDATE challenge_version SET manifest = manifest") == 1


@pytest.mark.parametrize(
    "setting",
    [
        "sha256 = 'f'",
        "size_bytes = size_bytes + 1",
        "received_at = '2020-01-01 00:00:00+00:00'",
        "day = '2020-01-01'",
        "team_id = team_id + 1",
        "user_id = user_id + 1",
        "competition_id = competition_id + 1",
    ],
)
def test_facts_of_a_submission_cannot_be_updated(world: World, setting: str) -> None:
    world.submit()
    refused(world.database, f"UPDATE submission SET {setting}", "is written once")


def test_submission_cannot_be_deleted_but_its_charge_may_change(world: World) -> None:
    world.submit()
    refused(world.database, "DELETE FROM submission", "is kept for good")
    assert change(world.database, "UPDATE submission SET is_charged = is_charged") == 1


def test_score_cannot_be_updated(world: World) -> None:
    world.score(0.3, 0.4)
    for setting in (
        "public = 0.1",
        "private = 0.1",
        "provenance = '{}'",
        "also = '{}'",
        "shown = 0.1",
        "shown_also = '{}'",
    ):
        refused(world.database, f"UPDATE score SET {setting}", "is written once")


def test_upgrade_keeps_shown_scores_and_protects_them(world: World) -> None:
    world.score(0.3, 0.4)
    with world.database.engine.begin() as connection:
        config = migrations.alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
    assert change(world.database, "UPDATE score SET shown = 0.25") == 1
    migrations.upgrade(world.database)
    refused(world.database, "UPDATE score SET shown = 0.1", "is written once")
    with world.database.read() as session:
        assert session.query(Score).one().shown == 0.25
    assert world.state(world.score(0.2, 0.3)) is State.SCORED


def test_chained_event_cannot_be_updated_or_deleted(world: World) -> None:
    world.score(0.3, 0.4)
    refused(world.database, "UPDATE event SET action = 'nothing'", "is written once")
    refused(world.database, "UPDATE event SET detail = '{}'", "is written once")
    refused(world.database, "DELETE FROM event", "is kept for good")
    with world.database.begin() as session:
        assert audit_log.chain(session, now=NOON) > 0
    refused(world.database, "UPDATE event SET seq = seq + 100", "is sealed once")
    refused(world.database, "UPDATE event SET hash = NULL", "is sealed once")
    with world.database.read() as session:
        assert audit_log.verify(session).faults == ()


def test_changes_made_without_the_triggers_are_detected(world: World) -> None:
    id_ = world.score(0.3, 0.4)
    with world.database.begin() as session:
        audit_log.chain(session, now=NOON)
    on = "" if world.database.is_sqlite else " ON score"
    change(world.database, f"DROP TRIGGER score_update{on}")
    change(world.database, "UPDATE score SET public = 0.1")
    on = "" if world.database.is_sqlite else " ON event"
    change(world.database, f"DROP TRIGGER event_update{on}")
    change(world.database, "UPDATE event SET actor = 'mallory' WHERE seq = 2")
    with world.database.read() as session:
        words = [fault.words for fault in audit_log.verify(session).faults]
    assert any("event 2 " in line and "was changed" in line for line in words)
    assert any(f"score of submission {id_}" in line and "not the one" in line for line in words)
